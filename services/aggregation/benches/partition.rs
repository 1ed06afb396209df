//! What a partition costs, in seconds of CPU, whatever else the machine does:
//! folding events, telling of totals, and checkpoints.
//!
//! `cargo bench -p tidemill-aggregation --bench partition -- fold` measures one of
//! them (`fold`, `defaults`, `messages`, `points`, `sqlite`, `postgres`), once and
//! for a profiler too. Without a name it measures all. A number says how many events,
//! or totals in a checkpoint, there are; half of it is a multiple of 50.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench tells its figures, or ends")]

use std::{path::Path, time::Duration};

use tidemill_aggregation::measured::{MeasuredChanges, MeasuredFold, MeasuredStore};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Encoded, EnrichedBatch, Message as _, MetricsUpdate};
use tidemill_testkit::{Postgres, tempdir};
use tokio::runtime::Runtime;

const P: Partition = Partition::new(3);
const EVENTS: u64 = 100_000;
const BATCH: u64 = 1_000;
/// Events in a checkpoint, and totals: each is of a minute, a category and a
/// country.
const CHECKPOINTS: u64 = 5;
const CELLS: u64 = 10_000;
const COUNTRIES: [&str; 5] = ["United Kingdom", "Germany", "EIRE", "France", "Spain"];
const CATEGORIES: [&str; 10] =
    ["Books", "Games", "Garden", "Kitchen", "Lighting", "Music", "Office", "Paper", "Toys", "Travel"];

/// Invoice lines, as enrichment leaves them, `per_minute` a minute.
fn line(n: u64, per_minute: u64) -> String {
    let time = Timestamp::saturating_from_millis(1_764_000_000_000 + (n * 60_000 / per_minute) as i64);
    // Different for each line, and the same in each run.
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let (customer, product, quantity) = (mixed % 4_000, (mixed / 4_000) % 3_000, 1 + mixed % 12);
    let country = COUNTRIES[(n % 5) as usize];
    let category = CATEGORIES[(n / 5 % 10) as usize];
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"17c-{n}\",\"source\":\"tidemill-bench\",\"type\":\"invoice.line\",\
         \"time\":\"{time}\",\"subject\":\"c-{customer}\",\"data\":{{\"invoice\":\"{}\",\"customer_id\":\"c-{customer}\",\
         \"stock_code\":\"P-{product}\",\"description\":\"PRODUCT NUMBER {product}\",\"unit_price\":{}.{:02},\
         \"quantity\":{quantity},\"country\":\"{country}\"}},\"partitionkey\":\"c-{customer}\",\"enriched\":{{\"refdata\":1,\
         \"region\":\"Europe\",\"country\":\"GB\",\"currency\":\"GBP\",\"items\":[{{\"category\":\"{category}\"}}],\
         \"quality\":[\"customer_unknown\"]}}}}\n",
        n / 8,
        product % 40,
        product % 100,
    )
}

fn batches(events: u64, per_minute: u64, mut raw_seq: u64) -> Vec<EnrichedBatch> {
    let mut batch = |first: u64| {
        raw_seq += 1;
        EnrichedBatch {
            partition: P,
            raw_seq,
            raw_prev: raw_seq - 1,
            remade: None,
            ingested_at: Timestamp::saturating_from_millis(1_764_000_000_000),
            refdata: 1,
            count: BATCH as u32,
            types: None,
            lines: (first..first + BATCH).map(|n| line(n, per_minute)).collect::<String>().into(),
            trace: None,
        }
    };
    (0..events).step_by(BATCH as usize).map(&mut batch).collect()
}

/// What all threads together have had, as Linux tells it.
fn cpu() -> Duration {
    let nanoseconds = |thread: std::fs::DirEntry| {
        let told = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        told.split(' ').next()?.parse::<u64>().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux tells of its threads");
    Duration::from_nanos(threads.flatten().filter_map(nanoseconds).sum())
}

/// Prints what `work` on `count` things took.
fn measure<T>(name: &str, count: u64, unit: &str, work: impl FnOnce() -> T) -> T {
    let before = cpu();
    let done = work();
    let seconds = (cpu() - before).as_secs_f64();
    println!(
        "{name:<12} {:>10.0} {unit}/s of CPU, {:>8.3} us each",
        count as f64 / seconds,
        seconds / count as f64 * 1e6
    );
    done
}

#[inline(never)]
fn counted_fold(partition: &mut MeasuredFold, batches: &[EnrichedBatch]) -> u64 {
    batches.iter().map(|batch| partition.apply(batch)).sum()
}

fn fold(name: &str, events: u64, definitions: Option<&Path>) {
    let batches = batches(events, 20_000, 0);
    let mut partition = MeasuredFold::new(P, definitions);
    let counted = measure(name, events, "events", || counted_fold(&mut partition, &batches));
    assert_eq!(counted, events);
}

/// So many totals change in each: first all are new, then all are known.
fn changes(partition: &mut MeasuredFold, cells: u64) -> Vec<MeasuredChanges> {
    let of = |n| {
        // Fifty totals a minute, two events in each.
        for batch in batches(cells * 2, 100, n * cells) {
            partition.apply(&batch);
        }
        partition.take_changes()
    };
    let changes: Vec<_> = (0..CHECKPOINTS).map(of).collect();
    assert!(changes.iter().all(|changes| changes.cells() as u64 == cells));
    changes
}

/// In the thread that calls it: the database has one of its own.
#[inline(never)]
fn counted_checkpoint(runtime: &Runtime, store: &MeasuredStore, changes: &MeasuredChanges) {
    runtime.block_on(store.write(changes));
}

fn checkpoints(name: &str, url: &str, changes: &[MeasuredChanges]) {
    let runtime = Runtime::new().expect("a runtime");
    let store = runtime.block_on(MeasuredStore::open(url, P));
    for (what, changes) in [("new", &changes[..1]), ("known", &changes[1..])] {
        let count = changes.iter().map(|changes| changes.cells() as u64).sum();
        measure(&format!("{name} {what}"), count, "cells", || {
            changes.iter().for_each(|changes| counted_checkpoint(&runtime, &store, changes));
        });
    }
}

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let number = named.iter().find_map(|name| name.parse::<u64>().ok());
    let (events, cells) = (number.unwrap_or(EVENTS), number.unwrap_or(CELLS));
    let is_all = named.iter().all(|name| name.parse::<u64>().is_ok());
    let wants = |name: &str| is_all || named.iter().any(|wanted| wanted == name);
    let minutes = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/definitions");
    if wants("fold") {
        fold("fold", events, Some(&minutes));
    }
    if wants("defaults") {
        fold("defaults", events, None);
    }
    if !["messages", "points", "sqlite", "postgres"].into_iter().any(wants) {
        return;
    }
    let mut partition = MeasuredFold::new(P, Some(&minutes));
    let changes = changes(&mut partition, cells);
    let all = cells * CHECKPOINTS;
    if wants("messages") {
        let write = || changes.iter().flat_map(MeasuredChanges::messages).collect::<Vec<_>>();
        let messages = measure("messages", all, "cells", write);
        let read = |message: &Encoded| MetricsUpdate::decode(message, message.payload.clone()).expect("a message");
        let cells = measure("read", all, "cells", || messages.iter().map(|m| read(m).cells.len() as u64).sum::<u64>());
        assert_eq!(cells, all);
    }
    if wants("points") {
        measure("points", all, "cells", || changes.iter().map(|changes| partition.points(changes)).sum::<usize>());
    }
    if wants("sqlite") {
        let folder = tempdir();
        checkpoints("sqlite", &format!("sqlite://{}/aggregation.db", folder.path().display()), &changes);
    }
    if wants("postgres") {
        let runtime = Runtime::new().expect("a runtime");
        match runtime.block_on(Postgres::start()) {
            Some(server) => checkpoints("postgres", &server.url(), &changes),
            None => println!("postgres     is not installed"),
        }
    }
}
