//! How long it takes from an event to its number: of single events, on a suite that is idle
//! otherwise.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemill::profile::ProfilePart;
use tidemill_domain::{Clock, SystemClock};
use tokio::time::sleep;

use super::{
    super::{DAY, lake::ask, machine::rounded},
    PatternLoad,
    answers::PatternAnswers,
};
use crate::error::Error;

/// Between two looks at live totals, and at gold.
const LIVE: Duration = Duration::from_millis(20);
const GOLD: Duration = Duration::from_millis(500);
/// Between two live probes.
const LIVE_PAUSE: Duration = Duration::from_millis(150);
/// A probe is a line of a country that nobody else has.
const COUNTRY: &str = "Probe ";
/// How many periods of gold a probe may take.
const PATIENCE: u32 = 20;

/// Milliseconds from when an event is sent until it is in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProbeTimes {
    /// Half take less.
    pub p50: f64,
    /// The worst.
    pub max: f64,
    /// How many there were.
    pub count: usize,
}

/// Sends probes one by one, and looks for them in what answers soonest.
pub(super) async fn measure(answers: &PatternAnswers<'_>, load: &PatternLoad) -> Result<ProbeTimes, Error> {
    let is_live = answers.has(ProfilePart::Reporting);
    let period = Duration::from_secs(load.gold_seconds.into());
    // Over gold's period, so that they find it in any state.
    let (look, pause) = if is_live { (LIVE, LIVE_PAUSE) } else { (GOLD, period / load.probes.max(1)) };
    let deadline = Instant::now() + period * PATIENCE + Duration::from_secs(60);
    let (mut sent, mut times): (Vec<Instant>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    let mut last = Instant::now();
    while times.len() < load.probes as usize {
        if sent.len() < load.probes as usize && (sent.is_empty() || last.elapsed() >= pause) {
            last = Instant::now();
            sent.push(last);
            send(answers, sent.len() - 1).await?;
        }
        let told = if is_live { live(answers).await? } else { gold(answers).await? };
        let now = Instant::now();
        for probe in told.into_iter().filter(|probe| *probe < sent.len()) {
            if seen.insert(probe) {
                times.push((now - sent[probe]).as_secs_f64() * 1_000.0);
            }
        }
        if now > deadline {
            let last = format!("{} of {} probes", times.len(), load.probes);
            return Err(Error::Deadline { what: "probes are in an answer".into(), deadline: period * PATIENCE, last });
        }
        sleep(look).await;
    }
    times.sort_by(f64::total_cmp);
    let of = |at: usize| rounded(times.get(at).copied().unwrap_or_default());
    Ok(ProbeTimes { p50: of(times.len() / 2), max: of(times.len().saturating_sub(1)), count: times.len() })
}

async fn send(answers: &PatternAnswers<'_>, probe: usize) -> Result<(), Error> {
    let event = json!({"specversion": "1.0", "id": format!("probe-{probe}"), "source": "probes", "type": "invoice.line",
        "time": SystemClock.now().to_string(), "subject": format!("probe-{probe}"),
        "data": {"invoice": format!("probe-{probe}"), "stock_code": "probe", "quantity": 1, "unit_price": 1,
            "country": format!("{COUNTRY}{probe}")}});
    let sent = answers.client.send(format!("{event}\n").into(), false, None).await;
    sent.map(drop).map_err(|error| Error::Refused(error.to_string()))
}

/// Probes that live totals have.
async fn live(answers: &PatternAnswers<'_>) -> Result<Vec<usize>, Error> {
    let today = SystemClock.now().floor_to(DAY);
    let (from, to) = (today.plus_millis(-DAY), today.plus_millis(2 * DAY));
    let path = format!("/v1/metrics/daily_country/totals?group_by=country&from={from}&to={to}");
    let told: Value = answers.client.get(&path).await.map_err(|error| Error::Refused(error.to_string()))?;
    let rows = told["rows"].as_array().cloned().unwrap_or_default();
    Ok(rows.iter().filter_map(|row| number(&row["dimensions"]["country"])).collect())
}

/// Probes that gold has.
async fn gold(answers: &PatternAnswers<'_>) -> Result<Vec<usize>, Error> {
    let question = format!("select country from gold.daily_country where country like '{COUNTRY}%'");
    let told = ask(answers.suite, &question).await?;
    let rows = told["rows"].as_array().cloned().unwrap_or_default();
    Ok(rows.iter().filter_map(|row| number(&row["country"])).collect())
}

fn number(country: &Value) -> Option<usize> {
    country.as_str()?.strip_prefix(COUNTRY)?.parse().ok()
}
