use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row};
use tidemill_definitions::MetricDefinition;
use tidemill_domain::Partition;
use tidemill_events::{CellGroup, CellUpdate, MetricsUpdate};
use tidemill_store::Error;

use super::*;
use crate::{
    calendar::Zone,
    catalogue::Metric,
    read_model::MetricsFold,
    store::{
        Store,
        cells::{StoredCell, extent, write},
        changes::note_change,
        positions::{advance, claim},
        testing::{checks, fold},
    },
    testing::{at, sales, update},
    unit::StreamUnit,
};

mod answers;
mod measured;

use answers::answers_are_those_of_the_cells;

checks![
    answers_are_those_of_the_cells,
    what_is_rolled_up_is_read,
    what_was_read_before_a_change_is_not_written,
    a_fold_without_marks_is_noticed,
    a_stream_that_lost_its_end_leaves_what_is_rolled_up,
    days_of_another_zone_begin_anew,
    a_metric_that_is_not_rolled_up_keeps_no_marks,
    an_answer_is_of_one_moment,
    replicas_roll_up_side_by_side,
];

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// When roll-ups are made: later than whatever was touched is due.
const LONG_AFTER: i64 = 100 * DAY;

fn of_category(category: &str) -> CellGroup {
    CellGroup::new("sales_metrics", &sales().version, [("category", category), ("region", "EU")])
}

/// An update with the orders of one minute in two categories.
fn minute(start: i64, raw_seq: u64) -> MetricsUpdate {
    let mut told = update(0, raw_seq);
    let category = |n: u64| CellUpdate {
        group: of_category(&format!("category {n}")),
        start: at(start),
        end: at(start + 60_000),
        ..told.cells[0].clone()
    };
    told.cells = vec![category(0), category(1)];
    told.books = Vec::new();
    told
}

/// Two minutes in each of so many hours.
async fn trade(store: &Store, hours: std::ops::Range<i64>) {
    store.save_definitions([&sales()].into_iter()).await.expect("saves");
    let minutes: Vec<_> = hours.flat_map(|hour| [minute(hour * HOUR, 5), minute(hour * HOUR + 60_000, 5)]).collect();
    fold(store, &minutes).await;
}

/// Rolls up everything.
async fn roll_up(store: &Store, shop: Zone, now: i64) {
    assert!(roll_up_what_can_be(store, shop, now).await, "it has no end");
}

/// Rolls up all that can be; answers whether that is everything. Days wait for a
/// fold that says what it touched.
async fn roll_up_what_can_be(store: &Store, shop: Zone, now: i64) -> bool {
    store.begin_rollups(shop).await.expect("begins");
    for round in 0..20 {
        // What waits for its hours is due a while after them.
        let now = at(now + round * HOUR);
        let made = store.make_rollups(shop, now).await.expect("makes");
        let more = store.extend_rollups(shop, now).await.expect("marks");
        if made == 0 && more.is_none() && store.rollups_waiting().await.expect("counts") == 0 {
            return true;
        }
    }
    false
}

/// How many cells a question about everything reads, and what they come to.
async fn read(store: &Store, shop: Zone) -> (usize, String) {
    let (mut cells, mut sum): (usize, Option<tidemill_totals::Totals>) = (0, None);
    let visit = |cell: StoredCell<'_>| -> Result<(), Error> {
        cells += 1;
        match &mut sum {
            Some(sum) => sum.add(&cell.totals).expect("one shape"),
            None => sum = Some(cell.totals),
        }
        Ok(())
    };
    let all = (at(i64::MIN), at(i64::MAX));
    store.each_rolled_up(&sales(), shop, all, &MergeScope::Everything, visit).await.expect("reads");
    (cells, format!("{sum:?}"))
}

async fn what_is_rolled_up_is_read(store: &Store) {
    trade(store, 0..48).await;
    let (cells, sum) = read(store, Zone::UTC).await;
    assert_eq!(cells, 48 * 2 * 2, "nothing is rolled up yet");
    roll_up(store, Zone::UTC, LONG_AFTER).await;
    assert_eq!(read(store, Zone::UTC).await, (2 * 2, sum.clone()), "a day has two categories");
    fold(store, &[minute(7 * HOUR, 9)]).await;
    let (cells, corrected) = read(store, Zone::UTC).await;
    assert_eq!(cells, 23 * 2 + 2 * 2 + 2, "hours, the cells of one hour, and a day");
    assert_ne!(corrected, sum);
    roll_up(store, Zone::UTC, LONG_AFTER).await;
    assert_eq!(read(store, Zone::UTC).await, (2 * 2, corrected));
}

/// The mark that a change leaves in between is another one, also if the span was
/// made by somebody else meanwhile.
async fn what_was_read_before_a_change_is_not_written(store: &Store) {
    trade(store, 0..1).await;
    let (shop, now) = (Zone::UTC, at(LONG_AFTER));
    store.begin_rollups(shop).await.expect("begins");
    store.extend_rollups(shop, now).await.expect("marks");
    let before = store.read_due(shop, now).await.expect("reads");
    fold(store, &[minute(0, 9)]).await;
    let (_, sum) = read(store, shop).await;
    store.write_made(shop, now, &before).await.expect("writes what is right");
    assert_eq!(read(store, shop).await, (4, sum.clone()), "it is not");
    roll_up(store, shop, LONG_AFTER).await;
    assert_eq!(read(store, shop).await, (2, sum.clone()));
    store.write_made(shop, now, &before).await.expect("writes what is right");
    assert_eq!(read(store, shop).await, (2, sum));
}

/// Folds as a release does that knows no roll-ups.
pub(super) async fn fold_without_marks(store: &Store, updates: &[MetricsUpdate], last: u64) {
    let mut folded = MetricsFold::default();
    updates.iter().for_each(|update| folded.observe(update.clone()));
    let mut tx = store.database.begin().await.expect("begins");
    claim(&mut tx, StreamUnit::Metrics).await.expect("claims");
    write(&mut tx, &folded.cells).await.expect("writes");
    note_change(&mut tx, &folded.cells).await.expect("notes");
    advance(&mut tx, StreamUnit::Metrics, last, &BTreeMap::new()).await.expect("advances");
    tx.commit().await.expect("commits");
}

async fn a_fold_without_marks_is_noticed(store: &Store) {
    trade(store, 0..3).await;
    roll_up(store, Zone::UTC, LONG_AFTER).await;
    let (cells, before) = read(store, Zone::UTC).await;
    assert_eq!(cells, 2);
    fold_without_marks(store, &[minute(HOUR, 9)], 20).await;
    let (cells, after) = read(store, Zone::UTC).await;
    assert_ne!(after, before);
    assert_eq!(cells, 12, "roll-ups may be wrong anywhere");
    // The next fold of this release touches something else.
    fold(store, &[minute(9 * HOUR, 9)]).await;
    assert_eq!(read(store, Zone::UTC).await.0, 14);
    roll_up(store, Zone::UTC, LONG_AFTER).await;
    fold_without_marks(store, &[], 21).await;
    let (_, cells) = read(store, Zone::UTC).await;
    fold(store, &[minute(9 * HOUR, 9)]).await;
    roll_up(store, Zone::UTC, LONG_AFTER).await;
    assert_eq!(read(store, Zone::UTC).await, (2, cells));
}

async fn rows(store: &Store, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    sqlx::query(sql).fetch_one(store.database.pool()).await.expect("counts").get(0)
}

async fn days_of_another_zone_begin_anew(store: &Store) {
    trade(store, 0..48).await;
    roll_up(store, Zone::UTC, LONG_AFTER).await;
    let (stored, (_, sum)) = (rows(store, "rollups").await, read(store, Zone::UTC).await);
    let berlin = "Europe/Berlin".parse().expect("a zone");
    assert_eq!(read(store, berlin).await, (48 * 2, sum.clone()), "hours are anybody's");
    roll_up(store, berlin, LONG_AFTER).await;
    assert_eq!(read(store, berlin).await, (3 * 2, sum.clone()));
    assert_eq!(rows(store, "rollups").await, stored + 1, "the former days are gone");
    assert_eq!(read(store, Zone::UTC).await, (48 * 2, sum), "and nobody takes them for right");
}

async fn a_metric_that_is_not_rolled_up_keeps_no_marks(store: &Store) {
    let text = "name: sales_metrics\ntypes: [order.placed]\nwindow: {sliding: {size: 2m, step: 1m}}\n\
                dimensions: {category: category, region: region}\nmeasures: {orders: {count: rows}}\n";
    let metric: Metric = (&MetricDefinition::parse("sliding.yaml", text).expect("is right")).into();
    store.save_definitions([&metric].into_iter()).await.expect("saves");
    let mut told = minute(0, 5);
    for cell in &mut told.cells {
        cell.group = CellGroup::new("sales_metrics", &metric.version, cell.group.dimensions());
    }
    fold(store, &[told]).await;
    assert_eq!(rows(store, "rollup_marks").await, 1);
    roll_up(store, Zone::UTC, LONG_AFTER).await;
    assert_eq!((rows(store, "rollup_marks").await, rows(store, "rollups").await), (0, 0));
}

async fn an_answer_is_of_one_moment(store: &Store) {
    trade(store, 0..1).await;
    let metric = sales();
    let of = (&*metric.name, &*metric.version);
    let mut snapshot = store.database.snapshot().await.expect("begins");
    let before = extent(&mut snapshot, of).await.expect("reads");
    fold(store, &[minute(5 * HOUR, 9)]).await;
    assert_eq!(extent(&mut snapshot, of).await.expect("reads"), before);
    snapshot.rollback().await.expect("ends");
    assert_ne!(store.extent(&metric).await.expect("reads"), before);
}

/// Nobody waits for one that waits for him, and no change is lost.
async fn replicas_roll_up_side_by_side(store: &Store) {
    trade(store, 0..48).await;
    store.begin_rollups(Zone::UTC).await.expect("begins");
    let make = async || {
        for round in 0..12 {
            let now = at(LONG_AFTER + round * 2 * HOUR);
            store.extend_rollups(Zone::UTC, now).await.expect("marks");
            store.make_rollups(Zone::UTC, now).await.expect("makes");
        }
    };
    let trade = async || {
        for n in 0..30_i64 {
            let raw_seq = 10 + n.cast_unsigned();
            fold(store, &[minute(n % 48 * HOUR, raw_seq), minute(n * 7 % 48 * HOUR, raw_seq)]).await;
        }
    };
    tokio::join!(make(), make(), trade());
    let (_, before) = read(store, Zone::UTC).await;
    roll_up(store, Zone::UTC, LONG_AFTER + 100 * HOUR).await;
    assert_eq!(read(store, Zone::UTC).await, (4, before.clone()));
    // Without any roll-up.
    let emptied = sqlx::query("DELETE FROM rollup_frontiers").execute(store.database.writer()).await;
    emptied.expect("empties");
    assert_eq!(read(store, Zone::UTC).await, (48 * 4, before));
}

/// The position in the stream goes back. No fold without marks is behind that.
async fn a_stream_that_lost_its_end_leaves_what_is_rolled_up(store: &Store) {
    trade(store, 0..48).await;
    roll_up(store, Zone::UTC, LONG_AFTER).await;
    let rolled_up = read(store, Zone::UTC).await;
    let reached = async || store.reached(StreamUnit::Metrics).await.expect("answers");
    for (end, expected) in [(9, 1), (0, 0)] {
        store.go_back(StreamUnit::Metrics, end).await.expect("goes back");
        assert_eq!((reached().await, read(store, Zone::UTC).await), (Some(expected), rolled_up.clone()), "{end}");
    }
    fold(store, &[minute(0, 5)]).await;
    roll_up(store, Zone::UTC, LONG_AFTER + 100 * HOUR).await;
    assert_eq!((reached().await, read(store, Zone::UTC).await), (Some(1), rolled_up));
}

/// More combinations than it is worth while to add up.
#[tokio::test]
async fn an_hour_of_too_many_combinations_is_read_by_cell() {
    let (store, _folder) = crate::store::testing::sqlite().await;
    store.save_definitions([&sales()].into_iter()).await.expect("saves");
    let told = minute(0, 5);
    let cells = (0..20_001).map(|n| CellUpdate { group: of_category(&n.to_string()), ..told.cells[0].clone() });
    fold(&store, &[MetricsUpdate { cells: cells.collect(), ..told.clone() }]).await;
    let (shop, now) = (Zone::UTC, at(LONG_AFTER));
    store.begin_rollups(shop).await.expect("begins");
    while store.extend_rollups(shop, now).await.expect("marks").is_some() {}
    assert_eq!(store.make_rollups(shop, now).await.expect("looks at it"), 1);
    assert_eq!(store.make_rollups(shop, now.plus_millis(DAY)).await.expect("lets it be"), 0);
    assert_eq!(read(&store, shop).await.0, 20_001);
    // It is looked at again once it is touched.
    fold(&store, &[MetricsUpdate { partition: Partition::new(1), ..minute(0, 6) }]).await;
    assert_eq!(store.make_rollups(shop, now.plus_millis(DAY)).await.expect("looks at it"), 1);
}
