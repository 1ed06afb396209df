//! What window totals cost reporting, in seconds of CPU, whatever else the
//! machine does.
//!
//! `cargo bench -p tidemill-reporting --bench fold -- sqlite` measures one of them
//! (`read`, `sqlite`, `postgres`), once and for a profiler too. Without a name it
//! measures all.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench tells its figures, or ends")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tidemill_domain::{Amount, BaseAmount, Currency, Partition, ReadAmount, Timestamp};
use tidemill_events::{CellGroup, CellMetric, CellUpdate, Encoded, Message as _, MetricsUpdate};
use tidemill_reporting::measured::{MeasuredReadModel, MeasuredUpdates};
use tidemill_testkit::{Postgres, tempdir};
use tidemill_totals::{Measure, MeasureTotal, Totals};
use tokio::runtime::Runtime;

const MINUTE: i64 = 60_000;
const PARTITIONS: u64 = 4;
/// Folds, and in each what changed: lines of so many minutes, 30 in each, of which
/// some were touched by the fold before.
const FOLDS: u64 = 12;
const MINUTES: u64 = 400;
const AGAIN: u64 = 40;
const LINES: u64 = 30;
/// Totals in one message.
const CELLS: usize = 400;
const CATEGORIES: u64 = 10;
const COUNTRIES: u64 = 13;

/// Different for each, and the same in each run.
fn mixed(n: u64) -> u64 {
    (n ^ (n >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

fn totals(lines: u64) -> Totals {
    let mut net = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    let amount = ReadAmount { amount: Amount::from_micros(12_340_000 * i128::from(lines)), rounded: false };
    net.add_money(amount, Some(BaseAmount { base: Currency::EUR, converted: None }));
    let mut totals = Totals::of([
        Measure::DistinctKeyed(1),
        Measure::Count(lines),
        Measure::Sum(Amount::from_int(5 + lines as i64)),
    ]);
    totals.0.insert(2, net);
    totals
}

/// The messages of one fold.
fn messages(metric: &Arc<CellMetric>, fold: u64) -> Vec<Encoded> {
    let first = fold * (MINUTES - AGAIN);
    let mut messages = Vec::new();
    for partition in 0..PARTITIONS {
        let mut cells = BTreeSet::new();
        for line in first * LINES..(first + MINUTES) * LINES {
            let mixed = mixed(line);
            if mixed % PARTITIONS == partition {
                // Popular categories and countries, and others.
                let (category, country) = (mixed / 8 % 100, mixed / 1024 % 100);
                let place = (category * category * CATEGORIES / 10_000, country * country * COUNTRIES / 10_000);
                cells.insert((line / LINES, place));
            }
        }
        let cells: Vec<CellUpdate> =
            cells.into_iter().map(|(minute, place)| cell(metric, minute, place, fold)).collect();
        for (part, cells) in (0..).zip(cells.chunks(CELLS)) {
            messages.push(message(Partition::new(partition as u16), fold + 1, part, cells.to_vec()));
        }
    }
    messages
}

fn cell(metric: &Arc<CellMetric>, minute: u64, (category, country): (u64, u64), fold: u64) -> CellUpdate {
    let values = [format!("Category {category}"), format!("Country {country}"), "EUR".to_owned()];
    let start = Timestamp::saturating_from_millis(1_764_000_000_000 + minute as i64 * MINUTE);
    CellUpdate {
        group: CellGroup { metric: Arc::clone(metric), values: values.into_iter().map(Arc::from).collect() },
        start,
        end: start.plus_millis(MINUTE),
        totals: totals(1 + fold % 3),
        exemplar: None,
        retracted: false,
    }
}

fn message(partition: Partition, raw_seq: u64, part: u32, cells: Vec<CellUpdate>) -> Encoded {
    let update = MetricsUpdate {
        partition,
        raw_seq,
        raw_prev: raw_seq - 1,
        part,
        as_of: Timestamp::EPOCH,
        watermark: None,
        idle: false,
        cells,
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: None,
    };
    update.encode().expect("is written")
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

/// Prints what `work` on `count` cells took.
fn measure<T>(name: &str, count: usize, work: impl FnOnce() -> T) -> T {
    let before = cpu();
    let done = work();
    let seconds = (cpu() - before).as_secs_f64();
    println!("{name:<12} {:>8.3} us of CPU a cell", seconds / count as f64 * 1e6);
    done
}

fn write(name: &str, url: &str, folds: &[MeasuredUpdates]) {
    let runtime = Runtime::new().expect("a runtime");
    let mut store = runtime.block_on(MeasuredReadModel::open(url));
    let count = folds.iter().map(MeasuredUpdates::cells).sum();
    measure(name, count, || folds.iter().for_each(|fold| runtime.block_on(store.fold(fold))));
}

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |name: &str| named.is_empty() || named.iter().any(|wanted| wanted == name);
    let dimensions = ["category", "country", "currency"].map(str::to_owned).into();
    let metric = Arc::new(CellMetric { name: "invoice_minutes".into(), version: "0123456789ab".into(), dimensions });
    let messages: Vec<_> = (0..FOLDS).map(|fold| messages(&metric, fold)).collect();
    let bytes: usize = messages.iter().flatten().map(|message| message.payload.len()).sum();
    let mut folds: Vec<MeasuredUpdates> = messages.iter().map(|messages| MeasuredUpdates::of(messages)).collect();
    let count = folds.iter().map(MeasuredUpdates::cells).sum();
    println!("{count} cells of {} bytes", bytes / count);
    if wants("read") {
        folds = measure("read", count, || messages.iter().map(|messages| MeasuredUpdates::of(messages)).collect());
    }
    if wants("sqlite") {
        let folder = tempdir();
        let file = folder.path().join("reporting.db");
        write("sqlite", &format!("sqlite://{}", file.display()), &folds);
        println!(
            "{:<12} {:>8} bytes a cell",
            "on disk",
            std::fs::metadata(file).map_or(0, |file| file.len()) / count as u64
        );
    }
    if wants("postgres") {
        let runtime = Runtime::new().expect("a runtime");
        match runtime.block_on(Postgres::start()) {
            Some(server) => write("postgres", &server.url(), &folds),
            None => println!("postgres     is not installed"),
        }
    }
}
