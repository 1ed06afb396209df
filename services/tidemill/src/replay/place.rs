//! How far a partition of a replay is, as far as what it lacks is concerned.
//!
//! Sequences of a partition have gaps, since others are between them: that a batch was forgotten before it was
//! read cannot be seen by who reads. So it is looked at where the log begins: whatever lies behind `sure_to`
//! was there, as long as the log does not begin beyond that.

use std::sync::{Mutex, PoisonError};

use tidemill_bus::Bus;
use tidemill_domain::{Code, Partition};
use tidemill_events::StreamName;
use tidemill_stage::{Disposition, StageFailure};
use tokio::sync::Notify;

/// The place of a partition. Who reads it, who counts it and who watches share it.
#[derive(Debug, Default)]
pub(super) struct ReadPlace {
    standing: Mutex<PlaceStanding>,
    overtaken: Notify,
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PlaceStanding {
    /// The last batch that was handed out.
    pub(super) last: u64,
    /// All batches up to this sequence were handed out, as it looks.
    pub(super) whole_to: u64,
    /// The same for sure: the log had not forgotten any.
    pub(super) sure_to: u64,
    /// It reads the log, and not bronze.
    pub(super) is_in_log: bool,
}

impl PlaceStanding {
    /// Up to where nothing is missing in the stores, which have the batch `stored`.
    pub(super) fn covered(self, stored: u64) -> u64 {
        if stored >= self.last { self.whole_to.min(self.sure_to).max(stored) } else { stored }
    }

    /// Whether the log begins where something may have been between.
    pub(super) fn is_overtaken(self, first: u64) -> bool {
        self.is_in_log && first > self.sure_to + 1
    }
}

impl ReadPlace {
    fn with<T>(&self, act: impl FnOnce(&mut PlaceStanding) -> T) -> T {
        act(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn get(&self) -> PlaceStanding {
        self.with(|standing| *standing)
    }

    /// A reader begins behind `floor`; up to `whole_to` there is nothing of the partition.
    pub(super) fn begin(&self, floor: u64, whole_to: u64) {
        let whole_to = floor.max(whole_to);
        self.with(|standing| *standing = PlaceStanding { last: floor, whole_to, sure_to: whole_to, is_in_log: false });
    }

    /// It goes on in the log.
    pub(super) fn enter_log(&self) {
        self.with(|standing| standing.is_in_log = true);
    }

    /// It goes on in bronze.
    pub(super) fn leave_log(&self) {
        self.with(|standing| standing.is_in_log = false);
    }

    /// A batch of the log was handed out.
    pub(super) fn read(&self, sequence: u64) {
        self.with(|standing| {
            standing.last = sequence;
            standing.whole_to = standing.whole_to.max(sequence);
        });
    }

    /// Batches of bronze were handed out, up to `last` if there were any; it has no others up to `reaches`.
    pub(super) fn read_bronze(&self, last: Option<u64>, reaches: u64) {
        self.with(|standing| {
            standing.last = last.unwrap_or(standing.last);
            standing.whole_to = standing.whole_to.max(reaches);
            standing.sure_to = standing.whole_to;
        });
    }

    /// The partition has nothing more up to the log's end, of which nothing was forgotten.
    pub(super) fn is_at_end(&self, end: u64) {
        self.with(|standing| {
            standing.whole_to = standing.whole_to.max(end);
            standing.sure_to = standing.sure_to.max(end);
        });
    }

    /// Has its reader begin anew.
    pub(super) fn overtake(&self) {
        self.overtaken.notify_one();
    }

    /// Waits until the log has forgotten what may not have been read.
    pub(super) async fn overtaken(&self) {
        self.overtaken.notified().await;
    }

    /// Makes sure that the log has forgotten nothing of what was handed out as whole. To be asked before that is
    /// stored.
    pub(super) async fn check(&self, bus: &Bus, partition: Partition) -> Result<(), StageFailure> {
        let before = self.get();
        if !before.is_in_log || before.sure_to >= before.whole_to {
            return Ok(());
        }
        let (first, _) = bus.extent(StreamName::Raw).await?;
        if before.is_overtaken(first) {
            return Err(overtaken(partition, before, first));
        }
        self.with(|standing| standing.sure_to = standing.sure_to.max(before.whole_to));
        Ok(())
    }
}

/// The log was quicker to forget than the partition to read. It begins anew where its stores are.
pub(super) fn overtaken(partition: Partition, standing: PlaceStanding, first: u64) -> StageFailure {
    let wanted = standing.sure_to + 1;
    let told = format!("the log has forgotten what partition {partition} reads: it begins at {first}, behind {wanted}");
    StageFailure::new(Code::LogForgotten, Disposition::Retry, told)
}

/// What comes next is neither in the log nor in a lake that was named.
pub(super) fn forgotten(partition: Partition, wanted: u64, first: u64) -> StageFailure {
    let told = format!(
        "partition {partition} needs sequence {wanted} of RAW, which begins at {first}: a lake has what it has forgotten \
         (--lake-url)"
    );
    StageFailure::new(Code::LogForgotten, Disposition::Fail, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_out_is_covered_once_it_is_stored() {
        let place = ReadPlace::default();
        place.begin(4, 7);
        assert_eq!(place.get().covered(4), 7, "it was known to have nothing up to 7");
        place.read_bronze(Some(9), 12);
        assert_eq!((place.get().covered(4), place.get().covered(9)), (4, 12));
        place.read_bronze(None, 20);
        assert_eq!((place.get().covered(4), place.get().covered(9)), (4, 20));
        place.enter_log();
        place.read(23);
        // Nobody has looked yet whether something lay between.
        assert_eq!((place.get().covered(9), place.get().covered(23)), (9, 23));
        assert!(!place.get().is_overtaken(21) && place.get().is_overtaken(22));
        place.is_at_end(30);
        assert_eq!(place.get().covered(23), 30);
        assert!(!place.get().is_overtaken(31) && place.get().is_overtaken(32));
        place.leave_log();
        assert!(!place.get().is_overtaken(99), "bronze has it");
    }
}
