//! Totals and rules over the log, by the log's own clock: what a suite would have found if
//! it had run by them all along. It depends on the log alone, and not on when it is run.

use std::collections::{BTreeMap, HashSet};

use tidemill_aggregation::replay::{RehearsedTotals, ReplayedAggregation};
use tidemill_alert::replay::ReplayedRules;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{AlertTransition, EnrichedBatch};
use tidemill_stage::StageFailure;
use uuid::Uuid;

/// What changes of totals within so many milliseconds of the log is told at once: the live
/// aggregation tells it about as often.
const TOLD_AFTER: i64 = 1_000;
/// Batches of a partition that are told of at once, at most.
const UNTOLD: usize = 256;

/// A partition's totals, and when they are to be told.
struct PartitionTotals {
    totals: RehearsedTotals,
    /// When what was applied is to be told, if anything was.
    due: Option<Timestamp>,
    untold: usize,
    /// When the partition has been silent for so long that it is to be said, if it was not.
    silence: Option<Timestamp>,
}

/// Totals and rules over the log.
pub(super) struct Rehearsal {
    totals: BTreeMap<Partition, PartitionTotals>,
    rules: ReplayedRules,
    idle_after: i64,
    /// The log's clock.
    now: Timestamp,
    /// Alerts that have fired; each fires once.
    known: HashSet<Uuid>,
    /// Those that fired since they were taken.
    fired: Vec<AlertTransition>,
    pub(super) events: u64,
}

impl Rehearsal {
    /// Before the first batch, which came in behind `begins_at`.
    pub(super) async fn open(
        aggregation: &ReplayedAggregation,
        partitions: &[Partition],
        rules: ReplayedRules,
        idle_after: i64,
        begins_at: Timestamp,
    ) -> Result<Self, StageFailure> {
        let mut totals = BTreeMap::new();
        for partition in partitions {
            let of = aggregation.rehearse(*partition, begins_at).await?;
            totals.insert(*partition, PartitionTotals { totals: of, due: None, untold: 0, silence: None });
        }
        let (known, fired, events) = (HashSet::new(), Vec::new(), 0);
        Ok(Self { totals, rules, idle_after, now: begins_at, known, fired, events })
    }

    /// Takes the next batch of the log, and answers what fires by then.
    pub(super) async fn take(&mut self, batch: &EnrichedBatch) -> Result<Vec<AlertTransition>, StageFailure> {
        // Batches of two partitions may have come in a little out of order.
        let at = self.now.max(batch.ingested_at);
        self.go_to(at).await?;
        let fired = self.rules.events(batch, at);
        self.note(fired);
        let Some(of) = self.totals.get_mut(&batch.partition) else { return Ok(Vec::new()) };
        self.events += of.totals.take(batch, at).await?;
        of.due.get_or_insert(at.plus_millis(TOLD_AFTER));
        of.silence = Some(at.plus_millis(self.idle_after));
        of.untold += 1;
        if of.untold >= UNTOLD {
            self.tell(batch.partition, at).await?;
        }
        Ok(std::mem::take(&mut self.fired))
    }

    /// Behind the last batch: what follows until `now`.
    pub(super) async fn end(&mut self, now: Timestamp) -> Result<Vec<AlertTransition>, StageFailure> {
        self.go_to(now.max(self.now.plus_millis(TOLD_AFTER))).await?;
        Ok(std::mem::take(&mut self.fired))
    }

    /// Does what is due until then, in the order in which it is.
    async fn go_to(&mut self, then: Timestamp) -> Result<(), StageFailure> {
        loop {
            let due = |of: &PartitionTotals| of.due.into_iter().chain(of.silence).min();
            let next = self.totals.iter().filter_map(|(partition, of)| Some((due(of)?, *partition))).min();
            let Some((at, partition)) = next.filter(|(at, _)| *at <= then) else { break };
            self.now = self.now.max(at);
            self.tell(partition, at).await?;
            self.tell_silence(partition, at);
        }
        self.now = self.now.max(then);
        Ok(())
    }

    async fn tell(&mut self, partition: Partition, at: Timestamp) -> Result<(), StageFailure> {
        let Some(of) = self.totals.get_mut(&partition).filter(|of| of.due.is_some()) else { return Ok(()) };
        (of.due, of.untold) = (None, 0);
        let updates = of.totals.tell(at).await?;
        let fired = self.rules.totals(&updates, at);
        self.note(fired);
        Ok(())
    }

    /// A partition whose sources are all silent holds no window open.
    fn tell_silence(&mut self, partition: Partition, at: Timestamp) {
        let Some(of) = self.totals.get_mut(&partition).filter(|of| of.silence.is_some_and(|due| due <= at)) else {
            return;
        };
        let position = of.totals.position(at);
        of.silence = (!position.idle).then(|| at.plus_millis(self.idle_after));
        let fired = self.rules.totals(&[position], at);
        self.note(fired);
    }

    fn note(&mut self, fired: Vec<AlertTransition>) {
        let known = &mut self.known;
        self.fired.extend(fired.into_iter().filter(|alert| known.insert(alert.id)));
    }
}
