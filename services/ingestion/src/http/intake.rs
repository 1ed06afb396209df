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
    config::SenderConfig,
    dead_letters::DeadLetters,
    error::Error,
    forms::{Form, Route},
    inflate::Encoding,
    judge::{Delivery, Judge, Judged},
    limits::{Admission, Limits},
    sender,
    telemetry::{self, Telemetry},
};

/// Plain bodies up to this size are judged where they are; larger ones, and
/// compressed ones, whose size is not known, where they hold nobody up.
const MAX_INLINE: usize = 32 << 10;

/// All that answers requests.
pub(crate) struct Intake {
    pub(crate) origins: BTreeSet<String>,
    pub(crate) sender: SenderConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) judge: Judge,
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
        sender::check_origin(&head.headers, &self.origins)?;
        let mut admission = self.limits.admit()?;
        let form = Form::of(route, &head.headers)?;
        let encoding = Encoding::of(&head.headers)?;
        let body = self.limits.read(body, content_length(&head), &mut admission).await?;
        let clientip = sender::clientip(&head, &self.sender);
        let delivery = Delivery { caller: caller.clone(), form, encoding, body, clientip, trace };
        let (judged, admission) = self.judge(delivery, admission).await?;
        let (judged, _until_answered) = self.store(caller.clone(), judged, admission).await?;
        Ok(self.answer(&caller, judged))
    }

    async fn judge(
        self: &Arc<Self>,
        delivery: Delivery,
        mut admission: Admission,
    ) -> Result<(Judged, Admission), Error> {
        if delivery.encoding == Encoding::Identity && delivery.body.len() <= MAX_INLINE {
            return Ok((self.judge.judge(delivery, &mut admission)?, admission));
        }
        let worker = self.limits.worker().await?;
        let intake = self.clone();
        let judged = move || {
            let _until_judged = worker;
            Ok((intake.judge.judge(delivery, &mut admission)?, admission))
        };
        tokio::task::spawn_blocking(judged).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a body could not be judged");
            Err(Error::Internal)
        })
    }

    /// Writes every event where it belongs. In a task of its own: a client
    /// that hangs up does not leave half of its events without an outcome.
    async fn store(
        self: &Arc<Self>,
        caller: Caller,
        mut judged: Judged,
        admission: Admission,
    ) -> Result<(Judged, Admission), Error> {
        let intake = self.clone();
        let store = async move {
            intake.log.store(std::mem::take(&mut judged.parts)).await?;
            intake.dead_letters.store(&caller, &mut judged.rejected).await?;
            Ok((judged, admission))
        };
        tokio::spawn(store.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "events could not be stored");
            Err(Error::Internal)
        })
    }

    fn answer(&self, caller: &Caller, judged: Judged) -> Answer {
        let is_known = |event: &&u64| !self.recent.entry(**event).or_insert(()).is_fresh();
        let duplicate = judged.accepted.iter().filter(is_known).count();
        let verdict = Verdict::new(judged.accepted.len(), duplicate, &judged.rejected);
        self.telemetry.taken_in(caller, verdict.accepted, duplicate, verdict.rejected_total);
        match judged.rejected.listed().next() {
            Some((only, kept)) if judged.single => Answer::Rejected(OneRejected::new(only, kept)),
            Some(_) if verdict.accepted == 0 => Answer::AllRejected(verdict),
            _ => Answer::Accepted(verdict),
        }
    }
}

fn content_length(head: &request::Parts) -> u64 {
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or_default()
}
