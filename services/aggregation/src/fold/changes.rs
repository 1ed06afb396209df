//! What changed between two checkpoints: a snapshot that is published and kept
//! while the partition goes on.

use std::{iter::Peekable, vec::IntoIter};

use serde::Serialize;
use tidemill_definitions::Metrics;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellUpdate, DeadLetter, LateBatch, MetricsUpdate, SourceBooks, TraceParent};
use tidemill_metrics_store::Point;

use crate::{
    cell::{CellId, GroupId},
    points::point,
    state::{BooksKey, Outcomes},
};

/// Totals and books in one message; more are split, so that a message stays
/// far below the server's limit. In tests a few, so that crashes come between
/// the parts.
const ITEMS_PER_MESSAGE: usize = if cfg!(test) { 3 } else { 400 };
/// Bytes of them in one message: NATS takes a megabyte, with headers and names.
const BYTES_PER_MESSAGE: usize = 512 << 10;

/// What changed in a partition after `after`, up to `floor`.
#[derive(Debug)]
pub(crate) struct Changes {
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
    pub(crate) books: Vec<(BooksKey, Outcomes)>,
    /// Clocks that moved: source and newest event time.
    pub(crate) clocks: Vec<(String, Timestamp)>,
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

impl Changes {
    /// The messages that tell readers.
    pub(crate) fn updates(&self) -> Vec<MetricsUpdate> {
        let cells = self.cells.iter().map(|cell| cell.update.clone());
        let cells = cells.chain(self.retractions.iter().map(|retraction| retraction.cell.clone())).collect();
        let books = self.books.iter().map(|(key, outcomes)| outcomes.of(key)).collect();
        in_messages(&self.head(), cells, books)
    }

    /// By the log's clock: of the last batch, since all are published together.
    pub(crate) fn published_at(&self) -> Timestamp {
        self.log_time.unwrap_or(Timestamp::EPOCH)
    }

    /// A message that tells of the partition's position and no totals yet.
    pub(crate) fn head(&self) -> MetricsUpdate {
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

/// Totals and books in messages of a bounded size, at least one. The last alone
/// says how far all of them reach: it has the watermark.
pub(crate) fn in_messages(head: &MetricsUpdate, cells: Vec<CellUpdate>, books: Vec<SourceBooks>) -> Vec<MetricsUpdate> {
    let (mut cells, mut books) = (cells.into_iter().peekable(), books.into_iter().peekable());
    let mut messages = Vec::new();
    let mut part = head.part;
    loop {
        let mut room = Room { items: ITEMS_PER_MESSAGE, bytes: BYTES_PER_MESSAGE };
        let (some_cells, some_books) = (room.fill(&mut cells), room.fill(&mut books));
        let is_last = cells.peek().is_none() && books.peek().is_none();
        let watermark = if is_last { head.watermark } else { None };
        messages.push(MetricsUpdate { cells: some_cells, books: some_books, part, watermark, ..head.clone() });
        if is_last {
            return messages;
        }
        part += 1;
    }
}

/// What a message still takes.
struct Room {
    items: usize,
    bytes: usize,
}

impl Room {
    /// What fits, in order. What fits no message at all goes alone.
    fn fill<T: Serialize>(&mut self, items: &mut Peekable<IntoIter<T>>) -> Vec<T> {
        let mut taken = Vec::new();
        while let Some(next) = items.peek() {
            // What was read from JSON, and what is made of numbers, is JSON.
            let bytes = serde_json::to_vec(next).map_or(0, |json| json.len());
            let is_first = self.items == ITEMS_PER_MESSAGE;
            if self.items == 0 || (bytes > self.bytes && !is_first) {
                self.items = 0;
                break;
            }
            self.items -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
            taken.extend(items.next());
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidemill_totals::Totals;

    use super::*;

    fn head() -> MetricsUpdate {
        MetricsUpdate {
            partition: Partition::new(1),
            raw_seq: 7,
            raw_prev: 5,
            part: 0,
            as_of: Timestamp::EPOCH,
            watermark: Some(Timestamp::EPOCH),
            idle: false,
            cells: Vec::new(),
            books: Vec::new(),
            trace: None,
        }
    }

    fn cell(bytes: usize) -> CellUpdate {
        CellUpdate {
            retracted: false,
            metric: "m".into(),
            version: "v".into(),
            start: Timestamp::EPOCH,
            end: Timestamp::EPOCH,
            dimensions: BTreeMap::from([("d".into(), "x".repeat(bytes))]),
            totals: Totals(Vec::new()),
            exemplar: None,
        }
    }

    /// Sketches of distinct values are large, and NATS takes a megabyte.
    #[test]
    fn no_message_is_larger_than_nats_takes() {
        let sizes = [300_000, 300_000, 100, 700_000, 100, 500_000];
        let messages = in_messages(&head(), sizes.map(cell).to_vec(), Vec::new());
        let held: Vec<Vec<usize>> =
            messages.iter().map(|m| m.cells.iter().map(|cell| cell.dimensions["d"].len()).collect()).collect();
        assert_eq!(held, [vec![300_000], vec![300_000, 100], vec![700_000], vec![100, 500_000]]);
        assert_eq!(messages.iter().map(|m| m.part).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(messages[..3].iter().all(|m| m.watermark.is_none()) && messages[3].watermark.is_some());
        assert_eq!(in_messages(&head(), Vec::new(), Vec::new()).len(), 1);
        let many = in_messages(&head(), vec![cell(1); 7], Vec::new());
        assert_eq!(many.iter().map(|m| m.cells.len()).collect::<Vec<_>>(), [3, 3, 1]);
    }
}
