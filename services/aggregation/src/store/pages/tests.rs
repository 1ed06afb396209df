//! The pages against a plain map of cells: whatever is checkpointed, found again,
//! joined, split, taken over and reopened.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU16, Ordering},
};

use proptest::{
    prelude::*,
    test_runner::{Config as Cases, TestCaseError, TestRunner},
};
use tidemill_definitions::{MetricDefinition, Metrics};
use tidemill_domain::{Amount, Partition, Timestamp};
use tidemill_events::CellUpdate;
use tidemill_service::Context;
use tidemill_store::Config;
use tidemill_testkit::{Postgres, skipped, tempdir};
use tidemill_totals::{Measure, Totals};

use super::{PageRules, WantedWindow};
use crate::{
    config::Windows,
    fold::{
        cell::{CellId, CellKey, MeasureState, published_id},
        changes::{ChangedCell, PartitionChanges},
        points::point_of,
        session::TimeSpan,
        state::PartitionState,
    },
    store::{PartitionClaim, Store, seen},
    testing,
};

const DEFINITIONS: &str = "name: a_metric\ntypes: [x]\nwindow: {tumbling: 1m}\ndimensions:\n  group: data.g\nmeasures:\n  \
                           customers: {distinct: data.c, within: partition}\n  net: {sum: data.n}\n---\n\
                           name: b_metric\ntypes: [x]\nwindow: {tumbling: 1m}\nmeasures:\n  \
                           customers: {distinct: data.c, within: partition}\n  net: {sum: data.n}\n";
const MINUTE: i64 = 60_000;

/// A cell is added to: of which metric, in which minute and group, and by whom.
type Added = (bool, i64, u8, u64);

#[derive(Debug, Clone)]
enum Step {
    Checkpoint(Vec<Added>),
    /// One that is rolled back.
    Trial(Vec<Added>),
    Reopen,
}

#[derive(Debug, Clone)]
struct Case {
    /// As an earlier release has stored it.
    rows: Vec<Added>,
    steps: Vec<Step>,
    rules: (usize, usize, i64),
    after: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let minute = || prop_oneof![3 => 0..12_i64, 1 => -200..200_i64];
    let added = move || prop::collection::vec((any::<bool>(), minute(), 0..4_u8, 0..60_u64), 0..30);
    let step = prop_oneof![
        6 => added().prop_map(Step::Checkpoint),
        1 => added().prop_map(Step::Trial),
        2 => Just(Step::Reopen),
    ];
    let rows = prop_oneof![2 => Just(Vec::new()), 1 => added()];
    let rules = (prop_oneof![Just(1_usize), 50..1_000_usize, Just(16_384)], 2..9_usize, 1..9_i64);
    (rows, prop::collection::vec(step, 1..14), rules, 0..14_u64).prop_map(|(rows, steps, rules, after)| Case {
        rows,
        steps,
        rules,
        after,
    })
}

/// A cell as it should be.
#[derive(Debug, Clone)]
struct Expected {
    update: CellUpdate,
    seen: BTreeSet<u64>,
    raw_seq: u64,
}

struct Model {
    store: Store,
    metrics: Metrics,
    partition: Partition,
    cells: BTreeMap<CellId, Expected>,
    raw_seq: u64,
}

impl Model {
    fn metric(&self, is_a: bool) -> &MetricDefinition {
        self.metrics.get(if is_a { "a_metric" } else { "b_metric" }).expect("is defined")
    }

    fn id(&self, update: &CellUpdate) -> CellId {
        published_id(self.partition, update)
    }

    /// What changes, and what the cells are then.
    fn changes(&self, added: &[Added]) -> (PartitionChanges, BTreeMap<CellId, Expected>) {
        let (mut cells, mut fresh) = (self.cells.clone(), BTreeMap::<CellId, Vec<(usize, u64)>>::new());
        let raw_seq = self.raw_seq + 1;
        for (is_a, minute, group, customer) in added {
            let metric = self.metric(*is_a);
            let values = if *is_a { vec![format!("g{group}").into()] } else { Vec::new() };
            let start = Timestamp::saturating_from_millis(minute * MINUTE);
            let key = CellKey::new(metric, start, &values);
            let id = CellKey::id(self.partition, metric, start, &values);
            let expected = cells.entry(id).or_insert_with(|| Expected {
                update: CellUpdate {
                    group: key.group,
                    start,
                    end: key.end,
                    totals: Totals(Vec::new()),
                    exemplar: None,
                    retracted: false,
                },
                seen: BTreeSet::new(),
                raw_seq,
            });
            let fresh = fresh.entry(id).or_default();
            if expected.seen.insert(*customer) {
                fresh.push((0, *customer));
            }
            let net = Measure::Sum(Amount::from_int(customer.cast_signed() + i64::try_from(raw_seq).unwrap_or(0)));
            expected.update.totals = Totals::of([Measure::DistinctKeyed(expected.seen.len() as u64), net]);
            expected.raw_seq = raw_seq;
        }
        let changed = fresh.into_iter().map(|(id, fresh)| ChangedCell {
            id,
            group: None,
            raw_seq,
            update: cells[&id].update.clone(),
            fresh,
        });
        let mut state = PartitionState::new(self.partition, self.raw_seq, Windows::default().into());
        let changes = PartitionChanges {
            floor: raw_seq,
            cells: changed.collect(),
            log_time: Some(Timestamp::saturating_from_millis(raw_seq.cast_signed())),
            ..state.take_changes(Timestamp::EPOCH)
        };
        (changes, cells)
    }

    /// Rows of their own, as an earlier release wrote them.
    async fn write_rows(&mut self, added: &[Added]) {
        let (changes, cells) = self.changes(added);
        for ChangedCell { id, raw_seq, update, fresh, .. } in &changes.cells {
            let sql = "INSERT INTO cells (id, partition, metric, version, window_start, window_end, dimensions, totals, \
                       raw_seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
            let dimensions: BTreeMap<&str, &str> = update.group.dimensions().collect();
            let query = sqlx::query(sql).bind(id.to_vec()).bind(i64::from(self.partition.index()));
            let query = query.bind(update.metric()).bind(update.version()).bind(update.start.millis());
            let query = query.bind(update.end.millis()).bind(serde_json::to_string(&dimensions).expect("text"));
            let query = query.bind(serde_json::to_string(&update.totals).expect("text")).bind(raw_seq.cast_signed());
            query.execute(self.store.database.writer()).await.expect("writes");
            for (n, value) in fresh.iter().enumerate() {
                let query = sqlx::query("INSERT INTO seen_values (cell, floor, hashes) VALUES ($1, $2, $3)");
                let query = query.bind(id.to_vec()).bind(n as i64).bind(seen::packed(&[*value]));
                query.execute(self.store.database.writer()).await.expect("writes");
            }
        }
        (self.cells, self.raw_seq) = (cells, self.raw_seq + 1);
    }

    async fn play(&mut self, case: &Case) -> Result<(), TestCaseError> {
        let (page_bytes, runs, rows_taken_over) = case.rules;
        self.store.rules = PageRules { page_bytes, runs, rows_taken_over };
        self.write_rows(&case.rows).await;
        let (mut claim, mut pages) = self.open().await;
        for step in &case.steps {
            match step {
                Step::Reopen => {
                    let before = format!("{:?}", pages.directory().kinds);
                    (claim, pages) = self.open().await;
                    prop_assert_eq!(before, format!("{:?}", pages.directory().kinds), "as it was kept in memory");
                }
                Step::Trial(added) => {
                    let (changes, _) = self.changes(added);
                    self.store.try_checkpoint(&changes, &claim, &pages).await.expect("would be written");
                }
                Step::Checkpoint(added) => {
                    let (changes, cells) = self.changes(added);
                    self.store.checkpoint(&changes, &claim, &pages).await.expect("is written");
                    (self.cells, self.raw_seq) = (cells, self.raw_seq + 1);
                }
            }
            self.check_windows(&pages).await?;
        }
        self.check_readers(case.after).await
    }

    async fn open(&self) -> (PartitionClaim, super::Pages) {
        let claim = self.store.claim(self.partition).await.expect("is claimed");
        (claim, self.store.pages(self.partition).await.expect("is read"))
    }

    /// What there is, is found as it was written, and nothing else is; half of it, so
    /// that the other half is not known by reading.
    async fn check_windows(&self, pages: &super::Pages) -> Result<(), TestCaseError> {
        let half = |id: &CellId| u64::from(id[0] & 1) == self.raw_seq & 1;
        let known = self.cells.iter().filter(|(id, _)| half(id));
        let mut wanted: Vec<_> = known
            .map(|(id, cell)| WantedWindow {
                metric: self.metric(cell.update.metric() == "a_metric"),
                start: cell.update.start,
                id: *id,
            })
            .collect();
        let absent = (0..12).map(|minute| WantedWindow {
            metric: self.metric(true),
            start: Timestamp::saturating_from_millis(minute * MINUTE),
            id: [9; 16],
        });
        wanted.extend(absent);
        let possible = pages.possible(wanted);
        let found = self.store.windows(pages, self.partition, &possible).await.expect("reads");
        prop_assert_eq!(found.len(), self.cells.keys().filter(|id| half(id)).count());
        for (id, cell) in found {
            let expected = &self.cells[&id];
            prop_assert_eq!(cell.update(), expected.update.clone());
            prop_assert_eq!(cell.raw_seq, expected.raw_seq);
            let MeasureState::Keyed { seen, .. } = &cell.measures[0] else { panic!("a distinct count") };
            prop_assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), expected.seen.clone());
        }
        Ok(())
    }

    async fn check_readers(&self, after: u64) -> Result<(), TestCaseError> {
        let mut told = BTreeMap::new();
        for part in self.store.cells_after(self.partition, after).await.expect("answers") {
            for update in self.store.updates(self.partition, &part, after).await.expect("answers") {
                prop_assert!(told.insert(self.id(&update), update).is_none(), "once");
            }
        }
        let later = self.cells.iter().filter(|(_, cell)| cell.raw_seq > after);
        prop_assert_eq!(told, later.map(|(id, cell)| (*id, cell.update.clone())).collect::<BTreeMap<_, _>>());
        let span = TimeSpan {
            from: Timestamp::saturating_from_millis(2 * MINUTE),
            to: Timestamp::saturating_from_millis(9 * MINUTE),
        };
        for metric in self.metrics.iter() {
            let of_span = |cell: &&Expected| {
                cell.update.metric() == metric.name && cell.update.start >= span.from && cell.update.start < span.to
            };
            let expected = self.cells.values().filter(of_span);
            let mut expected: Vec<_> =
                expected.filter_map(|cell| point_of(&cell.update, self.partition, metric)).collect();
            expected.sort_by(|a, b| (a.time, &a.tags).cmp(&(b.time, &b.tags)));
            let points = self.store.points(metric, span, usize::MAX).await.expect("reads");
            let own = self.partition.to_string();
            let points: Vec<_> = points.into_iter().filter(|point| point.tags["partition"] == own).collect();
            prop_assert_eq!(points, expected);
        }
        Ok(())
    }
}

/// Each case on a partition of its own, in one store.
fn whatever_is_written_is_found(url: &str, runtime: &tokio::runtime::Runtime, cases: u32) {
    let partitions = AtomicU16::new(0);
    let config = Config { url: url.into(), max_connections: 4 };
    let breaker = Context::new("aggregation").breaker("store");
    let store = runtime.block_on(Store::open(&config, breaker)).expect("opens");
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let cases = Cases { cases, failure_persistence: None, ..Cases::default() };
    let outcome = TestRunner::new(cases).run(&case(), |case| {
        let partition = Partition::new(partitions.fetch_add(1, Ordering::Relaxed));
        let (cells, raw_seq) = (BTreeMap::new(), 0);
        let mut model =
            Model { store: store.clone(), metrics: testing::metrics(DEFINITIONS), partition, cells, raw_seq };
        runtime.block_on(model.play(&case))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn whatever_is_written_is_found_on_sqlite() {
    let folder = tempdir();
    whatever_is_written_is_found(&format!("sqlite://{}/a.db", folder.path().display()), &runtime(), 48);
}

#[test]
fn whatever_is_written_is_found_on_postgres() {
    let runtime = runtime();
    let Some(server) = runtime.block_on(Postgres::start()) else {
        return skipped("whatever_is_written_is_found_on_postgres", "no PostgreSQL is installed");
    };
    whatever_is_written_is_found(&server.url(), &runtime, 16);
}

#[tokio::test]
async fn the_first_points_are_read_and_no_more_pages_than_they_need() {
    let folder = tempdir();
    let config = Config { url: format!("sqlite://{}/a.db", folder.path().display()), max_connections: 4 };
    let mut store = Store::open(&config, Context::new("aggregation").breaker("store")).await.expect("opens");
    store.rules.page_bytes = 300;
    let partition = Partition::new(2);
    let (metrics, cells) = (testing::metrics(DEFINITIONS), BTreeMap::new());
    let model = Model { store, metrics, partition, cells, raw_seq: 0 };
    let (claim, pages) = model.open().await;
    let added: Vec<Added> = (0..100).map(|minute| (true, minute, 1, 7)).collect();
    let (changes, _) = model.changes(&added);
    model.store.checkpoint(&changes, &claim, &pages).await.expect("is written");
    // One of the last pages cannot be read any more.
    let spoil = "UPDATE cell_pages SET entries = zeroblob(3) WHERE first_start >= 5000000";
    let spoiled = sqlx::query(spoil).execute(model.store.database.writer()).await.expect("writes");
    assert!(spoiled.rows_affected() > 1 && pages.directory().kinds.values().all(|pages| pages.len() > 10));
    let span = TimeSpan { from: Timestamp::EPOCH, to: Timestamp::saturating_from_millis(100 * MINUTE) };
    let points = model.store.points(model.metric(true), span, 5).await.expect("reads");
    let minutes: Vec<i64> = points.iter().map(|point| point.time.millis() / MINUTE).collect();
    assert_eq!(minutes, [0, 1, 2, 3, 4]);
    model.store.points(model.metric(true), span, 1_000).await.expect_err("reads what is spoiled");
}
