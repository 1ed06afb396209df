//! Compares every total of the metric with the truth.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidemill_domain::{Amount, Timestamp};

use super::{
    error::BenchError,
    metric::CheckedMetric,
    shape::{CATEGORIES, COUNTRIES},
    truth::{TrueTotal, TrueValue, totals},
    workload::Workload,
};
use crate::client::{Client, Series};

/// Totals that one answer may have.
const CELLS: usize = 20_000;
/// Differences that are told.
const EXAMPLES: usize = 5;

/// What a comparison came to.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Totals that were compared.
    pub(super) cells: u64,
    /// Measures that were compared in each.
    pub(super) measures: BTreeSet<String>,
    /// Totals that are missing, too many or wrong.
    pub(super) different: u64,
    /// The first of them.
    pub(super) examples: Vec<String>,
}

/// Compares the windows of all events.
pub(super) async fn compare(
    client: &Client,
    metric: &CheckedMetric,
    workload: &Workload,
) -> Result<Compared, BenchError> {
    let mut compared = Compared::default();
    let in_a_window = CATEGORIES.len() * COUNTRIES.len();
    let windows = i64::try_from(CELLS / in_a_window).unwrap_or(1).max(1);
    let (mut from, end) = extent(metric, workload);
    while from < end {
        let to = from.plus_millis(windows * metric.window_millis).min(end);
        let answer = metric.windows(client, (from, to), "").await?;
        let truth = totals(workload, &metric.dimensions, metric.window_millis, (from, to));
        compared.take(metric, truth, &answer);
        from = to;
    }
    Ok(compared)
}

/// The windows of all events: the start of the first, and the end of the last.
pub(super) fn extent(metric: &CheckedMetric, workload: &Workload) -> (Timestamp, Timestamp) {
    let last = metric.window_of(workload.time(workload.events.saturating_sub(1)));
    (metric.window_of(workload.begin), last.plus_millis(metric.window_millis))
}

impl Compared {
    fn take<'a>(
        &mut self,
        metric: &CheckedMetric,
        mut truth: BTreeMap<(Timestamp, Vec<&'a str>), TrueTotal>,
        answer: &'a Series,
    ) {
        for series in &answer.series {
            let of = |name: &str| series.dimensions.get(name).map_or("", String::as_str);
            let values: Vec<&str> = metric.dimensions.iter().map(|dimension| of(dimension.name())).collect();
            for point in &series.points {
                let start = point.start.parse().unwrap_or(Timestamp::EPOCH);
                let Some(expected) = truth.remove(&(start, values.clone())) else {
                    self.differs(format!("{start} {values:?} is no window of ours, or there twice"));
                    continue;
                };
                self.cells += 1;
                for (name, value) in &point.values {
                    self.value(&format!("{start} {values:?} {name}"), name, value, &expected, &answer.approximate);
                }
            }
        }
        truth.keys().for_each(|(start, values)| self.differs(format!("{start} {values:?} is missing")));
    }

    fn value(&mut self, place: &str, name: &str, value: &Value, total: &TrueTotal, approximate: &[String]) {
        let Some(expected) = total.measure(name).filter(|_| !approximate.iter().any(|is| is == name)) else { return };
        if !self.measures.contains(name) {
            self.measures.insert(name.to_owned());
        }
        if !is(value, expected) {
            self.differs(format!("{place} is {value}, and must be {expected:?}"));
        }
    }

    fn differs(&mut self, example: String) {
        self.different += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example);
        }
    }
}

fn is(value: &Value, expected: TrueValue) -> bool {
    match expected {
        TrueValue::Count(count) => value.as_u64() == Some(count),
        TrueValue::Hundredths(number) => {
            let exact = format!("{}.{:02}", number / 100, number % 100).parse::<Amount>();
            let text = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
            text.parse::<Amount>().ok() == exact.ok()
        }
    }
}
