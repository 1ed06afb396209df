use proptest::prelude::*;
use tidemill_totals::{Measure, Totals};

use super::*;
use crate::read_model::CellState;

fn version() -> VersionName {
    ("sales".into(), "v1".into())
}

fn start(window: i64) -> Timestamp {
    Timestamp::saturating_from_millis(window * 60_000)
}

fn state(raw_seq: u64) -> CellState {
    let totals = Totals(vec![Measure::Count(raw_seq).into()]);
    CellState { end: start(99), raw_seq, totals, retracted: raw_seq.is_multiple_of(5) }
}

fn key(window: i64, cell: u8) -> MergedCellKey {
    let (metric, version) = version();
    MergedCellKey { metric, version, start: start(window), dimensions: format!("{{\"c\":\"{cell}\"}}").into() }
}

/// One total: window, cell, partition and position.
type Told = (i64, u8, u16, u64);

fn states(told: &[Told]) -> BTreeMap<Timestamp, WindowStates> {
    let mut windows: BTreeMap<Timestamp, WindowStates> = BTreeMap::new();
    for (window, cell, partition, raw_seq) in told {
        let place = (key(*window, *cell).dimensions, Partition::new(*partition));
        keep_furthest(windows.entry(start(*window)).or_default(), place, state(*raw_seq));
    }
    windows
}

fn folded(told: &[Told]) -> FoldedCells {
    FoldedCells::from_iter([(version(), states(told))])
}

/// What clients are told of a cell: the ends of its totals do not matter here.
fn seen(windows: &LiveWindows, key: &MergedCellKey) -> Vec<Totals> {
    let mut seen = Vec::new();
    let told = windows.each_total(&version(), &[key], |cell, _| {
        seen.push(cell.totals);
        Ok::<_, ()>(())
    });
    told.expect("nothing fails");
    seen
}

/// Reads from a store what is missing, as who publishes does.
fn fill(windows: &LiveWindows, starts: &BTreeSet<Timestamp>, stored: &[Told]) {
    let missing = windows.missing(&version(), starts).expect("somebody listens");
    assert!(windows.add_stored(&version(), missing, states(stored)));
}

fn told() -> impl Strategy<Value = Told> {
    (0..4_i64, 0..3_u8, 0..3_u16, 1..40_u64)
}

proptest! {
    #[test]
    fn what_is_stored_and_what_was_heard_make_a_whole(
        all in prop::collection::vec(told(), 0..60),
        stored_to in 0..60_usize,
        read_at in 0..60_usize,
        shrunk_to in 0..20_usize,
    ) {
        let (stored_to, read_at) = (stored_to.min(all.len()), read_at.min(all.len()));
        let starts: BTreeSet<Timestamp> = (0..4).map(start).collect();
        let windows = LiveWindows::default();
        windows.begin();
        // What came before it began is stored; all else is heard, and stored some time later.
        let heard_from = stored_to.min(read_at);
        for (at, told) in all.iter().enumerate() {
            if at == read_at {
                fill(&windows, &starts, &all[..stored_to.min(at)]);
                windows.windows().shrink_to(shrunk_to, stored_to.min(at) as u64);
            }
            if at >= heard_from.min(stored_to) {
                windows.hear(folded(std::slice::from_ref(told)), at as u64 + 1);
            }
        }
        fill(&windows, &starts, &all[..stored_to]);
        let whole = states(&all);
        for (window, cell) in (0..4).flat_map(|window| (0..3).map(move |cell| (window, cell))) {
            let key = key(window, cell);
            let right: Vec<Totals> = whole.get(&key.start).into_iter().flatten()
                .filter(|((of, _), state)| *of == key.dimensions && !state.retracted)
                .map(|(_, state)| state.totals.clone())
                .collect();
            prop_assert_eq!(seen(&windows, &key), right);
        }
    }
}

#[test]
fn what_was_read_before_it_was_begun_anew_is_of_no_use() {
    let windows = LiveWindows::default();
    let starts = BTreeSet::from([start(1)]);
    assert_eq!(windows.missing(&version(), &starts), None, "nobody listens");
    windows.begin();
    let missing = windows.missing(&version(), &starts).expect("somebody listens");
    assert_eq!(missing.starts, starts);
    windows.begin();
    assert!(!windows.add_stored(&version(), missing, states(&[(1, 1, 0, 3)])));
    assert_eq!(seen(&windows, &key(1, 1)), []);
}

#[tokio::test]
async fn what_is_not_stored_stays_and_more_has_to_wait() {
    let windows = LiveWindows::default();
    windows.begin();
    let many: Vec<Told> = (0..=2 * MOST as i64).map(|window| (window, 0, 0, 1)).collect();
    windows.hear(folded(&many), 7);
    windows.shrink(6);
    assert!(futures::FutureExt::now_or_never(windows.room()).is_none(), "nothing of it is stored");
    windows.shrink(7);
    windows.room().await;
    assert!(windows.windows().totals <= MOST);
}
