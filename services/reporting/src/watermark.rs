//! How far event time is known.

use std::collections::BTreeMap;

use tidemill_domain::{Partition, Timestamp};
use tidemill_events::MetricsUpdate;

/// What a partition last said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The `RAW` sequence that it has reached.
    pub raw_seq: u64,
    /// When aggregation said so.
    pub as_of: Timestamp,
    /// In which part of its flush.
    pub part: u32,
    /// Event time up to which its live sources are known.
    pub watermark: Option<Timestamp>,
    /// Whether all its sources are idle.
    pub idle: bool,
}

impl Progress {
    /// What an update says of its partition's progress: the last part of a
    /// flush does, and a status without totals does.
    pub fn of(update: &MetricsUpdate) -> Option<Self> {
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
    pub fn position(&self) -> (u64, Timestamp, u32) {
        (self.raw_seq, self.as_of, self.part)
    }
}

/// The progress of all partitions, and how far the log reaches in each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watermarks {
    progress: BTreeMap<Partition, Progress>,
    raw_heads: BTreeMap<Partition, u64>,
}

impl Watermarks {
    /// Takes note of a partition's progress, if it is news.
    pub fn observe(&mut self, partition: Partition, progress: Progress) {
        let known = self.progress.entry(partition).or_insert(progress);
        if progress.position() > known.position() {
            *known = progress;
        }
    }

    /// Takes note that the log holds a batch of this partition.
    pub fn received(&mut self, partition: Partition, raw_seq: u64) {
        let head = self.raw_heads.entry(partition).or_default();
        *head = raw_seq.max(*head);
    }

    /// Takes over what another replica knows.
    pub fn merge(&mut self, other: &Self) {
        other.progress.iter().for_each(|(partition, progress)| self.observe(*partition, *progress));
        other.raw_heads.iter().for_each(|(partition, head)| self.received(*partition, *head));
    }

    /// The suite's watermark: the least of the partitions that are not idle,
    /// or the greatest where all are. `None` while one is unknown.
    pub fn watermark(&self) -> Option<Timestamp> {
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

    /// Windows that end no later are complete. That is the watermark; and once
    /// every partition is idle and has caught up with the log, the clock: then
    /// nothing is on its way that could still fall into a past window.
    pub fn complete_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.is_settled() {
            true => self.watermark().max(Some(now)),
            false => self.watermark(),
        }
    }

    fn is_settled(&self) -> bool {
        let reached = |partition| self.progress.get(partition).map_or(0, |progress| progress.raw_seq);
        self.progress.values().all(|progress| progress.idle)
            && self.raw_heads.iter().all(|(partition, head)| reached(partition) >= *head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::saturating_from_millis(millis)
    }

    fn says(raw_seq: u64, watermark: Option<i64>, idle: bool) -> Progress {
        Progress { raw_seq, as_of: at(0), part: 0, watermark: watermark.map(at), idle }
    }

    fn of(partitions: &[Progress]) -> Watermarks {
        let mut watermarks = Watermarks::default();
        for (index, progress) in (0..).zip(partitions) {
            watermarks.observe(Partition::new(index), *progress);
        }
        watermarks
    }

    #[test]
    fn the_slowest_live_partition_decides() {
        assert_eq!(of(&[says(1, Some(50), false), says(1, Some(30), false)]).watermark(), Some(at(30)));
        assert_eq!(of(&[says(1, Some(50), false), says(1, Some(30), true)]).watermark(), Some(at(50)));
        assert_eq!(of(&[says(1, Some(50), false), says(1, None, false)]).watermark(), None);
        assert_eq!(of(&[says(1, Some(50), false), says(1, None, true)]).watermark(), Some(at(50)));
    }

    #[test]
    fn when_all_are_idle_the_past_is_complete() {
        let mut watermarks = of(&[says(7, Some(50), true), says(9, Some(30), true)]);
        assert_eq!(watermarks.watermark(), Some(at(50)));
        assert_eq!(watermarks.complete_until(at(1000)), Some(at(1000)));
        watermarks.received(Partition::new(1), 10);
        assert_eq!(watermarks.complete_until(at(1000)), Some(at(50)), "a batch is on its way");
    }

    #[test]
    fn a_partition_that_has_batches_and_no_totals_holds_all_windows_open() {
        let mut watermarks = of(&[says(7, Some(50), false)]);
        watermarks.received(Partition::new(3), 8);
        assert_eq!(watermarks.complete_until(at(1000)), None);
    }

    #[test]
    fn with_nothing_received_all_is_complete() {
        assert_eq!(Watermarks::default().complete_until(at(9)), Some(at(9)));
    }

    fn progress() -> impl Strategy<Value = (u16, Progress)> {
        (0u16..3, 0u64..5, 0i64..3, 0u32..2).prop_map(|(partition, raw_seq, as_of, part)| {
            // What a partition says is a function of the position.
            let watermark = (raw_seq > 0).then_some(at(raw_seq.cast_signed() * 10 + as_of));
            (
                partition,
                Progress { raw_seq, as_of: at(as_of), part, watermark, idle: (raw_seq + u64::from(part)) % 2 == 0 },
            )
        })
    }

    proptest! {
        #[test]
        fn order_and_repeats_change_nothing(said in vec(progress(), 0..20), turn in 0usize..20) {
            let observe = |all: &mut dyn Iterator<Item = &(u16, Progress)>| {
                let mut watermarks = Watermarks::default();
                all.for_each(|(partition, progress)| watermarks.observe(Partition::new(*partition), *progress));
                watermarks
            };
            let mut turned = said.clone();
            turned.rotate_left(turn % said.len().max(1));
            prop_assert_eq!(observe(&mut said.iter()), observe(&mut turned.iter().rev().chain(&said)));
        }
    }
}
