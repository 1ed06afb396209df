//! What `tests/fuzz-targets` calls: the stages that read what strangers send,
//! without a server around them. No part of the service's interface.

use std::{
    hash::RandomState,
    num::NonZeroU32,
    sync::{Arc, LazyLock},
};

use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::Value;
use tidemill_domain::{ManualClock, PartitionCount, Timestamp};
use tidemill_events::{MeasuredEvent, Redrive};
use tidemill_service::{Caller, Context};

use crate::{
    config::{RequestLimitsConfig, SchemasConfig, UnknownTypes},
    error::Error,
    intake::{
        self, backfill,
        formats::Format,
        inflate::Encoding,
        route::Route,
        schema::Schemas,
        validate::{StreamedEvent, Submission, ValidatedEvents, Validator},
    },
    limits::RequestLimits,
};

/// The stable code of a refusal, and the HTTP status that goes with it.
pub type Refusal = (&'static str, u16);

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Validated {
    /// The accepted events, as they go to the log.
    pub lines: Vec<Vec<u8>>,
    /// Why the others are not accepted, as far as that is told one by one.
    pub rejected: Vec<Refusal>,
}

/// It takes every event type, and no number of requests makes it refuse the
/// next one.
static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| {
    let limits_config =
        RequestLimitsConfig { rate_per_key: NonZeroU32::MAX, burst: NonZeroU32::MAX, ..RequestLimitsConfig::default() };
    Some(Validator {
        context: Context::with_clock("ingestion", ManualClock::at(Timestamp::EPOCH)),
        limits: Arc::new(RequestLimits::new(&limits_config)),
        batch_bytes: usize::MAX,
        limits_config,
        schemas: Schemas::load(&SchemasConfig { unknown: UnknownTypes::Accept, ..SchemasConfig::default() })
            .ok()?
            .into(),
        partitions: PartitionCount::default(),
        hasher: RandomState::new(),
    })
});

/// Reads a JSON text of at most `depth` nested arrays and objects.
pub fn parse(text: &[u8], depth: usize) -> Result<Value, Refusal> {
    intake::parse::parse(text, depth).map_err(|error| refusal(&error))
}

/// A body behind its `Content-Encoding`, of at most `limit` bytes.
pub fn inflate(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    let inflated = || {
        let mut admission = validator()?.limits.admit()?;
        intake::inflate::inflate(Encoding::of(headers)?, body, limit, &mut admission)
    };
    inflated().map_err(|error| refusal(&error))
}

/// A verdict on every event of a request to this path; to `/v1/events` where
/// there is no such path.
pub fn validate_request(path: &str, headers: &HeaderMap, body: Bytes) -> Result<Validated, Refusal> {
    let validated = || {
        let validator = validator()?;
        let mut admission = validator.limits.admit()?;
        let submission = Submission {
            caller: Caller::ANYBODY,
            format: Format::of(Route::at(path).unwrap_or(Route::EVENTS), headers)?,
            encoding: Encoding::of(headers)?,
            body,
            clientip: None,
            backfill: backfill::of_request(headers)?,
            trace: None,
        };
        validator.validate(submission, &mut admission)
    };
    validated().map(|validated| told(&validated)).map_err(|error| refusal(&error))
}

/// A verdict on the events of a dead letter that is sent again.
pub fn validate_again(request: &Redrive) -> Result<Validated, Refusal> {
    let again = || {
        let validator = validator()?;
        let (mut validated, mut admission) = (ValidatedEvents::default(), validator.limits.admit()?);
        let bodies = request.bodies().map_err(|e| Error::MalformedBody(e.to_string()))?;
        for (index, body) in bodies.iter().enumerate() {
            let event = StreamedEvent::again(request, index, &body.bytes);
            validator.validate_streamed(&event, &mut validated, &mut admission)?;
        }
        Ok(validated)
    };
    again().map(|validated| told(&validated)).map_err(|error: Error| refusal(&error))
}

/// A verdict on an event that a service of the suite tells.
pub fn validate_measured(event: &MeasuredEvent) -> Result<Validated, Refusal> {
    let measured = || {
        let validator = validator()?;
        let (mut validated, mut admission) = (ValidatedEvents::default(), validator.limits.admit()?);
        let event = StreamedEvent::measured(event, Timestamp::EPOCH);
        validator.validate_streamed(&event, &mut validated, &mut admission)?;
        Ok(validated)
    };
    measured().map(|validated| told(&validated)).map_err(|error: Error| refusal(&error))
}

fn told(validated: &ValidatedEvents) -> Validated {
    let parts = validated.parts.open.values().chain(validated.parts.full.iter().map(|(_, lines)| lines));
    let lines = parts.flat_map(|lines| lines.text.split(|b| *b == b'\n')).filter(|line| !line.is_empty());
    Validated {
        lines: lines.map(<[u8]>::to_vec).collect(),
        rejected: validated.rejected.listed().map(|(listed, _)| refusal(&listed.error)).collect(),
    }
}

fn validator() -> Result<&'static Validator, Error> {
    VALIDATOR.as_ref().ok_or(Error::Internal)
}

fn refusal(error: &Error) -> Refusal {
    (error.code().as_str(), error.problem().status)
}
