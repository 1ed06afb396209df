//! `tidemill check`: one event through the whole chain of a running suite.

use std::{error::Error, pin::pin, process::ExitCode, time::Duration};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock, Timestamp};
use tidemill_events::TraceParent;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::ended::Ended;
use crate::{
    arguments::{CheckArguments, ReportingUrlError, reporting_url},
    client::{Client, ClientError, Keys, Outcomes, Series, Trouble},
    progress,
    table::plain,
};

/// Source of the events that checks send: what they leave in the books is told
/// apart by it.
const SOURCE: &str = "tidemill-check";
/// Their type, which no figure of a shop counts.
const TYPE: &str = "tidemill.check";
/// The metric that does count them, which every suite has.
const METRIC: &str = "tidemill_check";
/// Where ingestion listens unless it is told otherwise.
const INGESTION: &str = "http://localhost:7070";
const INTERVAL: Duration = Duration::from_millis(200);
const MINUTE: i64 = 60_000;
/// Until it has failed, unless somebody says how long it may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The same where nobody listens.
const TIMEOUT_OF_REFUSAL: Duration = Duration::from_secs(10);
/// After which nobody is left without a word.
const SILENCE: Duration = Duration::from_secs(5);

/// Why the suite did not pass.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the address of ingestion: {0}")]
    Address(url::ParseError),
    #[error(transparent)]
    Reporting(#[from] ReportingUrlError),
    #[error("the event was refused: {0}")]
    Rejected(Value),
    #[error("the event is not {what} after {} s; {because}", after.as_secs())]
    TooSlow { what: &'static str, after: Duration, because: String },
}

impl CheckError {
    /// For a person: what a client says needs nothing around it.
    fn plain(self) -> Box<dyn Error> {
        match self {
            Self::Client(error) => error.into(),
            other => other.into(),
        }
    }
}

/// What was seen.
struct Passed {
    id: String,
    trace: Option<TraceParent>,
    accepted: Duration,
    counted: Duration,
    shown: Duration,
    window: String,
    checks: u64,
}

pub(crate) async fn check(arguments: CheckArguments) -> Ended {
    let spinner = progress::spinner("sending an event");
    let probe = Probe::new(&arguments).map_err(CheckError::plain)?;
    let mut work = pin!(probe.run(&spinner));
    let result = tokio::select! {
        result = &mut work => result,
        () = sleep(SILENCE) => {
            tell!("{}", probe.patience());
            work.await
        }
    };
    spinner.finish_and_clear();
    let passed = result.map_err(CheckError::plain)?;
    let trace = passed.trace.map(TraceParent::trace_id_hex);
    let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
    if arguments.json {
        let told = json!({
            "id": passed.id, "trace": trace, "metric": METRIC, "window": passed.window,
            "checks": passed.checks, "accepted_s": seconds(passed.accepted),
            "counted_s": seconds(passed.counted), "shown_s": seconds(passed.shown),
        });
        say!("{told}");
    } else {
        say!("accepted  {:7.3} s  event {}", seconds(passed.accepted), passed.id);
        say!("counted   {:7.3} s  the books of {SOURCE} balance", seconds(passed.counted));
        say!(
            "shown     {:7.3} s  {METRIC}, window {}: {} checks",
            seconds(passed.shown),
            plain(&passed.window, 60),
            passed.checks
        );
        if let Some(trace) = trace {
            say!("trace     {trace}");
        }
        say!("The suite works.");
    }
    Ok(ExitCode::SUCCESS)
}

/// One check.
struct Probe {
    client: Client,
    /// Whether somebody said which suite.
    is_named: bool,
    begun: Instant,
    timeout: Duration,
}

impl Probe {
    fn new(arguments: &CheckArguments) -> Result<Self, CheckError> {
        let given = arguments.timeout.map(Duration::from_secs);
        let timeout = given.unwrap_or(TIMEOUT);
        let CheckArguments { ingestion_url: url, reporting_url: named, write_key, read_key, .. } = arguments;
        let keys = Keys { write: write_key.clone(), read: read_key.clone() };
        let ingestion = url.clone().map_or_else(|| INGESTION.parse(), Ok).map_err(CheckError::Address)?;
        let client = Client::of_suite(ingestion, reporting_url(named.as_ref())?, &keys)?
            .with_patience(timeout)
            .with_patience_with_refusal(given.unwrap_or(TIMEOUT_OF_REFUSAL));
        Ok(Self { client, is_named: url.is_some(), begun: Instant::now(), timeout })
    }

    /// What it waits for, and how long.
    fn patience(&self) -> String {
        match self.client.trouble() {
            None => format!("Not shown yet; this goes on for up to {} s (--timeout).", self.timeout.as_secs()),
            Some(Trouble { url, reason, patience }) => {
                let seconds = patience.as_secs();
                format!("{url} does not answer yet, and is asked for up to {seconds} s (--timeout): {reason}")
            }
        }
    }

    async fn run(&self, spinner: &indicatif::ProgressBar) -> Result<Passed, CheckError> {
        self.client.confirm_ingestion().await?;
        self.client.confirm_reporting(self.is_named).await?;
        let before = self.client.books_of(SOURCE).await?;
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let placed = SystemClock.now();
        let (trace, span) = rand::random();
        let trace = TraceParent::new(trace, span, true);
        let verdict = self.client.send(event(id, placed).into(), false, trace).await?;
        if let Some(why) = verdict.rejected.into_iter().next() {
            return Err(CheckError::Rejected(why));
        }
        let accepted = self.begun.elapsed();
        spinner.set_message("waiting until it is counted");
        self.until("counted", async || {
            let books = self.client.books_of(SOURCE).await?;
            Ok(is_counted(&before, &books).then_some(()))
        })
        .await?;
        let counted = self.begun.elapsed();
        spinner.set_message("waiting until it is in its total");
        let (window, checks) = self.until("in its total", async || self.total(placed).await).await?;
        Ok(Passed { id: id.to_string(), trace, accepted, counted, shown: self.begun.elapsed(), window, checks })
    }

    /// The window that holds the instant, and its checks, where there are any.
    async fn total(&self, placed: Timestamp) -> Result<Option<(String, u64)>, CheckError> {
        let from = Timestamp::saturating_from_millis(placed.millis() - placed.millis().rem_euclid(MINUTE));
        let to = from.plus_millis(MINUTE);
        let answer: Series =
            self.client.get(&format!("/v1/metrics/{METRIC}/series?resolution=window&from={from}&to={to}")).await?;
        let points = answer.series.into_iter().flat_map(|series| series.points);
        let holds = |point: &crate::client::PointOfSeries| point.values.get("checks").and_then(Value::as_u64);
        Ok(points
            .filter_map(|point| Some((holds(&point)?, point.start)))
            .find(|(checks, _)| *checks > 0)
            .map(|(checks, start)| (start, checks)))
    }

    /// Asks until there is an answer, or the time is over.
    async fn until<T>(
        &self,
        what: &'static str,
        mut ask: impl AsyncFnMut() -> Result<Option<T>, CheckError>,
    ) -> Result<T, CheckError> {
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            if self.begun.elapsed() > self.timeout {
                return Err(CheckError::TooSlow { what, after: self.timeout, because: self.reasons().await });
            }
            sleep(INTERVAL).await;
        }
    }

    /// What the services say is wrong.
    async fn reasons(&self) -> String {
        let health: Value = match self.client.get("/v1/health").await {
            Ok(health) => health,
            Err(error) => return error.to_string(),
        };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut reasons = Vec::new();
        for service in list(&health["services"]) {
            let name = service["service"].as_str().unwrap_or_default();
            let instances = list(&service["instances"]);
            if instances.is_empty() {
                reasons.push(format!("{name} is not there"));
            }
            let told = instances.iter().filter_map(|instance| instance["reason"].as_str());
            reasons.extend(told.map(|reason| format!("{name}: {reason}")));
        }
        if reasons.is_empty() {
            reasons.push("every service says that it is ready".into());
        }
        reasons.join("; ")
    }
}

/// One more than before, and nothing under way.
fn is_counted(before: &Outcomes, now: &Outcomes) -> bool {
    now.counted > before.counted && now.in_flight == 0
}

/// What a check sends. It is no order, so it is in none of the shop's figures and
/// no rule looks at it.
fn event(id: Uuid, placed: Timestamp) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": TYPE, "time": placed,
        "subject": format!("check-{id}"), "data": {"check": id},
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_counted_when_it_is_one_more_and_none_is_under_way() {
        let of = |counted, in_flight| Outcomes { counted, in_flight, ..Outcomes::default() };
        assert!(is_counted(&of(3, 0), &of(4, 0)));
        for not_yet in [of(3, 1), of(4, 1), of(3, 0)] {
            assert!(!is_counted(&of(3, 0), &not_yet), "{not_yet:?}");
        }
    }
}
