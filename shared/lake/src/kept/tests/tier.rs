//! The protocol of moves against its rule: whoever moves, is broken off before or behind
//! a commit, or does not hear its answer, and whatever comes in meanwhile, each row is
//! seen once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use deltalake::{
    DeltaTable,
    arrow::{
        array::AsArray,
        datatypes::{Int32Type, Int64Type},
    },
    datafusion::prelude::{DataFrame, SessionContext, ident},
};
use object_store::memory::InMemory;
use proptest::prelude::*;
use url::Url;

use super::*;
use crate::{
    append::model::{Fault, FaultyStore},
    kept::{Retention, rows_of_both},
};

const PARTITIONS: u16 = 2;
/// Those that are over: of the first two months.
const OVER: Retention = Retention { before: 62, unchanged_since: Timestamp::saturating_from_millis(i64::MAX) };

#[derive(Debug, Clone)]
enum Step {
    /// Rows of these months come in.
    Append {
        partition: u16,
        months: Vec<i64>,
    },
    /// A line of an old batch comes in now, out of the quarantine.
    Redrive {
        partition: u16,
        back: i64,
        month: i64,
    },
    /// Folders are moved, with what happens to each commit.
    Move {
        there: Fault,
        here: Fault,
    },
    Compact,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![3 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::After)]
}

fn step() -> impl Strategy<Value = Step> {
    let months = proptest::collection::vec(0..4_i64, 1..4);
    prop_oneof![
        4 => (0..PARTITIONS, months).prop_map(|(partition, months)| Step::Append { partition, months }),
        4 => (fault(), fault()).prop_map(|(there, here)| Step::Move { there, here }),
        2 => (0..PARTITIONS, 1..6_i64, 0..4_i64)
            .prop_map(|(partition, back, month)| Step::Redrive { partition, back, month }),
        1 => Just(Step::Compact),
    ]
}

/// A store, by a name that tells it from another one.
struct NamedStore {
    root: &'static str,
    store: Arc<InMemory>,
}

/// The same lake, by a store of one's own that fails as planned.
struct Place {
    faults: Arc<FaultyStore>,
    lake: Lake,
}

impl Place {
    fn new(store: &NamedStore) -> Self {
        let faults = Arc::new(FaultyStore { inner: store.store.clone(), faults: Mutex::default() });
        let lake = Lake::over(Url::parse(store.root).expect("a URL"), faults.clone());
        Self { faults, lake }
    }

    async fn kept(&self) -> KeptTable {
        self.lake.table(&BronzeEvent::TABLE, &properties()).await.expect("a table").kept()
    }

    fn fails(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.faults.faults.lock().expect("a lock") = VecDeque::from_iter(faults);
    }
}

struct Tiers {
    here: NamedStore,
    there: NamedStore,
    next: i64,
    redrives: i32,
    /// How often each row should be seen: by partition and sequence, the months.
    rows: BTreeMap<(i32, i64), usize>,
}

impl Tiers {
    async fn new() -> Self {
        let named = |root| NamedStore { root, store: Arc::default() };
        let (here, there) = (named("memory://here/lake/"), named("memory://there/lake/"));
        let tiers = Self { here, there, next: 1, redrives: 0, rows: BTreeMap::new() };
        for store in [&tiers.here, &tiers.there] {
            drop(Place::new(store).kept().await);
        }
        tiers
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Append { partition, months } => {
                let table = Place::new(&self.here).lake.table(&BronzeEvent::TABLE, &properties()).await;
                let mut appender = Appender::new(table.expect("a table"), "raw_seq");
                appender.append(&[part_of(*partition, self.next, months)]).await.expect("appends");
                self.rows.insert((i32::from(*partition), self.next), months.len());
                self.next += 1;
            }
            Step::Redrive { partition, back, month } => {
                let table = Place::new(&self.here).lake.table(&BronzeEvent::TABLE, &properties()).await;
                let mut appender = Appender::new(table.expect("a table"), "raw_seq");
                self.redrives += 1;
                // Below all batches that come later.
                let raw_seq = (self.next - back).clamp(0, self.next - 1);
                let rows = rows_at(*partition, raw_seq, self.redrives, &[*month]);
                let app = AppId::of_redrives(&BronzeEvent::TABLE);
                let part = TablePart { app, reaches: self.redrives.into(), rows };
                assert_eq!(appender.append(&[part]).await.expect("appends").rows, 1);
                *self.rows.entry((i32::from(*partition), raw_seq)).or_default() += 1;
            }
            Step::Move { there, here } => {
                let (to, from) = (Place::new(&self.there), Place::new(&self.here));
                let (mut cold, mut warm) = (to.kept().await, from.kept().await);
                to.fails([*there]);
                from.fails([*here]);
                // Broken off, it is done once more by the next one.
                let _ = warm.move_old(&mut cold, OVER, goal()).await;
            }
            Step::Compact => {
                let _ = Place::new(&self.here).kept().await.compact(goal()).await.expect("compacts");
            }
        }
    }

    /// How often each row is seen.
    async fn seen(&self) -> BTreeMap<(i32, i64), usize> {
        let (here, there) = (Place::new(&self.here).kept().await, Place::new(&self.there).kept().await);
        let context = SessionContext::new();
        let read =
            async |table: &DeltaTable| context.read_table(table.table_provider().await.expect("rows")).expect("rows");
        let (rows_here, rows_there) = (read(here.delta()).await, read(there.delta()).await);
        let both = [(here.delta(), rows_here), (there.delta(), rows_there)];
        let rows = rows_of_both(both).await.expect("answers");
        let mut seen = BTreeMap::new();
        for place in places(rows).await {
            *seen.entry(place).or_default() += 1;
        }
        seen
    }
}

async fn places(rows: DataFrame) -> Vec<(i32, i64)> {
    let rows = rows.select(vec![ident("partition"), ident("raw_seq")]).expect("columns");
    let mut places = Vec::new();
    for batch in rows.collect().await.expect("rows") {
        let (partitions, sequences) =
            (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_primitive::<Int64Type>());
        places.extend(partitions.values().iter().copied().zip(sequences.values().iter().copied()));
    }
    places
}

fn goal() -> CompactionGoal {
    CompactionGoal { file_bytes: NonZeroU64::new(1 << 20).expect("some"), least_files: 2 }
}

async fn check(steps: Vec<Step>) {
    let mut tiers = Tiers::new().await;
    for step in &steps {
        tiers.take(step).await;
        assert_eq!(tiers.seen().await, tiers.rows, "after {step:?}");
    }
    // Two at once, as when a lease changes hands.
    let mut moves = Vec::new();
    for _ in 0..2 {
        let (to, from) = (Place::new(&tiers.there), Place::new(&tiers.here));
        moves.push(async move {
            let (mut cold, mut warm) = (to.kept().await, from.kept().await);
            while warm.move_old(&mut cold, OVER, goal()).await.expect("moves").files > 0 {}
        });
    }
    futures::future::join_all(moves).await;
    assert_eq!(tiers.seen().await, tiers.rows);
    let mut last = (Place::new(&tiers.here).kept().await, Place::new(&tiers.there).kept().await);
    while last.0.move_old(&mut last.1, OVER, goal()).await.expect("moves").files > 0 {}
    assert_eq!(tiers.seen().await, tiers.rows);
    let left = files(last.0.delta()).await.expect("files");
    last.0.refresh().await.expect("answers");
    let is_over = |file: &super::super::files::TableFile| {
        super::super::retention::last_day(&file.folder).is_some_and(|day| day < OVER.before)
    };
    assert!(!files(last.0.delta()).await.expect("files").iter().any(is_over), "{left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..ProptestConfig::default() })]
    #[test]
    fn each_row_is_seen_once(steps in proptest::collection::vec(step(), 1..9)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check(steps));
    }
}

/// Its place in the log is before theirs.
#[tokio::test]
async fn what_leaves_the_quarantine_hides_nothing_that_was_moved() {
    let append = || Step::Append { partition: 0, months: vec![0] };
    let moved = || Step::Move { there: Fault::None, here: Fault::None };
    let redrive = Step::Redrive { partition: 0, back: 3, month: 0 };
    check(vec![append(), append(), append(), moved(), redrive, moved()]).await;
}
