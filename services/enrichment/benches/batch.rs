//! What an event costs enrichment from the log's message to its own, in seconds of
//! CPU, whatever else the machine does: read, told from duplicates, joined, written.
//! Without checkpoints, and without NATS.
//!
//! `cargo bench --package tidemill-enrichment --bench batch -- invoice` measures one
//! kind of event (`invoice`, `order`). A number says how many events there are, for a
//! profiler.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench tells its figures, or ends")]

use std::{collections::BTreeMap, time::Duration};

use tidemill_domain::{Partition, Timestamp};
use tidemill_enrichment::measured::MeasuredPartition;
use tidemill_events::{Encoded, Message as _, RawBatch};
use tidemill_testkit::tempdir;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

const EVENTS: u64 = 100_000;
/// A request of a thousand events, over eight partitions.
const BATCH: u64 = 125;
const BEGIN: i64 = 1_764_000_000_000;
const COUNTRIES: [&str; 5] = ["United Kingdom", "Germany", "EIRE", "France", "Spain"];
const CATEGORIES: [&str; 10] =
    ["Books", "Games", "Garden", "Kitchen", "Lighting", "Music", "Office", "Paper", "Toys", "Travel"];

/// Customer and product of an event: different for each, and the same in each run.
fn mixed(n: u64) -> (u64, u64) {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    (mixed % 200_000, (mixed / 200_000) % 3_000)
}

/// An invoice line, as the reference job has it.
fn invoice(n: u64) -> String {
    let (customer, product) = mixed(n);
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"17c-{n}\",\"source\":\"tidemill-bench\",\"type\":\"invoice.line\",\
         \"time\":\"{}\",\"subject\":\"c-{customer}\",\"data\":{{\"invoice\":\"{}\",\"customer_id\":\"c-{customer}\",\
         \"stock_code\":\"P-{product}\",\"description\":\"PRODUCT NUMBER {product}\",\"unit_price\":{}.{:02},\
         \"quantity\":{},\"country\":\"{}\"}}}}\n",
        Timestamp::saturating_from_millis(BEGIN + n as i64 * 3),
        n / 8,
        product % 40,
        product % 100,
        1 + n % 12,
        COUNTRIES[(n % 5) as usize],
    )
}

/// An order of two items.
fn order(n: u64) -> String {
    let (customer, product) = mixed(n);
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"17c-{n}\",\"source\":\"shop\",\"type\":\"order.placed\",\"time\":\"{}\",\
         \"subject\":\"c-{customer}\",\"data\":{{\"order_id\":\"o-{n}\",\"currency\":\"EUR\",\"country\":\"DE\",\
         \"shipping\":\"4.90\",\"items\":[{{\"product_id\":\"P-{product}\",\"quantity\":2,\"unit_price\":\"12.50\"}},\
         {{\"product_id\":\"P-{}\",\"quantity\":1,\"unit_price\":\"3.99\"}}]}},\"partitionkey\":\"o-{n}\"}}\n",
        Timestamp::saturating_from_millis(BEGIN + n as i64 * 3),
        (product + 1) % 3_000,
    )
}

fn batches(events: u64, line: impl Fn(u64) -> String) -> Vec<Encoded> {
    let batch = |first: u64| RawBatch {
        batch_id: Uuid::nil(),
        partition: Partition::new(0),
        ingested_at: Timestamp::saturating_from_millis(BEGIN),
        sources: BTreeMap::from([("tidemill-bench".into(), BATCH as u32)]),
        redriven: Vec::new(),
        lines: (first..first + BATCH).map(&line).collect::<String>().into(),
        trace: None,
    };
    (0..events).step_by(BATCH as usize).map(|first| batch(first).encode().expect("is written")).collect()
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

#[inline(never)]
fn counted_enrich(runtime: &Runtime, partition: &mut MeasuredPartition, batches: &[Encoded]) -> usize {
    runtime.block_on(async {
        let mut bytes = 0;
        for batch in batches {
            bytes += partition.enrich(batch).await.payload.len();
        }
        bytes
    })
}

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let events = named.iter().find_map(|name| name.parse().ok()).unwrap_or(EVENTS);
    let wants = |name: &str| named.iter().all(|wanted| wanted.parse::<u64>().is_ok() || wanted == name);
    let product = |n: u64| (format!("P-{n}"), CATEGORIES[(n % 10) as usize].to_owned());
    let products: Vec<_> = (0..3_000).map(product).collect();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (name, line) in [("invoice", invoice as fn(u64) -> String), ("order", order)] {
        if !wants(name) {
            continue;
        }
        let folder = tempdir();
        let mut partition = runtime.block_on(MeasuredPartition::open(folder.path(), &products));
        // Others with the same products: what is known of these is in memory from here on.
        let others = |n| line(n).replace("\"17c-", "\"17b-").replace("\"o-", "\"p-");
        for batch in batches(events.min(10_000), others) {
            runtime.block_on(partition.enrich(&batch));
        }
        let batches = batches(events, line);
        let before = cpu();
        let bytes = counted_enrich(&runtime, &mut partition, &batches);
        let seconds = (cpu() - before).as_secs_f64();
        println!(
            "{name:<8} {:>10.0} events/s of CPU, {:>6.3} us each, {} bytes",
            events as f64 / seconds,
            seconds / events as f64 * 1e6,
            bytes as u64 / events
        );
    }
}
