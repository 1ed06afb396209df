//! Totals that the stream and a batch have both computed of one log.
//!
//! Both are the same function of a prefix of a partition: all of the window's events
//! up to a `RAW` sequence. So of one cell and partition the state that reaches
//! further is right, whoever computed it, and nothing is ever added to it or taken
//! away ([`furthest`]). Before what the stream has is given up for what the batch has,
//! the two are compared ([`BatchLanding`]).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{MeasureTotal, Totals};

/// Who computed a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalsSource {
    /// The stream.
    Speed,
    /// A batch view.
    Batch,
}

/// The state that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedState<S> {
    /// Who computed it.
    pub source: TotalsSource,
    /// The `RAW` sequence that it reaches.
    pub raw_seq: u64,
    /// The state.
    pub state: S,
}

/// Of each key, a cell and a partition of the log, the state that reaches furthest in
/// `RAW`. Where both reach equally far they are the same, and it is the batch's.
///
/// The result does not depend on the order of states, nor on states that come
/// several times.
pub fn furthest<K: Ord, S>(
    speed: impl IntoIterator<Item = (K, (u64, S))>,
    batch: impl IntoIterator<Item = (K, (u64, S))>,
) -> BTreeMap<K, ServedState<S>> {
    let mut served = BTreeMap::new();
    for (key, (raw_seq, state)) in batch {
        keep(&mut served, key, ServedState { source: TotalsSource::Batch, raw_seq, state });
    }
    for (key, (raw_seq, state)) in speed {
        keep(&mut served, key, ServedState { source: TotalsSource::Speed, raw_seq, state });
    }
    served
}

fn keep<K: Ord, S>(served: &mut BTreeMap<K, ServedState<S>>, key: K, state: ServedState<S>) {
    match served.entry(key) {
        Entry::Occupied(known) if known.get().raw_seq >= state.raw_seq => {}
        Entry::Occupied(mut known) => drop(known.insert(state)),
        Entry::Vacant(place) => drop(place.insert(state)),
    }
}

/// How far the stream has counted a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStanding {
    /// The `RAW` sequence: every state that it has told reaches what changed up to there.
    pub reached: u64,
    /// Whether it has counted everything up to there, and told all of it.
    pub is_whole: bool,
}

/// What becomes of a state of a batch view where it meets what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchLanding {
    /// It is the same: the stream's may be retired.
    Covers,
    /// There is nothing to compare it with: the stream has not counted as far, or not all.
    Ahead,
    /// What is known reaches further.
    Behind,
    /// Both say something else of the same events.
    Differs,
}

impl BatchLanding {
    /// Compares the batch's state of a cell in a partition with the furthest that is known
    /// of it. None is known of a cell without events.
    pub fn of(known: Option<(u64, &Totals)>, batch: (u64, &Totals), stream: StreamStanding) -> Self {
        let is_comparable = stream.is_whole && stream.reached >= batch.0;
        match known {
            Some((raw_seq, _)) if raw_seq > batch.0 => Self::Behind,
            _ if !is_comparable => Self::Ahead,
            Some((_, totals)) if totals.comes_to_the_same(batch.1) => Self::Covers,
            Some(_) | None => Self::Differs,
        }
    }
}

impl Totals {
    /// Whether both are of the same rows, as far as states can tell. A state in the base
    /// currency may be written out or left to the measure's own.
    pub fn comes_to_the_same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| is_same(a, b))
    }
}

fn is_same(a: &MeasureTotal, b: &MeasureTotal) -> bool {
    let in_base = |total: &MeasureTotal| {
        let of = |converted: &crate::Converted| {
            (converted.base, converted.rows, converted.state.as_ref().unwrap_or(&total.measure).clone())
        };
        total.converted.as_ref().map(of)
    };
    (&a.measure, a.unread, a.rounded, a.unconverted) == (&b.measure, b.unread, b.rounded, b.unconverted)
        && in_base(a) == in_base(b)
}
