//! What changed between two snapshots: published at once, and checkpointed while the
//! partition goes on, together with what is published meanwhile.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::BuildHasherDefault,
};

use tidemill_definitions::Metrics;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{
    CellUpdate, DeadLetter, LateBatch, MetricsUpdate, RedrivenOutcomes, TraceParent, VersionCounting,
};
use tidemill_lateness::{ClockChanges, EventName};
use tidemill_metrics_store::Point;

use super::{
    books::{BooksKey, EventOutcomes},
    cell::{CellId, GroupId, Identity},
    messages::in_messages,
    points::point,
};

/// What changed in a partition after `after`, up to `floor`.
#[derive(Debug)]
pub(crate) struct PartitionChanges {
    pub(crate) partition: Partition,
    pub(crate) after: u64,
    pub(crate) floor: u64,
    /// When the snapshot was taken.
    pub(crate) as_of: Timestamp,
    pub(crate) watermark: Option<Timestamp>,
    pub(crate) idle: bool,
    pub(crate) cells: Vec<ChangedCell>,
    /// Sessions that the store has and that are no more.
    pub(crate) gone: Vec<CellId>,
    pub(crate) retractions: Vec<Retraction>,
    pub(crate) books: Vec<(BooksKey, EventOutcomes)>,
    /// Events that were left out then, or are not any more.
    pub(crate) left_out: Vec<(EventName, Option<Timestamp>)>,
    pub(crate) clocks: ClockChanges,
    /// What became of events that were in dead letters.
    pub(crate) redriven: Vec<RedrivenOutcomes>,
    /// What versions of metrics have not counted, where it is time to tell it.
    pub(crate) counting: Vec<VersionCounting>,
    pub(crate) late: Vec<LateBatch>,
    pub(crate) letters: Vec<DeadLetter>,
    /// When ingestion took in the last batch; `None` where there was none.
    pub(crate) log_time: Option<Timestamp>,
    /// What ended by then need not be kept.
    pub(crate) forgotten_before: Option<Timestamp>,
    pub(crate) trace: Option<TraceParent>,
}

/// A cell that changed.
#[derive(Debug)]
pub(crate) struct ChangedCell {
    pub(crate) id: CellId,
    pub(crate) group: Option<GroupId>,
    /// The batch that last changed it.
    pub(crate) raw_seq: u64,
    pub(crate) update: CellUpdate,
    /// Distinct values that are new in it, by measure.
    pub(crate) fresh: Vec<(usize, u64)>,
}

/// A published cell that is no more.
#[derive(Debug)]
pub(crate) struct Retraction {
    /// The batch that ended it.
    pub(crate) raw_seq: u64,
    pub(crate) cell: CellUpdate,
}

impl PartitionChanges {
    /// Successive snapshots as one, for the store: what changed in them, as it stands in
    /// the end. What readers alone are told is that of the last.
    pub(crate) fn merged(mut told: Vec<Self>) -> Option<Self> {
        if told.len() < 2 {
            return told.pop();
        }
        let after = told.first()?.after;
        let mut cells: HashMap<CellId, ChangedCell, BuildHasherDefault<Identity>> = HashMap::default();
        let (mut gone, mut retractions, mut clocks) = (Vec::new(), Vec::new(), ClockChanges::default());
        let (mut books, mut left_out) = (BTreeMap::new(), BTreeMap::new());
        for changes in &mut told {
            for id in &changes.gone {
                cells.remove(id);
            }
            for cell in changes.cells.drain(..) {
                match cells.entry(cell.id) {
                    Entry::Vacant(entry) => drop(entry.insert(cell)),
                    Entry::Occupied(mut entry) => {
                        let mut fresh = std::mem::take(&mut entry.get_mut().fresh);
                        fresh.extend_from_slice(&cell.fresh);
                        entry.insert(ChangedCell { fresh, ..cell });
                    }
                }
            }
            gone.append(&mut changes.gone);
            retractions.append(&mut changes.retractions);
            books.extend(changes.books.drain(..));
            left_out.extend(changes.left_out.drain(..));
            clocks.add(std::mem::take(&mut changes.clocks));
        }
        let (cells, books) = (cells.into_values().collect(), books.into_iter().collect());
        let left_out = left_out.into_iter().collect();
        Some(Self { after, cells, gone, retractions, books, left_out, clocks, ..told.pop()? })
    }

    /// The messages that tell readers.
    pub(crate) fn updates(&self) -> Vec<MetricsUpdate> {
        let cells = self.cells.iter().map(|cell| cell.update.clone());
        let cells = cells.chain(self.retractions.iter().map(|retraction| retraction.cell.clone())).collect();
        let books = self.books.iter().map(|(key, outcomes)| outcomes.of(key)).collect();
        in_messages(&self.head(), cells, books)
    }

    /// By the log's clock: of the last batch, and so not before any of it was.
    pub(crate) fn published_at(&self) -> Timestamp {
        self.log_time.unwrap_or(Timestamp::EPOCH)
    }

    /// A message with the partition's position, and no totals yet.
    fn head(&self) -> MetricsUpdate {
        MetricsUpdate {
            partition: self.partition,
            raw_seq: self.floor,
            raw_prev: self.after,
            part: 0,
            as_of: self.as_of,
            watermark: self.watermark,
            idle: self.idle,
            cells: Vec::new(),
            books: Vec::new(),
            redriven: self.redriven.clone(),
            counting: self.counting.clone(),
            trace: self.trace,
        }
    }

    /// The same totals as points.
    pub(crate) fn points(&self, metrics: &Metrics) -> Vec<Point> {
        let cells = self.cells.iter().map(|cell| &cell.update);
        let cells = cells.chain(self.retractions.iter().map(|retraction| &retraction.cell));
        cells.filter_map(|cell| point(cell, self.partition, metrics)).collect()
    }
}

/// What became of events that one request sent again, in one batch.
pub(super) fn told(((raw_seq, redrive), outcomes): ((u64, String), EventOutcomes)) -> RedrivenOutcomes {
    let EventOutcomes { counted, late, duplicate, repeated: _ } = outcomes;
    RedrivenOutcomes { redrive, raw_seq, counted, late, duplicate }
}

/// The late events of a batch, as they came.
pub(super) fn late_batch(partition: Partition, raw_seq: u64, ingested_at: Timestamp, late: &[&[u8]]) -> LateBatch {
    let mut lines = Vec::with_capacity(late.iter().map(|line| line.len() + 1).sum());
    for line in late {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    let count = u32::try_from(late.len()).unwrap_or(u32::MAX);
    LateBatch { partition, raw_seq, ingested_at, count, lines: lines.into() }
}
