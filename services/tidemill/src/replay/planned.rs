//! Which metrics and rules are to come out in another way, and why.

use std::collections::BTreeSet;

use serde::Serialize;
use tidemill_alert::replay::RuleName;
use tidemill_definitions::Metrics;
use tidemill_events::ReferenceMode;

/// What becomes of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedMetric {
    /// Its name.
    pub metric: String,
    /// Why its totals may be others; none where they are to be the same.
    pub because: Vec<PlannedChange>,
}

/// What becomes of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedRule {
    /// Its name.
    pub rule: String,
    /// Why other alerts may fire; none where they are to be the same.
    pub because: Vec<PlannedChange>,
}

/// Why totals or alerts may be others than the live ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedChange {
    /// There is none of this name so far.
    New,
    /// The generation has none of this name.
    Gone,
    /// The rule is another one.
    Rule,
    /// The metric is defined in another way.
    Definition,
    /// The reference data of now are taken.
    ReferenceData,
    /// Not all of the log is counted.
    Start,
}

/// Metrics and rules, live and to be.
pub(super) struct PlanComparison<'c> {
    pub(super) live: (&'c Metrics, &'c [RuleName]),
    pub(super) new: (&'c Metrics, &'c [RuleName]),
    pub(super) reference: ReferenceMode,
    pub(super) behind: u64,
}

impl PlanComparison<'_> {
    /// What becomes of each metric.
    pub(super) fn metrics(&self) -> Vec<PlannedMetric> {
        let (live, new) = (self.live.0, self.new.0);
        let names: BTreeSet<&str> = live.iter().chain(new.iter()).map(|metric| metric.name.as_str()).collect();
        let of = |name: &str| {
            let because = match (live.get(name), new.get(name)) {
                (_, None) => vec![PlannedChange::Gone],
                (None, Some(_)) => self.with_inputs(Some(PlannedChange::New)),
                (Some(_), Some(_)) => self.with_inputs(self.is_redefined(name).then_some(PlannedChange::Definition)),
            };
            PlannedMetric { metric: name.to_owned(), because }
        };
        names.into_iter().map(of).collect()
    }

    /// What becomes of each rule.
    pub(super) fn rules(&self) -> Vec<PlannedRule> {
        let (live, new) = (self.live.1, self.new.1);
        let names: BTreeSet<&str> = live.iter().chain(new).map(|rule| rule.rule.as_str()).collect();
        let find = |rules: &'_ [RuleName], name: &str| rules.iter().find(|rule| rule.rule == name).cloned();
        let of = |name: &str| {
            let because = match (find(live, name), find(new, name)) {
                (_, None) => vec![PlannedChange::Gone],
                (None, Some(_)) => self.with_inputs(Some(PlannedChange::New)),
                (Some(live), Some(new)) => {
                    let is_other = (live.version != new.version).then_some(PlannedChange::Rule);
                    let is_redefined = new.metric.as_deref().is_some_and(|metric| self.is_redefined(metric));
                    self.with_inputs(is_other.into_iter().chain(is_redefined.then_some(PlannedChange::Definition)))
                }
            };
            PlannedRule { rule: name.to_owned(), because }
        };
        names.into_iter().map(of).collect()
    }

    fn is_redefined(&self, metric: &str) -> bool {
        let version = |metrics: &Metrics| metrics.get(metric).map(|metric| metric.version().to_owned());
        version(self.live.0) != version(self.new.0)
    }

    /// With what changes all of them alike.
    fn with_inputs(&self, own: impl IntoIterator<Item = PlannedChange>) -> Vec<PlannedChange> {
        let is_now = (self.reference != ReferenceMode::AsOf).then_some(PlannedChange::ReferenceData);
        let is_cut = (self.behind > 0).then_some(PlannedChange::Start);
        own.into_iter().chain(is_now).chain(is_cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(rule: &str, version: &str, metric: Option<&str>) -> RuleName {
        RuleName { rule: rule.into(), version: version.into(), metric: metric.map(str::to_owned) }
    }

    #[test]
    fn a_rule_changes_by_itself_and_by_its_metric() {
        let live = Metrics::load(None).expect("the built-in ones");
        let files: Vec<_> = Metrics::built_in().iter().map(|(file, text)| ((*file).into(), (*text).into())).collect();
        let change = |(file, text): (String, String)| (file, text.replace("tumbling: 1m", "tumbling: 2m"));
        let changed = Metrics::of_files(&files.into_iter().map(change).collect::<Vec<_>>()).expect("definitions");
        let before = [rule("A", "1", Some("sales_metrics")), rule("B", "1", None), rule("C", "1", None)];
        let after = [rule("A", "1", Some("sales_metrics")), rule("B", "2", None), rule("D", "1", None)];
        let compared = PlanComparison {
            live: (&live, &before),
            new: (&changed, &after),
            reference: ReferenceMode::AsOf,
            behind: 3,
        };
        let of = |rule: &str, because: &[PlannedChange]| PlannedRule { rule: rule.into(), because: because.into() };
        use PlannedChange::{Definition, Gone, New, Rule, Start};
        let want = [of("A", &[Definition, Start]), of("B", &[Rule, Start]), of("C", &[Gone]), of("D", &[New, Start])];
        assert_eq!(compared.rules(), want);
        let sales = compared.metrics().into_iter().find(|of| of.metric == "sales_metrics").expect("is there");
        assert_eq!(sales.because, [Definition, Start]);
    }
}
