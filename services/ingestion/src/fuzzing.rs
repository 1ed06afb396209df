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
use tidemill_events::Redrive;
use tidemill_service::{Caller, Context};

use crate::{
    config::{LimitsConfig, SchemasConfig, UnknownTypes},
    error::Error,
    forms::{Form, Route},
    inflate::Encoding,
    judge::{self, Delivery, Judge},
    limits::Limits,
    schema::Schemas,
};

/// The stable code of a refusal, and the HTTP status that goes with it.
pub type Refusal = (&'static str, u16);

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// The accepted events, as they go to the log.
    pub lines: Vec<Vec<u8>>,
    /// Why the others are not accepted, as far as that is told one by one.
    pub rejected: Vec<Refusal>,
}

/// A service that takes every event type, and that no number of requests
/// makes refuse the next one.
static JUDGE: LazyLock<Option<Judge>> = LazyLock::new(|| {
    let limits_config =
        LimitsConfig { rate_per_key: NonZeroU32::MAX, burst: NonZeroU32::MAX, ..LimitsConfig::default() };
    Some(Judge {
        context: Context::with_clock("ingestion", ManualClock::at(Timestamp::EPOCH)),
        limits: Arc::new(Limits::new(&limits_config)),
        batch_bytes: usize::MAX,
        limits_config,
        schemas: Schemas::load(&SchemasConfig { unknown: UnknownTypes::Accept, ..SchemasConfig::default() }).ok()?,
        partitions: PartitionCount::default(),
        hasher: RandomState::new(),
    })
});

/// Reads a JSON text of at most `depth` nested arrays and objects.
pub fn parse(text: &[u8], depth: usize) -> Result<Value, Refusal> {
    crate::parse::parse(text, depth).map_err(|error| refusal(&error))
}

/// A body behind its `Content-Encoding`, of at most `limit` bytes.
pub fn inflate(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    let inflated = || {
        let mut admission = judge()?.limits.admit()?;
        crate::inflate::inflate(Encoding::of(headers)?, body, limit, &mut admission)
    };
    inflated().map_err(|error| refusal(&error))
}

/// A verdict on every event of a request to `/v1/events`, `/v1/track` or
/// `/v1/batch`.
pub fn judge_request(path: &str, headers: &HeaderMap, body: Bytes) -> Result<Judged, Refusal> {
    let judged = || {
        let judge = judge()?;
        let mut admission = judge.limits.admit()?;
        let route = [Route::Track, Route::Batch].into_iter().find(|route| route.path() == path);
        let delivery = Delivery {
            caller: Caller::ANYBODY,
            form: Form::of(route.unwrap_or(Route::Events), headers)?,
            encoding: Encoding::of(headers)?,
            body,
            clientip: None,
            trace: None,
        };
        judge.judge(delivery, &mut admission)
    };
    judged().map(|judged| told(&judged)).map_err(|error| refusal(&error))
}

/// A verdict on the events of a dead letter that is sent again.
pub fn judge_again(order: &Redrive) -> Result<Judged, Refusal> {
    let again = || {
        let judge = judge()?;
        let (mut judged, mut admission) = (judge::Judged::default(), judge.limits.admit()?);
        let bodies = order.bodies().map_err(|e| Error::MalformedBody(e.to_string()))?;
        for (index, body) in bodies.iter().enumerate() {
            judge.judge_again(order, index, &body.bytes, &mut judged, &mut admission)?;
        }
        Ok(judged)
    };
    again().map(|judged| told(&judged)).map_err(|error: Error| refusal(&error))
}

fn told(judged: &judge::Judged) -> Judged {
    let parts = judged.parts.open.values().chain(judged.parts.full.iter().map(|(_, lines)| lines));
    let lines = parts.flat_map(|lines| lines.text.split(|b| *b == b'\n')).filter(|line| !line.is_empty());
    Judged {
        lines: lines.map(<[u8]>::to_vec).collect(),
        rejected: judged.rejected.listed().map(|(listed, _)| refusal(&listed.error)).collect(),
    }
}

fn judge() -> Result<&'static Judge, Error> {
    JUDGE.as_ref().ok_or(Error::Internal)
}

fn refusal(error: &Error) -> Refusal {
    (error.code(), error.problem().status)
}
