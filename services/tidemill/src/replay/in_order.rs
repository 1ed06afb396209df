//! The log in its own order, over all partitions: each is read and enriched by itself, and
//! their batches are put in the order of their sequences.

use std::collections::BTreeMap;

use tidemill_bus::Bus;
use tidemill_domain::Partition;
use tidemill_enrichment::replay::{ReplayedEnrichment, ReplayedPartition};
use tidemill_events::{Durable, EnrichedBatch, RawBatch};
use tidemill_stage::StageFailure;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Batches of a partition that wait for those of others, at most.
const AHEAD: usize = 16;
/// Messages that are taken at once.
const CHUNK: usize = 64;
/// Batches between two checkpoints of the enrichment.
const UNSAVED: usize = 256;

/// The log in its own order.
pub(super) struct LogInOrder {
    feeds: Vec<PartitionFeed>,
}

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
        bus: &Bus,
        enrichment: &ReplayedEnrichment,
        heads: &BTreeMap<Partition, u64>,
        reader: &str,
    ) -> Result<Self, StageFailure> {
        let mut feeds = Vec::new();
        for (partition, head) in heads {
            let enriched = enrichment.partition(*partition).await?;
            if enriched.floor() >= *head {
                continue;
            }
            let (sender, batches) = mpsc::channel(AHEAD);
            let (bus, partition, head, reader) = (bus.clone(), *partition, *head, reader.to_owned());
            let task = tokio::spawn(async move {
                if let Err(error) = feed(&bus, (partition, head), enriched, &reader, &sender).await {
                    // Who does not listen any more has ended.
                    let _ = sender.send(Err(error)).await;
                }
            });
            let _task = AbortOnDropHandle::new(task);
            feeds.push(PartitionFeed { batches, next: None, has_ended: false, _task });
        }
        Ok(Self { feeds })
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

async fn feed(
    bus: &Bus,
    (partition, head): (Partition, u64),
    mut enriched: ReplayedPartition,
    reader: &str,
    sender: &mpsc::Sender<Result<EnrichedBatch, StageFailure>>,
) -> Result<(), StageFailure> {
    let mut source = bus.follow_behind(Durable::Enrichment(partition), reader, enriched.floor()).await?;
    let mut unsaved = 0;
    loop {
        for delivery in source.next_chunk(CHUNK).await? {
            if delivery.sequence > head {
                return Ok(());
            }
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
            if delivery.sequence == head {
                return Ok(());
            }
        }
        if unsaved >= UNSAVED {
            enriched.checkpoint().await?;
            unsaved = 0;
        }
    }
}
