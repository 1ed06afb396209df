//! Event rules over one partition of `ENRICHED`.

use std::{sync::Arc, time::Duration};

use tidemill_bus::{Bus, Delivery, Error as BusError, Subscription};
use tidemill_domain::{Partition, SharedClock};
use tidemill_events::{Durable, EnrichedBatch};
use tidemill_stage::{Ingested, LogPlace, OfLog, Place, subscribe_in_order};

use super::reader::{Missing, Stage};
use crate::{
    evaluate::event::EventRules,
    state::{ConsumerProgress, StepChanges},
    telemetry::Telemetry,
};

/// How long a position, and what was counted up to it, may wait to be written down.
const PATIENCE: Duration = Duration::from_secs(1);

/// Event rules over one partition of `ENRICHED`.
pub(super) struct EventStage {
    rules: Arc<EventRules>,
    partition: Partition,
    /// The batch of the log up to which it is done.
    done: LogPlace,
    /// Whether there are batches behind the floor, and not the next one.
    is_broken: bool,
    /// Whether the last message was given up: then the next batch is not the
    /// successor of any that was read.
    is_behind_dead: bool,
    clock: SharedClock,
    telemetry: Arc<Telemetry>,
}

impl EventStage {
    /// Goes on behind `done`; the rules are those of all partitions.
    pub(super) fn new(
        rules: Arc<EventRules>,
        partition: Partition,
        done: LogPlace,
        clock: SharedClock,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self { rules, partition, done, is_broken: false, is_behind_dead: false, clock, telemetry }
    }
}

impl Stage for EventStage {
    type Message = EnrichedBatch;

    /// A batch that no rule is about comes without its events.
    fn decode(&self, delivery: &Delivery) -> Result<EnrichedBatch, BusError> {
        delivery.decode_with(|headers, payload| {
            EnrichedBatch::decode_if(headers, payload, |types| self.rules.are_about(types))
        })
    }

    /// A batch whose predecessor has not come is passed over, and will come
    /// again behind it. The first one ever starts anywhere: what was before is
    /// older than this service. So does one behind a message that was given up:
    /// enrichment would make the same of it once more.
    fn evaluate(&mut self, batches: Vec<Option<EnrichedBatch>>) -> StepChanges {
        let mut changes = StepChanges::default();
        for batch in batches {
            let Some(batch) = batch else {
                self.is_behind_dead = true;
                continue;
            };
            let starts_anywhere = self.done.raw_seq == 0 || self.is_behind_dead;
            match Place::of(self.done.raw_seq, batch.raw_prev, batch.raw_seq) {
                Place::Next => {}
                Place::Early if starts_anywhere => {}
                Place::Early => {
                    self.telemetry.early_batch();
                    self.is_broken = true;
                    continue;
                }
                // Evaluated before, and delivered again.
                Place::Repeated => continue,
            }
            self.rules.apply(&batch, self.clock.now(), &mut changes);
            self.done = LogPlace { raw_seq: batch.raw_seq, ingested: Ingested::At(batch.ingested_at) };
            (self.is_broken, self.is_behind_dead) = (false, false);
            let progress = ConsumerProgress { raw_seq: batch.raw_seq, watermark: None, as_of: Some(batch.ingested_at) };
            changes.progress.insert(self.partition, progress);
        }
        changes
    }

    /// What an earlier owner has passed over lies behind the floor, and comes
    /// again.
    async fn open(&self, bus: &Bus, durable: Durable) -> Result<OfLog<Subscription>, BusError> {
        subscribe_in_order(bus, durable, self.partition, self.done).await
    }

    fn partition(&self) -> Option<Partition> {
        Some(self.partition)
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn missing(&self) -> Option<Missing> {
        self.is_broken.then_some(Missing { partition: self.partition, after: self.done.raw_seq })
    }
}
