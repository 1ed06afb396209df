//! Batches in the order of the log.
//!
//! `ENRICHED` is not synced to disk, so a crash of its server may take its end
//! away. A reader that has come further then finds a batch whose predecessor it
//! has not seen. It passes that batch over, and asks for everything behind its
//! floor.

use std::time::Duration;

use tidemill_bus::{Bus, Error as BusError, Subscription};
use tidemill_domain::Partition;
use tidemill_events::{Durable, EnrichedBatch, topology};
use tidemill_service::{Breaker, Conditions, HeldCondition};
use tokio::time::Instant;

use crate::{LogPlace, OfLog};

/// Where a batch stands to what was applied before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It follows.
    Next,
    /// It was applied before.
    Repeated,
    /// Batches between are missing.
    Early,
}

impl Place {
    /// The place of batch `raw_seq` for a reader that has applied everything up
    /// to `floor`. `raw_prev` is the batch before it. All three are sequences
    /// of `RAW`; 0 is before the first.
    pub const fn of(floor: u64, raw_prev: u64, raw_seq: u64) -> Self {
        if raw_seq <= floor {
            Self::Repeated
        } else if raw_prev > floor {
            Self::Early
        } else {
            Self::Next
        }
    }
}

/// Opens a reader of a partition of `ENRICHED` that has applied everything up to
/// `done`: it begins with the first batch behind that. Where that is a place of another
/// log, it says so and opens nothing.
pub async fn subscribe_in_order(
    bus: &Bus,
    durable: Durable,
    partition: Partition,
    done: LogPlace,
) -> Result<OfLog<Subscription>, BusError> {
    let open = async { bus.subscribe_behind(durable, place_behind(bus, partition, done.raw_seq).await?).await };
    OfLog::open(bus, done, open).await
}

/// The same for a replica that reads the partition beside others, with a consumer of its
/// own ([`Bus::follow_behind`]).
pub async fn follow_in_order(
    bus: &Bus,
    durable: Durable,
    replica: &str,
    partition: Partition,
    done: LogPlace,
) -> Result<OfLog<Subscription>, BusError> {
    let open = async { bus.follow_behind(durable, replica, place_behind(bus, partition, done.raw_seq).await?).await };
    OfLog::open(bus, done, open).await
}

async fn place_behind(bus: &Bus, partition: Partition, floor: u64) -> Result<u64, BusError> {
    let is_applied = |batch: &EnrichedBatch| batch.raw_seq <= floor;
    match floor {
        0 => Ok(0),
        _ => bus.place_behind(&topology::enriched(partition), is_applied).await,
    }
}

/// How often enrichment is asked, until what is missing comes.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// What a reader of one partition misses, and has asked for.
#[derive(Debug)]
pub struct Gap {
    partition: Partition,
    conditions: Conditions<Partition>,
    asked: Option<(Instant, HeldCondition<Partition>)>,
}

impl Gap {
    /// Nothing is missing. `conditions` are those that name gaps.
    pub const fn none(partition: Partition, conditions: Conditions<Partition>) -> Self {
        Self { partition, conditions, asked: None }
    }

    /// Whether something is missing.
    pub const fn is_open(&self) -> bool {
        self.asked.is_some()
    }

    /// When to ask again.
    pub fn due(&self) -> Option<Instant> {
        self.asked.as_ref().map(|(asked, _)| *asked + ASK_EVERY)
    }

    /// What was missing has come.
    pub fn close(&mut self) {
        self.asked = None;
    }

    /// Batches behind `floor` are missing: asks for them, unless that was just
    /// done. Answers whether it did.
    pub async fn ask(&mut self, bus: &Bus, nats: &Breaker, floor: u64) -> Result<bool, BusError> {
        let now = Instant::now();
        if self.due().is_some_and(|due| due > now) {
            return Ok(false);
        }
        let reason =
            format!("the batches of RAW behind {floor} are missing; enrichment is asked to publish them again");
        // The old condition would clear the new one if it were dropped after it.
        self.asked = None;
        self.asked = Some((now, self.conditions.hold(self.partition, reason)));
        nats.call(bus.ask_again(self.partition, floor)).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_its_place() {
        assert_eq!(Place::of(0, 0, 5), Place::Next);
        assert_eq!(Place::of(5, 5, 9), Place::Next);
        assert_eq!(Place::of(5, 0, 9), Place::Next, "its predecessor is below the floor");
        assert_eq!(Place::of(5, 4, 5), Place::Repeated);
        assert_eq!(Place::of(9, 4, 5), Place::Repeated);
        assert_eq!(Place::of(5, 7, 9), Place::Early);
    }
}
