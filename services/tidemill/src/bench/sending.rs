//! Sends the requests, each when it is due.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use indicatif::ProgressBar;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{error::BenchError, histogram::Histogram, schedule::Schedule, writing::Generator};
use crate::client::{Client, ClientError, Offer};

/// How long a request is offered again before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a sender waits before it offers a request again, unless it is told.
const AGAIN: Duration = Duration::from_millis(50);

/// What was sent.
#[derive(Debug)]
pub(super) struct SentLoad {
    /// From when a request was to be sent until the suite had it on disk.
    pub(super) accepted: Histogram,
    /// Requests that were sent again, for the suite was busy or away.
    pub(super) repeated: u64,
    /// Bytes of all events.
    pub(super) bytes: u64,
    /// From the first request to the last answer.
    pub(super) lasted: Duration,
}

impl SentLoad {
    fn new() -> Self {
        Self { accepted: Histogram::new(), repeated: 0, bytes: 0, lasted: Duration::ZERO }
    }
}

/// One of those who send at once.
struct LoadSender {
    client: Client,
    generator: Arc<Generator>,
    schedule: Schedule,
    /// The next request that nobody has taken.
    next: Arc<AtomicU64>,
    bar: ProgressBar,
}

/// Sends everything, by so many requests at once.
pub(super) async fn send(
    client: &Client,
    generator: &Arc<Generator>,
    schedule: Schedule,
    connections: u16,
    bar: ProgressBar,
) -> Result<SentLoad, BenchError> {
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (client, generator, next, bar) = (client.clone(), generator.clone(), next.clone(), bar.clone());
        senders.spawn(LoadSender { client, generator, schedule, next, bar }.run());
    }
    let mut all = SentLoad::new();
    while let Some(ended) = senders.join_next().await {
        // The first failure ends the others, with the set.
        let sent = ended??;
        all.accepted.add(&sent.accepted);
        all.repeated += sent.repeated;
        all.bytes += sent.bytes;
    }
    all.lasted = schedule.start.elapsed();
    bar.finish();
    Ok(all)
}

impl LoadSender {
    async fn run(self) -> Result<SentLoad, BenchError> {
        let mut sent = SentLoad::new();
        loop {
            let request = self.next.fetch_add(1, Ordering::Relaxed);
            if request >= self.generator.requests() {
                return Ok(sent);
            }
            // Made before it is due, so that making it costs no time that is measured.
            let body = self.generator.body(request);
            let due = self.schedule.wait(request).await;
            sent.bytes += body.len() as u64;
            sent.repeated += self.offer(body).await?;
            sent.accepted.record(due.elapsed());
            let events = self.generator.events_of(request);
            self.bar.inc(events.end - events.start);
        }
    }

    /// Offers a request until it is taken; answers how often it was not.
    async fn offer(&self, body: Bytes) -> Result<u64, BenchError> {
        let begun = Instant::now();
        let mut repeated = 0;
        loop {
            let (reason, after) = match self.client.offer(body.clone()).await? {
                Offer::Taken(verdict) => match verdict.rejected.into_iter().next() {
                    Some(first) => return Err(BenchError::Refused { count: verdict.rejected_total, first }),
                    None => return Ok(repeated),
                },
                Offer::Busy { reason, after } => (reason, after),
            };
            if begun.elapsed() > PATIENCE {
                return Err(ClientError::Unavailable { url: self.client.ingestion().clone(), reason }.into());
            }
            repeated += 1;
            sleep(after.unwrap_or(AGAIN).min(Duration::from_secs(5))).await;
        }
    }
}
