//! The log in its own order, over all partitions: each is read and enriched by itself, and
//! their batches are put in the order of their sequences.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidemill_bus::{Bus, Delivery};
use tidemill_domain::{Backoff, Partition};
use tidemill_enrichment::replay::{ReplayedEnrichment, ReplayedPartition};
use tidemill_events::{EnrichedBatch, RawBatch, StreamName, topology};
use tidemill_stage::{Disposition, Failure as _, Source as _, StageFailure};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    bronze::{BronzeReader, LakePatience},
    place::ReadPlace,
    source::ReplaySource,
};

/// How often it is looked whether a partition has ended of which nothing comes.
const LOOK: Duration = Duration::from_millis(100);
/// Batches of a partition that wait for those of others, at most.
const AHEAD: usize = 16;
/// Messages that are taken at once.
const CHUNK: usize = 64;
/// Batches between two checkpoints of the enrichment.
const UNSAVED: usize = 256;

/// The log in its own order.
pub(super) struct LogInOrder {
    feeds: Vec<PartitionFeed>,
    troubles: Troubles,
}

/// Why partitions wait.
type Troubles = Arc<Mutex<BTreeMap<Partition, String>>>;

/// The batches of a partition.
struct PartitionFeed {
    batches: mpsc::Receiver<Result<EnrichedBatch, StageFailure>>,
    /// The next one, once it is known.
    next: Option<EnrichedBatch>,
    /// Whether there are no more.
    has_ended: bool,
    _task: AbortOnDropHandle<()>,
}

impl LogInOrder {
    /// Reads each partition up to its head. `reader` is a name of its own.
    pub(super) async fn open(
        (bus, bronze): (&Bus, Option<&Arc<BronzeReader>>),
        enrichment: &ReplayedEnrichment,
        heads: &BTreeMap<Partition, u64>,
        reader: &str,
    ) -> Result<Self, StageFailure> {
        let (mut feeds, troubles) = (Vec::new(), Troubles::default());
        for (partition, head) in heads {
            let enriched = enrichment.partition(*partition).await?;
            if enriched.floor() >= *head {
                continue;
            }
            let (sender, batches) = mpsc::channel(AHEAD);
            let place = Arc::new(ReadPlace::default());
            place.begin(enriched.floor(), 0);
            let source = ReplaySource::new(bus, bronze.cloned(), *partition, reader.to_owned(), place.clone());
            let (bus, partition, head, troubles) = (bus.clone(), *partition, *head, troubles.clone());
            let task = tokio::spawn(async move {
                let feed = LogFeed { bus, partition, head, place, troubles };
                if let Err(error) = feed.run(source, enriched, &sender).await {
                    // Who does not listen any more has ended.
                    let _ = sender.send(Err(error)).await;
                }
            });
            let _task = AbortOnDropHandle::new(task);
            feeds.push(PartitionFeed { batches, next: None, has_ended: false, _task });
        }
        Ok(Self { feeds, troubles })
    }

    /// Why a partition waits, if one does.
    pub(super) fn trouble(&self) -> Option<String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().next().map(|(partition, why)| format!("partition {partition}: {why}"))
    }

    /// The next batch; `None` behind the last. It may be given up at any await.
    pub(super) async fn next(&mut self) -> Result<Option<EnrichedBatch>, StageFailure> {
        for feed in self.feeds.iter_mut().filter(|feed| feed.next.is_none() && !feed.has_ended) {
            match feed.batches.recv().await {
                Some(batch) => feed.next = Some(batch?),
                None => feed.has_ended = true,
            }
        }
        let first = self.feeds.iter_mut().filter(|feed| feed.next.is_some());
        let first = first.min_by_key(|feed| feed.next.as_ref().map(|batch| batch.raw_seq));
        Ok(first.and_then(|feed| feed.next.take()))
    }
}

/// Reads a partition up to its head.
struct LogFeed {
    bus: Bus,
    partition: Partition,
    head: u64,
    place: Arc<ReadPlace>,
    troubles: Troubles,
}

impl LogFeed {
    async fn run(
        self,
        mut source: ReplaySource,
        mut enriched: ReplayedPartition,
        sender: &mpsc::Sender<Result<EnrichedBatch, StageFailure>>,
    ) -> Result<(), StageFailure> {
        let mut unsaved = 0;
        let tail = self.bus.tail(StreamName::Raw, &topology::raw(self.partition)).await?;
        // Its head may be one that the log has forgotten, and of another partition.
        while self.place.get().whole_to < self.head {
            let Some(chunk) = self.next_chunk(&mut source, tail).await? else { break };
            // Nothing was forgotten that is to be before them.
            self.place.check(&self.bus, self.partition).await?;
            for delivery in chunk.iter().take_while(|delivery| delivery.sequence <= self.head) {
                match delivery.decode::<RawBatch>() {
                    Ok(batch) => {
                        let batch = enriched.next(delivery.sequence, &batch).await?;
                        if sender.send(Ok(batch)).await.is_err() {
                            return Ok(());
                        }
                        unsaved += 1;
                    }
                    // The live enrichment has set it aside.
                    Err(tidemill_bus::Error::Decode(_)) => {}
                    Err(error) => return Err(error.into()),
                }
                delivery.ack().await?;
            }
            if unsaved >= UNSAVED {
                enriched.checkpoint().await?;
                unsaved = 0;
            }
        }
        Ok(())
    }

    /// The next batches; `None` where the partition has none up to its head, which the log has forgotten.
    async fn next_chunk(&self, source: &mut ReplaySource, tail: u64) -> Result<Option<Vec<Delivery>>, StageFailure> {
        let next = self.patiently(source);
        if tail >= self.head {
            return next.await.map(Some);
        }
        // All that it has is in bronze, and may have ended.
        let ended = async {
            while self.place.get().whole_to < self.head {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            chunk = next => chunk.map(Some),
            () = ended => Ok(None),
        }
    }

    /// The next batches. Who is away, a lake that is starting for instance, is waited for as long as a question is.
    async fn patiently(&self, source: &mut ReplaySource) -> Result<Vec<Delivery>, StageFailure> {
        let (mut backoff, mut since) = (Backoff::new(), None);
        let troubles = || self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match source.next_chunk(CHUNK).await {
                Err(error)
                    if error.disposition() == Disposition::Retry
                        && since.get_or_insert_with(Instant::now).elapsed() < LakePatience::OF_A_QUESTION =>
                {
                    troubles().insert(self.partition, error.to_string());
                    source.open_anew();
                    sleep(backoff.failed()).await;
                }
                ended => {
                    troubles().remove(&self.partition);
                    return ended;
                }
            }
        }
    }
}
