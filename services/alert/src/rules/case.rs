//! What a rule over window totals may look at.

use std::collections::BTreeMap;

use serde_json::json;
use tidemill_domain::{Currency, Timestamp};
use tidemill_totals::Value;

use super::template::in_currency;

/// One group in one window, with every figure that a condition may name.
pub(crate) struct MetricCase {
    pub(crate) metric: String,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) group: BTreeMap<String, String>,
    pub(crate) measures: BTreeMap<String, Value>,
    /// Rows that a measure should have and has not, by measure.
    pub(crate) unread: BTreeMap<String, u64>,
    /// Rows of money that are in no figure, since no rate is known, by measure.
    pub(crate) unconverted: BTreeMap<String, u64>,
    /// The currency of each measure of money.
    pub(crate) bases: BTreeMap<String, Currency>,
    pub(crate) baseline: Option<BTreeMap<String, f64>>,
    pub(crate) threshold: Option<f64>,
}

impl MetricCase {
    /// What CEL sees. Figures are doubles: write `2.0 * revenue`.
    pub(crate) fn variables(&self) -> BTreeMap<String, serde_json::Value> {
        let group = self.group.iter().map(|(name, value)| (name.clone(), json!(value)));
        let measures = self.measures.iter().map(|(name, value)| (name.clone(), json!(value.to_f64())));
        let fixed = [
            ("has_baseline", json!(self.baseline.is_some())),
            ("baseline", json!(self.baseline)),
            ("has_threshold", json!(self.threshold.is_some())),
            ("threshold", json!(self.threshold)),
            ("unread", json!(self.unread)),
            ("unconverted", json!(self.unconverted)),
            ("metric", json!(self.metric)),
            ("window_start", json!(self.start)),
            ("window_end", json!(self.end)),
        ];
        group.chain(measures).chain(fixed.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// The figures of an alert.
    pub(crate) fn values(&self) -> BTreeMap<String, Value> {
        let baseline =
            self.baseline.iter().flatten().map(|(name, mean)| (format!("baseline.{name}"), Value::Number(*mean)));
        let threshold = self.threshold.map(|threshold| ("threshold".to_owned(), Value::Number(threshold)));
        self.measures.clone().into_iter().chain(baseline).chain(threshold).collect()
    }

    /// Further texts for templates: times, and money with its currency.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        let times = [("window_start", self.start), ("window_end", self.end)];
        let times = times.map(|(name, at)| (name.to_owned(), at.to_string()));
        let money = |(name, currency): (&String, &Currency)| {
            let value = self.measures.get(name).map(|value| (name.clone(), in_currency(value, *currency)));
            let mean = self.baseline.as_ref().and_then(|baseline| baseline.get(name));
            let mean = mean.map(|mean| (format!("baseline.{name}"), in_currency(&Value::Number(*mean), *currency)));
            value.into_iter().chain(mean)
        };
        times.into_iter().chain(self.bases.iter().flat_map(money)).collect()
    }
}
