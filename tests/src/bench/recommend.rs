//! Recommendation under questions and events at once: a large index is learnt through
//! the whole chain, and asked while more is learnt.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;
use tidemill::client::{Client, Keys};
use tidemill_domain::{Clock, SystemClock, Timestamp};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    Bench, Options,
    asking::{AnswerTimes, Asking, ask},
    held,
    machine::{Machine, rounded},
    report::float,
    scale::Scale,
    suite::{Suite, SuiteFiles},
    visits::{OF_SESSION, Visits, item_id},
};
use crate::{error::Error, local::ports::Ports, service::Service};

/// Sessions of a request while the index is filled, and while it is asked.
const AT_ONCE: u64 = 300;
const LIVE: u64 = 100;
const CONNECTIONS: usize = 8;
/// How long ago the first session is.
const PAST: i64 = 24 * 3_600_000;
const SETTLED: Duration = Duration::from_secs(1_800);
const POLL: Duration = Duration::from_millis(200);
/// What is popular is known by then.
const CHARTED: Duration = Duration::from_secs(10);
/// Senders that are turned away come again after so long.
const TURNED_AWAY: Duration = Duration::from_millis(100);

/// How much is learnt and asked.
#[derive(Debug, Clone, Copy)]
pub struct RecommendLoad {
    /// Sessions before anything is asked.
    pub sessions: u64,
    /// Items that they are about.
    pub items: u64,
    /// Questions a second.
    pub asked_per_s: u64,
    /// Events a second that are learnt meanwhile.
    pub ingested_per_s: u64,
}

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RecommendFigures {
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Sessions of the index when it was asked first.
    pub sessions: u64,
    /// Its items.
    pub items: u64,
    /// Events that it was learnt from, and how many of them a second, from the first
    /// request until all was learnt and kept.
    pub filled_events: u64,
    /// The same, a second.
    pub filled_per_s: f64,
    /// Questions a second that were to be asked.
    pub asked_per_s: u64,
    /// Events a second that were to be learnt, and those that were taken in.
    pub offered_per_s: u64,
    /// Those that were taken in.
    pub ingested_per_s: f64,
    /// All answers.
    pub answers_ms: Option<AnswerTimes>,
    /// Those that continue a visit.
    pub visits_ms: Option<AnswerTimes>,
    /// Questions without an answer, and answers that were not as they must be.
    pub errors: u64,
    /// Those that were not as they must be.
    pub wrong: u64,
    /// Whether items were in as many sessions as they were sent in.
    pub equals_truth: bool,
    /// The index, by its own estimate.
    pub index_mb: f64,
    /// The most memory of each part.
    pub peak_rss_mb: BTreeMap<String, f64>,
    /// Processor seconds a second while it was asked, by part.
    pub cores: BTreeMap<String, f64>,
    /// What the machine could do.
    pub machine: Machine,
}

impl RecommendFigures {
    /// Whether every question was answered as it must be.
    pub fn is_good(&self) -> bool {
        self.errors == 0 && self.wrong == 0 && self.equals_truth
    }
}

/// Measures it.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn recommend(options: &Options, load: RecommendLoad) -> Result<RecommendFigures, Error> {
    held(options, async |bench| bench.recommend(load).await).await
}

impl Bench {
    async fn recommend(&self, load: RecommendLoad) -> Result<RecommendFigures, Error> {
        let machine = Machine::measure(&self.folder)?;
        let (visits, mut ports) = (Visits { items: load.items }, Ports::new());
        let catalogue = self.folder.join("products.csv");
        std::fs::write(&catalogue, visits.catalogue()).map_err(Error::file(&catalogue))?;
        // What a partition keeps must have room where all of them get the same.
        let interactions = Some((load.sessions * OF_SESSION as u64).max(100_000));
        let scale = Scale { interactions, ..Scale::default() };
        let folder = self.folder.join("recommend");
        let files = SuiteFiles::of_shop(&folder, &catalogue, scale)?;
        let suite = Suite::start(folder, &self.programs, &files, self.store, scale, &mut ports).await?;
        let (filled, begun) = (Visits::events(0..load.sessions), Instant::now());
        self.fill(&suite, visits, load.sessions).await?;
        let filled_per_s = rounded(float(filled) / begun.elapsed().as_secs_f64());
        self.journal.note(format_args!("{} sessions are learnt and kept, {filled_per_s} events/s", load.sessions));

        let before = suite.usage().await?;
        let begun = Instant::now();
        let asking = Asking {
            door: suite.address(Service::Recommendation)?,
            visits,
            sessions: load.sessions,
            per_second: load.asked_per_s,
            seconds: whole_seconds(self.seconds),
        };
        let (asked, sent) = tokio::try_join!(asking.run(), self.trickle(&suite, visits, load))?;
        let lasted = begun.elapsed().as_secs_f64();
        let after = suite.usage().await?;
        if let Some(example) = &asked.example {
            self.journal.note(format_args!("not as it must be: {example}"));
        }
        settle(&suite, Visits::events(0..load.sessions + sent)).await?;
        let equals_truth = self.is_true(&suite, visits, load.sessions + sent).await?;
        let index = suite.gauge(Service::Recommendation, "tidemill_recommendation_index_bytes").await?;
        suite.stop().await?;
        let all = asked.visits.iter().chain(&asked.others).copied().collect();
        let megabytes = |bytes: f64| rounded(bytes / f64::from(1 << 20));
        Ok(RecommendFigures {
            store: self.store.name().into(),
            sessions: load.sessions,
            items: load.items,
            filled_events: filled,
            filled_per_s,
            asked_per_s: load.asked_per_s,
            offered_per_s: load.ingested_per_s,
            ingested_per_s: rounded(float(Visits::events(load.sessions..load.sessions + sent)) / lasted),
            answers_ms: AnswerTimes::of(all),
            visits_ms: AnswerTimes::of(asked.visits),
            errors: asked.errors,
            wrong: asked.wrong,
            equals_truth,
            index_mb: megabytes(index),
            peak_rss_mb: after
                .parts
                .iter()
                .map(|(part, now)| ((*part).into(), megabytes(float(now.peak_rss))))
                .collect(),
            cores: after.cores_since(&before, lasted),
            machine,
        })
    }

    /// Sends the first sessions, as fast as it goes, and waits until they are learnt.
    async fn fill(&self, suite: &Suite, visits: Visits, sessions: u64) -> Result<(), Error> {
        let (client, next) = (client(suite)?, Arc::new(AtomicU64::new(0)));
        let begin = SystemClock.now().plus_millis(-PAST);
        let mut senders: JoinSet<Result<(), Error>> = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (client, next) = (client.clone(), next.clone());
            senders.spawn(async move {
                loop {
                    let from = next.fetch_add(AT_ONCE, Ordering::Relaxed);
                    if from >= sessions {
                        return Ok(());
                    }
                    let past = i128::from(PAST) * i128::from(from) / i128::from(sessions);
                    let at = begin.plus_millis(i64::try_from(past).unwrap_or(PAST));
                    send(&client, visits, from..(from + AT_ONCE).min(sessions), at).await?;
                }
            });
        }
        while let Some(ended) = senders.join_next().await {
            ended.map_err(Error::program("a sender"))??;
        }
        settle(suite, Visits::events(0..sessions)).await
    }

    /// Sends further sessions at a rate; answers how many.
    async fn trickle(&self, suite: &Suite, visits: Visits, load: RecommendLoad) -> Result<u64, Error> {
        let client = client(suite)?;
        let per_request = Visits::events(0..LIVE);
        let mut beats = interval(Duration::from_micros(1_000_000 * per_request / load.ingested_per_s.max(1)));
        beats.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let requests = load.ingested_per_s * whole_seconds(self.seconds) / per_request;
        let mut senders: JoinSet<Result<(), Error>> = JoinSet::new();
        for request in 0..requests {
            beats.tick().await;
            let (client, from) = (client.clone(), load.sessions + request * LIVE);
            senders.spawn(async move { send(&client, visits, from..from + LIVE, SystemClock.now()).await });
        }
        while let Some(ended) = senders.join_next().await {
            ended.map_err(Error::program("a sender"))??;
        }
        Ok(requests * LIVE)
    }

    /// Whether the most popular items were in as many sessions as they were sent in.
    async fn is_true(&self, suite: &Suite, visits: Visits, sessions: u64) -> Result<bool, Error> {
        let mut counts: HashMap<u64, u64> = HashMap::new();
        (0..sessions)
            .flat_map(|session| visits.session(session))
            .for_each(|item| *counts.entry(item).or_default() += 1);
        let counts: HashMap<String, u64> = counts.into_iter().map(|(item, count)| (item_id(item), count)).collect();
        let (door, http, begun) = (suite.address(Service::Recommendation)?, reqwest::Client::new(), Instant::now());
        // Charts are a second old at most: the first ones may be of before the last sessions.
        loop {
            let path = "/v1/recommendations/popular?n=100";
            let (answer, _) = ask(&http, door, path).await.map_err(Error::Refused)?;
            let items = answer["items"].as_array().cloned().unwrap_or_default();
            let is_wrong = |item: &&Value| {
                let known = item["item"].as_str().and_then(|item| counts.get(item));
                known.copied() != item["reason"]["count"].as_u64()
            };
            match items.iter().find(is_wrong) {
                None if !items.is_empty() => return Ok(true),
                wrong if begun.elapsed() > CHARTED => {
                    self.journal.note(format_args!("it was in another number of sessions: {wrong:?}"));
                    return Ok(false);
                }
                _ => sleep(POLL).await,
            }
        }
    }
}

fn client(suite: &Suite) -> Result<Client, Error> {
    let url = |address: std::net::SocketAddr| format!("http://{address}").parse().map_err(Error::program("an address"));
    Ok(Client::new(url(suite.ingestion)?, url(suite.reporting()?)?, Keys::default()))
}

/// Sends sessions until they are taken in: who repeats them sends nothing twice.
async fn send(client: &Client, visits: Visits, sessions: std::ops::Range<u64>, at: Timestamp) -> Result<(), Error> {
    let (body, begun) = (visits.body(sessions, at), Instant::now());
    loop {
        match client.send(body.clone(), false, None).await {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > SETTLED => return Err(Error::Refused(error.to_string())),
            Err(_) => sleep(TURNED_AWAY).await,
        }
    }
}

/// Waits until everything is counted, learnt, and kept.
async fn settle(suite: &Suite, events: u64) -> Result<(), Error> {
    let (client, begun) = (client(suite)?, Instant::now());
    let mut last = String::new();
    while begun.elapsed() < SETTLED {
        match client.books().await {
            Ok(books) if books.balanced && books.totals.counted >= events => {
                let of = Service::Recommendation;
                let learnt = suite.gauge(of, "tidemill_recommendation_events_total{outcome=\"learnt\"}").await?;
                let lag = suite.gauge(of, "tidemill_recommendation_consumer_lag").await?;
                if learnt >= float(events) && lag == 0.0 {
                    return Ok(());
                }
                last = format!("{learnt} events of {events} are learnt, {lag} batches are to be kept");
            }
            Ok(books) => last = format!("{:?}", books.totals),
            Err(error) => last = error.to_string(),
        }
        sleep(POLL).await;
    }
    Err(Error::Deadline { what: "all is learnt".into(), deadline: SETTLED, last })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run are few")]
fn whole_seconds(seconds: f64) -> u64 {
    (seconds as u64).max(1)
}
