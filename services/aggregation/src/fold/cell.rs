//! The running totals of one window.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use tidemill_definitions::{Contribution, MeasureDefinition, MetricDefinition, RowValue};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellGroup, CellUpdate, TraceParent};
use tidemill_totals::{Measure, MeasureTotal, Totals};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Identifies a cell in memory and in the store. Of a window it is the hash of
/// the cell's key. A session's start moves, so its id is made of the start that
/// it had at first: two sessions that live at once never share that, since each
/// covers its own.
pub(crate) type CellId = [u8; 16];
/// Identifies what sessions have in common: partition, metric, version and
/// dimensions.
pub(crate) type GroupId = [u8; 16];

/// What a cell is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CellKey {
    pub(crate) group: CellGroup,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl CellKey {
    /// A window of the metric; a session that holds one event.
    pub(crate) fn new(metric: &MetricDefinition, start: Timestamp, values: &[String]) -> Self {
        Self { group: metric.cell_group(values), start, end: start.plus_millis(metric.window.size_millis()) }
    }

    pub(crate) fn id(partition: Partition, metric: &MetricDefinition, start: Timestamp, values: &[String]) -> CellId {
        hash(partition, start.millis(), &metric.name, metric.version(), values.iter().map(String::as_str))
    }

    pub(crate) fn group(partition: Partition, metric: &MetricDefinition, values: &[String]) -> GroupId {
        // No time is that early.
        hash(partition, i64::MIN, &metric.name, metric.version(), values.iter().map(String::as_str))
    }
}

/// The id under which readers know a published cell.
pub(crate) fn published_id(partition: Partition, cell: &CellUpdate) -> CellId {
    // Dimensions stand in the order of their names here as in a definition.
    let values = cell.group.values.iter().map(|value| &**value);
    hash(partition, cell.start.millis(), cell.metric(), cell.version(), values)
}

/// Lengths are part of the hash, so that no two keys are written alike.
fn hash<'a>(
    partition: Partition,
    start: i64,
    metric: &'a str,
    version: &'a str,
    values: impl Iterator<Item = &'a str>,
) -> [u8; 16] {
    let mut bytes = Vec::with_capacity(96);
    bytes.extend_from_slice(&partition.index().to_le_bytes());
    bytes.extend_from_slice(&start.to_le_bytes());
    for text in [metric, version].into_iter().chain(values) {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh3_128(&bytes).to_le_bytes()
}

/// Hashes, of values and of what a cell is of, are uniform already.
#[derive(Debug, Default, Clone)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

pub(crate) type Hashes = HashSet<u64, BuildHasherDefault<Identity>>;
pub(crate) type Cells = HashMap<CellId, Cell, BuildHasherDefault<Identity>>;

/// One measure's state. Exact distinct counts remember what they have seen;
/// readers need only the count.
#[derive(Debug, Clone)]
pub(crate) enum MeasureState {
    Plain(MeasureTotal),
    Keyed { seen: Hashes, unread: u64 },
}

impl MeasureState {
    /// Of what the store has; what a distinct count has seen is read apart.
    pub(crate) fn of(total: MeasureTotal) -> Self {
        match total.measure {
            Measure::DistinctKeyed(_) => Self::Keyed { seen: Hashes::default(), unread: total.unread },
            _ => Self::Plain(total),
        }
    }
}

/// The totals of one window of one metric, of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) key: CellKey,
    /// Of a session: what it shares with others.
    pub(crate) group: Option<GroupId>,
    /// Of a session: its start after the last batch that changed it, by which
    /// readers may know it.
    pub(crate) settled: Option<Timestamp>,
    pub(crate) measures: Vec<MeasureState>,
    /// The batch that last changed it.
    pub(crate) raw_seq: u64,
    pub(crate) exemplar: Option<TraceParent>,
    /// Changed since the last snapshot.
    pub(crate) dirty: bool,
    /// Hashes seen since the last snapshot, by measure.
    pub(crate) fresh: Vec<(usize, u64)>,
}

impl Cell {
    pub(crate) fn new(key: CellKey, group: Option<GroupId>, metric: &MetricDefinition) -> Self {
        let state = |measure: &MeasureDefinition| MeasureState::of(measure.kind.nothing().into());
        let measures = metric.measures.values().map(state).collect();
        Self { key, group, settled: None, measures, raw_seq: 0, exemplar: None, dirty: false, fresh: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, row: &Contribution, raw_seq: u64, exemplar: Option<TraceParent>) {
        for (index, (state, value)) in self.measures.iter_mut().zip(&row.values).enumerate() {
            let Some(value) = value else { continue };
            match (state, value) {
                (MeasureState::Keyed { seen, .. }, RowValue::Text(text)) => {
                    let hash = xxh3_64(text.as_bytes());
                    if seen.insert(hash) {
                        self.fresh.push((index, hash));
                    }
                }
                (MeasureState::Keyed { unread, .. }, RowValue::Unread) => *unread += 1,
                (MeasureState::Plain(total), value) => add_to(total, value),
                (
                    MeasureState::Keyed { .. },
                    RowValue::One | RowValue::Amount(_) | RowValue::Money(..) | RowValue::Partly(_),
                ) => {}
            }
        }
        self.raw_seq = raw_seq;
        self.exemplar = exemplar.or(self.exemplar);
    }

    /// Takes in the totals of another cell of the same metric, which counts
    /// other events: a session that turned out to be part of this one.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (index, (mine, theirs)) in self.measures.iter_mut().zip(other.measures).enumerate() {
            match (mine, theirs) {
                (MeasureState::Keyed { seen, unread }, MeasureState::Keyed { seen: others, unread: more }) => {
                    *unread += more;
                    self.fresh.extend(others.into_iter().filter(|hash| seen.insert(*hash)).map(|hash| (index, hash)));
                }
                (MeasureState::Plain(mine), MeasureState::Plain(theirs)) => {
                    if let Err(error) = mine.add(&theirs) {
                        tracing::error!(metric = self.key.group.metric.name, %error, "a session's totals have two shapes");
                    }
                }
                // One definition gives both their shapes.
                (MeasureState::Keyed { .. }, MeasureState::Plain(_))
                | (MeasureState::Plain(_), MeasureState::Keyed { .. }) => {}
            }
        }
        self.key.start = self.key.start.min(other.key.start);
        self.key.end = self.key.end.max(other.key.end);
        self.exemplar = self.exemplar.or(other.exemplar);
    }

    /// The totals as readers get them.
    pub(crate) fn totals(&self) -> Totals {
        let measure = |state: &MeasureState| match state {
            MeasureState::Plain(total) => total.clone(),
            MeasureState::Keyed { seen, unread } => {
                MeasureTotal { unread: *unread, ..Measure::DistinctKeyed(seen.len() as u64).into() }
            }
        };
        Totals(self.measures.iter().map(measure).collect())
    }

    /// Distinct values that it remembers.
    pub(crate) fn values(&self) -> usize {
        let seen = |state: &MeasureState| match state {
            MeasureState::Plain(_) => 0,
            MeasureState::Keyed { seen, .. } => seen.len(),
        };
        self.measures.iter().map(seen).sum()
    }

    pub(crate) fn update(&self) -> CellUpdate {
        let CellKey { group, start, end } = self.key.clone();
        CellUpdate { group, start, end, totals: self.totals(), exemplar: self.exemplar, retracted: false }
    }

    /// Takes back what was published of it under `start`.
    pub(crate) fn retraction(&self, start: Timestamp) -> CellUpdate {
        let update = self.update();
        CellUpdate { start, totals: update.totals.nothing(), exemplar: None, retracted: true, ..update }
    }
}

fn add_to(total: &mut MeasureTotal, value: &RowValue) {
    match value {
        RowValue::Unread => total.unread += 1,
        RowValue::Partly(value) => {
            total.unread += 1;
            add_to(total, value);
        }
        RowValue::Amount(read) => {
            total.rounded += u64::from(read.rounded);
            total.measure.add_amount(read.amount);
        }
        RowValue::Money(amount, base) => total.add_money(*amount, *base),
        RowValue::One => {
            if let Measure::Count(n) = &mut total.measure {
                *n += 1;
            }
        }
        RowValue::Text(text) => {
            if let Measure::DistinctSketch(set) = &mut total.measure {
                set.insert(text);
            }
        }
    }
}
