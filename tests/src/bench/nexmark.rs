//! Nexmark: each query alone, in a suite of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use tidemill::client::{Client, ClientError};
use tokio::{task::JoinSet, time::sleep};

use super::{
    Bench, Options,
    generator::LoadReport,
    held,
    report::{JobFigures, float},
    scale::Scale,
    suite::{Suite, SuiteFiles},
};
use crate::{
    error::Error,
    local::ports::Ports,
    nexmark::{NexmarkEvents, NexmarkFiles, NexmarkQuery, rows, true_rows, write_files},
};

/// Events of a query, and how many of them are in a second of event time.
const EVENTS: usize = 200_000;
const RATE: usize = 1_000;
const BATCH: usize = 1_000;
const CONNECTIONS: usize = 8;
/// How long the books may take to balance.
const SETTLED: Duration = Duration::from_secs(1_800);
const POLL: Duration = Duration::from_millis(100);

/// What a query came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NexmarkFigures {
    /// Which.
    pub query: NexmarkQuery,
    /// Events that were sent.
    pub events: u64,
    /// Bytes of one.
    pub event_bytes: f64,
    /// Events a second, from the first request until the books balanced.
    pub events_per_s: f64,
    /// Processor seconds for a million events, by part, and in `total`. Without the
    /// senders: the events were written before.
    pub cpu_s_per_million: BTreeMap<String, f64>,
    /// The most memory of each part.
    pub peak_rss_mb: BTreeMap<String, f64>,
    /// Bytes of log and stores for an event.
    pub disk_bytes_per_event: f64,
    /// Rows of the answer.
    pub rows: u64,
    /// Whether every row is right, and none is missing.
    pub equals_truth: bool,
}

/// Measures every query.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn nexmark(options: &Options) -> Result<Vec<NexmarkFigures>, Error> {
    held(options, async |bench| {
        let (events, mut ports) = (NexmarkEvents::new(EVENTS, RATE), Ports::new());
        let bodies: Arc<[Bytes]> = events.bodies(BATCH).into();
        let mut all = Vec::new();
        for query in NexmarkQuery::ALL {
            all.push(bench.nexmark(query, &events, &bodies, &mut ports).await?);
        }
        Ok(all)
    })
    .await
}

impl Bench {
    async fn nexmark(
        &self,
        query: NexmarkQuery,
        events: &NexmarkEvents,
        bodies: &Arc<[Bytes]>,
        ports: &mut Ports,
    ) -> Result<NexmarkFigures, Error> {
        let folder = self.folder.join(format!("nexmark-{}", query.name()));
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let NexmarkFiles { metrics, rules, schemas, shop, reference } = write_files(&folder, &[query], events)?;
        let files = SuiteFiles { metrics, rules, reference, schemas: Some(schemas), shop: Some(shop) };
        let suite = Suite::start(folder, &self.programs, &files, self.store, Scale::default(), ports).await?;
        let client = client(&suite)?;
        let (before, begun) = (suite.usage().await?, Instant::now());
        send(&client, bodies).await?;
        let send_seconds = begun.elapsed().as_secs_f64();
        settle(&client, events.count()).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let after = suite.usage().await?;
        let answered = rows(&client, query, events).await?;
        suite.stop().await?;
        let load = LoadReport {
            sent: events.count(),
            rate: None,
            batch: BATCH as u64,
            started_ms: 0,
            acknowledged_per_s: float(events.count()) / send_seconds,
            events_per_s: float(events.count()) / seconds,
            send_seconds,
            seconds,
            repeated_requests: 0,
            accepted_ms: None,
            visible_ms: None,
            bytes: bodies.iter().map(|body| body.len() as u64).sum(),
            cpu_s: None,
            balanced: true,
            equals_truth: answered == true_rows(query, events),
        };
        self.told(&format!("{}, {} rows", query.name(), answered.len()), &load);
        let job = JobFigures::of(&load, &before, &after);
        Ok(NexmarkFigures {
            query,
            events: load.sent,
            event_bytes: job.event_bytes,
            events_per_s: load.events_per_s,
            cpu_s_per_million: job.cpu_s_per_million,
            peak_rss_mb: job.peak_rss_mb,
            disk_bytes_per_event: job.disk_bytes_per_event,
            rows: answered.len() as u64,
            equals_truth: load.equals_truth,
        })
    }
}

fn client(suite: &Suite) -> Result<Client, Error> {
    let url = |address: std::net::SocketAddr| format!("http://{address}").parse().map_err(Error::program("an address"));
    Ok(Client::new(url(suite.ingestion)?, url(suite.reporting()?)?, tidemill::client::Keys::default()))
}

/// By several at once; each takes the next body that nobody has taken.
async fn send(client: &Client, bodies: &Arc<[Bytes]>) -> Result<(), Error> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders: JoinSet<Result<(), ClientError>> = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, bodies, next) = (client.clone(), Arc::clone(bodies), Arc::clone(&next));
        senders.spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                client.send(body.clone(), false, None).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.map_err(Error::program("a sender"))?.map_err(|error| Error::Refused(error.to_string()))?;
    }
    Ok(())
}

/// Waits until every event is counted.
pub(super) async fn settle(client: &Client, events: u64) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let books = client.books().await.map_err(|error| Error::Refused(error.to_string()))?;
        if books.balanced && books.totals.counted >= events {
            return Ok(());
        }
        if begun.elapsed() > SETTLED {
            let last = format!("{:?}", books.totals);
            return Err(Error::Deadline { what: "the books balance".into(), deadline: SETTLED, last });
        }
        sleep(POLL).await;
    }
}
