//! Rejected events, kept with their reason.
//!
//! They are dear to their sender, not to us: what failed alike in one request
//! is one letter; each caller may have so many bytes of letters in a minute;
//! and a stream that is nearly full takes no more of them. What is not kept is
//! counted (`tally.rs`), and its sender told.

use std::{num::NonZeroU32, ops::Range, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use governor::{DefaultDirectRateLimiter, Quota};
use moka::sync::Cache;
use tidemill_bus::Bus;
use tidemill_domain::SourceName;
use tidemill_events::{Body, DeadLetter, Events, Redrive, bodies};
use tidemill_service::{Caller, Context};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::{
    batcher::{FIRST_RETRY, LAST_RETRY},
    config::DeadLettersConfig,
    error::Error,
    limits::MOST_CALLERS,
    rejections::{Claim, Group, Rejections},
    room::Room,
    tally::{NotKept, Tally},
    telemetry::Telemetry,
};

/// Letters of one request that are written at once.
const AT_ONCE: usize = 64;
/// Bytes of an event that a letter keeps.
pub(crate) const MAX_BODY: usize = 64 << 10;
/// Bytes of a letter that stands for several events; what is more goes into
/// the next one.
const MAX_LETTER: usize = 256 << 10;
/// Bytes of a letter beside its texts and its body: names of headers, and what
/// the stream adds.
const FRAME: usize = 600;

/// The way into the dead-letter stream.
pub(crate) struct DeadLetters {
    pub(crate) context: Context,
    pub(crate) bus: Bus,
    /// How long a letter may take.
    pub(crate) deadline: Duration,
    pub(crate) budgets: Budgets,
    pub(crate) room: Arc<Room>,
    pub(crate) tally: Arc<Tally>,
    /// Members that schemas mark as personal.
    pub(crate) personal: Vec<String>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// Bytes of letters that each caller may have in a minute.
pub(crate) struct Budgets {
    quota: Quota,
    spent: Cache<String, Arc<DefaultDirectRateLimiter>>,
}

impl Budgets {
    pub(crate) fn new(config: &DeadLettersConfig) -> Self {
        Self { quota: Quota::per_minute(config.bytes_per_minute), spent: Cache::new(MOST_CALLERS) }
    }

    /// Whether the caller may have a letter of so many bytes; if so, it has.
    fn spend(&self, caller: &Caller, bytes: usize) -> bool {
        let budget =
            self.spent.get_with(caller.name().to_owned(), || Arc::new(DefaultDirectRateLimiter::direct(self.quota)));
        let Some(bytes) = u32::try_from(bytes).ok().and_then(NonZeroU32::new) else { return false };
        matches!(budget.check_n(bytes), Ok(Ok(())))
    }
}

/// A letter as it is planned: bodies of a group.
struct Plan {
    group: usize,
    bodies: Range<usize>,
    /// Its size, roughly.
    bytes: usize,
}

/// What became of a planned letter.
enum Outcome {
    Kept,
    NotKept(NotKept),
}

impl DeadLetters {
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
            if let Outcome::NotKept(why) = outcome? {
                rejected.drop_bodies(plan.group, plan.bodies.clone());
                lost.push((plan, why));
            }
        }
        // Not before all is well: a request that is answered 503 comes again.
        for (plan, why) in lost {
            let Group { failure, bodies, .. } = &rejected.groups()[plan.group];
            let count = bodies[plan.bodies].iter().map(|body| body.count).sum();
            self.telemetry.not_kept(failure.code, why, count);
            self.tally.add(caller, failure.source.as_ref(), failure.code, why, count, self.context.clock.now());
        }
        Ok(())
    }

    async fn store_one(&self, caller: &Caller, group: &Group, plan: &Plan) -> Result<Outcome, Error> {
        if !self.room.has_room() {
            return Ok(Outcome::NotKept(NotKept::Full));
        }
        if !self.budgets.spend(caller, plan.bytes) {
            return Ok(Outcome::NotKept(NotKept::Budget));
        }
        // Before it is there: others are on their way at the same time.
        self.room.took(plan.bytes);
        let id = self.context.new_id().to_string();
        let letter = self.letter(id, group, plan)?;
        match self.publish(&letter, group.failure.code).await {
            Ok(()) => Ok(Outcome::Kept),
            Err(Error::DeadLettersFull) => Ok(Outcome::NotKept(NotKept::Full)),
            Err(error) => Err(error),
        }
    }

    /// Stores the letters of a dead letter's events that have failed again. A
    /// repetition of them is the same letters.
    pub(crate) async fn store_again(&self, rejected: &Rejections, order: &Redrive) -> Result<(), Error> {
        for plan in plan(rejected.groups()) {
            self.room.took(plan.bytes);
            let letter = self.letter(String::new(), &rejected.groups()[plan.group], &plan)?;
            let id = match order.several {
                false => format!("redrive-{}", order.id),
                // Schemas may change between one attempt and the next, and with
                // them which events fail alike: by what it holds, a letter is
                // never taken for another.
                true => {
                    let content = [letter.reason.as_bytes(), letter.source.as_bytes(), &letter.body].join(&0);
                    format!("redrive-{}-{}", order.id, Uuid::new_v5(&order.id, &content))
                }
            };
            let letter = DeadLetter { id, redriven_from: Some(order.letter), ..letter };
            self.publish(&letter, rejected.groups()[plan.group].failure.code).await?;
        }
        Ok(())
    }

    /// Publishes a letter, and again until the server has it; its name lets
    /// the server drop a copy. A stream that is full says so at once.
    async fn publish(&self, letter: &DeadLetter, code: &'static str) -> Result<(), Error> {
        let attempts = async {
            let mut wait = FIRST_RETRY;
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
                sleep(wait).await;
                wait = (wait * 2).min(LAST_RETRY);
            }
        };
        timeout(self.deadline, attempts).await.unwrap_or(Err(Error::LogUnavailable))?;
        self.telemetry.dead_lettered(code, letter.events.count());
        Ok(())
    }

    fn letter(&self, id: String, group: &Group, plan: &Plan) -> Result<DeadLetter, Error> {
        let bodies = &group.bodies[plan.bodies.clone()];
        let (events, body) = match bodies {
            [Body { count: 1, bytes }] => (Events::One, bytes.slice(..bytes.len().min(MAX_BODY))),
            several => {
                let count = several.iter().map(|body| body.count).sum();
                (Events::Several(count), bodies::encode(several).map_err(|_| Error::Internal)?)
            }
        };
        let first = if plan.bodies.start == 0 { group.first.clone() } else { Claim::default() };
        Ok(DeadLetter {
            events,
            code: group.failure.code.into(),
            reason: group.failure.reason.clone(),
            pointer: group.failure.pointer.clone(),
            source: group.failure.source.as_ref().map_or(SourceName::UNKNOWN, SourceName::as_str).into(),
            event_id: first.id.map(|id| id.as_str().into()),
            personal: self.personal.clone(),
            trace: first.trace,
            body,
            ..blank(&self.context, id)
        })
    }
}

/// A letter of this service that says nothing yet but who wrote it and when.
pub(crate) fn blank(context: &Context, id: String) -> DeadLetter {
    DeadLetter { first_failed_at: context.clock.now(), ..DeadLetter::new(context.service, id, "", String::new()) }
}

/// Cuts groups into letters.
fn plan(groups: &[Group]) -> Vec<Plan> {
    let mut plans = Vec::with_capacity(groups.len());
    for (group, Group { failure, bodies, .. }) in groups.iter().enumerate() {
        let frame = FRAME + failure.reason.len() + failure.pointer.as_ref().map_or(0, String::len);
        let (mut start, mut bytes) = (0, 0);
        for (place, body) in bodies.iter().enumerate() {
            let more = body.listed_len();
            if place > start && bytes + more > MAX_LETTER {
                plans.push(Plan { group, bodies: start..place, bytes: frame + bytes });
                (start, bytes) = (place, 0);
            }
            bytes += more;
        }
        plans.push(Plan { group, bodies: start..bodies.len(), bytes: frame + bytes });
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::LimitsConfig, limits::Limits};

    #[test]
    fn a_large_group_goes_into_several_letters_and_nothing_of_it_is_left_out() {
        let mut admission = Limits::new(&LimitsConfig::default()).admit().expect("a place");
        let mut rejected = Rejections::default();
        for n in 0..40 {
            let body = format!("{n:02}{}", "x".repeat(30 << 10));
            rejected.add(n, Claim::default(), Error::Internal, body.into(), &mut admission).expect("fits");
        }
        let plans = plan(rejected.groups());
        let parts: Vec<_> = plans.iter().map(|plan| plan.bodies.clone()).collect();
        assert_eq!(parts, [0..8, 8..16, 16..24, 24..32, 32..40]);
        let of = &rejected.groups()[0].bodies;
        assert!(parts.into_iter().all(|part| bodies::encode(&of[part]).expect("encodes").len() <= MAX_LETTER));
    }

    #[test]
    fn a_budget_is_the_callers_own() {
        let config = DeadLettersConfig { bytes_per_minute: NonZeroU32::MIN.saturating_add(999_999) };
        let (one, two) = crate::limits::tests::two_callers();
        let budgets = Budgets::new(&config);
        assert!(budgets.spend(&one, 900_000) && !budgets.spend(&one, 900_000));
        assert!(budgets.spend(&two, 900_000) && budgets.spend(&two, 90_000));
        assert!(!budgets.spend(&two, 2_000_000), "more than a minute has");
    }
}
