//! `tidemill bench`: loads a suite at a fixed rate, and checks every total.

mod compare;
mod error;
mod events;
mod histogram;
mod metric;
mod random;
mod schedule;
mod sending;
mod settle;
mod shape;
mod summary;
mod truth;
mod watching;
mod workload;
mod writing;

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use tidemill_domain::{Clock, SystemClock, Timestamp};
use tokio::time::{Instant, sleep};

use crate::{
    arguments::{BenchArguments, reporting_url},
    client::{Client, Keys},
    commands, progress,
    shop_file::ShopFile,
    suite::{Extras, Whereabouts, with_suite},
};
use metric::CheckedMetric;
use schedule::Schedule;
use sending::SentLoad;
use shape::CATEGORIES;
use summary::{LoadSummary, own_cpu_seconds, rounded};
use watching::ProbeWatch;
use workload::{Workload, category};
use writing::{Generator, product_id};

pub use error::BenchError;
pub use shape::Shape;

const EVENTS: u64 = 100_000;
const PER_MINUTE: u64 = 60_000;
/// Probes a second.
const PROBES: u64 = 100;
/// How long the live stream may take to show the last probe.
const LIVE_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const POLL: Duration = Duration::from_millis(50);

/// Runs the command.
pub async fn run(arguments: BenchArguments) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(file) = &arguments.catalogue {
        write_catalogue(file, arguments.products)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(file) = &arguments.write {
        write_events(file, &Generator::new(workload(&arguments, SystemClock.now()), arguments.batch.into()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(ingestion) = arguments.ingestion_url.clone() else {
        let work = async |suite: Whereabouts| -> Result<ExitCode, Box<dyn Error>> {
            load(&arguments, &suite.client(Keys::default())).await
        };
        return match with_suite(&ShopFile::private(), Extras::default(), work).await? {
            Some(code) => Ok(code),
            None => Err("ended before everything was sent and counted".into()),
        };
    };
    let keys = Keys { write: arguments.write_key.clone(), read: arguments.read_key.clone() };
    let client = Client::of_suite(ingestion, reporting_url(arguments.reporting_url.as_ref())?, &keys)?;
    client.confirm_ingestion().await?;
    client.confirm_reporting(true).await?;
    load(&arguments, &client).await
}

/// The products as a reference file of enrichment.
fn write_catalogue(file: &Path, products: u32) -> Result<(), BenchError> {
    let lines = (0..products).map(|n| format!("{},{}\n", product_id(n), CATEGORIES[category(n)]));
    let text: String = std::iter::once("id,category\n".to_owned()).chain(lines).collect();
    std::fs::write(file, text).map_err(failed(file))
}

/// The events as they would be sent.
fn write_events(file: &Path, generator: &Generator) -> Result<(), BenchError> {
    let mut out = BufWriter::new(File::create(file).map_err(failed(file))?);
    (0..generator.requests())
        .try_for_each(|request| out.write_all(&generator.body(request)))
        .and_then(|()| out.flush())
        .map_err(failed(file))
}

fn failed(file: &Path) -> impl Fn(std::io::Error) -> BenchError {
    move |error| BenchError::File { path: file.into(), reason: error.to_string() }
}

fn workload(arguments: &BenchArguments, now: Timestamp) -> Workload {
    let rate = arguments.rate.map(|rate| u64::from(rate.get()));
    let by_duration = rate.zip(arguments.duration).map(|(rate, seconds)| rate * seconds);
    let events = arguments.events.or(by_duration).unwrap_or(EVENTS);
    let in_step = rate.filter(|_| arguments.per_minute.is_none());
    let per_minute = arguments.per_minute.or(rate.map(|rate| rate * 60)).unwrap_or(PER_MINUTE);
    let workload = Workload {
        shape: arguments.shape,
        events,
        seed: arguments.seed,
        customers: arguments.customers,
        products: arguments.products,
        padding: arguments.padding,
        begin: now,
        per_minute,
        probe_every: rate.map_or(0, |rate| (rate / PROBES).max(1)),
        alert_every: arguments.alert_every,
    };
    // Event time goes with the clock if as many are sent in a minute as are of it.
    let span = workload.time(events).millis() - now.millis();
    let begin = arguments.begin.unwrap_or_else(|| if in_step.is_some() { now } else { now.plus_millis(-span) });
    Workload { begin, ..workload }
}

async fn load(arguments: &BenchArguments, client: &Client) -> Result<ExitCode, Box<dyn Error>> {
    let workload = workload(arguments, SystemClock.now());
    let name = arguments.metric.as_deref().unwrap_or_else(|| workload.shape.metric());
    let metric = CheckedMetric::find(client, name).await?;
    metric.is_free(client, compare::extent(&metric, &workload)).await?;
    let before = client.books_of(writing::SOURCE).await?;
    let batch = u64::from(arguments.batch);
    let generator = Arc::new(Generator::new(workload, batch));
    let workload = &generator.workload;

    let bar = progress::bar("sending", workload.events);
    // Opened before the first event: from then on nothing is missed.
    let stream = if workload.probe_every > 0 { Some(client.live().await?) } else { None };
    let (start, started_ms) = (Instant::now(), SystemClock.now().millis());
    let schedule = Schedule { start, rate: arguments.rate, batch };
    let watch = stream.map(|stream| {
        let watch = ProbeWatch::new(client.clone(), generator.clone(), metric.clone(), schedule);
        (watch.clone(), tokio::spawn(watch.run(stream)))
    });
    let sent = sending::send(client, &generator, schedule, arguments.connections, bar).await?;
    let books = settle::settle(client, &before, workload.events, Duration::from_secs(arguments.timeout)).await?;
    let seconds = schedule.start.elapsed().as_secs_f64();
    let cpu_s = own_cpu_seconds();
    let visible = match watch {
        Some(watch) => seen(watch).await,
        None => None,
    };
    let compared = compare::compare(client, &metric, workload).await?;
    let equals_truth = summary::equals_truth(&books, workload.events, &compared);
    let SentLoad { accepted, repeated, bytes, lasted } = sent;
    // The last request is sent before its time is over.
    let span = arguments.rate.map_or(0.0, |rate| events(workload) / f64::from(rate.get()));
    let per_s = |seconds: f64| rounded(events(workload) / seconds);
    let summary = LoadSummary {
        sent: workload.events,
        batch: arguments.batch,
        rate: arguments.rate.map(std::num::NonZero::get),
        started_ms,
        begin: workload.begin,
        acknowledged_per_s: per_s(lasted.as_secs_f64().max(span)),
        events_per_s: per_s(seconds),
        send_seconds: rounded(lasted.as_secs_f64()),
        seconds: rounded(seconds),
        accepted_ms: accepted.quantiles(),
        visible_ms: visible.and_then(|visible| visible.quantiles()),
        repeated_requests: repeated,
        bytes,
        cpu_s,
        counted: books.counted,
        late: books.late,
        duplicate: books.duplicate,
        dead_lettered: books.dead_lettered,
        balanced: books.in_flight == 0,
        equals_truth,
        metric: metric.name,
        measures: compared.measures.iter().cloned().collect(),
        cells: compared.cells,
        different: compared.different,
    };
    summary.print(&compared);
    say!("{}", serde_json::to_string(&summary)?);
    Ok(if equals_truth { commands::balanced(summary.balanced) } else { ExitCode::FAILURE })
}

#[allow(clippy::cast_precision_loss, reason = "events are at most a billion")]
fn events(workload: &Workload) -> f64 {
    workload.events as f64
}

/// What was seen of the probes, once all were, or no more come.
async fn seen((watch, task): (ProbeWatch, tokio::task::JoinHandle<()>)) -> Option<histogram::Histogram> {
    let begun = Instant::now();
    while !watch.is_complete() && begun.elapsed() < LIVE_PATIENCE {
        sleep(POLL).await;
    }
    task.abort();
    Some(watch.visible())
}
