//! What came of what was sent: everything is read from reporting, and compared
//! with what must be.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tidemill::client::{Books, Client, ClientError, Keys, Series};
use tokio::time::{Instant, sleep};

use super::{
    till::Tally,
    traffic::{Expected, Outcome},
    truth::{self, Daily},
};
use crate::{error::Error, journal::Journal, service::Service};

/// How long the books may stand still before they are taken as they are.
const PATIENCE: Duration = Duration::from_secs(120);
const INTERVAL: Duration = Duration::from_millis(500);
/// Readings that must be the same: more may have been on its way.
const SAME_READINGS: u32 = 4;
/// Dead letters and alerts on a page.
const PAGE: usize = 500;
/// Figures of the books.
const OUTCOMES: [&str; 5] = ["received", "counted", "late", "duplicate", "dead_lettered"];
const ALERT_RULE: &str = "FRAUD_DETECTION";

/// Metric `daily_country`, as reporting tells it.
pub(crate) async fn daily(client: &Client) -> Result<Daily, Error> {
    let path = "/v1/metrics/daily_country/series?group_by=country&resolution=window";
    let series: Series = client.get(path).await.map_err(unanswered)?;
    let mut daily = Daily::new();
    for one in series.series {
        let country = one.dimensions.get("country").cloned().unwrap_or_default();
        for point in one.points {
            let day = point.start.get(..10).unwrap_or_default().to_owned();
            let figures = truth::of_answer(&point.values)
                .map_err(|why| Error::Refused(format!("daily_country, {day}, {country}: {why}")))?;
            daily.insert((day, country.clone()), figures);
        }
    }
    Ok(daily)
}

/// What one replica of reporting says.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The books.
    pub(crate) books: Books,
    /// Metric `daily_country`.
    pub(crate) daily: Daily,
    /// How it differs from the truth.
    pub(crate) difference: truth::Difference,
    /// Ids of dead events by source.
    pub(crate) dead: BTreeMap<String, BTreeSet<String>>,
    /// Alerts of suspicious orders.
    pub(crate) alerts: u64,
    /// Whether all is as it must be.
    pub(crate) is_true: bool,
}

#[derive(Deserialize)]
struct Totals {
    rows: Vec<TotalsRow>,
}

#[derive(Deserialize)]
struct TotalsRow {
    values: BTreeMap<String, Value>,
}

/// Asks one replica of reporting.
pub(crate) struct Reader<'r> {
    client: Client,
    name: String,
    journal: &'r Journal,
    expected: &'r Expected,
    alerts_are_told: bool,
}

impl<'r> Reader<'r> {
    /// For the replica at `reporting`, with a key that may operate where it
    /// needs one.
    pub(crate) fn new(
        reporting: SocketAddr,
        key: Option<String>,
        journal: &'r Journal,
        expected: &'r Expected,
    ) -> Result<Self, Error> {
        let name = format!("reporting at {reporting}");
        let url: reqwest::Url = format!("http://{reporting}").parse().map_err(Error::program(&name))?;
        let client = Client::new(url.clone(), url, Keys { write: None, read: key });
        Ok(Self { client, name, journal, expected, alerts_are_told: true })
    }

    /// The same for a suite without Slack: its alerts are recorded alone.
    pub(crate) fn without_slack(self) -> Self {
        Self { alerts_are_told: false, ..self }
    }

    /// Waits until at least `received` events are accounted for and nothing
    /// more comes, or until nothing moves any more.
    pub(crate) async fn settled(&self, received: u64) -> Result<(), Error> {
        let (mut last, mut same, mut since) = (None, 0, Instant::now());
        loop {
            let books = self.books().await?;
            let totals = &books.totals;
            let now = (totals.received, totals.counted, totals.late, totals.duplicate, totals.dead_lettered);
            self.journal.position(totals.counted + totals.late + totals.duplicate + totals.dead_lettered);
            self.journal.message(format!("{} in flight", totals.in_flight));
            if last == Some(now) {
                same += 1;
            } else {
                (last, same, since) = (Some(now), 0, Instant::now());
            }
            if books.balanced && totals.received >= received && same >= SAME_READINGS {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                self.journal.problem(format_args!(
                    "{}: the books stand still without balance; {received} events were acknowledged, {totals:?}",
                    self.name
                ));
                return Ok(());
            }
            sleep(INTERVAL).await;
        }
    }

    /// Reads everything, and tells what is not as it must be.
    pub(crate) async fn read(&self, tally: &Tally) -> Result<Reading, Error> {
        let books = self.books().await?;
        let daily = self.daily().await?;
        let difference = truth::compare(&self.expected.daily, &daily);
        let mut wrong: Vec<String> = difference.examples.clone();
        if difference.rows > 0 {
            wrong.push(format!(
                "{} rows of daily_country differ: {} lines lost, {} double",
                difference.rows, difference.lost, difference.double
            ));
        }
        let dead = self.dead_letters(&mut wrong).await?;
        self.check_books(&books, &dead, tally, &mut wrong);
        self.check_hours(&mut wrong).await?;
        self.check_sales(&mut wrong).await?;
        let alerts = self.check_alerts(&mut wrong).await?;
        for text in &wrong {
            self.journal.problem(format_args!("{}: {text}", self.name));
        }
        Ok(Reading { books, daily, difference, dead, alerts, is_true: wrong.is_empty() })
    }

    async fn books(&self) -> Result<Books, Error> {
        self.client.books().await.map_err(unanswered)
    }

    async fn daily(&self) -> Result<Daily, Error> {
        daily(&self.client).await
    }

    /// Ids of dead events by source. Only what ingestion refused is dead: a
    /// fault that passes kills no event.
    async fn dead_letters(&self, wrong: &mut Vec<String>) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
        let mut dead: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut before = None;
        loop {
            let page = before.map_or(String::new(), |sequence| format!("&before={sequence}"));
            let answer: Value =
                self.client.get(&format!("/v1/dead-letters?limit={PAGE}{page}")).await.map_err(unanswered)?;
            let letters = answer["dead_letters"].as_array().cloned().unwrap_or_default();
            for letter in &letters {
                let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
                if text("service") != Service::Ingestion.name() && wrong.len() < 20 {
                    wrong.push(format!("a dead letter of {}: {}", text("service"), text("reason")));
                }
                let ids = match letter["count"].as_u64() {
                    Some(2..) => self.ids_in(letter["sequence"].as_u64().unwrap_or_default()).await?,
                    _ => vec![text("event_id")],
                };
                dead.entry(text("source")).or_default().extend(ids);
                before = letter["sequence"].as_u64();
            }
            if letters.len() < PAGE {
                return Ok(dead);
            }
        }
    }

    /// Ids of the events that one letter stands for.
    async fn ids_in(&self, letter: u64) -> Result<Vec<String>, Error> {
        let answer: Value = self.client.get(&format!("/v1/dead-letters/{letter}")).await.map_err(unanswered)?;
        let bodies = tidemill_events::bodies::decode(answer["body"].as_str().unwrap_or_default().as_bytes());
        let bodies = bodies.map_err(|why| Error::Refused(format!("dead letter {letter}: {why}")))?;
        let id = |body: tidemill_events::Body| {
            let event: Option<Value> = serde_json::from_slice(&body.bytes).ok();
            event.and_then(|event| event["id"].as_str().map(str::to_owned)).unwrap_or_default()
        };
        Ok(bodies.into_iter().map(id).collect())
    }

    fn check_books(
        &self,
        books: &Books,
        dead: &BTreeMap<String, BTreeSet<String>>,
        tally: &Tally,
        wrong: &mut Vec<String>,
    ) {
        let known: BTreeSet<&str> = books.sources.iter().map(|line| line.source.as_str()).collect();
        // A lake measures, and what it finds are events of the suite itself.
        let told = |source: &&&str| !tidemill_events::is_own_source(source);
        for stranger in known.iter().filter(told).filter(|source| !self.expected.sources.contains_key(**source)) {
            wrong.push(format!("the books have a source that sent nothing: {stranger}"));
        }
        let none = BTreeSet::new();
        for (source, Outcome { counted, late, invalid }) in &self.expected.sources {
            let line = books.of(source);
            let fewest = u64::try_from(invalid.len()).unwrap_or_default();
            if line.counted != *counted || line.late != *late || line.dead_lettered < fewest {
                wrong.push(format!("{source}: {counted} counted, {late} late, {fewest} dead at least; {line:?}"));
            }
            if line.accepted != line.counted + line.late + line.duplicate || line.rejected != line.dead_lettered {
                wrong.push(format!("{source}: the books do not add up: {line:?}"));
            }
            let found = dead.get(source).unwrap_or(&none);
            if found != invalid {
                let differ: Vec<&String> = found.symmetric_difference(invalid).take(5).collect();
                wrong.push(format!("{source}: {} dead letters, not {fewest}: {differ:?}", found.len()));
            }
        }
        if books.totals.duplicate < tally.repeated {
            wrong.push(format!("{} duplicates, and {} were repeated", books.totals.duplicate, tally.repeated));
        }
    }

    /// Every hour balances by itself, and the hours add up to the source.
    async fn check_hours(&self, wrong: &mut Vec<String>) -> Result<(), Error> {
        let books: Value = self.client.get("/v1/books?hours=true").await.map_err(unanswered)?;
        for line in books["sources"].as_array().into_iter().flatten() {
            let hours = line["hours"].as_array().map(Vec::as_slice).unwrap_or_default();
            let sum = |name: &str| hours.iter().filter_map(|hour| hour[name].as_u64()).sum::<u64>();
            let is_whole = OUTCOMES.iter().all(|name| line[name].as_u64() == Some(sum(name)));
            if !is_whole || hours.iter().any(|hour| hour["in_flight"] != 0) {
                wrong.push(format!("{}: the hours do not balance: {line}", line["source"]));
            }
        }
        Ok(())
    }

    async fn check_sales(&self, wrong: &mut Vec<String>) -> Result<(), Error> {
        let totals: Totals = self.client.get("/v1/metrics/daily_sales/totals").await.map_err(unanswered)?;
        let sum = |name: &str| {
            totals.rows.iter().map(|row| truth::figure_of(&row.values, name)).sum::<Result<i128, String>>()
        };
        let (orders, revenue) = (sum("orders"), sum("revenue"));
        let should = (Ok(i128::from(self.expected.orders) * 1_000_000), Ok(self.expected.revenue));
        if (&orders, &revenue) != (&should.0, &should.1) {
            wrong.push(format!(
                "daily_sales, orders and revenue in millionths: {should:?}, not {orders:?}, {revenue:?}"
            ));
        }
        Ok(())
    }

    /// Each suspicious order has one alert, and there are no others.
    async fn check_alerts(&self, wrong: &mut Vec<String>) -> Result<u64, Error> {
        let path = format!("/v1/alerts?rule={ALERT_RULE}&limit={PAGE}");
        let should: Vec<&str> = self.expected.suspicious.iter().map(String::as_str).collect();
        let begun = Instant::now();
        loop {
            let answer: Value = self.client.get(&path).await.map_err(unanswered)?;
            let alerts = answer["alerts"].as_array().cloned().unwrap_or_default();
            let mut subjects: Vec<&str> =
                alerts.iter().map(|alert| alert["dimensions"]["subject"].as_str().unwrap_or_default()).collect();
            subjects.sort_unstable();
            let is_told = !self.alerts_are_told || alerts.iter().all(|alert| alert["state"] == "notified");
            // Alerts are told after the totals.
            if (subjects == should && is_told) || begun.elapsed() > PATIENCE {
                if subjects != should {
                    let (have, want): (BTreeSet<_>, BTreeSet<_>) = (subjects.iter().collect(), should.iter().collect());
                    let differ: Vec<_> = have.symmetric_difference(&want).take(5).collect();
                    wrong.push(format!("{} alerts, not {}: {differ:?}", subjects.len(), should.len()));
                } else if !is_told {
                    let waiting = alerts.iter().filter(|alert| alert["state"] != "notified").count();
                    wrong.push(format!("{waiting} alerts were not accepted by Slack"));
                }
                return Ok(u64::try_from(subjects.len()).unwrap_or_default());
            }
            sleep(INTERVAL).await;
        }
    }
}

fn unanswered(error: ClientError) -> Error {
    Error::Refused(error.to_string())
}
