//! A model test: generated logs, crashes at every step, hand-overs, owners that
//! go on after they lost the partition, and lost ends of `METRICS`, against the
//! rules in their plainest form.
//!
//! Everything that an owner does is the real code on a real store; NATS and the
//! metrics store are a list and a map. Checked is, of every message ever
//! published, that its totals and books are those of exactly the prefix of the
//! log that it names; and that what a reader and the metrics store know in the
//! end is the whole.

mod case;
mod check;
mod owners;
mod sink;
mod truth;
mod world;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};

use proptest::test_runner::{Config as Cases, TestCaseError, TestRunner};
use tidemill_domain::{Partition, Timestamp};
use tidemill_service::Context;
use tidemill_testkit::{Postgres, skipped, tempdir};
use tokio::runtime::Runtime;

use self::{
    case::{Case, DEFINITIONS, LATENESS, OUT_OF_ORDER, SOURCES, case},
    check::{check, check_points},
    owners::Owners,
    world::{World, lock},
};
use super::flush::write_stale_points;
use crate::{
    config::Windows,
    fold::session::TimeSpan,
    store::{PageRules, Store},
    testing,
};

async fn run(case: &Case, store: &Store, partition: Partition) -> Result<(), TestCaseError> {
    let mut store = store.clone();
    if case.little_memory {
        store.rules = PageRules { page_bytes: 200, runs: 3, ..PageRules::default() };
    }
    let windows = Windows {
        out_of_orderness_seconds: OUT_OF_ORDER as u32,
        allowed_lateness_seconds: LATENESS as u32,
        retention_days: case.retention.into(),
        max_sources: SOURCES as u32,
        max_cells_in_memory: if case.little_memory { 2 } else { 1000 },
        ..Windows::default()
    };
    let owners = Arc::new(Owners {
        store,
        metrics: testing::metrics(DEFINITIONS).into(),
        windows: windows.into(),
        world: Arc::new(Mutex::new(World::new(case, partition))),
    });
    let mut actor = owners.open().await;
    for step in &case.steps {
        actor = owners.play(actor, step).await;
    }
    // In the end everything is delivered to somebody who lives on.
    drop(actor);
    let mut last = owners.open().await;
    let all = lock(&owners.world).log.len();
    while lock(&owners.world).acknowledged < all {
        last = owners.work_or_die(last, &[2], 0).await;
    }
    let points = Some(&last.sink);
    write_stale_points(points, &owners.store, &last.owner.claim, &owners.metrics).await.expect("is the owner");
    check(&lock(&owners.world), &owners.metrics, case.retention)?;
    // All partitions are read, so not for each of very many.
    if case.retention || partition.index() >= 100 {
        return Ok(());
    }
    let mut points = Vec::new();
    let span =
        TimeSpan { from: Timestamp::saturating_from_millis(i64::MIN), to: Timestamp::saturating_from_millis(i64::MAX) };
    for metric in owners.metrics.iter() {
        points.extend(owners.store.points(metric, span, usize::MAX).await.expect("reads"));
    }
    check_points(&lock(&owners.world), &owners.metrics, points)
}

fn whatever_happens_totals_and_books_are_those_of_the_log(url: String, runtime: &Runtime, cases: u32) {
    let partitions = AtomicU16::new(0);
    let config = tidemill_store::Config { url, max_connections: 2 };
    let breaker = Context::new("aggregation").breaker("store");
    let store = runtime.block_on(Store::open(&config, breaker)).expect("opens");
    // A long run: PROPTEST_CASES=2000.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let cases = Cases { cases, max_shrink_iters: 2000, failure_persistence: None, ..Cases::default() };
    let outcome = TestRunner::new(cases).run(&case(), |case| {
        // Each case on a partition of its own, in one store.
        let partition = Partition::new(partitions.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(run(&case, &store, partition))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn whatever_happens_totals_and_books_are_those_of_the_log_on_sqlite() {
    let folder = tempdir();
    let url = format!("sqlite://{}/aggregation.db", folder.path().display());
    whatever_happens_totals_and_books_are_those_of_the_log(url, &runtime(), 48);
}

#[test]
fn whatever_happens_totals_and_books_are_those_of_the_log_on_postgres() {
    let runtime = runtime();
    let Some(server) = runtime.block_on(Postgres::start()) else {
        return skipped(
            "whatever_happens_totals_and_books_are_those_of_the_log_on_postgres",
            "no PostgreSQL is installed",
        );
    };
    whatever_happens_totals_and_books_are_those_of_the_log(server.url(), &runtime, 12);
}
