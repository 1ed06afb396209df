//! How far event time is known.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::MetricsUpdate;

#[cfg(test)]
mod tests;

/// What a partition last said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionProgress {
    /// The `RAW` sequence that it has reached.
    pub(crate) raw_seq: u64,
    /// When aggregation said so.
    pub(crate) as_of: Timestamp,
    /// In which part of its flush.
    pub(crate) part: u32,
    /// Event time up to which its live sources are known.
    pub(crate) watermark: Option<Timestamp>,
    /// Whether all its sources are idle.
    pub(crate) idle: bool,
}

impl PartitionProgress {
    /// What an update says of the progress of its partition. The last part of a
    /// flush does so, and a status without totals.
    pub(crate) fn of(update: &MetricsUpdate) -> Option<Self> {
        let is_status = update.cells.is_empty() && update.books.is_empty();
        (update.watermark.is_some() || is_status).then_some(Self {
            raw_seq: update.raw_seq,
            as_of: update.as_of,
            part: update.part,
            watermark: update.watermark,
            idle: update.idle,
        })
    }

    /// Which of two is the newer. A status may repeat a sequence, so the time
    /// and the part come after it.
    pub(crate) fn position(&self) -> (u64, Timestamp, u32) {
        (self.raw_seq, self.as_of, self.part)
    }
}

/// How far the numbers are true. None of it goes back within one store: a source
/// that wakes up, or a batch that comes, says nothing against what was true before
/// it. What it brings for a window that is complete is a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Truth {
    /// Up to when all that was received is counted, as far as that is known.
    pub(crate) as_of: Option<Timestamp>,
    /// The suite's watermark.
    pub(crate) watermark: Option<Timestamp>,
    /// Windows that end no later are complete.
    pub(crate) complete_until: Option<Timestamp>,
}

impl Truth {
    /// Whether a window that ends at `end` is complete.
    pub(crate) fn is_complete(&self, end: Timestamp) -> bool {
        self.complete_until.is_some_and(|until| end <= until)
    }

    /// Takes over what reaches further.
    pub(crate) fn raise(&mut self, other: Self) {
        self.as_of = self.as_of.max(other.as_of);
        self.watermark = self.watermark.max(other.watermark);
        self.complete_until = self.complete_until.max(other.complete_until);
    }
}

/// The progress of all partitions, and how far the log reaches in each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watermarks {
    progress: BTreeMap<Partition, PartitionProgress>,
    raw_heads: BTreeMap<Partition, u64>,
}

impl Watermarks {
    /// Takes note of a partition's progress, if it is news.
    pub(crate) fn observe(&mut self, partition: Partition, progress: PartitionProgress) {
        let known = self.progress.entry(partition).or_insert(progress);
        if progress.position() > known.position() {
            *known = progress;
        }
    }

    /// Takes note that the log holds a batch of this partition.
    pub(crate) fn received(&mut self, partition: Partition, raw_seq: u64) {
        let head = self.raw_heads.entry(partition).or_default();
        *head = raw_seq.max(*head);
    }

    /// The same log, as far as somebody else has counted it.
    pub(crate) fn counted_to(&self, progress: impl IntoIterator<Item = (Partition, PartitionProgress)>) -> Self {
        Self { progress: progress.into_iter().collect(), raw_heads: self.raw_heads.clone() }
    }

    /// How far each partition is counted.
    pub(crate) fn reached(&self) -> BTreeMap<Partition, u64> {
        self.progress.iter().map(|(partition, progress)| (*partition, progress.raw_seq)).collect()
    }

    /// Takes over what another replica knows.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.progress.iter().for_each(|(partition, progress)| self.observe(*partition, *progress));
        other.raw_heads.iter().for_each(|(partition, head)| self.received(*partition, *head));
    }

    /// The watermark by what the partitions said last: the least of those that are
    /// not idle, or the greatest where all are. `None` while one is unknown.
    pub(crate) fn watermark(&self) -> Option<Timestamp> {
        if self.raw_heads.keys().any(|partition| !self.progress.contains_key(partition)) {
            return None;
        }
        let mut live = self.progress.values().filter(|progress| !progress.idle).map(|progress| progress.watermark);
        match live.next() {
            // Of options, `None` is the least.
            Some(first) => live.fold(first, Option::min),
            None => self.progress.values().filter_map(|progress| progress.watermark).max(),
        }
    }

    /// What all this says of the numbers, whatever the time is.
    pub(crate) fn truth(&self) -> Truth {
        let watermark = self.watermark();
        Truth { as_of: None, watermark, complete_until: watermark }
    }

    /// What it says of a time at which the log and the totals had been read to
    /// their ends. If aggregation has reached the end of the log too, all that was
    /// received until then is counted. If, besides, every partition is idle, nothing
    /// is on its way that could still fall into a window that has ended.
    pub(crate) fn truth_at(&self, read_up: Timestamp) -> Truth {
        let as_of = self.has_caught_up().then_some(read_up);
        let settled = as_of.filter(|_| !self.is_empty() && self.progress.values().all(|progress| progress.idle));
        let truth = self.truth();
        Truth { as_of, complete_until: truth.complete_until.max(settled), ..truth }
    }

    /// Whether nothing has ever been received.
    pub(crate) fn is_empty(&self) -> bool {
        self.progress.is_empty() && self.raw_heads.is_empty()
    }

    fn has_caught_up(&self) -> bool {
        let reached = |partition| self.progress.get(partition).map_or(0, |progress| progress.raw_seq);
        self.raw_heads.iter().all(|(partition, head)| reached(partition) >= *head)
    }
}
