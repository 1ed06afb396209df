//! What bronze and silver cost, from the messages of the log to commits of their
//! tables: seconds of CPU, bytes on disk, memory. Without NATS, on one thread.
//!
//! `cargo bench --package tidemill-lake --bench layers -- 500000` takes so many events,
//! and `numbered` gives them ids that count up instead of UUIDs. In the end every event
//! is looked for in every table.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench tells its figures, or ends")]

use std::{collections::BTreeMap, path::Path, time::Duration};

use tidemill_domain::Partition;
use tidemill_enrichment::measured::MeasuredPartition;
use tidemill_events::{Encoded, Message as _, RawBatch};
use tidemill_lake::measured::MeasuredLake;
use tidemill_testkit::tempdir;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

const EVENTS: u64 = 500_000;
/// A request of a thousand events, over eight partitions.
const BATCH: u64 = 125;
/// Events in a commit: ten seconds of a partition at 5,000 events a second.
const COMMIT: u64 = 50_000;
const CATEGORIES: [&str; 10] =
    ["Books", "Games", "Garden", "Kitchen", "Lighting", "Music", "Office", "Paper", "Toys", "Travel"];
const COUNTRIES: [&str; 6] = ["DE", "FR", "GB", "IE", "ES", "DE"];
/// The columns that every row of bronze is looked for by.
const PLACE: [&str; 2] = ["raw_seq", "index"];

/// A shop's events: 60 % views, 25 % carts, 13 % orders of one to three lines, and
/// 2 % that take one back.
struct Shop {
    is_numbered: bool,
}

/// Bits that differ for each number, the same in each run.
fn mixed(n: u64, of: u64) -> u64 {
    let mut bits = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ of.wrapping_mul(0xD1B5_4A32_D192_ED03);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Shop {
    fn id(&self, n: u64) -> String {
        match self.is_numbered {
            true => format!("17c-{n}"),
            false => Uuid::from_u64_pair(mixed(n, 1), mixed(n, 2)).to_string(),
        }
    }

    fn line(&self, n: u64) -> String {
        let bits = mixed(n, 3);
        let (customer, kind) = (bits % 200_000, n % 100);
        let (name, data, key) = match kind {
            0..60 => (
                "product.viewed",
                format!(r#""product_id":"P-{}","session_id":"s-{}""#, product(bits, 0), bits >> 44),
                None,
            ),
            60..85 => ("cart.item_added", item(bits, 0), None),
            85..98 => ("order.placed", order(n, bits), Some(n)),
            // An order that was placed a while ago, of another customer's event.
            _ => (
                "order.cancelled",
                format!(r#""order_id":"o-{0}","currency":"EUR","reason":"changed my mind""#, earlier(n)),
                Some(earlier(n)),
            ),
        };
        let time = MeasuredLake::BEGIN.plus_millis(i64::try_from(n).expect("few") / 5);
        let key = key.map(|order| format!(r#","partitionkey":"o-{order}""#)).unwrap_or_default();
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"shop\",\"type\":\"{name}\",\"time\":\"{time}\",\
             \"subject\":\"c-{customer}\",\"clientip\":\"203.0.{}.{}\",\"data\":{{{data}}}{key}}}\n",
            self.id(n),
            customer % 4,
            customer / 4 % 256,
        )
    }
}

fn product(bits: u64, place: u64) -> u64 {
    mixed(bits, place) % 3_000
}

fn item(bits: u64, place: u64) -> String {
    let product = product(bits, place);
    let (quantity, cents) = (1 + (bits >> 8) % 3, 500 + product * 7 % 9_500);
    format!(r#""product_id":"P-{product}","quantity":{quantity},"unit_price":"{}.{:02}""#, cents / 100, cents % 100)
}

fn order(n: u64, bits: u64) -> String {
    let items: Vec<_> = (0..1 + (bits >> 20) % 3).map(|place| format!("{{{}}}", item(bits, place))).collect();
    let country = COUNTRIES[usize::try_from(bits % 6).expect("small")];
    format!(r#""order_id":"o-{n}","items":[{}],"currency":"EUR","billing_country":"{country}""#, items.join(","))
}

/// The order that this event takes back: placed up to 200,000 events before.
fn earlier(n: u64) -> u64 {
    let back = 1 + mixed(n, 5) % 2_000;
    (n / 100).saturating_sub(back) * 100 + 85
}

impl Shop {
    /// Messages of `RAW` and `ENRICHED`, and the bytes of their lines.
    fn messages(
        &self,
        runtime: &Runtime,
        enrichment: &mut MeasuredPartition,
        first: u64,
    ) -> Vec<(Encoded, Encoded, usize)> {
        let message = |first: u64| {
            let lines: String = (first..first + BATCH).map(|n| self.line(n)).collect();
            let bytes = lines.len();
            let raw = RawBatch {
                batch_id: Uuid::nil(),
                partition: Partition::new(0),
                ingested_at: MeasuredLake::BEGIN.plus_millis(i64::try_from(first).expect("few") / 5),
                sources: BTreeMap::from([("shop".into(), BATCH as u32)]),
                redriven: Vec::new(),
                lines: lines.into(),
                trace: None,
            };
            let raw = raw.encode().expect("is written");
            let enriched = runtime.block_on(enrichment.enrich(&raw));
            (raw, enriched, bytes)
        };
        (first..first + COMMIT).step_by(BATCH as usize).map(message).collect()
    }
}

/// What this process has had, in user and system mode, with threads that have ended.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// Megabytes of the most memory that it had.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("is told");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") / 1024
}

/// Bytes of the data files below a folder.
fn bytes_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true if entry.file_name() == "_delta_log" => 0,
            true => bytes_of(&entry.path()),
            false => entry.metadata().map_or(0, |data| data.len()),
        })
        .sum()
}

#[derive(Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn take<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let before = cpu();
        let done = work();
        let spent = cpu() - before;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += spent,
            None => self.0.push((name, spent)),
        }
        done
    }
}

#[inline(never)]
fn counted_bronze(lake: &mut MeasuredLake, messages: &[(Encoded, Encoded, usize)], first: u64) {
    for (seq, (raw, _, _)) in (first..).zip(messages) {
        lake.bronze(raw, seq);
    }
}

#[inline(never)]
fn counted_silver(lake: &mut MeasuredLake, messages: &[(Encoded, Encoded, usize)]) {
    messages.iter().for_each(|(_, enriched, _)| lake.silver(enriched));
}

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let events: u64 = named.iter().find_map(|name| name.parse().ok()).unwrap_or(EVENTS);
    let shop = Shop { is_numbered: named.iter().any(|name| name == "numbered") };
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempdir();
    let (lake_folder, enrichment_folder) = (folder.path().join("lake"), folder.path().join("enrichment"));
    std::fs::create_dir(&enrichment_folder).expect("a folder");
    let products: Vec<_> = (0..3_000).map(|n| (format!("P-{n}"), CATEGORIES[(n % 10) as usize].to_owned())).collect();
    let mut enrichment = runtime.block_on(MeasuredPartition::open(&enrichment_folder, &products));
    let mut lake = runtime.block_on(MeasuredLake::open(&lake_folder));
    let (mut steps, mut sent, mut raw_seq) = (Steps::default(), 0_usize, 1_u64);
    let mut new = [0_usize; 4];
    for first in (0..events).step_by(COMMIT as usize) {
        let messages = shop.messages(&runtime, &mut enrichment, first);
        sent += messages.iter().map(|(_, _, bytes)| bytes).sum::<usize>();
        steps.take("bronze: read", || counted_bronze(&mut lake, &messages, raw_seq));
        steps.take("silver: read", || counted_silver(&mut lake, &messages));
        raw_seq += messages.len() as u64;
        let parts = steps.take("rows to batches", || lake.parts());
        new[0] += steps.take("bronze.events", || runtime.block_on(lake.commit_bronze(&parts)));
        new[1] += steps.take("silver.events", || runtime.block_on(lake.commit_events(&parts)));
        new[2] += steps.take("silver.order_lines", || runtime.block_on(lake.commit_lines(&parts)));
        new[3] += steps.take("silver.orders", || runtime.block_on(lake.commit_orders(&parts)));
    }
    let events = events.div_ceil(COMMIT) * COMMIT;
    let total: Duration = steps.0.iter().map(|(_, spent)| *spent).sum();
    for (name, spent) in &steps.0 {
        println!("{name:<20} {:>7.3} us an event", spent.as_secs_f64() / events as f64 * 1e6);
    }
    println!("{:<20} {:>7.0} events/s of CPU", "all", events as f64 / total.as_secs_f64());
    println!("{:<20} {:>7} MB", "peak memory", peak_megabytes());
    println!("{:<20} {:>7.1} bytes an event", "NDJSON", sent as f64 / events as f64);
    for table in ["bronze/events", "silver/events", "silver/order_lines", "silver/orders"] {
        println!("{table:<20} {:>7.1} bytes an event", bytes_of(&lake_folder.join(table)) as f64 / events as f64);
    }
    assert_eq!(new[..2], [events as usize; 2], "every event is in bronze and in silver");
    runtime.block_on(check(&lake_folder, events));
}

/// Every event is there once, in both layers.
async fn check(folder: &Path, events: u64) {
    for table in ["bronze/events", "silver/events"] {
        let mut places = MeasuredLake::rows(folder, table, &PLACE).await;
        places.sort();
        places.dedup();
        assert_eq!(places.len() as u64, events, "{table}");
    }
}
