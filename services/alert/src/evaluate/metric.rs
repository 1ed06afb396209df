//! Rules over window totals: is a group's window out of line with its
//! threshold, or with the windows before it?

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidemill_definitions::Metrics;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{AlertTransition, CellUpdate, MetricsUpdate, StreamName, TraceParent};

use super::series::{GroupWindow, WindowSeries};
use crate::{
    alert::FiredAlert,
    rules::{case::MetricCase, metric::MetricRule},
    state::{CellName, CellTotals, ConsumerProgress, Saved, StepChanges},
    telemetry::{Evaluation, Telemetry},
};

/// How long a window waits for the ones before it to be complete; then their
/// totals serve as they are, so that one idle or lagging source cannot keep an
/// alert back.
const PATIENCE: i64 = 60_000;
/// How far a window may start ahead of aggregation's clock: one far in the
/// future must not push the present out.
const AHEAD: i64 = 5 * 60_000;

/// The state behind the metric rules: the furthest totals of each partition
/// for the windows that matter. What fires follows from the totals, not from
/// the order in which partitions report them: a window is compared with the
/// ones before it when every partition has passed their end.
pub(crate) struct MetricRules {
    rules: Vec<Arc<MetricRule>>,
    series: BTreeMap<String, WindowSeries>,
    partitions: BTreeMap<Partition, ConsumerProgress>,
    /// By rule: what waits for the windows before it.
    waiting: Vec<BTreeSet<GroupWindow>>,
    telemetry: Arc<Telemetry>,
}

/// What a look at a group in a window comes to.
enum Conclusion {
    Fired(Box<FiredAlert>),
    /// The windows before it are not complete.
    Waits,
    Quiet,
}

impl MetricRules {
    /// Goes on from what was kept.
    pub(crate) fn new(
        rules: Vec<Arc<MetricRule>>,
        metrics: &Metrics,
        saved: &Saved,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let mut series: BTreeMap<String, WindowSeries> = BTreeMap::new();
        for rule in &rules {
            if let Some(definition) = metrics.get(&rule.body.metric) {
                let fresh = || WindowSeries::new(definition);
                series.entry(definition.name.clone()).or_insert_with(fresh).make_room(rule);
            }
        }
        let partitions = saved.progress.clone();
        let waiting = vec![BTreeSet::new(); rules.len()];
        let mut state = Self { rules, series, partitions, waiting, telemetry };
        state.restore(saved);
        state
    }

    fn restore(&mut self, saved: &Saved) {
        let now = self.as_of();
        // Newest first, so that what is not kept is refused.
        let mut cells: Vec<_> = saved.cells.iter().collect();
        cells.sort_by_key(|(name, _)| Reverse(name.start));
        for (name, totals) in cells {
            if self.observe(now, name, totals) {
                for (rule, waiting) in self.rules.iter().zip(&mut self.waiting) {
                    if rule.body.metric == name.metric && rule.body.baseline.is_some() {
                        waiting.insert((name.start, rule.group_of(&name.dimensions)));
                    }
                }
            }
        }
    }

    fn observe(&mut self, as_of: Timestamp, name: &CellName, totals: &CellTotals) -> bool {
        match self.series.get_mut(&name.metric) {
            Some(series) if series.version == name.version => series.observe(as_of, name, totals),
            Some(_) => {
                self.telemetry.foreign_cell();
                false
            }
            None => false,
        }
    }

    /// Aggregation's clock, as far as it is known.
    fn as_of(&self) -> Timestamp {
        self.partitions.values().filter_map(|progress| progress.as_of).max().unwrap_or(Timestamp::EPOCH)
    }

    /// The last batch of the log that totals of any partition have reached.
    pub(crate) fn reached(&self) -> u64 {
        self.partitions.values().map(|progress| progress.raw_seq).max().unwrap_or_default()
    }

    /// Event time that every partition has passed; `None` where nothing is
    /// held back.
    fn horizon(&self) -> Option<Timestamp> {
        self.partitions.values().filter_map(|progress| progress.watermark).min()
    }

    /// Takes in updates, in the order of their stream, and evaluates what they
    /// change.
    pub(crate) fn apply(&mut self, updates: &[MetricsUpdate], now: Timestamp) -> StepChanges {
        let mut changes = StepChanges::default();
        for update in updates {
            let progress = self.note_progress(update);
            changes.progress.insert(update.partition, progress);
            for cell in update.cells.iter().filter(|cell| cell.start <= update.as_of.plus_millis(AHEAD)) {
                if !self.series.contains_key(cell.metric()) {
                    continue;
                }
                let (name, totals) = named(update, cell);
                if self.observe(update.as_of, &name, &totals) {
                    changes.cells.insert(name, totals);
                }
            }
        }
        for (metric, series) in &mut self.series {
            if let Some(oldest) = series.evict() {
                changes.forget_cells.insert((metric.clone(), series.version.clone()), oldest);
            }
        }
        for (index, rule) in self.rules.clone().iter().enumerate() {
            let changed = changes.cells.keys().filter(|name| name.metric == rule.body.metric);
            let mut due = std::mem::take(&mut self.waiting[index]);
            due.extend(changed.map(|name| (name.start, rule.group_of(&name.dimensions))));
            for place in due {
                match self.evaluate(rule, &place, updates, now) {
                    Conclusion::Fired(alert) => changes.alerts.push(*alert),
                    Conclusion::Waits => drop(self.waiting[index].insert(place)),
                    Conclusion::Quiet => {}
                }
            }
        }
        changes
    }

    /// What a partition says of itself counts when it is not older than what
    /// it said before.
    fn note_progress(&mut self, update: &MetricsUpdate) -> ConsumerProgress {
        let fresh = ConsumerProgress { raw_seq: 0, watermark: None, as_of: None };
        let progress = self.partitions.entry(update.partition).or_insert(fresh);
        if update.raw_seq >= progress.raw_seq {
            progress.raw_seq = update.raw_seq;
            // An idle partition holds nothing back; one that names no
            // watermark has more parts to follow.
            progress.watermark = if update.idle { None } else { update.watermark.or(progress.watermark) };
        }
        progress.as_of = progress.as_of.max(Some(update.as_of));
        *progress
    }

    fn evaluate(
        &mut self,
        rule: &MetricRule,
        place: &GroupWindow,
        updates: &[MetricsUpdate],
        now: Timestamp,
    ) -> Conclusion {
        let (start, group) = place;
        let (as_of, horizon) = (self.as_of(), self.horizon());
        let Some(series) = self.series.get_mut(&rule.body.metric) else { return Conclusion::Quiet };
        let Some(totals) = series.totals(rule, *start, group) else { return Conclusion::Quiet };
        let exemplar = series.exemplar(rule, *start, group);
        let Some(end) = series.cells(rule, *start, group).map(|cell| cell.end).max() else { return Conclusion::Quiet };
        let Some(since) = series.windows.get(start).map(|window| window.since) else { return Conclusion::Quiet };
        let Some(last) = series.last_look(rule, place) else { return Conclusion::Quiet };
        if last.fired || end.plus_millis(rule.meta.max_age.millis()) < as_of {
            return Conclusion::Quiet;
        }
        let to_trace = exemplar.filter(|exemplar| last.traced != Some(*exemplar));
        last.traced = exemplar;
        let is_settled = horizon.is_none_or(|horizon| horizon >= *start) || since.plus_millis(PATIENCE) <= as_of;
        let case = MetricCase {
            metric: rule.body.metric.clone(),
            start: *start,
            end,
            group: rule.body.group_by.iter().cloned().zip(group.iter().cloned()).collect(),
            measures: totals.values,
            unread: totals.unread,
            unconverted: totals.unconverted,
            bases: totals.bases,
            baseline: is_settled.then(|| series.baseline(rule, *start, group)).flatten(),
            threshold: rule.threshold(group),
        };
        let evaluation = Evaluation::begin(&rule.meta, StreamName::Metrics, to_trace);
        let holds = rule.body.condition.holds(&case.variables());
        let parent = evaluation.end(&self.telemetry, &holds);
        if holds != Ok(true) {
            return match is_settled || rule.body.baseline.is_none() {
                true => Conclusion::Quiet,
                false => Conclusion::Waits,
            };
        }
        if let Some(last) = series.last_look(rule, place) {
            last.fired = true;
        }
        let update = updates.iter().max_by_key(|update| (update.raw_seq, update.partition));
        Conclusion::Fired(Box::new(alert(rule, group, case, update, now, exemplar, parent)))
    }
}

fn alert(
    rule: &MetricRule,
    group: &[String],
    case: MetricCase,
    update: Option<&MetricsUpdate>,
    now: Timestamp,
    trace: Option<TraceParent>,
    parent: Option<TraceParent>,
) -> FiredAlert {
    let window = case.start.to_string();
    let trigger: Vec<&str> = std::iter::once(window.as_str()).chain(group.iter().map(String::as_str)).collect();
    let fired = rule.meta.firing(&trigger, now);
    let texts = case.texts();
    let firing = AlertTransition {
        values: case.values(),
        dimensions: case.group,
        event_time: case.start,
        partition: update.map_or(fired.partition, |update| update.partition),
        raw_seq: update.map_or(fired.raw_seq, |update| update.raw_seq),
        trace,
        ..fired
    };
    rule.meta.alert(firing, &texts, parent.or(trace))
}

fn named(update: &MetricsUpdate, cell: &CellUpdate) -> (CellName, CellTotals) {
    let name = CellName {
        metric: cell.metric().to_owned(),
        version: cell.version().to_owned(),
        start: cell.start,
        dimensions: cell.group.dimensions().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        partition: update.partition,
    };
    let totals = CellTotals {
        end: cell.end,
        raw_seq: update.raw_seq,
        totals: cell.totals.clone(),
        retracted: cell.retracted,
        exemplar: cell.exemplar,
    };
    (name, totals)
}

#[cfg(test)]
mod recommended;
#[cfg(test)]
mod tests;
