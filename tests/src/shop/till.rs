//! The senders: they retry like real ones, and repeat themselves.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use reqwest::{StatusCode, header};
use serde::Deserialize;
use tidemill_events::TraceParent;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::traffic::{Event, Sender};
use crate::{error::Error, journal::Journal};

/// A sender gives a request up after so long, and repeats it elsewhere.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A batch that is not acknowledged for so long ends the run.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Batches that are repeated once everything was sent.
const LAST_REPETITIONS: usize = 3;
/// Traces that are remembered.
const TRACES: usize = 50;

/// Lets events go step by step, an equal share of everybody's with each: a
/// chaos run has a step for each fault, a steady load one for each event.
#[derive(Debug)]
pub(crate) struct Pace {
    released: watch::Sender<Released>,
    steps: usize,
    sent: AtomicU64,
    total: u64,
}

impl Pace {
    /// For so many steps and events.
    pub(crate) fn new(steps: usize, total: u64) -> Self {
        Self { released: watch::Sender::new(Released::default()), steps, sent: AtomicU64::new(0), total }
    }

    /// Step number `step`, from 1, begins.
    pub(crate) fn release(&self, step: usize) {
        self.released.send_modify(|released| released.step = step);
    }

    /// Nothing more is sent for the first time.
    pub(crate) fn close(&self) {
        self.released.send_modify(|released| released.closed = true);
    }

    /// All may go.
    pub(crate) fn release_all(&self) {
        self.release(self.steps);
    }

    /// Events that were acknowledged for the first time.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until the senders are at most a few steps behind, or for so long.
    pub(crate) async fn wait_for_senders(&self, step: usize, patience: Duration) {
        let share = |n: usize| u64::try_from(n).unwrap_or_default();
        let behind = || self.sent() * share(self.steps + 1) < share(step.saturating_sub(2)) * self.total;
        let wait = async {
            while behind() {
                sleep(FIRST_WAIT).await;
            }
        };
        // Senders that cannot send do not hold up the faults for ever.
        let _ = timeout(patience, wait).await;
    }

    /// Waits until event `n` of a sender's `of` may go; says whether it is to.
    async fn wait_for_turn(&self, n: usize, of: usize) -> bool {
        let mut released = self.released.subscribe();
        let turn = released.wait_for(|now| now.closed || n * (self.steps + 1) <= (now.step + 1) * of);
        // The pace outlives its senders.
        turn.await.is_ok_and(|now| !now.closed)
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Released {
    step: usize,
    closed: bool,
}

/// What a sender did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Events in acknowledged requests, repetitions included.
    pub(crate) acknowledged: u64,
    /// Of those, repetitions on purpose of valid events.
    pub(crate) repeated: u64,
    /// Requests, failed ones included.
    pub(crate) requests: u64,
    /// Requests that were not acknowledged.
    pub(crate) failed: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.repeated += other.repeated;
        self.requests += other.requests;
        self.failed += other.failed;
    }
}

/// Ingestion's answer to a batch.
#[derive(Deserialize)]
struct Verdict {
    accepted: u64,
    #[serde(default)]
    rejected_total: u64,
    #[serde(default)]
    rejected: Vec<serde_json::Value>,
}

/// The traces of the latest requests that were acknowledged; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traces(Arc<Mutex<VecDeque<TraceParent>>>);

impl Traces {
    /// The latest first.
    pub(crate) fn latest(&self) -> Vec<TraceParent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().copied().collect()
    }

    fn add(&self, trace: TraceParent) {
        let mut traces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        traces.push_back(trace);
        if traces.len() > TRACES {
            traces.pop_front();
        }
    }
}

/// What a sender came to.
#[derive(Debug)]
pub(crate) struct Done {
    /// Who it was.
    pub(crate) sender: Sender,
    /// How many of its events it sent, the first ones.
    pub(crate) sent: usize,
    /// What it did.
    pub(crate) tally: Tally,
}

/// Somebody who sends.
pub(crate) struct Till {
    /// What is sent.
    pub(crate) sender: Sender,
    /// Where ingestion listens.
    pub(crate) doors: Vec<SocketAddr>,
    /// What opens the doors, where they are locked.
    pub(crate) key: Option<String>,
    /// The most events of a batch.
    pub(crate) largest: usize,
    /// Where the requests' traces are noted; they have none without it.
    pub(crate) traces: Option<Traces>,
    /// How many of its events were acknowledged, the first ones.
    pub(crate) acknowledged: Arc<AtomicUsize>,
    /// In step with the others.
    pub(crate) pace: Arc<Pace>,
    /// What must not be is told here.
    pub(crate) journal: Journal,
}

impl Till {
    /// Sends everything in order, one batch after the other, and some of it
    /// again.
    pub(crate) async fn run(self, seed: u64) -> Result<Done, Error> {
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(Error::program("the HTTP client"))?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut tally = Tally::default();
        let events = &self.sender.events;
        let mut next = 0;
        while next < events.len() {
            let size = self.batch_size(&mut rng).min(events.len() - next);
            if !self.pace.wait_for_turn(next, events.len()).await {
                break;
            }
            let batch = &events[next..next + size];
            self.deliver(&http, &mut rng, batch, &mut tally).await?;
            next += size;
            self.acknowledged.store(next, Ordering::Relaxed);
            self.pace.sent.fetch_add(u64::try_from(size).unwrap_or_default(), Ordering::Relaxed);
            if rng.random_bool(0.05) {
                self.repeat(&http, &mut rng, batch, &mut tally).await?;
            }
            if rng.random_bool(0.05) {
                self.repeat_any(&http, &mut rng, next, &mut tally).await?;
            }
        }
        let last = if next > 0 { LAST_REPETITIONS } else { 0 };
        for _ in 0..last {
            self.repeat_any(&http, &mut rng, next, &mut tally).await?;
        }
        Ok(Done { sent: next, tally, sender: self.sender })
    }

    /// Single events, small batches and large ones.
    fn batch_size(&self, rng: &mut StdRng) -> usize {
        let size = match rng.random_range(0..10) {
            0..2 => rng.random_range(1..5),
            2..7 => rng.random_range(5..120),
            _ => rng.random_range(120..900),
        };
        size.min(self.largest)
    }

    /// Repeats some of what was acknowledged before.
    async fn repeat_any(
        &self,
        http: &reqwest::Client,
        rng: &mut StdRng,
        sent: usize,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let size = self.batch_size(rng).min(sent);
        let from = rng.random_range(0..=sent - size);
        self.repeat(http, rng, &self.sender.events[from..from + size], tally).await
    }

    async fn repeat(
        &self,
        http: &reqwest::Client,
        rng: &mut StdRng,
        batch: &[Event],
        tally: &mut Tally,
    ) -> Result<(), Error> {
        tally.repeated += count(batch.iter().filter(|event| event.is_valid()));
        self.deliver(http, rng, batch, tally).await
    }

    /// Sends a batch until it is acknowledged, each time to any replica.
    async fn deliver(
        &self,
        http: &reqwest::Client,
        rng: &mut StdRng,
        batch: &[Event],
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let (kind, encoding, body) = encode(rng, batch);
        // Not by the sender's seed: traces change nothing of what is sent.
        let (trace, span) = rand::random();
        let trace = self.traces.as_ref().zip(TraceParent::new(trace, span, true));
        let begun = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let door =
                self.doors.choose(rng).copied().ok_or_else(|| Error::Refused("nobody takes events in".into()))?;
            let mut request =
                http.post(format!("http://{door}/v1/events")).header(header::CONTENT_TYPE, kind).body(body.clone());
            if let Some(key) = &self.key {
                request = request.bearer_auth(key);
            }
            if let Some(encoding) = encoding {
                request = request.header(header::CONTENT_ENCODING, encoding);
            }
            if let Some((_, trace)) = trace {
                request = request.header("traceparent", trace.to_string());
            }
            tally.requests += 1;
            let (last, retry_after) = match ask(request).await {
                Answer::Verdict(verdict) => {
                    tally.acknowledged += count(batch.iter());
                    self.check(&verdict, batch);
                    if let Some((traces, trace)) = trace {
                        traces.add(trace);
                    }
                    return Ok(());
                }
                Answer::Refused(why) => {
                    let source = &self.sender.source;
                    return Err(Error::Refused(format!("a batch of {source} was refused: {why}")));
                }
                Answer::Later(last, retry_after) => (last, retry_after),
            };
            tally.failed += 1;
            if begun.elapsed() > PATIENCE {
                let what = format!("a batch of {} is acknowledged", self.sender.source);
                return Err(Error::Deadline { what, deadline: PATIENCE, last });
            }
            sleep(retry_after.unwrap_or(wait).min(LONGEST_WAIT)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// What is wrong is rejected, and nothing else is.
    fn check(&self, verdict: &Verdict, batch: &[Event]) {
        let (valid, invalid) = (
            count(batch.iter().filter(|event| event.is_valid())),
            count(batch.iter().filter(|event| !event.is_valid())),
        );
        if verdict.accepted != valid || verdict.rejected_total != invalid {
            self.journal.problem(format_args!(
                "{}: of {valid} valid and {invalid} invalid events {} were accepted and {} rejected, for instance {:?}",
                self.sender.source,
                verdict.accepted,
                verdict.rejected_total,
                verdict.rejected.first()
            ));
        }
    }
}

enum Answer {
    /// Every event has its verdict.
    Verdict(Verdict),
    /// Not now: why, and when to try again.
    Later(String, Option<Duration>),
    /// Never.
    Refused(String),
}

async fn ask(request: reqwest::RequestBuilder) -> Answer {
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return Answer::Later(error.to_string(), None),
    };
    let status = answer.status();
    let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = match answer.text().await {
        Ok(body) => body,
        // The connection broke in the middle of the answer.
        Err(error) => return Answer::Later(error.to_string(), None),
    };
    // A batch of which everything is refused has its verdicts, too.
    let is_verdict = status.is_success() || status == StatusCode::UNPROCESSABLE_ENTITY;
    match serde_json::from_str(&body) {
        Ok(verdict) if is_verdict => Answer::Verdict(verdict),
        _ if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            Answer::Later(format!("{status}: {body}"), retry_after.map(Duration::from_secs))
        }
        _ => Answer::Refused(format!("{status}: {body}")),
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

/// A batch in one of the forms that senders use: content type, encoding, body.
fn encode(rng: &mut StdRng, batch: &[Event]) -> (&'static str, Option<&'static str>, Bytes) {
    let lines: Vec<&str> = batch.iter().map(|event| event.json.as_str()).collect();
    let (kind, body) = match rng.random_bool(0.5) {
        true => ("application/x-ndjson", lines.join("\n")),
        false => ("application/cloudevents-batch+json", format!("[{}]", lines.join(","))),
    };
    let packed = if rng.random_bool(0.5) { zstd::bulk::compress(body.as_bytes(), 1).ok() } else { None };
    match packed {
        Some(packed) => (kind, Some("zstd"), packed.into()),
        None => (kind, None, body.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_step_lets_a_share_of_the_events_go() {
        let pace = Pace::new(3, 100);
        let may = async |n: usize| timeout(Duration::from_millis(20), pace.wait_for_turn(n, 100)).await == Ok(true);
        assert!(may(0).await && may(25).await && !may(26).await);
        pace.release(2);
        assert!(may(75).await && !may(76).await);
        pace.release_all();
        assert!(may(100).await);
        pace.close();
        assert!(!may(0).await);
    }
}
