//! Which metrics there are, and which version of each is served.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidemill_definitions::{MetricDefinition, Metrics, Window};
use tidemill_domain::{GenerationName, Timestamp};
use utoipa::ToSchema;

use crate::{error::Error, read_model::VersionName};

#[cfg(test)]
mod tests;

/// A metric's definition, as far as a reader of its numbers needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Metric {
    /// Its name.
    pub(crate) name: String,
    /// Its version: the definition's hash.
    pub(crate) version: String,
    /// What it is, in words; empty where the definition does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    /// Its windows.
    pub(crate) window: WindowShape,
    /// What it is split by.
    pub(crate) dimensions: Vec<String>,
    /// What is totalled.
    pub(crate) measures: Vec<MeasureShape>,
}

/// The windows of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct WindowShape {
    /// `tumbling`, `sliding` or `session`.
    pub(crate) kind: String,
    /// Length; of sessions, the gap that ends one.
    pub(crate) seconds: i64,
}

/// A measure of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Measure)]
pub(crate) struct MeasureShape {
    /// Its name.
    pub(crate) name: String,
    /// How it totals: `count`, `sum`, `min`, `max`, `average`, `distinct` or `quantile`.
    pub(crate) kind: String,
    /// Whether it is money: in the currency of its row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) money: bool,
    /// Of a distinct count: the dimensions over which a value may repeat. Over all
    /// others, and over windows, it adds up exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repeats_over: Option<Vec<String>>,
    /// The measure of another metric that has its total over these dimensions, as
    /// `METRIC.MEASURE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<String>,
}

impl From<&MetricDefinition> for Metric {
    fn from(definition: &MetricDefinition) -> Self {
        let measure = |(name, measure): (&String, &tidemill_definitions::MeasureDefinition)| MeasureShape {
            name: name.clone(),
            kind: measure.kind.name().into(),
            money: measure.money.is_some(),
            repeats_over: measure.repeats_over.as_ref().map(|names| names.iter().cloned().collect()),
            total: measure.total.as_ref().map(ToString::to_string),
        };
        let window = definition.window;
        Self {
            name: definition.name.clone(),
            version: definition.version().into(),
            description: definition.description.clone(),
            window: WindowShape { kind: window.kind().into(), seconds: window.size_millis() / 1000 },
            dimensions: definition.dimensions.keys().cloned().collect(),
            measures: definition.measures.iter().map(measure).collect(),
        }
    }
}

impl Metric {
    /// The generation that it is counted in; `None` of the live one.
    pub(crate) fn generation(&self) -> Option<&str> {
        GenerationName::of_version(&self.version)
    }

    /// What its totals are stored under.
    pub(crate) fn version_name(&self) -> VersionName {
        (self.name.as_str().into(), self.version.as_str().into())
    }

    /// Whether any of its measures is money. Then its totals are split by
    /// currency, always.
    pub(crate) fn has_money(&self) -> bool {
        self.measures.iter().any(|measure| measure.money)
    }

    /// Whether its windows share no event, so that they may be added up: only
    /// sliding ones do.
    pub(crate) fn has_disjoint_windows(&self) -> bool {
        self.window.kind != Window::Sliding { size_millis: 1, step_millis: 1 }.kind()
    }

    /// Whether its windows are sessions.
    pub(crate) fn has_sessions(&self) -> bool {
        self.window.kind == Window::Session { gap_millis: 1 }.kind()
    }

    /// The length of its windows in milliseconds, if they lie side by side. Those
    /// that overlap and sessions belong where they start.
    pub(crate) fn tile_millis(&self) -> Option<i64> {
        let tumbles = self.window.kind == Window::Tumbling { size_millis: 1 }.kind();
        tumbles.then_some(self.window.seconds.saturating_mul(1000)).filter(|millis| *millis > 0)
    }
}

/// A version of a metric, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The metric's name.
    pub(crate) metric: String,
    /// The version.
    pub(crate) version: String,
    /// Its definition; unknown where no instance has ever been given it.
    pub(crate) definition: Option<Metric>,
    /// When the first data of it came.
    pub(crate) data_since: Option<Timestamp>,
}

/// The metrics that are defined, and every version that has data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    defined: BTreeMap<String, Metric>,
    versions: BTreeMap<String, BTreeMap<String, Version>>,
    pointers: Pointers,
}

/// By metric, the version that is served: of metrics that a cutover has put on a generation.
pub(crate) type Pointers = BTreeMap<String, String>;

impl Catalogue {
    /// With the definitions in force and the versions in the store.
    pub(crate) fn new(definitions: &Metrics, stored: Vec<Version>) -> Self {
        let defined = definitions.iter().map(|metric| (metric.name.clone(), metric.into())).collect();
        let mut catalogue = Self { defined, ..Self::default() };
        catalogue.learn(stored);
        catalogue
    }

    /// The definitions in force.
    pub(crate) fn defined(&self) -> impl Iterator<Item = &Metric> {
        self.defined.values()
    }

    /// Whether data of this version has come before.
    pub(crate) fn has_data(&self, metric: &str, version: &str) -> bool {
        self.versions.get(metric).and_then(|all| all.get(version)).is_some_and(|known| known.data_since.is_some())
    }

    /// Takes note that data of this version has come.
    pub(crate) fn data_came(&mut self, metric: &str, version: &str, now: Timestamp) {
        let definition = self.defined.get(metric).filter(|defined| defined.version == version);
        let known = self.versions.entry(metric.into()).or_default().entry(version.into()).or_insert_with(|| Version {
            metric: metric.into(),
            version: version.into(),
            definition: definition.cloned(),
            data_since: None,
        });
        known.data_since.get_or_insert(now);
    }

    /// Takes note of the versions that are stored: other replicas store some too.
    pub(crate) fn learn(&mut self, stored: Vec<Version>) {
        for version in stored {
            self.versions.entry(version.metric.clone()).or_default().insert(version.version.clone(), version);
        }
    }

    /// Takes note of what is served.
    pub(crate) fn point(&mut self, pointers: Pointers) {
        self.pointers = pointers;
    }

    /// Whether this is what is served.
    pub(crate) fn has_pointers(&self, pointers: &Pointers) -> bool {
        self.pointers == *pointers
    }

    /// A metric as a generation counts it, or the live totals, without one.
    pub(crate) fn of_generation(&self, metric: &str, generation: Option<&str>) -> Option<&Metric> {
        let Some(generation) = generation else { return self.live(metric) };
        let stored = self.versions.get(metric)?.values();
        let mut of_it = stored.filter(|known| GenerationName::of_version(&known.version) == Some(generation));
        of_it.find_map(|known| known.definition.as_ref())
    }

    /// The same, for who asks for it.
    pub(crate) fn find_of(&self, metric: &str, generation: Option<&str>) -> Result<&Metric, Error> {
        let of_it = self.of_generation(metric, generation);
        of_it.ok_or_else(|| match generation {
            // Which metrics there are is told first.
            Some(generation) if self.find(metric, None).is_ok() => Error::UnknownVersion {
                metric: metric.into(),
                version: format!("@{generation}"),
                known: self.generations_of(metric).join(", "),
                errors: Vec::new(),
            },
            _ => Error::UnknownMetric { metric: metric.into(), errors: Vec::new() },
        })
    }

    fn generations_of(&self, metric: &str) -> Vec<String> {
        let known = self.readable(metric).map(|known| known.version.clone());
        known.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// All metrics of a generation.
    pub(crate) fn metrics_of(&self, generation: &str) -> Vec<&Metric> {
        self.versions.keys().filter_map(|metric| self.of_generation(metric, Some(generation))).collect()
    }

    /// Every metric in the version that is served.
    pub(crate) fn served(&self) -> Vec<&Metric> {
        let mut names: Vec<&String> = self.defined.keys().chain(self.versions.keys()).collect();
        names.sort();
        names.dedup();
        names.into_iter().filter_map(|name| self.serve(name)).collect()
    }

    /// A metric in a version: the one asked for, else the one that is served.
    pub(crate) fn find(&self, metric: &str, version: Option<&str>) -> Result<&Metric, Error> {
        let served =
            self.serve(metric).ok_or_else(|| Error::UnknownMetric { metric: metric.into(), errors: Vec::new() })?;
        let Some(version) = version else { return Ok(served) };
        let readable: BTreeMap<&str, &Metric> = self.readable(metric).map(|known| (&*known.version, known)).collect();
        readable.get(version).copied().ok_or_else(|| Error::UnknownVersion {
            metric: metric.into(),
            version: version.into(),
            known: readable.keys().copied().collect::<Vec<_>>().join(", "),
            errors: Vec::new(),
        })
    }

    /// The version that a cutover has pointed at, else the live one.
    fn serve(&self, metric: &str) -> Option<&Metric> {
        let pointed = self.pointers.get(metric).and_then(|version| self.versions.get(metric)?.get(version));
        pointed.and_then(|known| known.definition.as_ref()).or_else(|| self.live(metric))
    }

    /// The version in force once it has data, until then the newest that has:
    /// a changed definition takes over with its first number.
    fn live(&self, metric: &str) -> Option<&Metric> {
        let defined = self.defined.get(metric);
        let newest = || {
            let with_data = self.versions.get(metric)?.values();
            let with_data = with_data.filter(|known| known.data_since.is_some() && known.definition.is_some());
            let with_data = with_data.filter(|known| GenerationName::of_version(&known.version).is_none());
            with_data.max_by_key(|known| known.data_since)?.definition.as_ref()
        };
        defined.filter(|defined| self.has_data(metric, &defined.version)).or_else(newest).or(defined)
    }

    fn readable(&self, metric: &str) -> impl Iterator<Item = &Metric> {
        let stored = self.versions.get(metric).into_iter().flat_map(BTreeMap::values);
        stored.filter_map(|known| known.definition.as_ref()).chain(self.defined.get(metric))
    }
}
