//! The recipe: what happens to a request, one step a line.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::Request,
    http::{header, request},
};
use tidemill_service::{Admitted, Caller, trace};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::{
    backfill, client_address,
    formats::Format,
    hints::Hints,
    inflate::Encoding,
    route::Route,
    validate::{Submission, ValidatedEvents, Validator},
};
use crate::{
    config::SenderConfig,
    dead_letters::{DeadLetterWriter, rejections::Rejections},
    error::Error,
    limits::{Admission, Backlog, RequestLimits, UndecidedLimits},
    log::LogWriter,
    recent::RecentEvents,
    telemetry::{self, Telemetry},
};

/// Plain bodies up to this size are validated on the runtime's threads. Larger
/// ones, and compressed ones, whose size is not known, are validated where they
/// hold nobody up.
pub(super) const MAX_INLINE: usize = 32 << 10;

/// What takes events in.
pub(crate) struct EventIntake {
    pub(crate) origins: BTreeSet<String>,
    pub(crate) sender: SenderConfig,
    pub(crate) limits: Arc<RequestLimits>,
    pub(crate) undecided: UndecidedLimits,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) validator: Validator,
    pub(crate) log: LogWriter,
    pub(crate) dead_letters: Arc<DeadLetterWriter>,
    pub(crate) recent: RecentEvents,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// A request's events, all of them where they belong.
pub(crate) struct TakenIn {
    /// Events that are in the log.
    pub(crate) accepted: usize,
    /// How many of them repeat one that was accepted not long ago.
    pub(crate) duplicate: usize,
    pub(crate) rejected: Rejections,
    /// What their sender is told of the accepted ones.
    pub(crate) hints: Hints,
    /// Whether the one verdict is the answer.
    pub(crate) single: bool,
    _until_answered: Admission,
}

impl EventIntake {
    /// Takes in a request's events. It is answered when the accepted ones are
    /// in the log, and the rejected ones in the dead letters or counted.
    pub(crate) async fn take_in(
        self: &Arc<Self>,
        route: Route,
        admitted: Admitted,
        request: Request,
    ) -> Result<TakenIn, Error> {
        self.backlog.check()?;
        let (head, body) = request.into_parts();
        // Without an exporter the span has no context, and the caller's goes on.
        let trace = trace::traceparent_of(&Span::current()).or_else(|| telemetry::traceparent(&head.headers));
        let (caller, body, admission) = match admitted {
            Admitted::Known(caller) => (caller, body, None),
            Admitted::Undecided(undecided) => {
                let (caller, body, admission) = self.caller_of(undecided, route, &head, body).await?;
                (caller, body, Some(admission))
            }
        };
        client_address::check_origin(&head.headers, &self.origins)?;
        let mut admission = admission.map_or_else(|| self.limits.admit(), Ok)?;
        let format = Format::of(route, &head.headers)?;
        let encoding = Encoding::of(&head.headers)?;
        let backfill = backfill::of_request(&head.headers)?;
        let body = self.limits.read(body, content_length(&head), &mut admission).await?;
        let clientip = client_address::clientip(&head, &self.sender);
        let submission = Submission { caller: caller.clone(), format, encoding, body, clientip, backfill, trace };
        let (validated, admission) = self.validate(submission, admission).await?;
        let (validated, admission) = self.store(caller.clone(), validated, admission).await?;
        Ok(self.taken_in(&caller, validated, admission))
    }

    async fn validate(
        self: &Arc<Self>,
        submission: Submission,
        mut admission: Admission,
    ) -> Result<(ValidatedEvents, Admission), Error> {
        if submission.encoding == Encoding::Identity && submission.body.len() <= MAX_INLINE {
            return Ok((self.validator.validate(submission, &mut admission)?, admission));
        }
        let worker = self.limits.worker().await?;
        let intake = self.clone();
        let validated = move || {
            let _until_validated = worker;
            Ok((intake.validator.validate(submission, &mut admission)?, admission))
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
        mut validated: ValidatedEvents,
        admission: Admission,
    ) -> Result<(ValidatedEvents, Admission), Error> {
        let intake = self.clone();
        let store = async move {
            intake.log.store(std::mem::take(&mut validated.parts)).await?;
            if validated.rejected.total() > 0 {
                // By itself: it is large, and few requests need it.
                Box::pin(intake.dead_letters.store(&caller, &mut validated.rejected)).await?;
            }
            Ok((validated, admission))
        };
        tokio::spawn(store.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "events could not be stored");
            Err(Error::Internal)
        })
    }

    fn taken_in(&self, caller: &Caller, validated: ValidatedEvents, admission: Admission) -> TakenIn {
        let ValidatedEvents { accepted, rejected, hints, single, .. } = validated;
        let duplicate = self.recent.remember(&accepted, Instant::now());
        self.telemetry.taken_in(caller, accepted.len(), duplicate, rejected.total());
        TakenIn { accepted: accepted.len(), duplicate, rejected, hints, single, _until_answered: admission }
    }
}

pub(super) fn content_length(head: &request::Parts) -> u64 {
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or_default()
}
