//! What it costs to tell duplicates among many millions of keys, in CPU time of this
//! process, whatever else the machine does.
//!
//! `cargo bench --package tidemill-enrichment --bench duplicates -- sqlite 70` sends 70
//! million different events to one partition, with the keys of 25 hours at 625 a second
//! within the horizon; `postgres` in place of `sqlite` does the same there (without the
//! server's own time). A file of SQLite lies in the folder that `TMPDIR` names.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench tells its figures, or ends")]

use std::time::{Duration, Instant};

use tidemill_domain::Partition;
use tidemill_enrichment::{DuplicatesConfig, measured::MeasuredDuplicates};
use tidemill_testkit::{Postgres, peak_memory, tempdir};

const P: Partition = Partition::new(3);
/// Events of a batch, and batches of a checkpoint.
const BATCH: u64 = 500;
const CHECKPOINT: u64 = 64;
/// A thirty-second of 20,000 events a second, for 25 hours.
const EVENTS_PER_SECOND: u64 = 625;
const HORIZON_SECONDS: u32 = 25 * 3600;
const MILLION: u64 = 1_000_000;
const MIB: f64 = 1_048_576.0;

/// Processor time of all threads so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(") ").expect("a command in parentheses");
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("a number"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// Where the time goes.
#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    looking: Duration,
    marking: Duration,
    condensing: Duration,
    writing: Duration,
    doubts: usize,
    longest_checkpoint: Duration,
}

impl Spent {
    fn tell(&self, before: &Self, events: u64) {
        let each = |now: Duration, before: Duration| (now - before).as_secs_f64() * 1e6 / events as f64;
        println!(
            "    us an event: look-ups {:.2}, table {:.2}, seal and merge {:.2}, checkpoints {:.2}; \
             {:.2} % of events read a block; longest checkpoint {:.2} s",
            each(self.looking, before.looking),
            each(self.marking, before.marking),
            each(self.condensing, before.condensing),
            each(self.writing, before.writing),
            (self.doubts - before.doubts) as f64 * 100.0 / events as f64,
            self.longest_checkpoint.as_secs_f64(),
        );
    }
}

/// Time of one step, added to what such steps took.
async fn timed<T>(sum: &mut Duration, step: impl Future<Output = T>) -> T {
    let before = cpu();
    let result = step.await;
    *sum += cpu() - before;
    result
}

/// A checkpoint's batches.
async fn work(partition: &mut MeasuredDuplicates, first: u64, spent: &mut Spent) {
    for batch in 0..CHECKPOINT {
        let from = first + batch * BATCH;
        partition.take(from..from + BATCH);
        spent.doubts += timed(&mut spent.looking, partition.look_up()).await;
        let clock = (from * 1000 / EVENTS_PER_SECOND).cast_signed();
        let known = timed(&mut spent.marking, async { partition.mark(clock) }).await;
        assert_eq!(known, 0, "each is new");
    }
    let begun = Instant::now();
    timed(&mut spent.condensing, partition.condense()).await;
    timed(&mut spent.writing, partition.checkpoint()).await;
    spent.longest_checkpoint = spent.longest_checkpoint.max(begun.elapsed());
}

async fn run(url: &str, is_postgres: bool, millions: u64) {
    let config = DuplicatesConfig { horizon_seconds: HORIZON_SECONDS, ..DuplicatesConfig::default() };
    let mut partition = MeasuredDuplicates::open(url, P, config).await;
    let empty = partition.disk_bytes(is_postgres).await;
    let (mut spent, mut told, mut sent) = (Spent::default(), Spent::default(), 0);
    for until in (10..=millions).step_by(10) {
        let before = sent;
        while sent < until * MILLION {
            work(&mut partition, sent, &mut spent).await;
            sent += CHECKPOINT * BATCH;
        }
        let size = partition.size();
        let disk = partition.disk_bytes(is_postgres).await - empty;
        println!(
            "{until} million events: {} sealed keys in {} runs, {:.2} bits of memory and {:.2} bytes of disk each, \
             {:.1} hours back, peak of the process {:.0} MiB",
            size.sealed_keys,
            size.runs,
            size.filter_bytes as f64 * 8.0 / size.sealed_keys as f64,
            disk as f64 / size.sealed_keys as f64,
            size.span_millis as f64 / 3_600_000.0,
            peak_memory(std::process::id()).unwrap_or_default() as f64 / MIB,
        );
        spent.tell(&told, sent - before);
        spent.longest_checkpoint = Duration::ZERO;
        told = spent;
    }
    let (begun, before) = (Instant::now(), cpu());
    let sealed = partition.reopen().await;
    println!("opened {sealed} sealed keys in {:.2} s, {:.2} s of CPU", begun.elapsed().as_secs_f64(), {
        (cpu() - before).as_secs_f64()
    });
    again(&mut partition, sent).await;
}

/// Sends old events once more, from anywhere within the horizon.
async fn again(partition: &mut MeasuredDuplicates, sent: u64) {
    let kept = (u64::from(HORIZON_SECONDS) * EVENTS_PER_SECOND).min(sent) * 9 / 10;
    let step = kept / (200 * BATCH);
    let (mut looking, mut doubts) = (Duration::ZERO, 0);
    for batch in 0..200 {
        partition.take((0..BATCH).map(|n| sent - 1 - (batch + n * 200) * step));
        doubts += timed(&mut looking, partition.look_up()).await;
        let known = partition.mark((sent * 1000 / EVENTS_PER_SECOND).cast_signed());
        assert_eq!(known as u64, BATCH, "each is known");
    }
    let each = looking.as_secs_f64() * 1e6 / (200 * BATCH) as f64;
    println!("old events again: {each:.1} us each, {:.2} blocks", doubts as f64 / (200 * BATCH) as f64);
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let millions = arguments.get(1).map_or(10, |text| text.parse().expect("millions of events"));
    match arguments.first().map(String::as_str) {
        Some("sqlite") => {
            let folder = tempdir();
            run(&format!("sqlite://{}/enrichment.db", folder.path().display()), false, millions).await;
        }
        Some("postgres") => match Postgres::start().await {
            Some(server) => run(&server.url(), true, millions).await,
            None => println!("PostgreSQL is not installed"),
        },
        _ => println!("sqlite or postgres, and how many million events"),
    }
}
