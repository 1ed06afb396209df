use std::collections::BTreeMap;

use proptest::prelude::*;
use tidemill_events::{CellGroup, CellUpdate, MetricsUpdate};

use super::*;
use crate::{
    read_model::{MergedCellKey, MetricsFold, canonical},
    store::CellChange,
    store::testing::{checks, fold, seen, sqlite},
    testing::{at, sales, update, updates},
};

checks![
    totals_stay_the_furthest,
    sessions_grow_and_are_retracted,
    changes_are_told,
    ends_are_known,
    any_text_is_a_dimension,
    totals_of_earlier_releases_are_taken_over
];

/// An update with one cell: of a minute, and of one of the categories.
fn told(partition: u16, raw_seq: u64, minute: i64, category: u32, retracted: bool) -> MetricsUpdate {
    let mut told = update(partition, raw_seq);
    let group = CellGroup::new("sales_metrics", &sales().version, [("category", category.to_string())]);
    let (start, end) = (at(minute * 60_000), at(minute * 60_000 + 60_000));
    told.cells = vec![CellUpdate { group, start, end, retracted, ..told.cells.remove(0) }];
    told.books = Vec::new();
    told
}

/// What is read of cells, and what follows from what was told of them.
async fn read_and_expected(store: &Store, told: &[MetricsUpdate]) -> [Vec<String>; 2] {
    let mut read = Vec::new();
    let visit = |cell: StoredCell<'_>| -> Result<(), Error> {
        read.push(format!("{:?}", (cell.start, cell.dimensions, cell.end, cell.totals)));
        Ok(())
    };
    store.each_cell(&sales(), at(i64::MIN), at(i64::MAX), visit).await.expect("reads");
    let mut furthest: BTreeMap<_, &MetricsUpdate> = BTreeMap::new();
    for update in told {
        let cell = &update.cells[0];
        let known = furthest.entry((cell.start, cell.group.clone(), update.partition)).or_insert(update);
        if known.raw_seq < update.raw_seq {
            *known = update;
        }
    }
    let live = furthest.values().map(|update| &update.cells[0]).filter(|cell| !cell.retracted);
    let line =
        |cell: &CellUpdate| format!("{:?}", (cell.start, &*canonical(cell.group.dimensions()), cell.end, &cell.totals));
    let mut expected: Vec<String> = live.map(line).collect();
    read.sort_unstable();
    expected.sort_unstable();
    assert_eq!(states(store, told).await, read, "the live stream is told from the same");
    [read, expected]
}

/// The same cells, by what is read of whole windows.
async fn states(store: &Store, told: &[MetricsUpdate]) -> Vec<String> {
    let starts = told.iter().map(|update| update.cells[0].start).collect();
    let windows = store.window_states(&sales().version_name(), &starts).await.expect("reads");
    let mut cells: Vec<String> = Vec::new();
    for (start, states) in &windows {
        let live = states.iter().filter(|(_, state)| !state.retracted);
        cells.extend(
            live.map(|((dimensions, _), state)| format!("{:?}", (*start, &**dimensions, state.end, &state.totals))),
        );
    }
    cells.sort_unstable();
    cells
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn windows_part_as_they_grow(
        positions in proptest::collection::vec(
            (0_u16..3, 1_u64..9, 0_i64..3, 0_u32..60, proptest::bool::weighted(0.1)),
            0..300,
        ),
        size in 1_usize..90,
    ) {
        // What is told is a function of partition and position.
        let mut told: BTreeMap<_, MetricsUpdate> = BTreeMap::new();
        for (partition, seq, minute, category, retracted) in positions.iter().copied() {
            let update = self::told(partition, seq, minute, category, retracted);
            told.entry((partition, seq, minute, category)).or_insert(update);
        }
        let in_order = positions.iter().map(|(partition, seq, minute, category, _)| {
            told[&(*partition, *seq, *minute, *category)].clone()
        });
        let told: Vec<MetricsUpdate> = in_order.collect();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let [read, expected] = runtime.block_on(async {
            let (store, _folder) = sqlite().await;
            for chunk in told.chunks(size) {
                fold(&store, chunk).await;
            }
            read_and_expected(&store, &told).await
        });
        prop_assert_eq!(read, expected);
    }
}

/// Writes a cell as releases did that had a row for each.
async fn write_unpacked(store: &Store, update: &MetricsUpdate) {
    let cell = &update.cells[0];
    let dimensions = canonical(cell.group.dimensions()).to_string();
    let row = sqlx::query(
        "INSERT INTO unpacked_cells (metric, version, window_start, dimensions_id, shard, window_end, dimensions,
         raw_seq, totals, retracted) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    );
    let row = row.bind(cell.metric().to_owned()).bind(cell.version().to_owned()).bind(cell.start.millis());
    let row = row.bind(dimensions.clone().into_bytes()).bind(i64::from(update.partition.index()));
    let row = row.bind(cell.end.millis()).bind(dimensions).bind(update.raw_seq.cast_signed());
    let row = row.bind(serde_json::to_string(&cell.totals).expect("is JSON")).bind(i64::from(cell.retracted));
    row.execute(store.database.writer()).await.expect("is written");
}

async fn totals_of_earlier_releases_are_taken_over(store: &Store) {
    let mut all: Vec<_> = (0..9).map(|category| told(0, 5, i64::from(category) % 3, category, category == 8)).collect();
    for update in &all {
        write_unpacked(store, update).await;
    }
    let unpacked = async || {
        let count = sqlx::query("SELECT COUNT(*) FROM unpacked_cells").fetch_one(store.database.pool()).await;
        count.expect("counts").get::<i64, _>(0)
    };
    let [read, expected] = read_and_expected(store, &all).await;
    assert_eq!((read, unpacked().await), (expected, 9));
    assert_eq!(store.extent(&sales()).await.expect("answers"), Some((at(0), at(120_000))));
    // Of window 0 one cell is newer, one older, and one is of another partition.
    let more = [told(0, 9, 0, 0, false), told(0, 2, 0, 3, false), told(1, 1, 0, 6, false), told(0, 4, 2, 8, false)];
    fold(store, &more).await;
    all.extend(more);
    let [read, expected] = read_and_expected(store, &all).await;
    assert_eq!(read, expected);
    assert_eq!(unpacked().await, 3, "window 1 is left as it was");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn order_repeats_and_chunks_change_nothing((straight, shuffled) in updates(), size in 1usize..8) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (one, many) = runtime.block_on(async {
            let ((one, _one), (many, _many)) = (sqlite().await, sqlite().await);
            fold(&one, &straight).await;
            for chunk in shuffled.chunks(size) {
                fold(&many, chunk).await;
            }
            (seen(&one).await, seen(&many).await)
        });
        prop_assert_eq!(one, many);
    }
}

async fn totals_stay_the_furthest(store: &Store) {
    let (other, _folder) = sqlite().await;
    let straight: Vec<_> = (1..20).flat_map(|seq| [update(0, seq), update(1, seq + 3)]).collect();
    fold(&other, &straight).await;
    for chunk in straight.rchunks(7) {
        fold(store, chunk).await;
    }
    fold(store, &straight).await;
    assert_eq!(seen(store).await, seen(&other).await);
    let at_starts = async |starts: std::ops::Range<i64>| {
        let mut cells = Vec::new();
        let visit = |cell: StoredCell<'_>| -> Result<(), Error> {
            cells.push((cell.start, cell.end, cell.dimensions.to_owned()));
            Ok(())
        };
        store.each_cell_at(&sales(), &starts.map(at).collect(), visit).await.expect("cells");
        cells
    };
    let first = at_starts(0..1).await;
    assert!(!first.is_empty() && first.iter().all(|(start, end, _)| (*start, *end) == (at(0), at(60_000))));
    assert_eq!(at_starts(0..BLOCK as i64 * 2).await, first);
}

async fn cells_from(store: &Store, start: i64) -> Vec<(Timestamp, String)> {
    let mut cells = Vec::new();
    let visit = |cell: StoredCell<'_>| -> Result<(), Error> {
        cells.push((cell.end, format!("{:?}", cell.totals)));
        Ok(())
    };
    store.each_cell(&sales(), at(start), at(i64::MAX), visit).await.expect("cells");
    cells
}

async fn sessions_grow_and_are_retracted(store: &Store) {
    const START: i64 = 86_400_000;
    let session = |raw_seq, end, retracted| {
        let mut update = update(5, raw_seq);
        let cell = CellUpdate { start: at(START), end: at(START + end), retracted, ..update.cells.remove(0) };
        MetricsUpdate { cells: vec![cell], books: Vec::new(), ..update }
    };
    fold(store, &[session(2, 10, false)]).await;
    fold(store, &[session(4, 30, false)]).await;
    fold(store, &[session(2, 10, false)]).await;
    let seen = cells_from(store, START).await;
    assert_eq!(seen.iter().map(|(end, _)| *end).collect::<Vec<_>>(), [at(START + 30)]);
    fold(store, &[session(6, 30, true)]).await;
    fold(store, &[session(4, 30, false)]).await;
    assert!(cells_from(store, START).await.is_empty(), "what is older than a tombstone does not come back");
}

async fn changes_are_told(store: &Store) {
    let before = store.standing().await.expect("standing").change;
    let number = fold(store, &[update(0, 40)]).await;
    assert_eq!(number, Some(before + 1));
    assert_eq!(fold(store, &[MetricsUpdate { cells: Vec::new(), ..update(0, 41) }]).await, None);
    let changes = store.changes_after(before).await.expect("answers");
    let mut folded = MetricsFold::default();
    folded.observe(update(0, 40));
    let cells: Vec<MergedCellKey> = folded.cells.changed().collect();
    assert_eq!(changes, [CellChange { number: before + 1, cells: Some(cells) }]);
    assert_eq!(store.standing().await.expect("standing").change, before + 1);
}

async fn ends_are_known(store: &Store) {
    let mut other = sales();
    other.version = "never seen".into();
    assert_eq!(store.extent(&other).await.expect("answers"), None);
    fold(store, &[update(0, 3), update(1, 5)]).await;
    assert_eq!(store.extent(&sales()).await.expect("answers"), Some((at(0), at(120_000))));
}

/// Whatever an event says may be a dimension, or a source.
async fn any_text_is_a_dimension(store: &Store) {
    let texts = tidemill_testkit::any_texts();
    let mut told = update(0, 9_000);
    told.cells = texts
        .iter()
        .map(|text| CellUpdate {
            group: CellGroup::new(
                "sales_metrics",
                &sales().version,
                [("category", text.clone()), ("region", text.repeat(2))],
            ),
            start: at(900_000_000),
            ..told.cells[0].clone()
        })
        .collect();
    told.books = texts
        .iter()
        .map(|text| tidemill_events::SourceBooks { source: text.clone(), ..told.books[0].clone() })
        .collect();
    fold(store, std::slice::from_ref(&told)).await;
    let mut held = BTreeSet::new();
    let visit = |cell: StoredCell<'_>| -> Result<(), Error> {
        let dimensions: BTreeMap<String, String> = serde_json::from_str(cell.dimensions).expect("JSON");
        held.insert(dimensions["category"].clone());
        Ok(())
    };
    store.each_cell_at(&sales(), &[at(900_000_000)].into(), visit).await.expect("cells");
    assert_eq!(held, texts.into_iter().collect());
}
