//! The fold: from the enriched batches of one partition, in the order of the
//! log, to window totals and outcomes. No clock decides a number here: what is
//! late follows from the event times in the log alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidemill_definitions::{Contribution, Data, MetricDefinition, Metrics};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellUpdate, EnrichedBatch, EventRef, SourceBooks, TraceParent, event};

use crate::{
    cell::{Cell, CellId, CellKey},
    config::Windows,
};

const HOUR: i64 = 3_600_000;
/// Books kept in memory; like cells they are read again when they are needed.
const MAX_BOOKS_IN_MEMORY: usize = 10_000;
/// Sources beyond the bound share this clock.
const OTHER_SOURCES: &str = "(other)";

/// What became of an event. Every event has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// In the totals.
    Counted,
    /// Past the allowed lateness.
    Late,
    /// Seen before.
    Duplicate,
}

/// Event time of one source, as far as its events have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SourceClock {
    /// The newest event time.
    pub(crate) newest: Timestamp,
    /// When, by this process's clock, the source last said anything: for
    /// completeness alone.
    pub(crate) heard_at: Timestamp,
}

/// A source and an hour (its start).
pub(crate) type BooksKey = (String, Timestamp);

/// Outcomes of one source in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Outcomes {
    pub(crate) counted: u64,
    pub(crate) late: u64,
    pub(crate) duplicate: u64,
}

/// The state of one partition.
#[derive(Debug)]
pub(crate) struct PartitionState {
    pub(crate) partition: Partition,
    /// The last batch that was applied.
    pub(crate) floor: u64,
    pub(crate) clocks: BTreeMap<String, SourceClock>,
    pub(crate) cells: HashMap<CellId, Cell>,
    pub(crate) books: HashMap<BooksKey, Outcomes>,
    /// Books that changed since the last checkpoint.
    pub(crate) dirty_books: BTreeSet<BooksKey>,
    windows: Windows,
}

/// An event that is to be counted, taken apart: what it adds to which cells.
pub(crate) struct Row<'m> {
    pub(crate) metric: &'m MetricDefinition,
    pub(crate) start: Timestamp,
    pub(crate) contribution: Contribution,
    pub(crate) cell: CellId,
}

/// A batch, taken apart and ready to be applied.
pub(crate) struct Parsed<'m> {
    raw_seq: u64,
    ingested_at: Timestamp,
    events: Vec<ParsedEvent<'m>>,
    /// Lines that are no events; enrichment writes none.
    pub(crate) unreadable: Vec<Vec<u8>>,
}

struct ParsedEvent<'m> {
    source: String,
    time: Timestamp,
    duplicate: bool,
    trace: Option<TraceParent>,
    rows: Vec<Row<'m>>,
}

/// What applying a batch came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) outcomes: Outcomes,
    pub(crate) trace: Option<TraceParent>,
}

/// Takes a batch apart. A function of the batch and the definitions alone.
pub(crate) fn parse<'m>(batch: &EnrichedBatch, metrics: &'m Metrics) -> Parsed<'m> {
    let mut parsed =
        Parsed { raw_seq: batch.raw_seq, ingested_at: batch.ingested_at, events: Vec::new(), unreadable: Vec::new() };
    for line in event::lines(&batch.lines) {
        let Ok(event) = serde_json::from_slice::<EventRef<'_>>(line) else {
            parsed.unreadable.push(line.to_vec());
            continue;
        };
        let enrichment = event.enriched.clone().unwrap_or_default();
        let mut rows = Vec::new();
        if !enrichment.duplicate {
            let data = Data::of(event.data);
            for metric in metrics.iter() {
                for contribution in metric.contributions(&event, &enrichment, &data) {
                    for start in metric.window.starts(event.time) {
                        let cell = CellKey::id(batch.partition, metric, start, &contribution.dimensions);
                        rows.push(Row { metric, start, contribution: contribution.clone(), cell });
                    }
                }
            }
        }
        let trace = event.traceparent.as_deref().and_then(|t| t.parse().ok()).filter(|t: &TraceParent| t.is_sampled());
        parsed.events.push(ParsedEvent {
            source: event.source.into_owned(),
            time: event.time,
            duplicate: enrichment.duplicate,
            trace,
            rows,
        });
    }
    parsed
}

impl Parsed<'_> {
    /// The cells that the batch may change.
    pub(crate) fn cells(&self) -> impl Iterator<Item = CellId> {
        self.events.iter().flat_map(|event| event.rows.iter().map(|row| row.cell))
    }

    /// The books that the batch changes.
    pub(crate) fn books(&self) -> BTreeSet<BooksKey> {
        let hour = self.ingested_at.floor_to(HOUR);
        self.events.iter().map(|event| (event.source.clone(), hour)).collect()
    }

    /// The traces of the sampled events.
    pub(crate) fn sampled(&self) -> impl Iterator<Item = TraceParent> {
        self.events.iter().filter_map(|event| event.trace)
    }
}

impl PartitionState {
    pub(crate) fn new(partition: Partition, windows: Windows) -> Self {
        Self {
            partition,
            floor: 0,
            clocks: BTreeMap::new(),
            cells: HashMap::new(),
            books: HashMap::new(),
            dirty_books: BTreeSet::new(),
            windows,
        }
    }

    /// Applies a batch. Every cell and all books that it may change have been
    /// loaded, if the store had them. `now` only dates the sources' last words.
    pub(crate) fn apply(&mut self, batch: Parsed<'_>, now: Timestamp) -> Applied {
        let mut applied = Applied::default();
        let hour = batch.ingested_at.floor_to(HOUR);
        for event in batch.events {
            let outcome = self.outcome(&event);
            if outcome != Outcome::Duplicate {
                self.advance_clock(&event, batch.ingested_at, now);
            }
            applied.outcomes.add(outcome);
            applied.trace = event.trace.or(applied.trace);
            let books = (event.source, hour);
            self.books.entry(books.clone()).or_default().add(outcome);
            self.dirty_books.insert(books);
            if outcome == Outcome::Counted {
                for row in event.rows {
                    let cell = self.cells.entry(row.cell).or_insert_with(|| {
                        Cell::new(CellKey::new(row.metric, row.start, &row.contribution.dimensions), row.metric)
                    });
                    cell.add(&row.contribution, batch.raw_seq, event.trace);
                }
            }
        }
        self.floor = batch.raw_seq;
        applied
    }

    fn outcome(&self, event: &ParsedEvent<'_>) -> Outcome {
        if event.duplicate {
            return Outcome::Duplicate;
        }
        let allowed = i64::from(self.windows.allowed_lateness_seconds) * 1000;
        let late = self
            .clock_of(&event.source)
            .is_some_and(|clock| event.time.plus_millis(allowed) < self.watermark_of(clock));
        if late { Outcome::Late } else { Outcome::Counted }
    }

    fn clock_of(&self, source: &str) -> Option<&SourceClock> {
        match self.clocks.get(source) {
            None if self.clocks.len() >= self.windows.max_sources as usize => self.clocks.get(OTHER_SOURCES),
            clock => clock,
        }
    }

    fn watermark_of(&self, clock: &SourceClock) -> Timestamp {
        clock.newest.plus_millis(-i64::from(self.windows.out_of_orderness_seconds) * 1000)
    }

    fn advance_clock(&mut self, event: &ParsedEvent<'_>, ingested_at: Timestamp, now: Timestamp) {
        let horizon = ingested_at.plus_millis(i64::from(self.windows.max_future_seconds) * 1000);
        if event.time > horizon {
            return;
        }
        let full = self.clocks.len() >= self.windows.max_sources as usize;
        let name = if full && !self.clocks.contains_key(&event.source) { OTHER_SOURCES } else { &event.source };
        match self.clocks.get_mut(name) {
            Some(clock) => *clock = SourceClock { newest: clock.newest.max(event.time), heard_at: now },
            None => {
                self.clocks.insert(name.to_owned(), SourceClock { newest: event.time, heard_at: now });
            }
        }
    }

    /// Event time up to which the partition's live sources are known, and
    /// whether all of them are idle. With none live it is how far the furthest
    /// came.
    pub(crate) fn watermark(&self, now: Timestamp) -> (Option<Timestamp>, bool) {
        let silent_since = now.plus_millis(-i64::from(self.windows.idle_after_seconds) * 1000);
        let live = self.clocks.values().filter(|clock| clock.heard_at > silent_since);
        match live.map(|clock| self.watermark_of(clock)).min() {
            Some(watermark) => (Some(watermark), false),
            None => (self.clocks.values().map(|clock| self.watermark_of(clock)).max(), true),
        }
    }

    /// The cells that changed since the last checkpoint.
    pub(crate) fn dirty_cells(&self) -> impl Iterator<Item = (&CellId, &Cell)> {
        self.cells.iter().filter(|(_, cell)| cell.dirty)
    }

    /// Totals and outcomes that changed since the last checkpoint, as readers
    /// get them.
    pub(crate) fn changes(&self) -> (Vec<CellUpdate>, Vec<SourceBooks>) {
        let cells = self.dirty_cells().map(|(_, cell)| cell.update()).collect();
        let books = self.dirty_books.iter().filter_map(|key| Some(self.books.get(key)?.of(key)));
        (cells, books.collect())
    }

    /// All is in the store: nothing is dirty, and what exceeds the bound of
    /// memory can go, the cells first that have not changed for longest.
    pub(crate) fn checkpointed(&mut self) {
        self.dirty_books.clear();
        for cell in self.cells.values_mut().filter(|cell| cell.dirty) {
            cell.dirty = false;
            cell.fresh.clear();
        }
        if self.books.len() > MAX_BOOKS_IN_MEMORY {
            self.books.clear();
        }
        let bound = self.windows.max_cells_in_memory as usize;
        if self.cells.len() > bound {
            let mut ages: Vec<(u64, CellId)> = self.cells.iter().map(|(id, cell)| (cell.raw_seq, *id)).collect();
            // Down to nine tenths, so that this is not done at every batch.
            let surplus = ages.len() - bound * 9 / 10;
            ages.select_nth_unstable(surplus);
            for (_, id) in &ages[..surplus] {
                self.cells.remove(id);
            }
        }
    }
}

impl Outcomes {
    /// As readers get them.
    pub(crate) fn of(self, (source, hour): &BooksKey) -> SourceBooks {
        let Self { counted, late, duplicate } = self;
        SourceBooks { source: source.clone(), hour: *hour, counted, late, duplicate }
    }

    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Counted => self.counted += 1,
            Outcome::Late => self.late += 1,
            Outcome::Duplicate => self.duplicate += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidemill_domain::Amount;
    use tidemill_events::{Enrichment, event::splice_enrichment};
    use tidemill_totals::Measure;

    use super::*;

    fn metrics() -> Metrics {
        Metrics::load(None).expect("the defaults load")
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::saturating_from_millis(millis)
    }

    #[derive(Debug, Clone)]
    struct Sale {
        source: u8,
        seconds: i64,
        customer: u8,
        cents: i64,
        duplicate: bool,
    }

    fn line(sale: &Sale) -> Vec<u8> {
        let Sale { source, seconds, customer, cents, duplicate } = sale;
        let plain = format!(
            r#"{{"specversion":"1.0","id":"x","source":"s{source}","type":"invoice.line","time":"{}","data":{{"invoice":"i{customer}","quantity":1,"unit_price":{}.{:02},"customer_id":"c{customer}","country":"DE"}}}}"#,
            at(seconds * 1000),
            cents / 100,
            cents % 100
        );
        let mut out = Vec::new();
        let enrichment = Enrichment { duplicate: *duplicate, region: "Europe".into(), ..Enrichment::default() };
        splice_enrichment(plain.as_bytes(), &enrichment, &mut out).expect("splices");
        out
    }

    fn batch(raw_seq: u64, sales: &[Sale]) -> EnrichedBatch {
        EnrichedBatch {
            partition: Partition::new(0),
            raw_seq,
            raw_prev: raw_seq - 1,
            ingested_at: at(1_000_000_000_000),
            refdata: 0,
            count: sales.len() as u32,
            lines: sales.iter().flat_map(line).collect::<Vec<u8>>().into(),
            trace: None,
        }
    }

    fn windows() -> Windows {
        Windows { allowed_lateness_seconds: 3600, ..Windows::default() }
    }

    fn sales() -> impl Strategy<Value = Vec<Sale>> {
        let sale = (0u8..3, 0i64..400_000, 0u8..20, 1i64..100_000, prop::bool::weighted(0.2)).prop_map(
            |(source, seconds, customer, cents, duplicate)| Sale { source, seconds, customer, cents, duplicate },
        );
        prop::collection::vec(sale, 0..60)
    }

    /// Lines, cents and customers by day.
    type Days = BTreeMap<i64, (u64, i64, BTreeSet<u8>)>;

    /// The rule in its plainest form: one pass, one clock a source.
    fn reference(sales: &[Sale]) -> (Outcomes, Days) {
        let (mut outcomes, mut days, mut newest) = (Outcomes::default(), Days::new(), BTreeMap::new());
        for sale in sales {
            if sale.duplicate {
                outcomes.duplicate += 1;
                continue;
            }
            let seen: &mut i64 = newest.entry(sale.source).or_insert(sale.seconds);
            if sale.seconds < *seen - 60 - 3600 {
                outcomes.late += 1;
            } else {
                outcomes.counted += 1;
                let day: &mut (u64, i64, BTreeSet<u8>) = days.entry(sale.seconds / 86_400).or_default();
                day.0 += 1;
                day.1 += sale.cents;
                day.2.insert(sale.customer);
            }
            *seen = (*seen).max(sale.seconds);
        }
        (outcomes, days)
    }

    proptest! {
        #[test]
        fn equals_the_plain_rule_however_the_log_is_cut(sales in sales(), cuts in prop::collection::vec(1usize..9, 1..9)) {
            let metrics = metrics();
            let mut state = PartitionState::new(Partition::new(0), windows());
            let (mut rest, mut seq, mut total) = (&sales[..], 0, Outcomes::default());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                seq += 1;
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                let applied = state.apply(parse(&batch(seq, head), &metrics), at(0)).outcomes;
                total.counted += applied.counted;
                total.late += applied.late;
                total.duplicate += applied.duplicate;
                if seq % 2 == 0 { state.checkpointed(); }
                rest = tail;
            }
            let (outcomes, days) = reference(&sales);
            prop_assert_eq!(total, outcomes);
            prop_assert_eq!(state.cells.len(), days.len());
            for cell in state.cells.values() {
                let (lines, cents, customers) = &days[&(cell.key.start.millis() / 86_400_000)];
                let totals = cell.totals().0;
                prop_assert_eq!(&totals[0], &Measure::DistinctKeyed(customers.len() as u64));
                prop_assert_eq!(&totals[2], &Measure::Count(*lines));
                prop_assert_eq!(&totals[3], &Measure::Sum(Amount::from_micros(i128::from(*cents) * 10_000)));
            }
        }
    }

    fn sale(source: u8, seconds: i64) -> Sale {
        Sale { source, seconds, customer: 1, cents: 100, duplicate: false }
    }

    #[test]
    fn a_far_future_event_is_counted_and_makes_no_other_late() {
        let metrics = metrics();
        let mut state = PartitionState::new(Partition::new(0), windows());
        let year_2100 = 4_102_444_800;
        let applied = state.apply(parse(&batch(1, &[sale(0, 500), sale(0, year_2100), sale(0, 400)]), &metrics), at(0));
        assert_eq!(applied.outcomes, Outcomes { counted: 3, late: 0, duplicate: 0 });
    }

    #[test]
    fn an_import_of_old_orders_beside_live_traffic_makes_neither_late() {
        let metrics = metrics();
        let mut state = PartitionState::new(Partition::new(0), windows());
        let mixed: Vec<Sale> = (0..50).flat_map(|n| [sale(0, 900_000_000 + n), sale(1, 1_000 + n)]).collect();
        let applied = state.apply(parse(&batch(1, &mixed), &metrics), at(0));
        assert_eq!(applied.outcomes.late, 0);
    }

    #[test]
    fn sources_beyond_the_bound_share_a_clock() {
        let metrics = metrics();
        let mut state = PartitionState::new(Partition::new(0), Windows { max_sources: 2, ..windows() });
        let many: Vec<Sale> = (0..20).map(|source| sale(source, 1000)).collect();
        state.apply(parse(&batch(1, &many), &metrics), at(0));
        assert_eq!(state.clocks.len(), 3, "two of their own and the shared one");
    }

    #[test]
    fn an_idle_source_holds_nothing_open() {
        let metrics = metrics();
        let mut state = PartitionState::new(Partition::new(0), windows());
        assert_eq!(state.watermark(at(0)), (None, true));
        state.apply(parse(&batch(1, &[sale(0, 1000)]), &metrics), at(0));
        state.apply(parse(&batch(2, &[sale(1, 5000)]), &metrics), at(9_000));
        assert_eq!(state.watermark(at(9_000)), (Some(at(940_000)), false));
        assert_eq!(state.watermark(at(12_000)), (Some(at(4_940_000)), false), "the first has gone idle");
        assert_eq!(state.watermark(at(60_000)), (Some(at(4_940_000)), true));
    }

    #[test]
    fn memory_has_a_bound() {
        let metrics = metrics();
        let mut state = PartitionState::new(
            Partition::new(0),
            Windows { max_cells_in_memory: 10, allowed_lateness_seconds: u32::MAX, ..windows() },
        );
        for seq in 1..40 {
            state.apply(parse(&batch(seq, &[sale(0, seq as i64 * 86_400)]), &metrics), at(0));
            state.checkpointed();
        }
        assert!(state.cells.len() <= 10);
        assert!(state.cells.values().any(|cell| cell.raw_seq == 39), "the newest stays");
    }
}
