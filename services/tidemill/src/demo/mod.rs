//! `tidemill demo`: a flash sale, played through the whole suite.

mod catalogue;
mod orders;
mod scenario;
mod spread;
mod takings;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;
use tidemill_domain::{Clock, Currency, SystemClock};
use tidemill_embedded::SlackStandIn;
use tidemill_service::trace::traceparent_of;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::Instrument;

use crate::{
    arguments::DemoArguments,
    client::{Books, Client, ClientError, Keys, Outcomes},
    commands, progress,
    shop_file::ShopFile,
    suite::{self, Extras, Jaeger, Whereabouts, with_suite},
};
use catalogue::Currencies;
use scenario::{Scenario, Step};
use takings::Takings;

/// Events in a request, for those that are not traced.
const BATCH: usize = 250;
/// DemoRequests at once.
const WORKERS: usize = 4;
/// How long the books, alerts and traces may take once all is sent.
const SETTLE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
/// The exit code of a run that was to end by itself and was ended.
const INTERRUPTED: u8 = 130;

/// What the demo came to: the last line that it prints.
#[derive(Debug, Serialize)]
struct DemoSummary {
    received: u64,
    accepted: u64,
    rejected: u64,
    counted: u64,
    late: u64,
    duplicate: u64,
    dead_lettered: u64,
    /// Alerts that fired and were sent.
    alerts: usize,
    /// Traces that go through every service.
    traces: usize,
    /// From the first event sent until the books balanced.
    seconds: f64,
}

/// Runs the demo.
pub async fn run(arguments: DemoArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let keys = keys_of(&arguments)?;
    let slack = SlackStandIn::start().await;
    let webhook = arguments.local.slack_webhook.clone().unwrap_or_else(|| slack.webhook_url());
    let settings = arguments.local.over(ShopFile::default());
    let catalogue = catalogue::reference_file(&Currencies::of(settings.currency));
    let extras = Extras { slack: Some(webhook), catalogue: Some(catalogue), ..Extras::default() };
    let work = async |suite: Whereabouts| -> Played {
        suite.print();
        if arguments.local.slack_webhook.is_none() {
            say!("Slack       a stand-in on this machine; --slack-webhook sends to a real channel");
        }
        play(&arguments, settings.currency, &suite.client(keys), &suite.jaeger).await
    };
    let Some((summary, balanced)) = with_suite(&settings, extras, work).await? else {
        return Ok(if arguments.exit { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS });
    };
    say!("{}", serde_json::to_string(&summary)?);
    Ok(commands::balanced(balanced))
}

/// The keys of the play, where the suite asks for keys.
fn keys_of(DemoArguments { local, write_key, read_key, .. }: &DemoArguments) -> Result<Keys, &'static str> {
    match (&local.keys, write_key, read_key) {
        (None, ..) => Ok(Keys::default()),
        (Some(_), Some(write), Some(read)) => Ok(Keys { write: Some(write.clone()), read: Some(read.clone()) }),
        (Some(_), ..) => {
            Err("with --keys, the demo needs one of these keys that may write and one that may read: give \
                              them by --write-key and --read-key")
        }
    }
}

/// Whether the books and the totals have what was played. Others may have sent events
/// too, or an earlier run: then there is nothing to compare with.
fn is_as_played(scenario: &Scenario, totals: &Outcomes, counted: &Takings) -> bool {
    let Scenario { expected, takings, .. } = scenario;
    let alone = totals.received == expected.received;
    let others = totals.received.saturating_sub(expected.received);
    if !alone {
        tell!(
            "{} events were played; the books have {others} more, from elsewhere or an earlier run.",
            expected.received
        );
    }
    let equal =
        totals.rejected == expected.rejected && totals.late == expected.late && totals.duplicate == expected.duplicate;
    if alone && !equal {
        tell!(
            "Played were {} events to be rejected, {} late and {} duplicate ones.",
            expected.rejected,
            expected.late,
            expected.duplicate
        );
    }
    if alone && counted != takings {
        tell!("Played was {takings}. Counted is {counted}.");
    }
    totals.received > expected.received || alone && equal && counted == takings
}

type Played = Result<(DemoSummary, bool), Box<dyn std::error::Error>>;

async fn play(arguments: &DemoArguments, currency: Currency, client: &Client, jaeger: &Jaeger) -> Played {
    let now = SystemClock.now();
    let mut scenario = Scenario::new(arguments.seed, arguments.events, now, now.millis().unsigned_abs(), currency);
    // An earlier run's events are in the books too.
    let before = client.books().await?.totals.received;
    let started = Instant::now();
    send(&mut scenario, arguments.events, client).await?;
    let books = settle(client, before + scenario.expected.received).await?;
    let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let alerts = notified_alerts(client).await?;
    let traces = whole_traces(client, jaeger).await?;
    let totals = books.totals.clone();
    let as_played = is_as_played(&scenario, &totals, &Takings::counted(client).await?);
    tell!(
        "{} in {seconds} s: {} counted, {} late, {} duplicates, {} dead letters; {alerts} alerts sent, {traces} whole traces.",
        match (books.balanced, as_played) {
            (true, true) => "The books balance, and the totals are what was played",
            (true, false) => "The books balance, and are NOT what was played",
            (false, _) => "The books do NOT balance",
        },
        totals.counted,
        totals.late,
        totals.duplicate,
        totals.dead_lettered,
    );
    if !arguments.exit {
        tell!("The shop stays open: {} events a minute until Ctrl-C.", scenario.live_in(60));
        stay_open(&mut scenario, client).await?;
    }
    let summary = DemoSummary {
        received: totals.received,
        accepted: totals.accepted,
        rejected: totals.rejected,
        counted: totals.counted,
        late: totals.late,
        duplicate: totals.duplicate,
        dead_lettered: totals.dead_lettered,
        alerts,
        traces,
        seconds,
    };
    Ok((summary, books.balanced && as_played))
}

/// A request: many events, or one that the shop traces.
enum DemoRequest {
    Batch(Vec<Step>),
    Traced(Step),
}

/// Cuts the play into requests as it goes.
struct DemoRequests<'s> {
    scenario: &'s mut Scenario,
    traced: Option<Step>,
}

impl Iterator for DemoRequests<'_> {
    type Item = DemoRequest;

    fn next(&mut self) -> Option<DemoRequest> {
        if let Some(step) = self.traced.take() {
            return Some(DemoRequest::Traced(step));
        }
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH {
            match self.scenario.next() {
                Some(step) if step.traced && batch.is_empty() => return Some(DemoRequest::Traced(step)),
                Some(step) if step.traced => {
                    self.traced = Some(step);
                    break;
                }
                Some(step) => batch.push(step),
                None => break,
            }
        }
        (!batch.is_empty()).then_some(DemoRequest::Batch(batch))
    }
}

async fn send(scenario: &mut Scenario, total: u32, client: &Client) -> Result<(), ClientError> {
    let bar = progress::bar("playing", total.into());
    let bar = &bar;
    stream::iter(DemoRequests { scenario, traced: None })
        .map(|request| async move {
            let (steps, traced) = match request {
                DemoRequest::Batch(steps) => (steps, false),
                DemoRequest::Traced(step) => (vec![step], true),
            };
            bar.inc(steps.len() as u64);
            post(client, &steps, traced).await
        })
        .buffered(WORKERS)
        .try_collect::<()>()
        .await?;
    bar.finish();
    Ok(())
}

/// Sends events; a traced one from within a span of the shop's own, so that
/// its trace begins where the customer clicks.
async fn post(client: &Client, steps: &[Step], traced: bool) -> Result<(), ClientError> {
    let lines: Vec<u8> = steps.iter().flat_map(|step| step.line.iter().copied()).collect();
    if steps.is_empty() {
        return Ok(());
    }
    if !traced {
        return client.send(lines.into(), steps.len() > 20, None).await.map(|_| ());
    }
    // The priority has it recorded whatever the sampling ratio says.
    let span = tracing::info_span!(target: "tidemill_shop", "place order", otel.kind = "client", sampling.priority = 1);
    let trace = traceparent_of(&span);
    client.send(lines.into(), false, trace).instrument(span).await.map(|_| ())
}

/// Waits until every event is accounted for.
async fn settle(client: &Client, received: u64) -> Result<Books, ClientError> {
    let bar: ProgressBar = progress::bar("counting", received);
    let deadline = Instant::now() + SETTLE;
    loop {
        let books = client.books().await?;
        let totals = &books.totals;
        bar.set_position(totals.counted + totals.late + totals.duplicate + totals.dead_lettered);
        if (totals.received >= received && books.balanced) || Instant::now() > deadline {
            bar.finish();
            return Ok(books);
        }
        sleep(POLL).await;
    }
}

/// Waits until every alert that fired was sent, and counts them.
async fn notified_alerts(client: &Client) -> Result<usize, ClientError> {
    let deadline = Instant::now() + SETTLE / 4;
    loop {
        let answer: Value = client.get("/v1/alerts?limit=500").await?;
        let alerts = answer["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sent = alerts.iter().filter(|alert| !alert["notified_at"].is_null()).count();
        let rule = |name| alerts.iter().any(|alert| alert["rule"] == name);
        let all = sent == alerts.len() && rule("REVENUE_SPIKE") && rule("FRAUD_DETECTION");
        if all || Instant::now() > deadline {
            return Ok(sent);
        }
        sleep(POLL).await;
    }
}

/// Counts the traces that begin in the shop and go through every service, once
/// there is one; spans are exported with a little delay.
async fn whole_traces(client: &Client, jaeger: &Jaeger) -> Result<usize, ClientError> {
    let client = client.with_reporting(suite::url(jaeger.ui));
    let deadline = Instant::now() + SETTLE / 8;
    loop {
        let answer: Value = client.get("/api/traces?service=shop&limit=5000").await?;
        let whole = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter(|trace| {
            let services: std::collections::BTreeSet<&str> = trace["processes"]
                .as_object()
                .into_iter()
                .flat_map(|processes| processes.values())
                .filter_map(|process| process["serviceName"].as_str())
                .collect();
            suite::TRACED_SERVICES.iter().all(|service| services.contains(service))
        });
        let whole = whole.count();
        if whole > 0 || Instant::now() > deadline {
            return Ok(whole);
        }
        sleep(POLL * 5).await;
    }
}

/// A quiet day after the sale, until somebody ends it.
async fn stay_open(scenario: &mut Scenario, client: &Client) -> Result<(), ClientError> {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Over a minute, so that fractions of an event come too.
    for second in (0..60_u32).cycle() {
        ticks.tick().await;
        let count = scenario.live_in(second + 1) - scenario.live_in(second);
        let steps: Vec<Step> = (0..count).map(|_| scenario.live(SystemClock.now())).collect();
        let (traced, plain): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| step.traced);
        post(client, &plain, false).await?;
        for step in &traced {
            post(client, std::slice::from_ref(step), true).await?;
        }
    }
    Ok(())
}
