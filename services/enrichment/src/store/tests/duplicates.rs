//! The memory of duplicates over a store.

use std::ops::Range;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as TestConfig, RngAlgorithm, TestRng, TestRunner},
};

use super::*;
use crate::duplicates::{BatchSpan, earlier};

fn key(n: u64) -> EventKey {
    EventKey::of("shop", &n.to_string(), &mut Vec::new())
}

fn events(ids: impl IntoIterator<Item = u64>) -> Vec<EventKeys> {
    ids.into_iter().map(|n| EventKeys { event: key(n), business: None }).collect()
}

/// An instance that has the partition.
struct Owner<'a> {
    store: &'a Store,
    archive: Archive,
    partition: Partition,
    memory: Duplicates,
    floor: u64,
}

impl<'a> Owner<'a> {
    /// Of a process that has just started.
    async fn open(store: &'a Store, partition: Partition, limits: MemoryLimits) -> Self {
        let archive = Archive::new(Arc::new(of_base(store, "EUR")), Context::new("enrichment").breaker("store"));
        let sealed = store.sealed(partition).await.expect("reads");
        let batches = store.batches(partition, sealed.last()).await.expect("reads");
        let floor = store.floor(partition).await.expect("reads");
        Self { store, archive, partition, memory: Duplicates::restore(limits, sealed, batches), floor }
    }

    async fn mark(&mut self, raw_seq: u64, clock: i64, events: &[EventKeys]) -> Vec<bool> {
        let older = self.archive.sightings(self.partition, &self.memory.doubts(events)).await.expect("answers");
        let marks = self.memory.mark(raw_seq, at(clock), events, &older);
        (0..events.len()).map(|index| marks.get(index) != Mark::New).collect()
    }

    async fn checkpoint(&mut self, to: u64, prune_below: Option<u64>) -> Result<(), Error> {
        let runs = self.archive.change(self.partition, &self.memory).await?;
        let checkpoint = PartitionCheckpoint {
            partition: self.partition,
            from: self.floor,
            to,
            batches: self.memory.unsaved(to).collect(),
            runs: runs.as_ref(),
            prune_below,
            orders: no_orders(),
        };
        self.store.checkpoint(&checkpoint).await?;
        self.floor = to;
        self.memory.saved();
        runs.into_iter().for_each(|runs| self.memory.changed(runs));
        Ok(())
    }
}

/// A partition of its own: its rows are not those of the check before.
pub(super) async fn sealed_batches_keep_their_marks_and_blocks(store: &Store) {
    let partition = Partition::new(5);
    let limits =
        MemoryLimits { horizon_millis: 1_000_000, tick_millis: 10, keys: 300, sealed_keys: 1_000_000, run_keys: 1600 };
    let mut owner = Owner::open(store, partition, limits).await;
    for raw_seq in 1..=200_u64 {
        let events: Vec<EventKeys> = (raw_seq * 100..raw_seq * 100 + 100)
            .map(|n| EventKeys { event: key(n / 2), business: (n % 10 == 0).then(|| key(n + 1_000_000)) })
            .collect();
        owner.mark(raw_seq, raw_seq.cast_signed(), &events).await;
        owner.checkpoint(raw_seq, None).await.expect("keeps");
    }
    let sealed = store.sealed(partition).await.expect("reads");
    let lanes: BTreeSet<_> = sealed.runs.iter().map(|run| run.lane).collect();
    assert!(lanes.len() >= 16, "of each range");
    let last = sealed.last();
    let batches = store.batches(partition, last).await.expect("reads");
    assert!(batches.iter().all(|batch| batch.raw_seq > last && batch.keys.len() == 100));
    let mut again = Owner::open(store, partition, limits).await;
    assert_eq!(again.memory.size(), owner.memory.size());
    for _ in 0..2 {
        // The second time they come from memory.
        let known = again.mark(201, 201, &events(0..10_100)).await;
        let known: Vec<usize> = (0..10_100).filter(|n| known[*n]).collect();
        assert_eq!(known, (50..10_050).collect::<Vec<_>>());
        again.memory = Owner::open(store, partition, limits).await.memory;
    }
    let first = store.marks(partition, 1).await.expect("reads").expect("are kept");
    assert_eq!([0, 1, 2].map(|index| first.get(index)), [Mark::New, Mark::Duplicate, Mark::New]);
    assert_eq!(store.marks(partition, 201).await.expect("reads"), None);
    for (time, expected) in [(0, 0), (1, 0), (2, 1), (300, 200)] {
        assert_eq!(store.last_before(partition, at(time)).await.expect("reads"), expected, "{time}");
    }
    assert_eq!(store.last_before(Partition::new(6), at(100)).await.expect("reads"), 0);

    let below = 150;
    again.mark(201, 201, &events(0..1)).await;
    again.checkpoint(201, Some(below)).await.expect("keeps");
    assert_eq!(store.marks(partition, below - 1).await.expect("reads"), None);
    let left = store.sealed(partition).await.expect("reads");
    assert!(left.runs.iter().all(|run| run.span.last >= below));
    let blocks = numbers(store, partition, 0..left.next_block).await;
    let mut expected: Vec<u64> = left.runs.iter().flat_map(|run| run.blocks.first..run.blocks.end()).collect();
    expected.sort_unstable();
    assert_eq!(blocks, expected, "no block is of no run");
    // Who has lost the partition is told, and changes nothing.
    let late = owner.checkpoint(999, Some(999)).await;
    assert!(matches!(late, Err(Error::Superseded(_))), "{late:?}");
    let missing = owner.archive.sightings(partition, &owner.memory.doubts(&events(50..2_000))).await;
    assert!(matches!(missing, Err(Error::Superseded(_))), "{missing:?}");
}

/// The blocks that are there.
async fn numbers(store: &Store, partition: Partition, range: Range<u64>) -> Vec<u64> {
    let blocks = store.run_blocks(partition, &range.collect::<Vec<_>>()).await.expect("reads");
    let mut numbers: Vec<u64> = blocks.into_iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();
    numbers
}

pub(super) async fn segments_of_an_earlier_release_count_until_the_horizon(store: &Store) {
    let partition = Partition::new(25);
    let limits =
        MemoryLimits { horizon_millis: 1_000, tick_millis: 1, keys: 100, sealed_keys: 1_000_000, run_keys: 1 << 20 };
    let span = BatchSpan { first: 1, last: 4, first_clock: at(10), last_clock: at(40) };
    let keys = (0..2_000).map(|n| (key(n), at(10 + n.cast_signed() % 4 * 10))).collect();
    let (segment, blocks) = earlier::seal(span, keys);
    let mut transaction = store.database.begin().await.expect("begins");
    let row = "INSERT INTO seen_segments (partition, last_seq, first_seq, first_clock, last_clock, keys, blocks, filter) \
               VALUES (25, 4, 1, 10, 40, 2000, $1, $2)";
    let row = sqlx::query(row).bind(i64::from(segment.blocks)).bind(segment.filter.to_bytes());
    row.execute(&mut *transaction).await.expect("writes");
    for (number, block) in (0_i64..).zip(&blocks) {
        let row = "INSERT INTO seen_blocks (partition, segment, block, entries) VALUES (25, 4, $1, $2)";
        let row = sqlx::query(row).bind(number).bind(block.as_bytes().to_vec());
        row.execute(&mut *transaction).await.expect("writes");
    }
    let floor = sqlx::query("INSERT INTO floors (partition, raw_seq) VALUES (25, 4)");
    floor.execute(&mut *transaction).await.expect("writes");
    transaction.commit().await.expect("commits");

    let mut owner = Owner::open(store, partition, limits).await;
    assert_eq!(owner.mark(5, 50, &events([0, 1999, 2000])).await, [true, true, false]);
    // As many as are sealed; then what was seen at 20 is beyond the horizon, at 30 not.
    for raw_seq in 6..10 {
        owner.mark(raw_seq, 50, &events(raw_seq * 10_000..raw_seq * 10_000 + 100)).await;
        owner.checkpoint(raw_seq, None).await.expect("keeps");
    }
    let mut owner = Owner::open(store, partition, limits).await;
    assert!(owner.memory.size().runs > 1);
    let known = owner.mark(10, 1_025, &events([1, 2, 0, 60_000])).await;
    assert_eq!(known, [false, true, true, true], "0 came again since");
    owner.checkpoint(10, Some(5)).await.expect("keeps");
    assert!(store.sealed(partition).await.expect("reads").segments.is_empty());
    assert_eq!(store.blocks(partition, 4, &[0]).await.expect("reads"), []);
}

/// How far the work on a chunk of batches came before the partition changed hands, if it
/// did.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    GoesOn,
    /// Its marks are known, and nothing is stored.
    DiesBefore,
    DiesAfter,
}

/// Chunks of batches: the steps of time, and the ids of events.
type Chunks = Vec<(Vec<(i64, Vec<u64>)>, Fate)>;

fn chunks() -> impl Strategy<Value = Chunks> {
    let batch = (0_i64..400, prop::collection::vec(0_u64..600, 0..40));
    let fate = prop_oneof![3 => Just(Fate::GoesOn), 1 => Just(Fate::DiesBefore), 1 => Just(Fate::DiesAfter)];
    prop::collection::vec((prop::collection::vec(batch, 1..4), fate), 10..50)
}

pub(super) async fn marks_are_those_of_a_plain_set_whoever_has_the_partition(store: &Store) {
    let mut runner = TestRunner::new_with_rng(TestConfig::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    for case in 0..12_u16 {
        let limits = MemoryLimits {
            horizon_millis: 5_000,
            tick_millis: 100,
            keys: 20 + usize::from(case) * 5,
            sealed_keys: 1_000_000,
            run_keys: 64 << (case % 4),
        };
        let chunks = chunks().new_tree(&mut runner).expect("is made").current();
        check(store, Partition::new(100 + case), limits, &chunks).await;
    }
}

async fn check(store: &Store, partition: Partition, limits: MemoryLimits, chunks: &Chunks) {
    // The last time of each.
    let mut seen: HashMap<u64, i64> = HashMap::new();
    let mut owner = Owner::open(store, partition, limits).await;
    let (mut raw_seq, mut clock) = (0, 0);
    for (batches, fate) in chunks {
        for attempt in 0..2 {
            let (mut at_batch, mut now, mut known) = (raw_seq, clock, seen.clone());
            for (step, ids) in batches {
                (at_batch, now) = (at_batch + 1, now + step);
                let oldest = (now - limits.horizon_millis).div_euclid(100) * 100;
                let expected: Vec<bool> =
                    ids.iter().map(|id| known.insert(*id, now).is_some_and(|seen| seen >= oldest)).collect();
                let marks = owner.mark(at_batch, now, &events(ids.iter().copied())).await;
                assert_eq!(marks, expected, "batch {at_batch} of {partition}, {limits:?}, attempt {attempt}");
            }
            if *fate == Fate::DiesBefore && attempt == 0 {
                owner = Owner::open(store, partition, limits).await;
                continue;
            }
            (raw_seq, clock, seen) = (at_batch, now, known);
            let below = owner.memory.prunable();
            owner.checkpoint(raw_seq, below).await.expect("keeps");
            break;
        }
        if *fate == Fate::DiesAfter {
            owner = Owner::open(store, partition, limits).await;
        }
    }
}
