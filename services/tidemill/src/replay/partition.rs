//! A partition of a generation: the log's batches are enriched and counted in one go.
//!
//! The totals are checkpointed first, and the enrichment behind them. So after a crash
//! batches are enriched once more, the same as before, and the totals pass them over.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidemill_aggregation::replay::{ReplayedAggregation, ReplayedOutcomes, ReplayedTotals};
use tidemill_bus::{Bus, Delivery};
use tidemill_domain::{GenerationName, Partition};
use tidemill_enrichment::replay::{ReplayedEnrichment, ReplayedPartition};
use tidemill_events::RawBatch;
use tidemill_stage::{
    Checkpoint, Disposition, Failure as _, LoadPace, Progressing, Read, StageFailure, Steps, Work, consume,
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{bronze::BronzeReader, place::ReadPlace, rate::RateLimit, source::ReplaySource};

/// Batches between two checkpoints at most.
const MOST: usize = 256;
/// From one checkpoint to the next, at least and at most.
const PACE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Partitions with much to do checkpoint together, this long after the last time. What they tell of a window then comes
/// to its reader at once, who need not touch it for each partition.
const TOGETHER: Duration = Duration::from_secs(2);
/// Who would rest for as long has much to do.
const BUSY: Duration = Duration::from_millis(400);

/// What the partitions of a replay share.
pub(super) struct ReplayShared {
    pub(super) bus: Bus,
    /// What has what the log has forgotten, if a lake was named.
    pub(super) bronze: Option<Arc<BronzeReader>>,
    pub(super) name: GenerationName,
    pub(super) enrichment: ReplayedEnrichment,
    pub(super) aggregation: ReplayedAggregation,
    pub(super) rate: RateLimit,
    /// After how long a source that says nothing holds no window open.
    pub(super) idle_after: Duration,
    /// The last message of each partition that is done.
    pub(super) reached: Mutex<BTreeMap<Partition, u64>>,
    /// Where each partition reads.
    pub(super) places: BTreeMap<Partition, Arc<ReadPlace>>,
    /// Up to where nothing was missing of a partition when the last run ended, and the batch that it had stored then.
    pub(super) known: BTreeMap<Partition, (u64, u64)>,
    /// When the run began.
    pub(super) begun: Instant,
    /// Events that were counted, and others.
    pub(super) events: AtomicU64,
    /// Why partitions cannot go on.
    pub(super) troubles: Mutex<BTreeMap<Partition, String>>,
}

impl ReplayShared {
    fn stored(&self, partition: Partition, floor: u64) {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, floor);
    }

    /// A partition goes on.
    pub(super) fn goes_on(&self, partition: Partition) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    /// Where a partition reads on, whose stores both have the batch `floor`.
    fn place(&self, partition: Partition, floor: u64) -> Arc<ReadPlace> {
        let place = self.places.get(&partition).cloned().unwrap_or_default();
        // What it has no batches of, it need not have read. Stores that were put back know nothing of that.
        let known =
            self.known.get(&partition).filter(|(_, stored)| *stored <= floor).map_or(0, |(whole_to, _)| *whole_to);
        let before = place.get().covered(floor);
        place.begin(floor, before.max(known));
        place
    }
}

/// A partition, for as long as the replay runs.
pub(super) struct ReplayWork {
    partition: Partition,
    shared: Arc<ReplayShared>,
    stop: CancellationToken,
    /// The last batch that was looked at.
    met: u64,
    /// The store has refused something in the batches up to this one.
    careful_to: u64,
}

impl ReplayWork {
    pub(super) fn new(partition: Partition, shared: Arc<ReplayShared>, stop: CancellationToken) -> Self {
        Self { partition, shared, stop, met: 0, careful_to: 0 }
    }
}

impl Work for ReplayWork {
    type Error = StageFailure;
    /// A checkpoint of a replay is larger than that of a live service, and nobody waits
    /// for the partition.
    const PARTING: Duration = Duration::from_secs(20);

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), StageFailure> {
        let (partition, shared) = (self.partition, self.shared.clone());
        let opened = async {
            let enriched = shared.enrichment.partition(partition).await?;
            let totals = shared.aggregation.partition(partition, self.careful_to).await?;
            Ok::<_, StageFailure>((enriched, totals))
        };
        let Some(opened) = self.stop.run_until_cancelled(opened).await else { return Ok(()) };
        let (enriched, totals) = opened?;
        // The totals may be ahead, and what they have is enriched once more.
        let floor = enriched.floor();
        let place = shared.place(partition, floor);
        let reader = format!("generation-{}", shared.name);
        let mut source = ReplaySource::new(&shared.bus, shared.bronze.clone(), partition, reader, place.clone());
        shared.stored(partition, floor);
        progress.opened();
        let mut steps = ReplaySteps {
            partition,
            shared: &shared,
            place: &place,
            enriched,
            totals,
            met: &mut self.met,
            applied_to: floor,
            pace: LoadPace::new(PACE.0, PACE.1),
            due: Instant::now(),
            silence: Instant::now() + shared.idle_after,
            is_silence_told: false,
        };
        consume(&mut source, &mut steps, &self.stop, progress).await
    }

    fn failed(&mut self, error: &StageFailure) {
        tracing::warn!(partition = %self.partition, %error, code = error.code().as_str(), "a partition of a replay stopped");
        self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner).insert(self.partition, error.to_string());
        if error.disposition() == Disposition::DeadLetter {
            self.careful_to = self.careful_to.max(self.met);
        }
    }
}

struct ReplaySteps<'w> {
    partition: Partition,
    shared: &'w ReplayShared,
    place: &'w ReadPlace,
    enriched: ReplayedPartition,
    totals: ReplayedTotals,
    met: &'w mut u64,
    /// The last message that was applied, or passed over since it is no batch.
    applied_to: u64,
    pace: LoadPace,
    /// When the next checkpoint is due.
    due: Instant,
    /// When the partition has been silent for so long that it is to be told.
    silence: Instant,
    is_silence_told: bool,
}

/// When a checkpoint is due that may rest until then.
fn due(begun: Instant, now: Instant, rested: Instant) -> Instant {
    if rested.saturating_duration_since(now) < BUSY {
        return rested;
    }
    let rounds = now.saturating_duration_since(begun).as_secs_f64() / TOGETHER.as_secs_f64();
    begun + TOGETHER.mul_f64(rounds.floor() + 1.0)
}

/// Nothing has come for a while.
struct Silent;

impl Steps for ReplaySteps<'_> {
    type Message = RawBatch;
    type Error = StageFailure;
    type Event = Silent;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        match self.totals.is_careful() {
            true => usize::from(applied == 0),
            false => MOST.saturating_sub(applied),
        }
    }

    fn waits_until(&self) -> Option<Instant> {
        Some(self.due)
    }

    fn is_done(&self, sequence: u64) -> bool {
        sequence <= self.enriched.floor()
    }

    /// The live enrichment has set it aside; nobody's predecessor is it here either.
    async fn unreadable(&mut self, _: &Delivery, _: tidemill_bus::Error) -> Result<(), StageFailure> {
        Ok(())
    }

    async fn apply(&mut self, read: Vec<Read<RawBatch>>, applied: &mut Vec<Delivery>) -> Result<(), StageFailure> {
        for Read { delivery, message } in read {
            if let Some(batch) = message {
                self.shared.rate.take(batch.count().into()).await;
                let enriched = self.enriched.next(delivery.sequence, &batch).await?;
                *self.met = delivery.sequence;
                let ReplayedOutcomes { counted, late, duplicate } = self.totals.take(enriched).await?;
                self.shared.events.fetch_add(counted + late + duplicate, Ordering::Relaxed);
            }
            self.applied_to = self.applied_to.max(delivery.sequence);
            applied.push(delivery);
        }
        (self.silence, self.is_silence_told) = (Instant::now() + self.shared.idle_after, false);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<(), StageFailure>, StageFailure> {
        let begun = Instant::now();
        self.place.check(&self.shared.bus, self.partition).await?;
        self.totals.checkpoint().await?;
        self.enriched.checkpoint().await?;
        self.pace.done(begun);
        self.due = due(self.shared.begun, Instant::now(), self.pace.until());
        Ok(Checkpoint::Landed(()))
    }

    fn landed(&mut self, (): ()) -> Result<(), StageFailure> {
        self.shared.stored(self.partition, self.totals.floor().max(self.applied_to));
        self.shared.goes_on(self.partition);
        Ok(())
    }

    async fn event(&mut self) -> Silent {
        sleep_until(self.silence).await;
        Silent
    }

    async fn handle(&mut self, _: Silent) -> Result<(), StageFailure> {
        if !self.is_silence_told {
            self.is_silence_told = self.totals.tell_silence().await?;
        }
        self.silence = Instant::now() + self.shared.idle_after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_much_to_do_checkpoints_with_the_others() {
        let begun = Instant::now();
        let (at, millis) = (|millis| begun + Duration::from_millis(millis), Duration::from_millis);
        assert_eq!(due(begun, at(5_000), at(5_000) + millis(80)), at(5_080), "little comes, and is told soon");
        for (now, rest) in [(4_100, 400), (5_300, 2_000), (5_999, 900)] {
            assert_eq!(due(begun, at(now), at(now + rest)), at(6_000));
        }
        assert_eq!(due(begun, at(6_000), at(8_000)), at(8_000));
    }
}
