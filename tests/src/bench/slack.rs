//! How long it took from an order to its message in Slack.

use std::time::{Duration, Instant};

use tidemill_testkit::FakeSlack;

use super::{
    generator::{LoadReport, Quantiles},
    machine::rounded,
};

/// Customers of alerting orders, as `tidemill bench` calls them; the event's
/// number follows.
const CUSTOMER: &str = "bench-alert-";

/// Latencies of the alerts of a load: from when the order's request was to be
/// sent until the stand-in for Slack had the message. `now` is the wall clock
/// then, in Unix milliseconds, and the same moment.
pub(super) fn latencies(slack: &FakeSlack, load: &LoadReport, now: (i64, Instant)) -> Option<Quantiles> {
    let rate = load.rate?;
    let mut latencies: Vec<Duration> = Vec::new();
    for (arrived, message) in slack.arrivals() {
        let text = message.to_string();
        let Some(event) = text.split(CUSTOMER).nth(1).and_then(number) else { continue };
        let due = load.started_ms + i64::try_from(event / load.batch * load.batch * 1000 / rate).unwrap_or(i64::MAX);
        let ago = i64::try_from(now.1.saturating_duration_since(arrived).as_millis()).unwrap_or(i64::MAX);
        let took = now.0 - ago - due;
        latencies.push(Duration::from_millis(u64::try_from(took).unwrap_or_default()));
    }
    latencies.sort_unstable();
    quantiles(&latencies)
}

fn number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Of sorted values.
fn quantiles(sorted: &[Duration]) -> Option<Quantiles> {
    let last = sorted.len().checked_sub(1)?;
    let millis = |place: usize| rounded(sorted[place].as_secs_f64() * 1000.0);
    let at = |thousandths: usize| millis((sorted.len() * thousandths).div_ceil(1000).saturating_sub(1));
    let count = sorted.len() as u64;
    Some(Quantiles { p50: at(500), p95: at(950), p99: at(990), p999: at(999), max: millis(last), count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let sorted: Vec<Duration> = (1..=1000).map(Duration::from_millis).collect();
        let told = quantiles(&sorted).expect("some");
        assert_eq!((told.p50, told.p95, told.p99, told.p999, told.max), (500.0, 950.0, 990.0, 999.0, 1000.0));
        assert_eq!(quantiles(&[]), None);
        assert_eq!(number("17, or so"), Some(17));
    }
}
