//! Rules for a backtest: evaluated as by the service, over batches and totals that somebody
//! else reads from the log. There is no store and no outbox: nobody is told but the caller.

use std::{path::Path, sync::Arc};

use tidemill_definitions::{DefinitionError, Metrics};
use tidemill_domain::Timestamp;
use tidemill_events::{AlertTransition, EnrichedBatch, MetricsUpdate};

use crate::{
    config::Config,
    evaluate::{event::EventRules, metric::MetricRules},
    rules::Rules,
    state::{Saved, StepChanges},
};

/// Rules at work, from the beginning of what they read.
pub struct ReplayedRules {
    events: EventRules,
    metrics: MetricRules,
}

/// What tells a rule from others, and from itself as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    /// The rule.
    pub rule: String,
    /// Its hash.
    pub version: String,
    /// The metric that it looks at, if it looks at one.
    pub metric: Option<String>,
}

/// The files of rules, names and texts: those of a folder, else those of the service, else
/// the built-in ones.
///
/// # Errors
/// A file cannot be read.
pub fn rule_files(live: Option<&Config>, folder: Option<&Path>) -> Result<Vec<(String, String)>, DefinitionError> {
    Rules::files(folder.or_else(|| live.and_then(|live| live.rules.folder.as_deref())))
}

/// The rules of some files. What they call amounts is as the service has it.
///
/// # Errors
/// A rule is wrong: the error names file and line.
pub fn rules_of(
    files: &[(String, String)],
    live: Option<&Config>,
    metrics: &Metrics,
) -> Result<Rules, DefinitionError> {
    Rules::of_files(files, live.and_then(|live| live.rules.amounts.as_deref()), metrics)
}

impl Rules {
    /// Their names and versions.
    pub fn names(&self) -> Vec<RuleName> {
        let of_metric = |rule: &str| {
            let found = self.metric.iter().find(|of| of.meta.rule == rule);
            found.map(|of| of.body.metric.clone())
        };
        let name = |meta: &crate::RuleMeta| RuleName {
            rule: meta.rule.clone(),
            version: meta.version.clone(),
            metric: of_metric(&meta.rule),
        };
        self.metas().map(name).collect()
    }
}

impl ReplayedRules {
    /// Rules that have read nothing yet.
    pub fn new(rules: &Rules, metrics: &Metrics) -> Self {
        let (saved, telemetry) = (Saved::default(), Arc::default());
        let events = EventRules::new(rules.event.clone(), &saved, Arc::clone(&telemetry));
        Self {
            events: events.with_quality(rules.quality.clone(), &saved),
            metrics: MetricRules::new(rules.metric.clone(), metrics, &saved, telemetry),
        }
    }

    /// Evaluates the next batch of the log, at a time of it; answers what fires.
    pub fn events(&self, batch: &EnrichedBatch, at: Timestamp) -> Vec<AlertTransition> {
        let mut changes = StepChanges::default();
        self.events.apply(batch, at, &mut changes);
        fired(changes)
    }

    /// Evaluates totals that changed, at a time of the log; answers what fires.
    pub fn totals(&mut self, updates: &[MetricsUpdate], at: Timestamp) -> Vec<AlertTransition> {
        fired(self.metrics.apply(updates, at))
    }
}

fn fired(changes: StepChanges) -> Vec<AlertTransition> {
    changes.alerts.into_iter().map(|alert| alert.firing).collect()
}
