use std::collections::BTreeMap;

use proptest::prelude::*;
use tidemill_events::{CellGroup, CellUpdate, MetricsUpdate};

use super::*;
use crate::{
    store::testing::{checks, fold, seen, sqlite},
    testing::{at, sales, update, updates},
};

checks![
    totals_stay_the_furthest,
    sessions_grow_and_are_retracted,
    changes_are_told,
    ends_are_known,
    any_text_is_a_dimension
];

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
    let cells: Vec<MergedCellKey> = folded.changed().into_iter().cloned().collect();
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
