//! The totals of one window of one metric.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidemill_domain::Timestamp;
use tidemill_totals::Totals;

use crate::trace::TraceParent;

/// The totals of one window of one metric.
///
/// To clone one copies no text. On its own it is a JSON object that names
/// everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellUpdate {
    /// What is totalled.
    pub group: CellGroup,
    /// First instant of the window.
    pub start: Timestamp,
    /// First instant after it; a session's grows.
    pub end: Timestamp,
    /// States by measure, in the order of the measures' names.
    pub totals: Totals,
    /// A sampled event that is counted in it, for the trace behind the number.
    pub exemplar: Option<TraceParent>,
    /// The window is no more: a session that became part of another. From here
    /// on it counts as nothing.
    pub retracted: bool,
}

/// One combination of values of the dimensions of a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellGroup {
    /// The metric.
    pub metric: Arc<CellMetric>,
    /// A value for each dimension, in the order of their names.
    pub values: Arc<[Arc<str>]>,
}

/// A version of a metric, as cells name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellMetric {
    /// Its name.
    pub name: String,
    /// The definition's version: its hash.
    pub version: String,
    /// The names of its dimensions, ascending.
    pub dimensions: Vec<String>,
}

impl CellGroup {
    /// From dimensions in any order.
    pub fn new<N: Into<String>, V: Into<Arc<str>>>(
        metric: &str,
        version: &str,
        dimensions: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let sorted: BTreeMap<String, Arc<str>> =
            dimensions.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (dimensions, values): (Vec<_>, Vec<_>) = sorted.into_iter().unzip();
        let metric = CellMetric { name: metric.to_owned(), version: version.to_owned(), dimensions };
        Self { metric: metric.into(), values: values.into() }
    }

    /// Names and values, in the order of the names.
    pub fn dimensions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metric.dimensions.iter().map(String::as_str).zip(self.values.iter().map(|value| &**value))
    }

    /// The value of a dimension.
    pub fn dimension(&self, name: &str) -> Option<&str> {
        self.dimensions().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl CellUpdate {
    /// The metric's name.
    pub fn metric(&self) -> &str {
        &self.group.metric.name
    }

    /// The version of the metric's definition.
    pub fn version(&self) -> &str {
        &self.group.metric.version
    }
}

/// The totals of one window of one metric.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CellUpdate")]
struct CellDocument<'c> {
    /// The metric's name.
    #[serde(borrow)]
    metric: Cow<'c, str>,
    /// The definition's version: its hash.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    version: Cow<'c, str>,
    /// First instant of the window.
    start: Timestamp,
    /// First instant after it; a session's grows.
    end: Timestamp,
    /// Values by dimension.
    dimensions: BTreeMap<Cow<'c, str>, Cow<'c, str>>,
    /// States by measure, in the order of the measures' names.
    totals: Cow<'c, Totals>,
    /// A sampled event that is counted in it, for the trace behind the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TraceParent")]
    exemplar: Option<TraceParent>,
    /// The window is no more: a session that became part of another. From here
    /// on it counts as nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retracted: bool,
}

impl Serialize for CellUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { group, start, end, totals, exemplar, retracted } = self;
        CellDocument {
            metric: Cow::Borrowed(&group.metric.name),
            version: Cow::Borrowed(&group.metric.version),
            start: *start,
            end: *end,
            dimensions: group.dimensions().map(|(name, value)| (name.into(), value.into())).collect(),
            totals: Cow::Borrowed(totals),
            exemplar: *exemplar,
            retracted: *retracted,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CellUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let CellDocument { metric, version, start, end, dimensions, totals, exemplar, retracted } =
            CellDocument::deserialize(deserializer)?;
        let group = CellGroup::new(&metric, &version, dimensions);
        Ok(Self { group, start, end, totals: totals.into_owned(), exemplar, retracted })
    }
}

impl JsonSchema for CellUpdate {
    fn schema_name() -> Cow<'static, str> {
        CellDocument::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        CellDocument::json_schema(generator)
    }
}
