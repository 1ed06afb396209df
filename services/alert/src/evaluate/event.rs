//! Rules over single events: which signals does an event show, and do their
//! scores add up to an alert?

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use memchr::memmem::Finder;
use serde_json::json;
use tidemill_definitions::Data;
use tidemill_domain::Timestamp;
use tidemill_events::{
    AlertTransition, EnrichedBatch, Enrichment, EventRef, EventTypes, QualityMeasured, StreamName, TraceParent, event,
};
use tidemill_totals::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    amounts::{EventAmount, member},
    counters::{Counter, MAX_ENTRIES},
    quality::{ArrivedMeasurement, FigureRules},
};
use crate::{
    alert::FiredAlert,
    rules::{
        event::{Dimension, EventRule, Signal},
        quality::QualityRule,
    },
    state::{Observations, Saved, StepChanges},
    telemetry::{Evaluation, Relevance, Telemetry},
};

/// The event rules and their counters; all partitions share them, since an
/// address sends to many.
pub(crate) struct EventRules {
    rules: Vec<Arc<EventRule>>,
    types: BTreeSet<String>,
    /// One for each type: it finds the type in a line.
    finders: Vec<Finder<'static>>,
    counters: Mutex<HashMap<String, Counter>>,
    retention: i64,
    telemetry: Arc<Telemetry>,
    /// The rules over figures of the lake, which come as events.
    quality: FigureRules,
}

/// An event, and what came with it.
#[derive(Clone, Copy)]
struct Arrived<'e> {
    batch: &'e EnrichedBatch,
    event: &'e EventRef<'e>,
    enriched: &'e Enrichment,
    trace: Option<TraceParent>,
}

/// An event's figures, by the names that its rule gives them.
struct Figures {
    amounts: BTreeMap<String, EventAmount>,
    counts: BTreeMap<String, u64>,
}

impl EventRules {
    /// Goes on from what was kept.
    pub(crate) fn new(rules: Vec<Arc<EventRule>>, saved: &Saved, telemetry: Arc<Telemetry>) -> Self {
        let types: BTreeSet<String> = rules.iter().flat_map(|rule| rule.body.types.iter().cloned()).collect();
        let finders = types.iter().map(|kind| Finder::new(kind).into_owned()).collect();
        let mut counters = HashMap::new();
        let mut retention = 0;
        for rule in &rules {
            for (name, version) in &rule.counters {
                let window = rule.body.counters[name].window.millis();
                counters.insert(version.clone(), Counter::new(window, MAX_ENTRIES));
                retention = retention.max(Counter::retention(window));
            }
        }
        for step in &saved.observations {
            for (version, key, time) in &step.entries {
                if let Some(counter) = counters.get_mut(version) {
                    counter.observe(*key, Timestamp::saturating_from_millis(*time), step.arrived);
                }
            }
        }
        let quality = FigureRules::default();
        Self { rules, types, finders, counters: Mutex::new(counters), retention, telemetry, quality }
    }

    /// With rules over figures of the lake, which go on from what was kept.
    pub(crate) fn with_quality(mut self, rules: Vec<Arc<QualityRule>>, saved: &Saved) -> Self {
        if !rules.is_empty() && self.types.insert(QualityMeasured::TYPE.into()) {
            self.finders.push(Finder::new(QualityMeasured::TYPE).into_owned());
        }
        self.quality = FigureRules::new(rules, saved, self.telemetry.clone());
        self
    }

    fn counters(&self) -> MutexGuard<'_, HashMap<String, Counter>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a rule looks at one of the types.
    pub(crate) fn are_about(&self, types: &EventTypes) -> bool {
        types.iter().any(|kind| self.types.contains(kind))
    }

    /// Evaluates a batch, and adds what follows to `changes`.
    pub(crate) fn apply(&self, batch: &EnrichedBatch, now: Timestamp, changes: &mut StepChanges) {
        let mut unconcerned = 0;
        // No rule is about it, so it came without its events.
        if batch.lines.is_empty() {
            unconcerned += u64::from(batch.count);
        }
        for line in event::lines(&batch.lines) {
            // Most events are of no interest, and a type has no character that
            // JSON would escape: looking for it costs a tenth of parsing.
            if !self.finders.iter().any(|finder| finder.find(line).is_some()) {
                unconcerned += 1;
                continue;
            }
            match serde_json::from_slice::<EventRef<'_>>(line) {
                Ok(event) if self.types.contains(event.kind.as_ref()) => self.event(batch, &event, now, changes),
                Ok(_) => unconcerned += 1,
                // Aggregation reads the same line, and accounts for it.
                Err(_) => self.telemetry.events(Relevance::Unreadable, 1),
            }
        }
        self.telemetry.events(Relevance::Unconcerned, unconcerned);
        if self.retention > 0 {
            changes.forget_observations = Some((batch.partition, batch.ingested_at.plus_millis(-self.retention)));
        }
    }

    fn event(&self, batch: &EnrichedBatch, event: &EventRef<'_>, now: Timestamp, changes: &mut StepChanges) {
        let default = Enrichment::default();
        let enriched = event.enriched.as_ref().unwrap_or(&default);
        if enriched.duplicate {
            return self.telemetry.events(Relevance::Duplicate, 1);
        }
        let trace = event.traceparent.as_deref().and_then(|text| text.parse().ok());
        let arrived = Arrived { batch, event, enriched, trace };
        let age = batch.ingested_at.millis().saturating_sub(event.time.millis()).saturating_abs();
        let measured = ArrivedMeasurement { batch, event, trace, age, now };
        let mut is_evaluated = self.quality.apply(&measured, changes);
        for rule in self.rules.iter().filter(|rule| rule.body.types.iter().any(|kind| *kind == event.kind)) {
            if age <= rule.meta.max_age.millis() {
                is_evaluated = true;
                changes.alerts.extend(self.evaluate(rule, arrived, now, &mut changes.observations));
            }
        }
        self.telemetry.events(if is_evaluated { Relevance::Evaluated } else { Relevance::OutOfTime }, 1);
    }

    fn evaluate(
        &self,
        rule: &EventRule,
        arrived: Arrived<'_>,
        now: Timestamp,
        observations: &mut Option<Observations>,
    ) -> Option<FiredAlert> {
        let evaluation = Evaluation::begin(&rule.meta, StreamName::Enriched, arrived.trace);
        let counts = self.count(rule, arrived, observations);
        let data = Data::of(arrived.event.data);
        let amount = |(name, amount): (&String, _)| (name.clone(), EventAmount::of(amount, &data, arrived.enriched));
        let amounts = rule.amounts.iter().map(amount).collect();
        let figures = Figures { amounts, counts };
        let variables = variables(rule, arrived, &data, &figures);
        let mut result = Ok(false);
        let mut shown: Vec<&Signal> = Vec::new();
        for signal in &rule.body.signals {
            match signal.when.holds(&variables) {
                Ok(true) => shown.push(signal),
                Ok(false) => {}
                // What a signal looks for is not there (a member of `data`).
                Err(reason) => result = Err(reason),
            }
        }
        if score_of(&shown) >= rule.body.fire_at {
            result = Ok(true);
        }
        let parent = evaluation.end(&self.telemetry, &result);
        (result == Ok(true)).then(|| alert(rule, arrived, figures, &shown, now, parent))
    }

    /// Counts the event, and answers what its counters say; 0 for a key that
    /// it does not have.
    fn count(
        &self,
        rule: &EventRule,
        Arrived { batch, event, enriched, .. }: Arrived<'_>,
        observations: &mut Option<Observations>,
    ) -> BTreeMap<String, u64> {
        let mut counters = self.counters();
        let mut counts = BTreeMap::new();
        for (name, version) in &rule.counters {
            let key = rule.body.counters[name].key.of(event, enriched);
            let (Some(key), Some(counter)) = (key, counters.get_mut(version)) else {
                counts.insert(name.clone(), 0);
                continue;
            };
            let key = xxh3_64(key.as_bytes());
            counter.observe(key, event.time, batch.ingested_at);
            counts.insert(name.clone(), counter.count(key, event.time));
            let fresh = || Observations {
                partition: batch.partition,
                raw_seq: batch.raw_seq,
                arrived: batch.ingested_at,
                entries: Vec::new(),
            };
            let step = observations.get_or_insert_with(fresh);
            // One step may hold several batches: it is named by the last.
            (step.raw_seq, step.arrived) = (batch.raw_seq, step.arrived.max(batch.ingested_at));
            step.entries.push((version.clone(), key, event.time.millis()));
        }
        counts
    }
}

/// What CEL sees. Figures are doubles, and counts are integers.
fn variables(
    rule: &EventRule,
    Arrived { event, enriched, .. }: Arrived<'_>,
    data: &Data<'_>,
    figures: &Figures,
) -> BTreeMap<String, serde_json::Value> {
    let mut variables: BTreeMap<String, serde_json::Value> = [
        ("id", json!(event.id)),
        ("type", json!(event.kind)),
        ("time", json!(event.time)),
        ("customer", json!(enriched.customer)),
        ("quality", json!(enriched.quality)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    variables.extend(figures.amounts.iter().map(|(name, amount)| (name.clone(), json!(amount.compared().to_f64()))));
    variables.extend(Dimension::ALL.iter().map(|d| (d.name().to_owned(), json!(d.of(event, enriched)))));
    variables.extend(figures.counts.iter().map(|(name, count)| (name.clone(), json!(count))));
    // Only these cost a second parse.
    for (name, list) in rule.lists.iter().filter(|(name, _)| rule.uses(name)) {
        let list = member(data, list.path()).and_then(|list| serde_json::from_str(list).ok());
        variables.insert(name.clone(), list.unwrap_or_else(|| json!([])));
    }
    if rule.uses("data") {
        let data = event.data.and_then(|data| serde_json::from_str(data.get()).ok());
        variables.insert("data".into(), data.unwrap_or_default());
    }
    variables
}

fn score_of(signals: &[&Signal]) -> u64 {
    signals.iter().map(|signal| signal.score).fold(0, u64::saturating_add)
}

fn alert(
    rule: &EventRule,
    Arrived { batch, event, enriched, trace }: Arrived<'_>,
    Figures { amounts, counts }: Figures,
    shown: &[&Signal],
    now: Timestamp,
    parent: Option<TraceParent>,
) -> FiredAlert {
    let named = |d: &Dimension| Some((d.name().to_owned(), d.of(event, enriched)?.to_owned()));
    let dimensions: BTreeMap<String, String> = rule.body.dimensions.iter().filter_map(named).collect();
    let mut texts: BTreeMap<String, String> =
        Dimension::ALL.iter().filter_map(named).filter(|(name, _)| !dimensions.contains_key(name)).collect();
    let signals: Vec<&str> = shown.iter().map(|signal| signal.name.as_str()).collect();
    texts.extend([
        ("id".into(), event.id.to_string()),
        ("type".into(), event.kind.to_string()),
        ("time".into(), event.time.to_string()),
        ("signals".into(), signals.join(", ")),
    ]);
    texts.extend(amounts.iter().map(|(name, amount)| (name.clone(), amount.text())));
    let mut values: BTreeMap<String, Value> =
        amounts.into_iter().map(|(name, amount)| (name, amount.value())).collect();
    values.insert("score".into(), Value::Count(score_of(shown)));
    values.extend(counts.into_iter().map(|(name, n)| (name, Value::Count(n))));
    let firing = AlertTransition {
        dimensions,
        values,
        event_time: event.time,
        partition: batch.partition,
        raw_seq: batch.raw_seq,
        trace,
        ..rule.meta.firing(&[&event.source, &event.id], now)
    };
    rule.meta.alert(firing, &texts, parent.or(trace))
}

#[cfg(test)]
mod tests;
