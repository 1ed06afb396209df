//! Rules over window totals: is a group's window out of line with its
//! threshold, or with the windows before it?

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidemill_definitions::{Condition, DefinitionError, MetricDefinition, Metrics};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellUpdate, MetricsUpdate, StreamName, TraceParent};
use tidemill_totals::{Replicated, Totals, Value};

use crate::{
    rules::{Alert, RuleMeta, Source, Trigger, condition},
    store::{CellKey, CellTotals, Changes, Progress, Saved},
    telemetry::{Evaluation, Telemetry},
};

/// How long a window waits for the ones before it to be complete; then their
/// totals serve as they are, so that one idle or lagging source cannot keep an
/// alert back.
const PATIENCE: i64 = 60_000;
/// How far a window may start ahead of aggregation's clock: one far in the
/// future must not push the present out.
const AHEAD: i64 = 5 * 60_000;
/// Windows that are kept beyond those of a baseline: how far partitions may be
/// apart.
const SPARE_WINDOWS: usize = 16;
/// Cells of one window; more are left out of evaluation.
const MAX_CELLS: usize = 10_000;
/// Starts of sessions that are kept: each has its own.
const MAX_SESSIONS: usize = 10_000;
/// The group that a threshold of its own has nobody.
const EVERY_GROUP: &str = "*";
/// What joins the values of a group in the name of a threshold.
const GROUP_SEPARATOR: &str = "/";

/// A rule over window totals.
#[derive(Debug, Clone)]
pub struct MetricRule {
    /// What every rule has.
    pub head: RuleMeta,
    /// What this kind has.
    pub body: Body,
}

/// What a rule over window totals says, beside its [`RuleMeta`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The metric.
    pub metric: String,
    /// Dimensions that make a group; totals of the others are added up.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// The windows that a window is compared with.
    #[serde(default)]
    pub baseline: Option<Baseline>,
    /// A fixed figure by group: its values joined by `/`, or `*` for all others.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f64>,
    /// When it fires.
    #[serde(deserialize_with = "condition")]
    pub condition: Condition,
}

/// The mean of the windows of the same group before a window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// How far back, in windows.
    pub windows: usize,
    /// How many of them the group must be in.
    pub min_windows: usize,
}

impl MetricRule {
    /// Reads one from YAML.
    pub fn read(source: &Source<'_>, metrics: &Metrics) -> Result<Self, DefinitionError> {
        let (head, body): (RuleMeta, Body) = source.read()?;
        let rule = Self { head, body };
        let definition = metrics
            .get(&rule.body.metric)
            .ok_or_else(|| source.wrong("metric:", format!("there is no metric `{}`", rule.body.metric)))?;
        if let Some(name) = rule.body.group_by.iter().find(|name| !definition.dimensions.contains_key(*name)) {
            return Err(source.wrong("group_by:", format!("metric `{}` has no dimension `{name}`", definition.name)));
        }
        if let Some(Baseline { windows, min_windows }) = rule.body.baseline
            && !((1..=1000).contains(&windows) && (1..=windows).contains(&min_windows))
        {
            return Err(source.wrong("baseline:", "windows is 1 to 1000, and min_windows 1 to windows"));
        }
        if rule.body.baseline.is_some() && definition.window.step_millis().is_none() {
            let reason = format!("metric `{}` has sessions, which have no windows before them", definition.name);
            return Err(source.wrong("baseline:", reason));
        }
        rule.check_names(source, definition)?;
        // Types do not depend on the figures, so trying the condition once
        // finds what would go wrong every time.
        let trial = rule.trial(definition).variables(&rule);
        rule.body.condition.holds(&trial).map_err(|reason| source.wrong("condition:", reason))?;
        Ok(rule)
    }

    fn check_names(&self, source: &Source<'_>, definition: &MetricDefinition) -> Result<(), DefinitionError> {
        let sample = self.trial(definition);
        let variables: BTreeSet<String> = sample.variables(self).into_keys().collect();
        source.check_names("condition:", self.body.condition.variables().iter().map(String::as_str), &variables)?;
        let facts =
            self.body.group_by.iter().cloned().chain(sample.values().into_keys()).chain(sample.texts().into_keys());
        let facts: BTreeSet<String> = facts.collect();
        source.check_names("title:", self.head.title.names(), &facts)?;
        source.check_names("summary:", self.head.summary.names(), &facts)
    }

    /// A case with every figure there is.
    fn trial(&self, definition: &MetricDefinition) -> Case {
        let figures: BTreeMap<String, Value> =
            definition.measures.keys().map(|name| (name.clone(), Value::Number(1.0))).collect();
        Case {
            start: Timestamp::EPOCH,
            end: Timestamp::EPOCH,
            group: self.body.group_by.iter().map(|name| (name.clone(), String::new())).collect(),
            baseline: Some(figures.keys().map(|name| (name.clone(), 1.0)).collect()),
            measures: figures,
            threshold: Some(1.0),
        }
    }

    fn group_of(&self, dimensions: &BTreeMap<String, String>) -> Vec<String> {
        self.body.group_by.iter().map(|name| dimensions.get(name).cloned().unwrap_or_default()).collect()
    }

    fn is_in(&self, dimensions: &BTreeMap<String, String>, group: &[String]) -> bool {
        let value = |name| dimensions.get(name).map_or("", String::as_str);
        self.body.group_by.iter().zip(group).all(|(name, wanted)| value(name) == wanted)
    }

    fn threshold(&self, group: &[String]) -> Option<f64> {
        let thresholds = &self.body.thresholds;
        thresholds.get(&group.join(GROUP_SEPARATOR)).or_else(|| thresholds.get(EVERY_GROUP)).copied()
    }
}

/// Everything that a condition may look at, of one group in one window.
struct Case {
    start: Timestamp,
    end: Timestamp,
    group: BTreeMap<String, String>,
    measures: BTreeMap<String, Value>,
    baseline: Option<BTreeMap<String, f64>>,
    threshold: Option<f64>,
}

impl Case {
    /// What CEL sees. Figures are doubles: write `2.0 * revenue`.
    fn variables(&self, rule: &MetricRule) -> BTreeMap<String, serde_json::Value> {
        let group = self.group.iter().map(|(name, value)| (name.clone(), json!(value)));
        let measures = self.measures.iter().map(|(name, value)| (name.clone(), json!(value.to_f64())));
        let fixed = [
            ("has_baseline", json!(self.baseline.is_some())),
            ("baseline", json!(self.baseline)),
            ("has_threshold", json!(self.threshold.is_some())),
            ("threshold", json!(self.threshold)),
            ("metric", json!(rule.body.metric)),
            ("window_start", json!(self.start)),
            ("window_end", json!(self.end)),
        ];
        group.chain(measures).chain(fixed.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    fn values(&self) -> BTreeMap<String, Value> {
        let baseline =
            self.baseline.iter().flatten().map(|(name, mean)| (format!("baseline.{name}"), Value::Number(*mean)));
        let threshold = self.threshold.map(|threshold| ("threshold".to_owned(), Value::Number(threshold)));
        self.measures.clone().into_iter().chain(baseline).chain(threshold).collect()
    }

    fn texts(&self) -> BTreeMap<String, String> {
        [("window_start", self.start), ("window_end", self.end)]
            .map(|(name, at)| (name.to_owned(), at.to_string()))
            .into()
    }
}

/// The windows of one metric that rules need.
struct Series {
    version: String,
    measures: Vec<String>,
    size: i64,
    step: i64,
    keep: usize,
    windows: BTreeMap<Timestamp, Cells>,
}

struct Cells {
    /// What aggregation's clock said when the window was first seen.
    since: Timestamp,
    cells: BTreeMap<BTreeMap<String, String>, Cell>,
    /// By rule and group.
    seen: BTreeMap<(String, Vec<String>), Seen>,
}

/// What an evaluation leaves behind for the next one of the same place.
#[derive(Clone, Copy, Default)]
struct Seen {
    fired: bool,
    /// An event gets one span, however often its window changes.
    traced: Option<TraceParent>,
}

/// A cell as its partitions report it.
struct Cell {
    /// A session's grows.
    end: Timestamp,
    totals: Replicated,
    /// The partitions that have not taken it back.
    live: BTreeSet<Partition>,
    exemplar: Option<TraceParent>,
}

impl Series {
    fn new(definition: &MetricDefinition) -> Self {
        let size = definition.window.size_millis();
        let step = definition.window.step_millis();
        Self {
            version: definition.version().to_owned(),
            measures: definition.measures.keys().cloned().collect(),
            size,
            // Sessions are on no grid, and have no baseline that would ask.
            step: step.unwrap_or(size),
            keep: if step.is_some() { SPARE_WINDOWS } else { MAX_SESSIONS },
            windows: BTreeMap::new(),
        }
    }

    /// Takes note of a partition's totals; answers whether they are news.
    fn observe(&mut self, partition: Partition, raw_seq: u64, as_of: Timestamp, update: &CellUpdate) -> bool {
        let is_oldest = self.windows.first_key_value().is_none_or(|(oldest, _)| update.start < *oldest);
        if is_oldest && self.windows.len() >= self.keep {
            return false;
        }
        let fresh = || Cells { since: as_of, cells: BTreeMap::new(), seen: BTreeMap::new() };
        let window = self.windows.entry(update.start).or_insert_with(fresh);
        if !window.cells.contains_key(&update.dimensions) && window.cells.len() >= MAX_CELLS {
            return false;
        }
        let fresh = || Cell { end: update.end, totals: Replicated::default(), live: BTreeSet::new(), exemplar: None };
        let cell = window.cells.entry(update.dimensions.clone()).or_insert_with(fresh);
        cell.exemplar = update.exemplar.or(cell.exemplar);
        let is_news = cell.totals.observe(partition, raw_seq, update.totals.clone());
        if is_news {
            cell.end = cell.end.max(update.end);
            match update.retracted {
                true => drop(cell.live.remove(&partition)),
                false => drop(cell.live.insert(partition)),
            }
        }
        is_news
    }

    /// The cells of a group in a window, over all other dimensions.
    fn cells<'s>(
        &'s self,
        rule: &'s MetricRule,
        start: Timestamp,
        group: &'s [String],
    ) -> impl Iterator<Item = &'s Cell> {
        let cells = self.windows.get(&start).into_iter().flat_map(|window| &window.cells);
        let is_in = |(dimensions, cell): &(&_, &Cell)| !cell.live.is_empty() && rule.is_in(dimensions, group);
        cells.filter(is_in).map(|(_, cell)| cell)
    }

    /// Forgets the oldest windows beyond those to keep; answers the start of
    /// the oldest that is left, where any was forgotten.
    fn evict(&mut self) -> Option<Timestamp> {
        let surplus = self.windows.len().saturating_sub(self.keep);
        (0..surplus).for_each(|_| drop(self.windows.pop_first()));
        (surplus > 0).then(|| self.windows.first_key_value().map(|(start, _)| *start)).flatten()
    }

    /// The totals of a group in a window, over all partitions and all other
    /// dimensions; `None` where the group is not in it.
    fn totals(&self, rule: &MetricRule, start: Timestamp, group: &[String]) -> Option<BTreeMap<String, Value>> {
        let mut sum: Option<Totals> = None;
        for cell in self.cells(rule, start, group) {
            // Cells of one version have one shape, so nothing is left out here.
            if let Ok(Some(totals)) = cell.totals.sum() {
                match &mut sum {
                    None => sum = Some(totals),
                    Some(sum) => sum.add(&totals).unwrap_or_default(),
                }
            }
        }
        let values = sum?.0.into_iter().map(|measure| measure.value());
        Some(self.measures.iter().cloned().zip(values).collect())
    }

    /// The mean of each measure over the group's windows before `start`.
    fn baseline(&self, rule: &MetricRule, start: Timestamp, group: &[String]) -> Option<BTreeMap<String, f64>> {
        let Baseline { windows, min_windows } = rule.body.baseline?;
        let earlier =
            (0..windows).map(|n| start.plus_millis(-self.size - self.step * i64::try_from(n).unwrap_or(i64::MAX)));
        let known: Vec<_> = earlier.filter_map(|start| self.totals(rule, start, group)).collect();
        let mean = |name: &String| {
            let values: Vec<f64> = known.iter().filter_map(|totals| totals.get(name)?.to_f64()).collect();
            (!values.is_empty()).then(|| (name.clone(), values.iter().sum::<f64>() / values.len() as f64))
        };
        (known.len() >= min_windows).then(|| self.measures.iter().filter_map(mean).collect())
    }

    fn seen(&mut self, rule: &MetricRule, (start, group): &Place) -> Option<&mut Seen> {
        Some(self.windows.get_mut(start)?.seen.entry((rule.head.rule.clone(), group.clone())).or_default())
    }

    fn exemplar(&self, rule: &MetricRule, start: Timestamp, group: &[String]) -> Option<TraceParent> {
        let exemplars = self.cells(rule, start, group).filter_map(|cell| cell.exemplar);
        exemplars.max_by_key(|exemplar| exemplar.is_sampled())
    }
}

/// A group in a window: what a rule fires at most once for.
type Place = (Timestamp, Vec<String>);

/// The state behind the metric rules: the furthest totals of each partition
/// for the windows that matter. What fires follows from the totals, not from
/// the order in which partitions report them: a window is compared with the
/// ones before it when every partition has passed their end.
pub struct MetricRules {
    rules: Vec<Arc<MetricRule>>,
    series: BTreeMap<String, Series>,
    partitions: BTreeMap<Partition, Progress>,
    /// By rule: what waits for the windows before it.
    waiting: Vec<BTreeSet<Place>>,
    telemetry: Arc<Telemetry>,
}

impl MetricRules {
    /// Goes on from what was kept.
    pub fn new(rules: Vec<Arc<MetricRule>>, metrics: &Metrics, saved: &Saved, telemetry: Arc<Telemetry>) -> Self {
        let mut series: BTreeMap<String, Series> = BTreeMap::new();
        for rule in &rules {
            if let Some(definition) = metrics.get(&rule.body.metric) {
                let series = series.entry(definition.name.clone()).or_insert_with(|| Series::new(definition));
                // A sliding window's baseline begins where the window does not overlap it.
                let overlap = usize::try_from(series.size / series.step).unwrap_or(1);
                let needed = rule.body.baseline.map_or(0, |baseline| baseline.windows) + overlap + SPARE_WINDOWS;
                series.keep = series.keep.max(needed);
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
        cells.sort_by_key(|(key, _)| Reverse(key.start));
        for (key, cell) in cells {
            let update = CellUpdate {
                retracted: cell.retracted,
                metric: key.metric.clone(),
                version: key.version.clone(),
                start: key.start,
                end: cell.end,
                dimensions: key.dimensions.clone(),
                totals: cell.totals.clone(),
                exemplar: cell.exemplar,
            };
            if self.observe(key.partition, cell.raw_seq, now, &update) {
                for (rule, waiting) in self.rules.iter().zip(&mut self.waiting) {
                    if rule.body.metric == key.metric && rule.body.baseline.is_some() {
                        waiting.insert((key.start, rule.group_of(&key.dimensions)));
                    }
                }
            }
        }
    }

    fn observe(&mut self, partition: Partition, raw_seq: u64, as_of: Timestamp, cell: &CellUpdate) -> bool {
        match self.series.get_mut(&cell.metric) {
            Some(series) if series.version == cell.version => series.observe(partition, raw_seq, as_of, cell),
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

    /// Event time that every partition has passed; `None` where nothing is
    /// held back.
    fn horizon(&self) -> Option<Timestamp> {
        self.partitions.values().filter_map(|progress| progress.watermark).min()
    }

    /// Takes in updates, in the order of their stream, and evaluates what they
    /// change.
    pub fn apply(&mut self, updates: &[MetricsUpdate], now: Timestamp) -> Changes {
        let mut changes = Changes::default();
        for update in updates {
            let progress = self.note_progress(update);
            changes.progress.insert(update.partition, progress);
            for cell in update.cells.iter().filter(|cell| cell.start <= update.as_of.plus_millis(AHEAD)) {
                if self.observe(update.partition, update.raw_seq, update.as_of, cell) {
                    let (key, totals) = kept(update, cell);
                    changes.cells.insert(key, totals);
                }
            }
        }
        for (metric, series) in &mut self.series {
            if let Some(oldest) = series.evict() {
                changes.forget_cells.insert((metric.clone(), series.version.clone()), oldest);
            }
        }
        for (index, rule) in self.rules.clone().iter().enumerate() {
            let changed = changes.cells.keys().filter(|key| key.metric == rule.body.metric);
            let mut due = std::mem::take(&mut self.waiting[index]);
            due.extend(changed.map(|key| (key.start, rule.group_of(&key.dimensions))));
            for place in due {
                match self.evaluate(rule, &place, updates, now) {
                    Step::Fired(alert) => changes.alerts.push(*alert),
                    Step::Waits => drop(self.waiting[index].insert(place)),
                    Step::Quiet => {}
                }
            }
        }
        changes
    }

    /// What a partition says of itself counts when it is not older than what
    /// it said before.
    fn note_progress(&mut self, update: &MetricsUpdate) -> Progress {
        let fresh = Progress { raw_seq: 0, watermark: None, as_of: None };
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

    fn evaluate(&mut self, rule: &MetricRule, place: &Place, updates: &[MetricsUpdate], now: Timestamp) -> Step {
        let (start, group) = place;
        let (as_of, horizon) = (self.as_of(), self.horizon());
        let Some(series) = self.series.get_mut(&rule.body.metric) else { return Step::Quiet };
        let Some(measures) = series.totals(rule, *start, group) else { return Step::Quiet };
        let exemplar = series.exemplar(rule, *start, group);
        let Some(end) = series.cells(rule, *start, group).map(|cell| cell.end).max() else { return Step::Quiet };
        let Some(window) = series.windows.get_mut(start) else { return Step::Quiet };
        let since = window.since;
        let seen = window.seen.entry((rule.head.rule.clone(), group.clone())).or_default();
        if seen.fired || end.plus_millis(rule.head.max_age.millis()) < as_of {
            return Step::Quiet;
        }
        let to_trace = exemplar.filter(|exemplar| seen.traced != Some(*exemplar));
        seen.traced = exemplar;
        let is_settled = horizon.is_none_or(|horizon| horizon >= *start) || since.plus_millis(PATIENCE) <= as_of;
        let case = Case {
            start: *start,
            end,
            group: rule.body.group_by.iter().cloned().zip(group.iter().cloned()).collect(),
            measures,
            baseline: is_settled.then(|| series.baseline(rule, *start, group)).flatten(),
            threshold: rule.threshold(group),
        };
        let evaluation = Evaluation::begin(&rule.head, StreamName::Metrics, to_trace);
        let holds = rule.body.condition.holds(&case.variables(rule));
        let parent = evaluation.end(&self.telemetry, &holds);
        if holds != Ok(true) {
            return if is_settled || rule.body.baseline.is_none() { Step::Quiet } else { Step::Waits };
        }
        if let Some(seen) = series.seen(rule, place) {
            seen.fired = true;
        }
        let position = updates.iter().max_by_key(|update| (update.raw_seq, update.partition));
        let window = start.to_string();
        let trigger: Vec<&str> = std::iter::once(window.as_str()).chain(group.iter().map(String::as_str)).collect();
        Step::Fired(Box::new(rule.head.alert(Trigger {
            id: rule.head.alert_id(&trigger),
            values: case.values(),
            texts: case.texts(),
            dimensions: case.group,
            event_time: *start,
            at: now,
            partition: position.map_or(Partition::new(0), |update| update.partition),
            raw_seq: position.map_or(0, |update| update.raw_seq),
            trace: exemplar,
            parent: parent.or(exemplar),
        })))
    }
}

/// What an evaluation comes to.
enum Step {
    Fired(Box<Alert>),
    /// The windows before it are not complete.
    Waits,
    Quiet,
}

fn kept(update: &MetricsUpdate, cell: &CellUpdate) -> (CellKey, CellTotals) {
    let key = CellKey {
        metric: cell.metric.clone(),
        version: cell.version.clone(),
        start: cell.start,
        dimensions: cell.dimensions.clone(),
        partition: update.partition,
    };
    let totals = CellTotals {
        end: cell.end,
        raw_seq: update.raw_seq,
        totals: cell.totals.clone(),
        retracted: cell.retracted,
        exemplar: cell.exemplar,
    };
    (key, totals)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use tidemill_domain::Amount;
    use tidemill_totals::Measure;

    use super::*;
    use crate::rules::Rules;

    const MINUTE: i64 = 60_000;
    const PARTITIONS: usize = 3;
    const WINDOWS: usize = 14;

    fn window(index: usize) -> Timestamp {
        Timestamp::saturating_from_millis(1_800_000_000_000).floor_to(MINUTE).plus_millis(index as i64 * MINUTE)
    }

    fn metrics() -> Metrics {
        Metrics::load(None).expect("the defaults load")
    }

    fn spike(thresholds: &str) -> MetricRules {
        let metrics = metrics();
        let mut rules = Rules::default();
        let text = include_str!("../rules/revenue_spike.yaml").replace("thresholds: {}", thresholds);
        rules.add("rule.yaml", &text, &metrics).expect("the rule is right");
        MetricRules::new(rules.metric, &metrics, &Saved::default(), Arc::default())
    }

    fn cell(start: Timestamp, category: &str, region: &str, revenue: i64) -> CellUpdate {
        CellUpdate {
            retracted: false,
            metric: "sales_metrics".into(),
            version: metrics().get("sales_metrics").expect("is there").version().into(),
            start,
            end: start.plus_millis(MINUTE),
            dimensions: [("category", category), ("region", region)].map(|(k, v)| (k.into(), v.into())).into(),
            // customers, orders, quantity, revenue
            totals: Totals(vec![
                Measure::DistinctKeyed(1),
                Measure::DistinctKeyed(1),
                Measure::Sum(Amount::from_int(1)),
                Measure::Sum(Amount::from_int(revenue)),
            ]),
            exemplar: None,
        }
    }

    fn update(partition: usize, raw_seq: u64, watermark: Timestamp, cells: Vec<CellUpdate>) -> MetricsUpdate {
        MetricsUpdate {
            partition: Partition::new(partition as u16),
            raw_seq,
            raw_prev: 0,
            part: 0,
            as_of: window(WINDOWS),
            watermark: Some(watermark),
            idle: false,
            cells,
            books: Vec::new(),
            trace: None,
        }
    }

    fn ids(alerts: &[Alert]) -> Vec<(Timestamp, String)> {
        alerts.iter().map(|alert| (alert.firing.event_time, alert.firing.dimensions["category"].clone())).collect()
    }

    #[test]
    fn a_threshold_needs_no_history_and_adds_regions_and_partitions_up() {
        let mut rules = spike("thresholds: {books: 100.0, \"*\": 1000.0}");
        let start = window(0);
        let quiet = rules.apply(&[update(0, 1, start, vec![cell(start, "books", "Europe", 150)])], start);
        assert!(quiet.alerts.is_empty());
        let more = [
            update(1, 2, start, vec![cell(start, "books", "Asia", 51)]),
            update(1, 3, start, vec![cell(start, "games", "Asia", 1999)]),
        ];
        let changes = rules.apply(&more, start);
        assert_eq!(ids(&changes.alerts), [(start, "books".into())]);
        let firing = &changes.alerts[0].firing;
        assert_eq!(firing.title, "Revenue spike in books");
        assert!(firing.summary.contains("201.00") && firing.summary.contains("Baseline: none"), "{}", firing.summary);
        let again = rules.apply(&[update(1, 4, start, vec![cell(start, "books", "Asia", 500)])], start);
        assert!(again.alerts.is_empty(), "once per window");
    }

    #[test]
    fn a_baseline_waits_for_the_windows_before_it_and_for_enough_of_them() {
        let mut rules = spike("thresholds: {}");
        let now = window(WINDOWS);
        for index in 0..5 {
            let cells =
                [("books", 300), ("cards", 30)].map(|(name, revenue)| cell(window(index), name, "Europe", revenue));
            assert!(rules.apply(&[update(0, index as u64 + 1, window(index), cells.into())], now).alerts.is_empty());
        }
        let cells = [("books", 601), ("cards", 499)].map(|(name, revenue)| cell(window(5), name, "Europe", revenue));
        let early = update(0, 6, window(4), cells.into());
        assert!(rules.apply(&[early], now).alerts.is_empty(), "the window before may still grow");
        let passed = update(0, 7, window(5), Vec::new());
        let fired = ids(&rules.apply(&[passed], now).alerts);
        assert_eq!(fired, [(window(5), "books".into())], "and cards are too few to wake anybody for");
    }

    #[test]
    fn a_cell_that_was_taken_back_counts_as_nothing_and_stays_so() {
        let metrics = metrics();
        let mut rules = spike("thresholds: {\"*\": 100.0}");
        let (start, now) = (window(0), window(WINDOWS));
        let books = |revenue| cell(start, "books", "Europe", revenue);
        let first = rules.apply(&[update(0, 1, start, vec![books(150)])], now);
        assert!(first.alerts.is_empty());
        let mut back = books(0);
        (back.totals, back.retracted) = (back.totals.nothing(), true);
        let retraction = rules.apply(&[update(0, 3, start, vec![back])], now);
        let mut saved = Saved::default();
        saved.cells.extend(retraction.cells.clone());
        saved.progress.extend(retraction.progress);
        let mut restarted = MetricRules::new(rules.rules.clone(), &metrics, &saved, Arc::default());
        for rules in [&mut rules, &mut restarted] {
            let series = &rules.series["sales_metrics"];
            assert_eq!(series.totals(&rules.rules[0], start, &["books".into()]), None, "as if it were not there");
            let old = rules.apply(&[update(0, 2, start, vec![books(1000)])], now);
            assert!(old.alerts.is_empty(), "an older word does not bring it back");
            let other = rules.apply(&[update(1, 4, start, vec![books(150)])], now);
            assert!(other.alerts.is_empty(), "150 of another partition, and not 300");
        }
    }

    #[test]
    fn sessions_start_anywhere_and_are_no_baseline() {
        let text = "name: visits\ntypes: [product.viewed]\nwindow: {session: {gap: 30m}}\n\
             dimensions: {visitor: subject}\nmeasures: {views: {count: rows}}\n";
        let folder = tidemill_testkit::tempdir();
        std::fs::write(folder.path().join("visits.yaml"), text).expect("written");
        let metrics = Metrics::load(Some(folder.path())).expect("the metric is right");
        let rule = "rule: LONG_VISIT\nseverity: info\ntitle: \"{visitor}\"\nsummary: \"until {window_end}\"\n\
             on: metric\nmetric: visits\ngroup_by: [visitor]\ncondition: views > 2.0\n";
        let refused =
            Rules::default().add("rule.yaml", &format!("{rule}baseline: {{windows: 2, min_windows: 1}}\n"), &metrics);
        assert!(refused.expect_err("no baseline").to_string().contains("sessions"));
        let mut rules = Rules::default();
        rules.add("rule.yaml", rule, &metrics).expect("the rule is right");
        let mut rules = MetricRules::new(rules.metric, &metrics, &Saved::default(), Arc::default());
        let version = metrics.get("visits").expect("is there").version().to_owned();
        let mut apply = |raw_seq: u64, start: Timestamp, end: Timestamp, views: u64| {
            let visit = CellUpdate {
                metric: "visits".into(),
                version: version.clone(),
                dimensions: [("visitor".to_owned(), "v1".to_owned())].into(),
                totals: Totals(vec![Measure::Count(views)]),
                ..cell(start, "", "", 0)
            };
            rules.apply(&[update(0, raw_seq, start, vec![CellUpdate { end, ..visit }])], window(WINDOWS)).alerts
        };
        // More sessions than windows of a grid are kept, and all of them alive.
        for n in 0..100 {
            let start = window(0).plus_millis(n * 7);
            assert!(apply(n.unsigned_abs() + 1, start, start.plus_millis(30 * MINUTE), 1).is_empty());
        }
        let end = window(45);
        let fired = apply(200, window(0), end, 3);
        assert_eq!(fired.len(), 1);
        assert_eq!(fired[0].firing.summary, format!("until {end}"), "a session grows");
    }

    #[test]
    fn a_partition_that_stays_behind_cannot_hold_an_alert_back_for_long() {
        let mut rules = spike("thresholds: {}");
        let now = window(WINDOWS);
        let behind = update(1, 1, window(0), Vec::new());
        rules.apply(&[behind], now);
        for index in 0..6 {
            let revenue = if index == 5 { 501 } else { 100 };
            let step = update(0, index + 2, window(9), vec![cell(window(index as usize), "books", "Europe", revenue)]);
            assert!(rules.apply(&[step], now).alerts.is_empty());
        }
        let mut later = update(0, 9, window(9), Vec::new());
        later.as_of = now.plus_millis(PATIENCE);
        assert_eq!(ids(&rules.apply(&[later], now).alerts), [(window(5), "books".into())]);
    }

    #[test]
    fn history_and_the_far_future_raise_nothing_and_push_nothing_out() {
        let mut rules = spike("thresholds: {\"*\": 1.0}");
        let (day, now) = (24 * 60 * MINUTE, window(WINDOWS));
        let old = cell(now.plus_millis(-day - 2 * MINUTE), "books", "Europe", 100);
        let future = cell(now.plus_millis(day), "books", "Europe", 100);
        let changes = rules.apply(&[update(0, 1, now, vec![old, future.clone()])], now);
        assert!(changes.alerts.is_empty());
        assert!(!changes.cells.keys().any(|key| key.start == future.start));
    }

    #[test]
    fn windows_are_bounded_and_what_is_forgotten_stays_forgotten() {
        let mut rules = spike("thresholds: {}");
        let mut changes = Changes::default();
        for index in 0..100 {
            let now = window(index);
            let mut step = update(0, index as u64 + 1, now, vec![cell(now, "books", "Europe", 1)]);
            step.as_of = now;
            changes = rules.apply(&[step], now);
        }
        let series = &rules.series["sales_metrics"];
        assert_eq!(series.windows.len(), series.keep);
        let oldest = *series.windows.first_key_value().expect("windows").0;
        assert_eq!(changes.forget_cells.values().copied().collect::<Vec<_>>(), [oldest]);
        let late = update(0, 200, window(99), vec![cell(window(0), "books", "Europe", 5)]);
        assert!(rules.apply(&[late], window(99)).cells.is_empty());
    }

    #[test]
    fn a_restart_keeps_baselines_and_repeats_no_id() {
        let metrics = metrics();
        let mut rules = spike("thresholds: {}");
        let mut saved = Saved::default();
        let now = window(WINDOWS);
        for index in 0..5 {
            let step = update(0, index as u64 + 1, window(5), vec![cell(window(index), "books", "Europe", 100)]);
            let changes = rules.apply(&[step], now);
            saved.cells.extend(changes.cells);
            saved.progress.extend(changes.progress);
        }
        let spike = update(0, 9, window(5), vec![cell(window(5), "books", "Europe", 500)]);
        let mut restarted = MetricRules::new(rules.rules.clone(), &metrics, &saved, Arc::default());
        let first = rules.apply(std::slice::from_ref(&spike), now);
        let second = restarted.apply(&[spike], now);
        assert_eq!(first.alerts.len(), 1);
        assert_eq!(first.alerts[0].firing.id, second.alerts[0].firing.id);
    }

    /// What each partition says, in its own order: revenue by window grows in
    /// steps, then the watermark passes the window.
    fn history(revenues: &[[[i64; 2]; WINDOWS]; PARTITIONS]) -> Vec<Vec<MetricsUpdate>> {
        (0..PARTITIONS)
            .map(|partition| {
                let mut updates = vec![update(partition, 1, window(0), Vec::new())];
                for (index, by_category) in revenues[partition].iter().enumerate() {
                    for part in 1..=2 {
                        let cells = ["books", "games"].iter().zip(by_category);
                        let cells = cells
                            .map(|(category, revenue)| cell(window(index), category, "Europe", revenue * part / 2));
                        let raw_seq = updates.len() as u64 * 10 + partition as u64;
                        updates.push(update(partition, raw_seq, window(index), cells.collect()));
                    }
                }
                let mut idle = update(partition, updates.len() as u64 * 10 + 9, window(WINDOWS), Vec::new());
                idle.idle = true;
                updates.push(idle);
                updates
            })
            .collect()
    }

    /// What must have fired in the end, computed from the sums alone.
    fn expected(revenues: &[[[i64; 2]; WINDOWS]; PARTITIONS]) -> BTreeSet<(Timestamp, String)> {
        let sum = |index: usize, category: usize| revenues.iter().map(|p| p[index][category]).sum::<i64>() as f64;
        let mut fired = BTreeSet::new();
        for index in 5..WINDOWS {
            for (category, name) in ["books", "games"].iter().enumerate() {
                let before = index.saturating_sub(10)..index;
                let mean = before.clone().map(|i| sum(i, category)).sum::<f64>() / before.len() as f64;
                if sum(index, category) > 2.0 * mean && sum(index, category) >= 500.0 {
                    fired.insert((window(index), (*name).to_owned()));
                }
            }
        }
        fired
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_fires_does_not_depend_on_the_order_in_which_partitions_report(
            revenues in proptest::array::uniform3(proptest::array::uniform14(proptest::array::uniform2(1i64..400))),
            picks in vec((0usize..PARTITIONS, 1usize..6), 400),
        ) {
            let mut queues: Vec<_> = history(&revenues).into_iter().map(std::collections::VecDeque::from).collect();
            let mut rules = spike("thresholds: {}");
            let now = window(WINDOWS);
            let mut fired = Vec::new();
            // Each partition is heard of once before windows begin to close.
            let first: Vec<_> = queues.iter_mut().filter_map(std::collections::VecDeque::pop_front).collect();
            rules.apply(&first, now);
            for (partition, count) in picks {
                let queue = &mut queues[partition];
                let chunk: Vec<_> = queue.drain(..count.min(queue.len())).collect();
                fired.extend(ids(&rules.apply(&chunk, now).alerts));
                // A repeat, as after a consumer was opened anew.
                fired.extend(ids(&rules.apply(&chunk, now).alerts));
            }
            prop_assert!(queues.iter().all(std::collections::VecDeque::is_empty));
            let unique: BTreeSet<_> = fired.iter().cloned().collect();
            prop_assert_eq!(unique.len(), fired.len(), "each fires once");
            prop_assert_eq!(unique, expected(&revenues));
        }
    }
}
