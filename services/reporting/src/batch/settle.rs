//! What becomes of the totals of a window where a batch view meets the stream.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_domain::{Partition, Timestamp};
use tidemill_totals::{BatchLanding, StreamStanding, Totals};

use super::drift::{CellDrift, CellInPartition};
use crate::read_model::{CellState, WindowStates};

/// How far a version is counted by the stream, as far as the read model knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamCounted {
    /// By partition, the `RAW` sequence.
    pub(crate) reached: BTreeMap<Partition, u64>,
    /// Partitions of which the version has not counted all.
    pub(crate) lacking: BTreeSet<Partition>,
    /// Since when the version's totals come: of earlier windows some may never have come.
    pub(crate) data_since: Option<Timestamp>,
}

impl StreamCounted {
    /// What it says of a window.
    fn standing(&self, partition: Partition, start: Timestamp, is_known: bool) -> StreamStanding {
        let is_told = is_known || self.data_since.is_some_and(|since| start >= since);
        StreamStanding {
            reached: self.reached.get(&partition).copied().unwrap_or_default(),
            is_whole: is_told && !self.lacking.contains(&partition),
        }
    }
}

/// What is stored of a window: what the stream has, and what is of batch views.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StoredSides {
    pub(crate) speed: WindowStates,
    pub(crate) batch: WindowStates,
}

/// What is to be done with a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SettledWindow {
    /// Totals of the view that are taken.
    pub(crate) taken: WindowStates,
    /// Those of them that say what was not known.
    pub(crate) news: WindowStates,
    /// The stream's that are retired.
    pub(crate) retired: BTreeSet<CellInPartition>,
    /// Those of earlier views that are given up.
    pub(crate) given_up: BTreeSet<CellInPartition>,
    /// Where both differ.
    pub(crate) drift: Vec<CellDrift>,
    /// Where both are the same.
    pub(crate) same: BTreeSet<CellInPartition>,
}

impl SettledWindow {
    /// How many totals were compared.
    pub(crate) fn compared(&self) -> u64 {
        (self.same.len() + self.drift.len()) as u64
    }
}

fn told(state: &CellState) -> Option<(u64, &Totals)> {
    (!state.retracted).then_some((state.raw_seq, &state.totals))
}

/// Compares the totals of a view with what is known of a window.
pub(crate) fn settle(
    start: Timestamp,
    known: &StoredSides,
    incoming: &WindowStates,
    counted: &StreamCounted,
) -> SettledWindow {
    let mut settled = SettledWindow::default();
    for (place, state) in incoming {
        let (speed, batch) = (known.speed.get(place), known.batch.get(place));
        let furthest = furthest_of(speed.and_then(told), batch.and_then(told));
        let standing = counted.standing(place.1, start, furthest.is_some());
        match BatchLanding::of(furthest, (state.raw_seq, &state.totals), standing) {
            BatchLanding::Covers => {
                settled.taken.insert(place.clone(), state.clone());
                settled.same.insert(place.clone());
                if speed.is_some() {
                    settled.retired.insert(place.clone());
                }
            }
            BatchLanding::Ahead => {
                settled.taken.insert(place.clone(), state.clone());
                settled.news.insert(place.clone(), state.clone());
            }
            BatchLanding::Behind => {}
            BatchLanding::Differs => {
                let speed = furthest.map(|(_, totals)| totals.clone());
                settled.drift.push(CellDrift::of(start, place, state, speed));
            }
        }
    }
    settled
}

/// Compares what is still there of the stream with the view that has come to its end, which
/// reaches so far in each partition. `known` is of a window that the view has computed.
pub(crate) fn sweep(
    start: Timestamp,
    known: &StoredSides,
    reaches: &BTreeMap<Partition, u64>,
    counted: &StreamCounted,
) -> SettledWindow {
    let mut settled = SettledWindow::default();
    for (place, state) in &known.speed {
        let Some(reach) = reaches.get(&place.1).copied().filter(|reach| state.raw_seq <= *reach) else { continue };
        let standing = counted.standing(place.1, start, true);
        let batch = known.batch.get(place).filter(|batch| batch.raw_seq >= state.raw_seq);
        // Another view has told that, and did not come to its end. What it covered was compared then.
        if batch.is_some_and(|batch| batch.raw_seq > reach) {
            continue;
        }
        let landing = match batch {
            Some(batch) => BatchLanding::of(told(state), (batch.raw_seq, &batch.totals), standing),
            // The view has no such cell.
            None if standing.is_whole && standing.reached >= reach => BatchLanding::Differs,
            None => BatchLanding::Ahead,
        };
        match landing {
            BatchLanding::Covers => {
                settled.retired.insert(place.clone());
                settled.same.insert(place.clone());
            }
            BatchLanding::Differs => {
                settled.given_up.extend(batch.map(|_| place.clone()));
                settled.drift.push(CellDrift::left(start, place, state, batch, reach));
            }
            BatchLanding::Ahead | BatchLanding::Behind => {}
        }
    }
    settled
}

/// The one that reaches further; of two that reach equally far, the first.
fn furthest_of<'t>(one: Option<(u64, &'t Totals)>, other: Option<(u64, &'t Totals)>) -> Option<(u64, &'t Totals)> {
    match (one, other) {
        (Some(one), Some(other)) if other.0 > one.0 => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}
