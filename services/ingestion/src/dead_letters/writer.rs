//! The way into the stream of dead letters.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tidemill_bus::Bus;
use tidemill_domain::{Code, SourceName};
use tidemill_events::{Body, DeadLetter, Events, MeasuredEvent, Message, Redrive, bodies};
use tidemill_service::{Caller, Context};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    budgets::Budgets,
    letter::blank,
    plan::{Plan, plan},
    rejections::{ClaimedIdentity, FailureGroup, MAX_BODY, Rejections},
    room::LetterRoom,
    tally::{NotKept, RejectedTally},
};
use crate::{error::Error, intake::schema::SchemaRegistry, retry::ShortBackoff, telemetry::Telemetry};

/// Letters of one request that are written at once.
const AT_ONCE: usize = 64;

pub(crate) struct DeadLetterWriter {
    pub(crate) context: Context,
    pub(crate) bus: Bus,
    /// How long a letter may take.
    pub(crate) deadline: Duration,
    pub(crate) budgets: Budgets,
    pub(crate) room: Arc<LetterRoom>,
    pub(crate) tally: Arc<RejectedTally>,
    /// They mark members as personal.
    pub(crate) schemas: SchemaRegistry,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// What became of a planned letter.
enum LetterFate {
    Kept,
    NotKept(NotKept),
}

impl DeadLetterWriter {
    /// Waits until every rejected event is kept, or counted where its caller's
    /// budget is used up or the stream is full.
    ///
    /// By then the request's accepted events are in the log. Where a letter
    /// cannot be stored since the stream is away, the request is answered 503
    /// all the same, and the sender repeats it: the accepted events are
    /// duplicates then, which is harmless, and no rejection is lost.
    pub(crate) async fn store(&self, caller: &Caller, rejected: &mut Rejections) -> Result<(), Error> {
        let plans = plan(rejected.groups());
        let of = &*rejected;
        let outcomes: Vec<_> = stream::iter(plans)
            .map(|plan| async move {
                let outcome = self.store_one(caller, &of.groups()[plan.group], &plan).await;
                (plan, outcome)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut lost = Vec::new();
        for (plan, outcome) in outcomes {
            if let LetterFate::NotKept(why) = outcome? {
                rejected.drop_bodies(plan.group, plan.bodies.clone());
                lost.push((plan, why));
            }
        }
        // Not before all is well: a request that is answered 503 comes again.
        for (plan, why) in lost {
            let FailureGroup { failure, bodies, .. } = &rejected.groups()[plan.group];
            let count = bodies[plan.bodies].iter().map(|body| body.count).sum();
            self.telemetry.not_kept(failure.code, why.as_str(), count);
            self.tally.add(caller, failure.source.as_ref(), failure.code, why, count, self.context.clock.now());
        }
        Ok(())
    }

    async fn store_one(&self, caller: &Caller, group: &FailureGroup, plan: &Plan) -> Result<LetterFate, Error> {
        if !self.room.has_room() {
            return Ok(LetterFate::NotKept(NotKept::Full));
        }
        if !self.budgets.spend(caller, plan.bytes) {
            return Ok(LetterFate::NotKept(NotKept::Budget));
        }
        // Before it is there: others are on their way at the same time.
        self.room.took(plan.bytes);
        let id = self.context.new_id().to_string();
        let letter = self.letter(id, group, plan)?;
        match self.publish(&letter, group.failure.code).await {
            Ok(()) => Ok(LetterFate::Kept),
            Err(Error::DeadLettersFull) => Ok(LetterFate::NotKept(NotKept::Full)),
            Err(error) => Err(error),
        }
    }

    /// Stores the letters of a dead letter's events that have failed again. A
    /// repetition of them is the same letters.
    pub(crate) async fn store_redriven(&self, rejected: &Rejections, request: &Redrive) -> Result<(), Error> {
        for plan in plan(rejected.groups()) {
            self.room.took(plan.bytes);
            let letter = self.letter(String::new(), &rejected.groups()[plan.group], &plan)?;
            let id = match request.several {
                false => format!("redrive-{}", request.id),
                // Schemas may change between one attempt and the next, and with
                // them which events fail alike: by what it holds, a letter is
                // never taken for another.
                true => {
                    let content = [letter.reason.as_bytes(), letter.source.as_bytes(), &letter.body].join(&0);
                    format!("redrive-{}-{}", request.id, Uuid::new_v5(&request.id, &content))
                }
            };
            let letter = DeadLetter { id, redriven_from: Some(request.letter), ..letter };
            self.publish(&letter, rejected.groups()[plan.group].failure.code).await?;
        }
        Ok(())
    }

    /// Stores the letter of an event of the suite's own that is not accepted. It has the
    /// event's name: told twice, it is the same letter.
    pub(crate) async fn store_measured(&self, rejected: &Rejections, event: &MeasuredEvent) -> Result<(), Error> {
        for plan in plan(rejected.groups()) {
            self.room.took(plan.bytes);
            let id = format!("measured-{}-{}", event.service, event.id);
            let letter = self.letter(id, &rejected.groups()[plan.group], &plan)?;
            let letter = DeadLetter { stream: Some(MeasuredEvent::STREAM.to_string()), ..letter };
            self.publish(&letter, rejected.groups()[plan.group].failure.code).await?;
        }
        Ok(())
    }

    /// Publishes a letter, and again until the server has it; its name lets
    /// the server drop a copy. A stream that is full says so at once.
    async fn publish(&self, letter: &DeadLetter, code: Code) -> Result<(), Error> {
        let attempts = async {
            let mut backoff = ShortBackoff::new();
            loop {
                let Err(error) = self.bus.publish(letter).await else { return Ok(()) };
                self.telemetry.publish_failed(&error);
                if matches!(error, tidemill_bus::Error::Full { .. }) {
                    self.room.found_full(&self.context.health, &self.telemetry);
                    return Err(Error::DeadLettersFull);
                }
                if !error.is_transient() {
                    return Err(Error::LogUnavailable);
                }
                backoff.wait().await;
            }
        };
        timeout(self.deadline, attempts).await.unwrap_or(Err(Error::LogUnavailable))?;
        self.telemetry.dead_lettered(code, letter.events.count());
        Ok(())
    }

    fn letter(&self, id: String, group: &FailureGroup, plan: &Plan) -> Result<DeadLetter, Error> {
        let bodies = &group.bodies[plan.bodies.clone()];
        let (events, body) = match bodies {
            [Body { count: 1, bytes }] => (Events::One, bytes.slice(..bytes.len().min(MAX_BODY))),
            several => {
                let count = several.iter().map(|body| body.count).sum();
                (Events::Several(count), bodies::encode(several).map_err(|_| Error::Internal)?)
            }
        };
        let first = if plan.bodies.start == 0 { group.first.clone() } else { ClaimedIdentity::default() };
        Ok(DeadLetter {
            events,
            code: group.failure.code.as_str().into(),
            reason: group.failure.reason.clone(),
            pointer: group.failure.pointer.clone(),
            source: group.failure.source.as_ref().map_or(SourceName::UNKNOWN, SourceName::as_str).into(),
            event_id: first.id.map(|id| id.as_str().into()),
            personal: self.schemas.current().personal().more(),
            trace: first.trace,
            body,
            ..blank(&self.context, id)
        })
    }
}
