//! Rules over window totals.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidemill_definitions::{Condition, DefinitionError, MetricDefinition, Metrics};
use tidemill_domain::Timestamp;
use tidemill_totals::Value;

use super::{case::MetricCase, file::RuleFile, meta::RuleMeta, scalar::condition};

/// The threshold of every group that has none of its own.
const EVERY_GROUP: &str = "*";
/// What joins the values of a group in the name of a threshold.
const GROUP_SEPARATOR: &str = "/";

/// A rule over window totals.
#[derive(Debug, Clone)]
pub(crate) struct MetricRule {
    pub(crate) meta: RuleMeta,
    pub(crate) body: MetricRuleBody,
}

/// What a rule over window totals says, beside its [`RuleMeta`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MetricRuleBody {
    pub(crate) metric: String,
    /// Dimensions that make a group; totals of the others are added up.
    #[serde(default)]
    pub(crate) group_by: Vec<String>,
    /// The windows that a window is compared with.
    #[serde(default)]
    pub(crate) baseline: Option<Baseline>,
    /// A fixed figure by group: its values joined by `/`, or `*` for all others.
    #[serde(default)]
    pub(crate) thresholds: BTreeMap<String, f64>,
    /// When it fires.
    #[serde(deserialize_with = "condition")]
    pub(crate) condition: Condition,
}

/// The mean of the windows of the same group before a window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// How far back, in windows.
    pub(crate) windows: usize,
    /// How many of them the group must be in.
    pub(crate) min_windows: usize,
}

impl MetricRule {
    /// Reads one from YAML.
    pub(super) fn read(file: &RuleFile<'_>, metrics: &Metrics) -> Result<Self, DefinitionError> {
        let (meta, body): (RuleMeta, MetricRuleBody) = file.read()?;
        let rule = Self { meta, body };
        let definition = metrics
            .get(&rule.body.metric)
            .ok_or_else(|| file.wrong("metric:", format!("there is no metric `{}`", rule.body.metric)))?;
        if let Some(name) = rule.body.group_by.iter().find(|name| !definition.dimensions.contains_key(*name)) {
            return Err(file.wrong("group_by:", format!("metric `{}` has no dimension `{name}`", definition.name)));
        }
        if let Some(Baseline { windows, min_windows }) = rule.body.baseline
            && !((1..=1000).contains(&windows) && (1..=windows).contains(&min_windows))
        {
            return Err(file.wrong("baseline:", "windows is 1 to 1000, and min_windows 1 to windows"));
        }
        if rule.body.baseline.is_some() && definition.window.step_millis().is_none() {
            let reason = format!("metric `{}` has sessions, which have no windows before them", definition.name);
            return Err(file.wrong("baseline:", reason));
        }
        let trial = rule.trial(definition);
        rule.check_names(file, &trial)?;
        // Types do not depend on the figures, so trying the condition once
        // finds what would go wrong every time: with all that there may be, and
        // with no more than the rule has.
        for trial in [&trial, &rule.without_what_it_lacks(rule.trial(definition))] {
            rule.body.condition.holds(&trial.variables()).map_err(|reason| file.wrong("condition:", reason))?;
        }
        Ok(rule)
    }

    fn check_names(&self, file: &RuleFile<'_>, trial: &MetricCase) -> Result<(), DefinitionError> {
        let variables: BTreeSet<String> = trial.variables().into_keys().collect();
        file.check_names("condition:", self.body.condition.variables().iter().map(String::as_str), &variables)?;
        let group = self.body.group_by.iter().cloned();
        let facts: BTreeSet<String> =
            group.chain(trial.values().into_keys()).chain(trial.texts().into_keys()).collect();
        file.check_names("title:", self.meta.title.names(), &facts)?;
        file.check_names("summary:", self.meta.summary.names(), &facts)
    }

    /// A case with every figure there is.
    fn trial(&self, definition: &MetricDefinition) -> MetricCase {
        let measures: BTreeMap<String, Value> =
            definition.measures.keys().map(|name| (name.clone(), Value::Number(1.0))).collect();
        let money = || definition.measures.iter().filter(|(_, measure)| measure.money.is_some()).map(|(name, _)| name);
        MetricCase {
            metric: self.body.metric.clone(),
            start: Timestamp::EPOCH,
            end: Timestamp::EPOCH,
            group: self.body.group_by.iter().map(|name| (name.clone(), String::new())).collect(),
            baseline: Some(measures.keys().map(|name| (name.clone(), 1.0)).collect()),
            unread: measures.keys().map(|name| (name.clone(), 0)).collect(),
            unconverted: money().map(|name| (name.clone(), 0)).collect(),
            bases: BTreeMap::new(),
            measures,
            threshold: Some(1.0),
        }
    }

    fn without_what_it_lacks(&self, trial: MetricCase) -> MetricCase {
        MetricCase {
            baseline: trial.baseline.filter(|_| self.body.baseline.is_some()),
            threshold: trial.threshold.filter(|_| !self.body.thresholds.is_empty()),
            ..trial
        }
    }

    /// The group that totals with these dimensions belong to.
    pub(crate) fn group_of(&self, dimensions: &BTreeMap<String, String>) -> Vec<String> {
        self.body.group_by.iter().map(|name| dimensions.get(name).cloned().unwrap_or_default()).collect()
    }

    pub(crate) fn is_in(&self, dimensions: &BTreeMap<String, String>, group: &[String]) -> bool {
        let value = |name| dimensions.get(name).map_or("", String::as_str);
        self.body.group_by.iter().zip(group).all(|(name, wanted)| value(name) == wanted)
    }

    pub(crate) fn threshold(&self, group: &[String]) -> Option<f64> {
        let thresholds = &self.body.thresholds;
        thresholds.get(&group.join(GROUP_SEPARATOR)).or_else(|| thresholds.get(EVERY_GROUP)).copied()
    }
}
