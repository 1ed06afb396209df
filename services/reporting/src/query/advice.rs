//! Where else a question can be asked that the windows of a metric cannot answer.

use std::fmt::Write;

use tidemill_domain::Timestamp;

use super::question::{Question, QuestionView};
use crate::{calendar::Zone, catalogue::Metric, error::Error, range::length, state::Reporting};

#[cfg(test)]
mod tests;

/// Parameters as they came.
type Pairs = [(String, String)];

/// A range that the windows do not make up is refused with the metric to ask
/// instead, where there is one. Any other error stays as it is.
pub(super) fn beside(error: Error, reporting: &Reporting, metric: &Metric, view: QuestionView, pairs: &Pairs) -> Error {
    let Error::Unaligned { mut detail, errors } = error else { return error };
    let (zone, now) = (reporting.calendar.zone, reporting.now());
    if let Some(other) = instead(&reporting.metrics(), metric, view, zone, now, pairs) {
        detail.push_str(&told(other, view, pairs));
    }
    Error::Unaligned { detail, errors }
}

/// The metric that can answer the question, and is most like the one that was
/// asked: it has most of its measures, then fewest other dimensions, then the
/// longest windows.
fn instead<'m>(
    metrics: &'m [Metric],
    asked: &Metric,
    view: QuestionView,
    zone: Zone,
    now: Timestamp,
    pairs: &Pairs,
) -> Option<&'m Metric> {
    let can = |other: &&Metric| other.name != asked.name && answers(other, view, zone, now, &portable(pairs));
    let rank = |other: &&Metric| {
        let shared = shared(asked, other);
        let foreign = other.dimensions.iter().filter(|name| !asked.dimensions.contains(name)).count();
        (shared, std::cmp::Reverse(foreign), other.window.seconds)
    };
    metrics.iter().filter(can).filter(|other| shared(asked, other) > 0).max_by_key(rank)
}

/// How many measures two metrics have in common.
fn shared(asked: &Metric, other: &Metric) -> usize {
    let is_there = |name: &str, kind: &str| other.measures.iter().any(|of| of.name == name && of.kind == kind);
    asked.measures.iter().filter(|measure| is_there(&measure.name, &measure.kind)).count()
}

/// Whether its windows make up the bounds and the zone's days.
fn answers(metric: &Metric, view: QuestionView, default: Zone, now: Timestamp, pairs: &Pairs) -> bool {
    let Some(millis) = metric.tile_millis() else { return false };
    let Ok(question) = Question::parse(metric, view, default, pairs) else { return false };
    let midnight = question.zone.day_begins(question.zone.date_of(now));
    midnight.floor_to(millis) == midnight
}

/// A version is that of one metric.
fn portable(pairs: &Pairs) -> Vec<(String, String)> {
    pairs.iter().filter(|(name, _)| name != "version").cloned().collect()
}

fn told(other: &Metric, view: QuestionView, pairs: &Pairs) -> String {
    let length = length(other.window.seconds.saturating_mul(1000));
    let asked = portable(pairs).into_iter().map(|(name, value)| format!("{}={}", encoded(&name), encoded(&value)));
    let asked = asked.collect::<Vec<_>>().join("&");
    let (name, view) = (&other.name, view.as_str());
    format!(". Metric {name} has windows of {length}, which make it up: GET /v1/metrics/{name}/{view}?{asked}")
}

/// A text as it stands in a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut query, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b',' => {
                query.push(char::from(byte));
            }
            _ => {
                // A text takes whatever is written to it.
                let _ = write!(query, "%{byte:02X}");
            }
        }
        query
    })
}
