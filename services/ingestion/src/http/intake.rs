//! The recipe: what happens to a request, one step a line.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::Request,
    http::{header, request},
};
use tidemill_service::{Caller, trace};
use tracing::{Instrument, Span};

use super::{Answer, OneRejected, Verdict};
use crate::{
    batcher::Log,
    client_address,
    config::SenderConfig,
    dead_letters::DeadLetters,
    error::Error,
    formats::{Format, Route},
    inflate::Encoding,
    limits::{Admission, Limits},
    telemetry::{self, Telemetry},
    validate::{Delivery, Validated, Validator},
};

/// Plain bodies up to this size are validated where they are; larger ones, and
/// compressed ones, whose size is not known, where they hold nobody up.
const MAX_INLINE: usize = 32 << 10;

/// All that answers requests.
pub(crate) struct Intake {
    pub(crate) origins: BTreeSet<String>,
    pub(crate) sender: SenderConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) validator: Validator,
    pub(crate) log: Log,
    pub(crate) dead_letters: Arc<DeadLetters>,
    /// Hashes of events that were accepted not long ago.
    pub(crate) recent: moka::sync::Cache<u64, ()>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Intake {
    /// Takes in a request's events. It is answered when the accepted ones are
    /// in the log, and the rejected ones in the dead letters or counted.
    pub(super) async fn take_in(
        self: &Arc<Self>,
        route: Route,
        caller: Caller,
        request: Request,
    ) -> Result<Answer, Error> {
        let (head, body) = request.into_parts();
        // Without an exporter the span has no context, and the caller's goes on.
        let trace = trace::traceparent_of(&Span::current()).or_else(|| telemetry::traceparent(&head.headers));
        client_address::check_origin(&head.headers, &self.origins)?;
        let mut admission = self.limits.admit()?;
        let format = Format::of(route, &head.headers)?;
        let encoding = Encoding::of(&head.headers)?;
        let body = self.limits.read(body, content_length(&head), &mut admission).await?;
        let clientip = client_address::clientip(&head, &self.sender);
        let delivery = Delivery { caller: caller.clone(), format, encoding, body, clientip, trace };
        let (validated, admission) = self.validate(delivery, admission).await?;
        let (validated, _until_answered) = self.store(caller.clone(), validated, admission).await?;
        Ok(self.answer(&caller, validated))
    }

    async fn validate(
        self: &Arc<Self>,
        delivery: Delivery,
        mut admission: Admission,
    ) -> Result<(Validated, Admission), Error> {
        if delivery.encoding == Encoding::Identity && delivery.body.len() <= MAX_INLINE {
            return Ok((self.validator.validate(delivery, &mut admission)?, admission));
        }
        let worker = self.limits.worker().await?;
        let intake = self.clone();
        let validated = move || {
            let _until_validated = worker;
            Ok((intake.validator.validate(delivery, &mut admission)?, admission))
        };
        tokio::task::spawn_blocking(validated).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a body could not be validated");
            Err(Error::Internal)
        })
    }

    /// Writes every event where it belongs. In a task of its own: a client
    /// that hangs up does not leave half of its events without an outcome.
    async fn store(
        self: &Arc<Self>,
        caller: Caller,
        mut validated: Validated,
        admission: Admission,
    ) -> Result<(Validated, Admission), Error> {
        let intake = self.clone();
        let store = async move {
            intake.log.store(std::mem::take(&mut validated.parts)).await?;
            intake.dead_letters.store(&caller, &mut validated.rejected).await?;
            Ok((validated, admission))
        };
        tokio::spawn(store.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "events could not be stored");
            Err(Error::Internal)
        })
    }

    fn answer(&self, caller: &Caller, validated: Validated) -> Answer {
        let is_known = |event: &&u64| !self.recent.entry(**event).or_insert(()).is_fresh();
        let duplicate = validated.accepted.iter().filter(is_known).count();
        let verdict = Verdict::new(validated.accepted.len(), duplicate, &validated.rejected);
        self.telemetry.taken_in(caller, verdict.accepted, duplicate, verdict.rejected_total);
        match validated.rejected.listed().next() {
            Some((only, kept)) if validated.single => Answer::Rejected(OneRejected::new(only, kept)),
            Some(_) if verdict.accepted == 0 => Answer::AllRejected(verdict),
            _ => Answer::Accepted(verdict),
        }
    }
}

fn content_length(head: &request::Parts) -> u64 {
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or_default()
}
