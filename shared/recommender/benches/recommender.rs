//! What a question and an interaction cost, with 1,000,000 sessions and 100,000
//! items: 5,000,000 interactions in 8 partitions, items by Zipf's law.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench")]

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use divan::{Bencher, black_box};
use rustix::time::{ClockId, clock_gettime};
use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::{Index, Interaction, InteractionKind, Query, Recent, RecommenderSettings};

const SESSIONS: u64 = 1_000_000;
const ITEMS: f64 = 100_000.0;
const BEGIN: i64 = 1_700_000_000_000;

/// A sequence of numbers that is the same in every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An item, the n-th most popular with a probability of about 1/n.
    fn item(&mut self) -> u64 {
        ITEMS.powf(self.share()) as u64
    }

    /// The items of a session: some are near each other.
    fn session(&mut self) -> Vec<String> {
        let about = self.item();
        let near = |numbers: &mut Self| {
            if numbers.next().is_multiple_of(2) { about + numbers.next() % 20 } else { numbers.item() }
        };
        let length = 2 + self.next() % 7;
        (0..length).map(|_| format!("item-{}", near(self))).collect()
    }
}

fn learn(index: &mut Index, numbers: &mut Numbers, session: u64) {
    let visitor = format!("visitor-{}", numbers.next() % (SESSIONS / 2));
    let partition = Partition::new((session % 8) as u16);
    for (at, item) in numbers.session().iter().enumerate() {
        let at = Timestamp::saturating_from_millis(BEGIN + session as i64 * 1000 + at as i64 * 20_000);
        index.learn(&Interaction { partition, visitor: &visitor, item, kind: InteractionKind::View, at });
    }
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let settings = RecommenderSettings { interactions_per_partition: 1_000_000, ..RecommenderSettings::default() };
        let (mut index, mut numbers) = (Index::new(settings).expect("valid"), Numbers(1));
        let start = Instant::now();
        (0..SESSIONS).for_each(|session| learn(&mut index, &mut numbers, session));
        let (took, bytes) = (start.elapsed(), index.bytes() >> 20);
        let (sessions, items) = (index.session_count(), index.item_count());
        println!("{sessions} sessions, {items} items, {bytes} MiB by estimate, learnt in {took:.1?}");
        percentiles(&index);
        index
    })
}

fn queries() -> Vec<Vec<Recent>> {
    let mut numbers = Numbers(2);
    let at = Timestamp::saturating_from_millis(BEGIN + SESSIONS as i64 * 1000);
    let recent = |item: String| Recent { item, kind: InteractionKind::View, at };
    (0..4096).map(|_| numbers.session().into_iter().map(recent).collect()).collect()
}

fn ask(index: &Index, items: &[Recent]) -> usize {
    let at = Timestamp::saturating_from_millis(BEGIN + SESSIONS as i64 * 1000);
    index.recommend(&Query { visitor: None, items, at, n: 20 }, |_| true).len()
}

/// What this thread has computed so far: other work of the machine is not in it.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn percentiles(index: &Index) {
    let mut took: Vec<_> = queries()
        .iter()
        .map(|items| {
            let start = processor_time();
            black_box(ask(index, items));
            processor_time() - start
        })
        .collect();
    took.sort_unstable();
    let of = |share: usize| took[took.len() * share / 1000];
    println!("recommend, of processor time: p50 {:?}, p90 {:?}, p99 {:?}", of(500), of(900), of(990));
}

#[divan::bench]
fn recommend(bencher: Bencher<'_, '_>) {
    let (index, queries, next) = (index(), queries(), AtomicUsize::new(0));
    bencher.bench(|| ask(index, &queries[next.fetch_add(1, Ordering::Relaxed) % queries.len()]));
}

#[divan::bench]
fn similar(bencher: Bencher<'_, '_>) {
    let index = index();
    bencher.bench(|| index.similar(black_box("item-7"), 20, |_| true));
}

#[divan::bench(sample_count = 20)]
fn trending(bencher: Bencher<'_, '_>) {
    let now = Timestamp::saturating_from_millis(BEGIN + SESSIONS as i64 * 1000);
    let index = index();
    bencher.bench(|| index.trending(black_box(now), 20, |_| true));
}

/// A session of two to eight interactions.
#[divan::bench(sample_count = 1000, sample_size = 1)]
fn learn_a_session(bencher: Bencher<'_, '_>) {
    let (mut index, mut numbers, mut session) = (index().clone(), Numbers(3), SESSIONS);
    bencher.bench_local(|| {
        session += 1;
        learn(&mut index, &mut numbers, session);
    });
}

/// The pages of 1,000 sessions.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn take_changes(bencher: Bencher<'_, '_>) {
    let (mut index, mut numbers, mut session) = (index().clone(), Numbers(4), 2 * SESSIONS);
    (0..8).for_each(|partition| drop(index.take_changes(Partition::new(partition))));
    bencher.bench_local(|| {
        for _ in 0..1000 {
            session += 1;
            learn(&mut index, &mut numbers, session);
        }
        (0..8).map(|partition| index.take_changes(Partition::new(partition)).pages.len()).sum::<usize>()
    });
}

fn main() {
    divan::main();
}
