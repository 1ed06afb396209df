//! Rules over figures of the lake: does a figure begin to be what a rule looks for?
//!
//! A rule fires when its condition begins to hold for a figure, and not again before that
//! has ended. Where it stands with each figure follows from the events of the lake alone,
//! in the order of the log: so it is kept with the place in the log, and an alert's id is
//! of the moment at which it began.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidemill_domain::Timestamp;
use tidemill_events::{
    AlertTransition, EnrichedBatch, EventRef, MeasuredFigure, QualityMeasured, StreamName, TraceParent,
};

use crate::{
    alert::FiredAlert,
    rules::quality::{FigureCase, QualityRule},
    state::{FigureName, FigureStanding, Saved, StepChanges},
    telemetry::{Evaluation, Telemetry},
};

/// The sources of figures, which no event that is posted may claim: the lake, and reporting, which compares batch
/// views with the stream's totals.
const SOURCES: [&str; 2] = ["tidemill/lake", "tidemill/reporting"];
/// Figures that rules may stand with in all.
const MOST_FIGURES: usize = 20_000;

/// The rules, and where they stand.
#[derive(Default)]
pub(super) struct FigureRules {
    rules: Vec<Arc<QualityRule>>,
    figures: Mutex<BTreeMap<FigureName, FigureStanding>>,
    telemetry: Arc<Telemetry>,
}

/// An event, as it has come.
pub(super) struct ArrivedMeasurement<'e> {
    pub(super) batch: &'e EnrichedBatch,
    pub(super) event: &'e EventRef<'e>,
    pub(super) trace: Option<TraceParent>,
    /// Milliseconds between its time and when it was taken in.
    pub(super) age: i64,
    pub(super) now: Timestamp,
}

impl FigureRules {
    /// Goes on from what was kept; what is of rules that have changed is left.
    pub(super) fn new(rules: Vec<Arc<QualityRule>>, saved: &Saved, telemetry: Arc<Telemetry>) -> Self {
        let is_of_rule = |name: &FigureName| rules.iter().any(|rule| rule.meta.version == name.rule_version);
        let known = saved.figures.iter().filter(|(name, _)| is_of_rule(name));
        let figures = known.map(|(name, standing)| (name.clone(), *standing)).collect();
        Self { rules, figures: Mutex::new(figures), telemetry }
    }

    /// Evaluates an event, if it tells figures; answers whether a rule looked at it.
    pub(super) fn apply(&self, measured: &ArrivedMeasurement<'_>, changes: &mut StepChanges) -> bool {
        let event = measured.event;
        if self.rules.is_empty() || event.kind != QualityMeasured::TYPE || !SOURCES.contains(&&*event.source) {
            return false;
        }
        let data = event.data.and_then(|data| serde_json::from_str::<QualityMeasured>(data.get()).ok());
        let Some(told) = data else { return false };
        let mut is_evaluated = false;
        for rule in self.rules.iter().filter(|rule| measured.age <= rule.meta.max_age.millis()) {
            for figure in &told.figures {
                if rule.looks_at(&told.table, &figure.measure, figure.rule.as_deref()) {
                    is_evaluated = true;
                    self.evaluate(rule, measured, &told, figure, changes);
                }
            }
        }
        is_evaluated
    }

    fn evaluate(
        &self,
        rule: &QualityRule,
        measured: &ArrivedMeasurement<'_>,
        told: &QualityMeasured,
        figure: &MeasuredFigure,
        changes: &mut StepChanges,
    ) {
        let name = FigureName {
            rule_version: rule.meta.version.clone(),
            table: told.table.clone(),
            measure: figure.measure.clone(),
            contract_rule: figure.rule.clone().map(|rule| (figure.contract.clone(), rule)),
        };
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let before = figures.get(&name).copied();
        let is_old = before.is_some_and(|before| before.measured_at >= told.measured_at);
        if is_old || (before.is_none() && figures.len() >= MOST_FIGURES) {
            return;
        }
        let case = case_of(rule, told, figure, before);
        let (since, alert) = self.decide(rule, measured, &case, before.and_then(|before| before.since));
        let standing = FigureStanding { measured_at: told.measured_at, value: figure.value, since };
        figures.insert(name.clone(), standing);
        changes.figures.insert(name, standing);
        changes.alerts.extend(alert);
    }

    /// Since when the rule holds, and the alert if that begins.
    fn decide(
        &self,
        rule: &QualityRule,
        measured: &ArrivedMeasurement<'_>,
        case: &FigureCase,
        since: Option<Timestamp>,
    ) -> (Option<Timestamp>, Option<FiredAlert>) {
        let variables = case.variables();
        let evaluation = Evaluation::begin(&rule.meta, StreamName::Enriched, measured.trace);
        let holds = rule.body.condition.holds(&variables);
        // What cannot be decided changes nothing.
        let stays = match (&holds, &rule.body.clears) {
            (Ok(true), None) => true,
            (Ok(false), None) => false,
            (_, Some(clears)) => clears.holds(&variables) != Ok(true),
            (Err(_), None) => true,
        };
        let begins = since.is_none() && holds == Ok(true);
        let verdict = holds.map(|_| begins);
        let parent = evaluation.end(&self.telemetry, &verdict);
        if begins {
            let alert = alert(rule, measured, case, parent);
            return (Some(case.measured_at), Some(alert));
        }
        (since.filter(|_| stays), None)
    }
}

fn case_of(
    rule: &QualityRule,
    told: &QualityMeasured,
    figure: &MeasuredFigure,
    before: Option<FigureStanding>,
) -> FigureCase {
    FigureCase {
        table: told.table.clone(),
        measure: figure.measure.clone(),
        contract: figure.contract.clone(),
        contract_rule: figure.rule.clone(),
        value: figure.value,
        threshold: rule.body.threshold.or(figure.threshold),
        previous: before.map(|before| before.value),
        checked: figure.checked,
        version: told.version,
        measured_at: told.measured_at,
    }
}

fn alert(
    rule: &QualityRule,
    measured: &ArrivedMeasurement<'_>,
    case: &FigureCase,
    parent: Option<TraceParent>,
) -> FiredAlert {
    let since = case.measured_at.to_string();
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let (contract, contract_rule) = (part(&case.contract), part(&case.contract_rule));
    let trigger = [case.table.as_str(), &case.measure, &contract, &contract_rule, &since];
    let firing = AlertTransition {
        dimensions: case.dimensions(),
        values: case.values(),
        event_time: case.measured_at,
        partition: measured.batch.partition,
        raw_seq: measured.batch.raw_seq,
        trace: measured.trace,
        ..rule.meta.firing(&trigger, measured.now)
    };
    rule.meta.alert(firing, &case.texts(case.measured_at), parent.or(measured.trace))
}

#[cfg(test)]
mod tests;
