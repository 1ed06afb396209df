//! The fold: from the enriched batches of one partition, in the order of the
//! log, to window totals and outcomes. No clock decides a number here: what is
//! late follows from the event times in the log alone.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellUpdate, EnrichedEventRef, LateBatch, TraceParent};
use tidemill_lateness::{Clocks, LeftOut, MetBatch, Outcome, key_of, meet};

use super::{
    books::{BooksKey, EventOutcomes},
    cell::{Cell, CellId, CellKey, Cells},
    changes::{ChangedCell, PartitionChanges, Retraction, late_batch, told},
    parse::{Destination, EventAdditions, HOUR, Parsed},
    session::{Absorbed, Sessions},
    size::Size,
};
use crate::config::Windows;

/// Books kept in memory; like cells they are read again when they are needed.
const MAX_BOOKS_IN_MEMORY: usize = if cfg!(test) { 2 } else { 10_000 };

/// The state of one partition.
#[derive(Debug)]
pub(crate) struct PartitionState {
    pub(crate) partition: Partition,
    /// The last batch that was applied.
    pub(crate) floor: u64,
    pub(crate) clocks: Clocks,
    pub(crate) cells: Cells,
    pub(crate) sessions: Sessions,
    pub(crate) books: HashMap<BooksKey, EventOutcomes>,
    pub(crate) left_out: LeftOut,
    /// Distinct values in the cells, or a few more.
    values: usize,
    /// Sessions that are no more, by the batch in which they ended: the store
    /// may still have them.
    gone: HashMap<CellId, u64>,
    /// Books that the store may not have as they are, by the batch that last changed them.
    changed_books: BTreeMap<BooksKey, u64>,
    /// What changed since the last snapshot.
    unsaved: Unsaved,
    windows: Arc<Windows>,
}

#[derive(Debug, Default)]
struct Unsaved {
    /// The floor of the last snapshot.
    after: u64,
    cells: Vec<CellId>,
    gone: Vec<CellId>,
    retractions: Vec<Retraction>,
    late: Vec<LateBatch>,
    /// By batch and request.
    redriven: BTreeMap<(u64, String), EventOutcomes>,
    /// The log's clock: when ingestion took the last batch in.
    log_time: Option<Timestamp>,
    trace: Option<TraceParent>,
}

impl PartitionState {
    pub(crate) fn new(partition: Partition, floor: u64, windows: Arc<Windows>) -> Self {
        Self {
            partition,
            floor,
            clocks: Clocks::new(windows.rules()),
            cells: Cells::default(),
            sessions: Sessions::default(),
            books: HashMap::new(),
            left_out: LeftOut::default(),
            values: 0,
            gone: HashMap::new(),
            changed_books: BTreeMap::new(),
            unsaved: Unsaved { after: floor, ..Unsaved::default() },
            windows,
        }
    }

    /// Applies a batch. Whatever it may change has been loaded, if the store
    /// had it. `now` only dates the sources' last words.
    pub(crate) fn apply(&mut self, batch: Parsed<'_>, now: Timestamp) -> EventOutcomes {
        let Parsed { raw_seq, ingested_at, events, .. } = batch;
        let mut by_source: BTreeMap<Cow<'_, str>, EventOutcomes> = BTreeMap::new();
        let (mut outcomes, mut late, mut sessions) = (EventOutcomes::default(), Vec::new(), Touched::default());
        for event in events {
            let place = MetBatch { raw_seq, ingested_at };
            let name = || EnrichedEventRef::read(event.line).ok().map(|named| key_of(&named));
            let outcome = meet(&mut self.clocks, &mut self.left_out, &event.met(), place, now, name);
            outcomes.add(outcome);
            if let Some(redrive) = &event.redriven {
                self.unsaved.redriven.entry((raw_seq, redrive.to_string())).or_default().add(outcome);
            }
            self.unsaved.trace = event.trace.or(self.unsaved.trace);
            match outcome {
                Outcome::Counted => self.count(&event, raw_seq, &mut sessions),
                Outcome::Late => {
                    self.leave_out(&event);
                    late.push(event.line);
                }
                Outcome::Duplicate | Outcome::Repeated => {}
            }
            by_source.entry(event.source).or_default().add(outcome);
        }
        self.write_books(by_source, ingested_at.floor_to(HOUR), raw_seq);
        self.settle(sessions, raw_seq);
        if !late.is_empty() {
            self.unsaved.late.push(late_batch(self.partition, raw_seq, ingested_at, &late));
        }
        self.floor = raw_seq;
        self.unsaved.log_time = Some(ingested_at);
        outcomes
    }

    fn write_books(&mut self, by_source: BTreeMap<Cow<'_, str>, EventOutcomes>, hour: Timestamp, raw_seq: u64) {
        for (source, outcomes) in by_source {
            let books = (source.into_owned(), hour);
            self.books.entry(books.clone()).or_default().merge(outcomes);
            self.changed_books.insert(books, raw_seq);
        }
    }

    /// Adds an event to every total that it belongs to.
    fn count(&mut self, event: &EventAdditions<'_>, raw_seq: u64, sessions: &mut Touched) {
        let additions = event.rows.iter().flat_map(|row| row.destinations.iter().map(move |place| (row, *place)));
        for (row, destination) in additions {
            let values = &row.contribution.dimensions;
            let (id, cell) = match destination {
                Destination::Window { start, cell: id } => {
                    let new = || Cell::new(CellKey::new(row.metric, start, values), None, row.metric);
                    (id, Some(self.cells.entry(id).or_insert_with(new)))
                }
                Destination::Session { group, time, gap_millis } => {
                    let new = || {
                        let key = CellKey::new(row.metric, time, values);
                        (CellKey::id(self.partition, row.metric, time, values), Cell::new(key, Some(group), row.metric))
                    };
                    let placed = self.sessions.place(&mut self.cells, group, time, gap_millis, new);
                    sessions.changed.insert(placed.cell);
                    sessions.absorbed.extend(placed.absorbed);
                    (placed.cell, self.cells.get_mut(&placed.cell))
                }
            };
            if let Some(cell) = cell {
                let before = cell.fresh.len();
                cell.add(&row.contribution, raw_seq, event.trace);
                self.values += cell.fresh.len() - before;
                if !std::mem::replace(&mut cell.dirty, true) {
                    self.unsaved.cells.push(id);
                }
            }
        }
    }

    /// An event that is not counted leaves no group behind that has no session.
    fn leave_out(&mut self, event: &EventAdditions<'_>) {
        for destination in event.rows.iter().flat_map(|row| row.destinations.iter()) {
            if let Destination::Session { group, .. } = destination {
                self.sessions.forget_if_empty(group);
            }
        }
    }

    /// Takes back what readers may know of sessions under starts that are no
    /// more. Only whole batches are published, so only where a session stood
    /// between two batches matters. A start that is taken back never comes
    /// again: a session that covers it stands from then on.
    fn settle(&mut self, sessions: Touched, raw_seq: u64) {
        let mut take_back = |cell: CellUpdate| self.unsaved.retractions.push(Retraction { raw_seq, cell });
        for Absorbed { cell, retraction } in sessions.absorbed {
            if let Some(retraction) = retraction {
                take_back(retraction);
                self.gone.insert(cell, raw_seq);
                self.unsaved.gone.push(cell);
            }
        }
        for id in sessions.changed {
            if let Some(cell) = self.cells.get_mut(&id) {
                let before = cell.settled.replace(cell.key.start);
                if let Some(before) = before.filter(|before| *before != cell.key.start) {
                    take_back(cell.retraction(before));
                }
            }
        }
    }

    /// Whether a session that the store has is no more, or is in memory as it
    /// stands now.
    pub(crate) fn is_known(&self, session: &CellId) -> bool {
        self.cells.contains_key(session) || self.gone.contains_key(session)
    }

    /// Takes what lies up to `raw_seq` for applied, before anything is.
    pub(crate) fn start_behind(&mut self, raw_seq: u64) {
        self.floor = raw_seq;
        self.unsaved.after = raw_seq;
    }

    /// Whether any batch was applied since the last snapshot.
    pub(crate) fn has_changed(&self) -> bool {
        self.floor > self.unsaved.after
    }

    /// What changed since the last snapshot, to be published and checkpointed
    /// while this state goes on.
    pub(crate) fn take_changes(&mut self, now: Timestamp) -> PartitionChanges {
        let unsaved = std::mem::replace(&mut self.unsaved, Unsaved { after: self.floor, ..Unsaved::default() });
        let mut cells = Vec::with_capacity(unsaved.cells.len());
        for id in unsaved.cells {
            // A session that became part of another is not there any more.
            if let Some(cell) = self.cells.get_mut(&id) {
                cell.dirty = false;
                let fresh = std::mem::take(&mut cell.fresh);
                cells.push(ChangedCell { id, group: cell.group, raw_seq: cell.raw_seq, update: cell.update(), fresh });
            }
        }
        let books = self.changed_books.iter().filter(|(_, raw_seq)| **raw_seq > unsaved.after);
        let books = books.filter_map(|(key, _)| Some((key.clone(), *self.books.get(key)?))).collect();
        let (watermark, idle) = self.watermark(now);
        PartitionChanges {
            partition: self.partition,
            after: unsaved.after,
            floor: self.floor,
            as_of: now,
            watermark,
            idle,
            cells,
            gone: unsaved.gone,
            retractions: unsaved.retractions,
            books,
            left_out: self.left_out.take_changes(),
            clocks: self.clocks.take_changes(),
            redriven: unsaved.redriven.into_iter().map(told).collect(),
            counting: Vec::new(),
            late: unsaved.late,
            letters: Vec::new(),
            log_time: unsaved.log_time,
            forgotten_before: self.clocks.forgotten_before(),
            trace: unsaved.trace,
        }
    }

    /// As [`Clocks::watermark`]. A partition that has applied anything has one, since
    /// readers take a message without for one that others follow: of what moves
    /// no clock, nothing is known before the epoch.
    pub(crate) fn watermark(&self, now: Timestamp) -> (Option<Timestamp>, bool) {
        let silent_since = now.plus_millis(-i64::from(self.windows.idle_after_seconds) * 1000);
        let (watermark, idle) = self.clocks.watermark(silent_since);
        (watermark.or((self.floor > 0).then_some(Timestamp::EPOCH)), idle)
    }

    /// Takes in a cell as the store has it.
    pub(crate) fn insert(&mut self, id: CellId, cell: Cell) {
        if let Some(group) = &cell.group {
            self.sessions.insert(*group, cell.key.start, id);
        }
        self.values += cell.values();
        self.cells.insert(id, cell);
    }

    /// Everything up to `floor` is in the store: what has not changed since can go, where
    /// it exceeds the bounds of memory.
    pub(crate) fn committed(&mut self, floor: u64) {
        self.gone.retain(|_, ended| *ended > floor);
        self.left_out.committed(floor);
        self.changed_books.retain(|_, raw_seq| *raw_seq > floor);
        if self.books.len() > MAX_BOOKS_IN_MEMORY {
            self.books.retain(|key, _| self.changed_books.contains_key(key));
        }
        if self.cells.len() > self.windows.max_cells_in_memory as usize
            || self.values > self.windows.max_values_in_memory as usize
        {
            self.evict(floor);
        }
    }

    /// Leaves cells to the store, those first that have not changed for
    /// longest, down to nine tenths of the bounds, so that this is not done
    /// at every batch. What changed after `floor` stays, and all sessions of a
    /// group go at once.
    fn evict(&mut self, floor: u64) {
        let nine_tenths = |bound: u32| bound as usize / 10 * 9;
        let (max_cells, max_values) =
            (nine_tenths(self.windows.max_cells_in_memory), nine_tenths(self.windows.max_values_in_memory));
        self.values = self.cells.values().map(Cell::values).sum();
        let mut ages: Vec<_> = self.cells.iter().map(|(id, cell)| (cell.raw_seq, *id)).collect();
        ages.retain(|(raw_seq, _)| *raw_seq <= floor);
        ages.sort_unstable();
        for (_, id) in ages {
            if self.cells.len() <= max_cells && self.values <= max_values {
                return;
            }
            let Some(cell) = self.cells.get(&id) else { continue };
            let together = match &cell.group {
                None => vec![id],
                Some(group) => self.sessions.cells(group).collect(),
            };
            if together.iter().any(|id| self.cells.get(id).is_some_and(|cell| cell.raw_seq > floor)) {
                continue;
            }
            if let Some(group) = cell.group {
                self.sessions.forget(&group);
            }
            for id in together {
                self.values -= self.cells.remove(&id).map_or(0, |cell| cell.values());
            }
        }
    }

    pub(crate) fn size(&self) -> Size {
        let values = self.cells.values().map(Cell::values).sum();
        Size { cells: self.cells.len(), values, books: self.books.len(), sources: self.clocks.len() }
    }
}

/// Sessions that a batch changed.
#[derive(Debug, Default)]
struct Touched {
    changed: HashSet<CellId>,
    absorbed: Vec<Absorbed>,
}

#[cfg(test)]
mod tests;
