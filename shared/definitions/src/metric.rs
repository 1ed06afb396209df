//! Metric definitions.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Deserializer, Serialize, de};
use tidemill_domain::Timestamp;

use crate::{Condition, DefinitionError, Field, from_yaml, read_folder, version_of};

const MINUTE: i64 = 60_000;
const MAX_WINDOW: i64 = 366 * 24 * 60 * MINUTE;
const MIN_GAP: i64 = 1000;
const MAX_GAP: i64 = 24 * 60 * MINUTE;
/// Windows that one event may fall into.
const MAX_OVERLAP: i64 = 1000;
const MAX_DIMENSIONS: usize = 8;
const MAX_MEASURES: usize = 32;
/// Fields that a session's point has beside its measures.
const SESSION_FIELDS: [&str; 2] = ["end_millis", "retracted"];

/// A metric: what is counted, in which windows, split by what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricDefinition {
    /// Its name: lower case, digits and `_`.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// What it tells, for people. Not part of its version.
    #[serde(default, skip_serializing)]
    pub description: String,
    /// The event types that it looks at.
    pub types: Vec<String>,
    /// A list in the event's data: each item becomes a row. Without it the
    /// event is the row.
    #[serde(default)]
    pub each: Option<Field>,
    /// Which rows count; all, without it.
    #[serde(default, rename = "where")]
    pub condition: Option<Condition>,
    /// The windows.
    pub window: Window,
    /// Values that the totals are split by. The order of names decides the
    /// order of dimensions.
    #[serde(default)]
    pub dimensions: BTreeMap<String, Field>,
    /// What is totalled, by name.
    pub measures: BTreeMap<String, MeasureDefinition>,
    #[serde(skip)]
    version: String,
}

/// Event-time windows, counted from 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Window {
    /// Each time belongs to one window.
    Tumbling {
        /// Length in milliseconds.
        size_millis: i64,
    },
    /// Windows of one length start at every step, and overlap.
    Sliding {
        /// Length in milliseconds.
        size_millis: i64,
        /// Distance between starts in milliseconds.
        step_millis: i64,
    },
    /// Times that lie less than a gap apart belong together: a window begins
    /// with the first of them and ends a gap after the last.
    ///
    /// A session is one of one partition and of one set of dimension values.
    /// So the dimensions should hold the partition key (for a shop, the
    /// customer): the same visit in two partitions would be two sessions.
    Session {
        /// Silence that ends a session, in milliseconds.
        gap_millis: i64,
    },
}

impl Window {
    /// Length in milliseconds; of a session the least one, its gap.
    pub const fn size_millis(self) -> i64 {
        match self {
            Self::Tumbling { size_millis } | Self::Sliding { size_millis, .. } => size_millis,
            Self::Session { gap_millis } => gap_millis,
        }
    }

    /// Distance between starts in milliseconds; sessions start anywhere.
    pub const fn step_millis(self) -> Option<i64> {
        match self {
            Self::Tumbling { size_millis } => Some(size_millis),
            Self::Sliding { step_millis, .. } => Some(step_millis),
            Self::Session { .. } => None,
        }
    }

    /// The kind's name.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Tumbling { .. } => "tumbling",
            Self::Sliding { .. } => "sliding",
            Self::Session { .. } => "session",
        }
    }

    /// The starts of the windows that hold `time`, earliest first. None for
    /// sessions: where one starts depends on the events around it.
    pub fn starts(self, time: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.step_millis().into_iter().flat_map(move |step| {
            let last = time.floor_to(step).millis();
            let count = (self.size_millis() - (time.millis() - last) - 1).div_euclid(step);
            (0..=count).rev().map(move |n| Timestamp::saturating_from_millis(last - n * step))
        })
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Sliding {
            size: String,
            step: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Session {
            gap: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Text {
            tumbling: Option<String>,
            sliding: Option<Sliding>,
            session: Option<Session>,
        }
        let text = Text::deserialize(deserializer)?;
        let length = |text: &str| parse_duration(text).map_err(de::Error::custom);
        let window = match (text.tumbling, text.sliding, text.session) {
            (Some(size), None, None) => Self::Tumbling { size_millis: length(&size)? },
            (None, Some(Sliding { size, step }), None) => {
                Self::Sliding { size_millis: length(&size)?, step_millis: length(&step)? }
            }
            (None, None, Some(Session { gap })) => Self::Session { gap_millis: length(&gap)? },
            _ => {
                return Err(de::Error::custom(
                    "a window is `tumbling: 1m`, `sliding: {size: 5m, step: 1m}` or `session: {gap: 30m}`",
                ));
            }
        };
        if window.size_millis() > MAX_WINDOW {
            return Err(de::Error::custom("a window is at most 366 days long"));
        }
        if let Self::Session { gap_millis } = window
            && !(MIN_GAP..=MAX_GAP).contains(&gap_millis)
        {
            return Err(de::Error::custom("a session's gap is between 1s and 24h"));
        }
        if let Self::Sliding { size_millis, step_millis } = window
            && (step_millis > size_millis || size_millis / step_millis > MAX_OVERLAP)
        {
            return Err(de::Error::custom("a step is at most the window's size and at least a thousandth of it"));
        }
        Ok(window)
    }
}

/// Reads `30s`, `1m`, `2h` or `1d` as milliseconds.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not a duration such as 30s, 1m, 2h or 1d");
    let unit_at = text.len().saturating_sub(1);
    let (count, unit) = text.split_at_checked(unit_at).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1000,
        "m" => MINUTE,
        "h" => 60 * MINUTE,
        "d" => 24 * 60 * MINUTE,
        _ => return Err(wrong()),
    };
    match count.parse::<i64>().ok().and_then(|count| count.checked_mul(unit)) {
        Some(millis) if millis > 0 => Ok(millis),
        _ => Err(wrong()),
    }
}

/// One measure of a metric.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "MeasureText")]
pub struct MeasureDefinition {
    /// How it totals.
    pub kind: MeasureKind,
    /// Which of the metric's rows it counts; all, without it.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// How a measure totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// The number of rows.
    Count,
    /// The exact sum of the product of these fields.
    Sum(Vec<Field>),
    /// The smallest.
    Min(Field),
    /// The largest.
    Max(Field),
    /// The mean.
    Average(Field),
    /// The number of distinct values. `within_partition`: the author's word
    /// that a value occurs in one partition only, since it is the partition
    /// key or follows from it; such counts are exact at any size and add up.
    Distinct {
        /// Whose values.
        field: Field,
        /// See above.
        within_partition: bool,
    },
    /// A quantile, in thousandths.
    Quantile {
        /// Whose values.
        field: Field,
        /// 950 is p95.
        per_mille: u16,
    },
}

impl MeasureKind {
    /// The kind's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum(_) => "sum",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
            Self::Average(_) => "average",
            Self::Distinct { .. } => "distinct",
            Self::Quantile { .. } => "quantile",
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn fields(self) -> Result<Vec<Field>, String> {
        match self {
            Self::One(field) => Ok(vec![Field::parse(&field)?]),
            Self::More(fields) => fields.iter().map(|field| Field::parse(field)).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Within {
    Partition,
}

/// A measure as it is written: one of these members, and what goes with it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasureText {
    count: Option<String>,
    sum: Option<OneOrMore>,
    min: Option<Field>,
    max: Option<Field>,
    average: Option<Field>,
    distinct: Option<Field>,
    within: Option<Within>,
    quantile: Option<Field>,
    at: Option<f64>,
    #[serde(rename = "where")]
    condition: Option<Condition>,
}

impl TryFrom<MeasureText> for MeasureDefinition {
    type Error = String;

    fn try_from(text: MeasureText) -> Result<Self, String> {
        let mut kinds = Vec::new();
        match text.count.as_deref() {
            Some("rows") => kinds.push(MeasureKind::Count),
            Some(other) => return Err(format!("`count: {other}`: only `count: rows` is known")),
            None => {}
        }
        match text.sum.map(OneOrMore::fields).transpose()? {
            Some(fields) if (1..=4).contains(&fields.len()) => kinds.push(MeasureKind::Sum(fields)),
            Some(_) => return Err("`sum` multiplies one to four fields".into()),
            None => {}
        }
        kinds.extend(text.min.map(MeasureKind::Min));
        kinds.extend(text.max.map(MeasureKind::Max));
        kinds.extend(text.average.map(MeasureKind::Average));
        let within_partition = text.within.is_some();
        if within_partition && text.distinct.is_none() {
            return Err("`within` goes with `distinct`".into());
        }
        kinds.extend(text.distinct.map(|field| MeasureKind::Distinct { field, within_partition }));
        match (text.quantile, text.at) {
            (Some(field), Some(at)) if at > 0.0 && at < 1.0 => {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
                kinds.push(MeasureKind::Quantile { field, per_mille: (at * 1000.0).round() as u16 });
            }
            (None, None) => {}
            _ => return Err("`quantile: FIELD` and `at: 0.95` (between 0 and 1) go together".into()),
        }
        match <[MeasureKind; 1]>::try_from(kinds) {
            Ok([kind]) => Ok(Self { kind, condition: text.condition }),
            Err(_) => Err("a measure is one of count, sum, min, max, average, distinct and quantile".into()),
        }
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check_name(&name).map_err(de::Error::custom)?;
    Ok(name)
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!("`{name}` is not a name: 1 to 64 of a-z, 0-9 and _"))
    }
}

impl MetricDefinition {
    /// Reads one from YAML.
    pub fn parse(file: &str, text: &str) -> Result<Self, DefinitionError> {
        let mut definition: Self = from_yaml(file, text)?;
        definition.check().map_err(|(place, reason)| DefinitionError::at(file, text, place, reason))?;
        definition.version = version_of(&definition);
        Ok(definition)
    }

    /// What is wrong with it as a whole: where it stands in the text, and why.
    fn check(&self) -> Result<(), (&str, String)> {
        let metric = &self.name;
        if self.types.is_empty() {
            return Err(("types:", format!("metric `{metric}` names no event types")));
        }
        if self.dimensions.len() > MAX_DIMENSIONS {
            return Err(("dimensions:", format!("metric `{metric}` has more than {MAX_DIMENSIONS} dimensions")));
        }
        if self.measures.is_empty() || self.measures.len() > MAX_MEASURES {
            return Err(("measures:", format!("metric `{metric}` needs 1 to {MAX_MEASURES} measures")));
        }
        if self.each.as_ref().is_some_and(|field| !matches!(field, Field::Data(_))) {
            let reason = format!("metric `{metric}`: `each` names a list in data, for instance data.items");
            return Err(("each:", reason));
        }
        if matches!(self.window, Window::Session { .. })
            && let Some(taken) = SESSION_FIELDS.iter().find(|name| self.measures.contains_key(**name))
        {
            let reason = format!("metric `{metric}`: in a session metric `{taken}` is not free as a measure's name");
            return Err((*taken, reason));
        }
        let mut names = self.dimensions.keys().chain(self.measures.keys());
        names.try_for_each(|name| check_name(name).map_err(|reason| (name.as_str(), reason)))
    }

    /// Its version: the hash of what it means.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// The metrics that are kept.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<MetricDefinition>);

/// What a shop gets without a word: file name and text.
const DEFAULTS: [(&str, &str); 5] = [
    ("conversion.yaml", include_str!("../metrics/conversion.yaml")),
    ("daily_country.yaml", include_str!("../metrics/daily_country.yaml")),
    ("daily_sales.yaml", include_str!("../metrics/daily_sales.yaml")),
    ("product_views.yaml", include_str!("../metrics/product_views.yaml")),
    ("sales_metrics.yaml", include_str!("../metrics/sales_metrics.yaml")),
];

impl Metrics {
    /// Reads every definition of a folder, or the defaults without one.
    pub fn load(folder: Option<&Path>) -> Result<Self, DefinitionError> {
        let files = match folder {
            Some(folder) => read_folder(folder)?,
            None => DEFAULTS.map(|(file, text)| (file.to_owned(), text.to_owned())).to_vec(),
        };
        let mut metrics: Vec<MetricDefinition> = Vec::with_capacity(files.len());
        for (file, text) in files {
            let definition = MetricDefinition::parse(&file, &text)?;
            if metrics.iter().any(|known| known.name == definition.name) {
                let reason = format!("metric `{}` is defined twice", definition.name);
                return Err(DefinitionError::at(&file, &text, "name:", reason));
            }
            metrics.push(definition);
        }
        if metrics.is_empty() {
            let folder = folder.map(|f| f.display().to_string()).unwrap_or_default();
            return Err(DefinitionError::new(&folder, None, "holds no metric definitions (*.yaml)"));
        }
        Ok(Self(metrics))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &MetricDefinition> {
        self.0.iter()
    }

    /// The one with this name.
    pub fn get(&self, name: &str) -> Option<&MetricDefinition> {
        self.iter().find(|metric| metric.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name: sales\ntypes: [order.placed]\nwindow: {tumbling: 1m}\nmeasures:\n  n: {count: rows}\n";

    fn error(text: &str) -> String {
        MetricDefinition::parse("m.yaml", text).expect_err(text).to_string()
    }

    #[test]
    fn the_defaults_load_and_have_versions() {
        let metrics = Metrics::load(None).expect("the defaults are right");
        let names: Vec<_> = metrics.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["conversion", "daily_country", "daily_sales", "product_views", "sales_metrics"]);
        assert!(metrics.iter().all(|m| m.version().len() == 12));
    }

    #[test]
    fn the_version_is_of_the_meaning() {
        let version = |text: &str| MetricDefinition::parse("m.yaml", text).expect(text).version().to_owned();
        let described = SMALL.replace("types:", "description: how many\ntypes:");
        assert_eq!(version(SMALL), version(&described));
        assert_ne!(version(SMALL), version(&SMALL.replace("1m", "2m")));
    }

    #[test]
    fn errors_say_where_and_why() {
        let wrong_condition = SMALL.replace("window:", "where: 'amount >'\nwindow:");
        assert!(error(&wrong_condition).starts_with("m.yaml:3: "), "{}", error(&wrong_condition));
        let commented = format!("# What it is for,\n# in two lines.\n{wrong_condition}");
        assert!(error(&commented).starts_with("m.yaml:5: "), "{}", error(&commented));
        let wrong_field = SMALL.replace("count: rows", "sum: revenue");
        assert!(error(&wrong_field).contains("not a"), "{}", error(&wrong_field));
        assert!(error(&SMALL.replace("1m", "1 minute")).contains("is not a duration"));
        let session = |gap: &str| SMALL.replace("tumbling: 1m", &format!("session: {{gap: {gap}}}"));
        assert!(
            error(&session("25h")).starts_with("m.yaml:3: a session's gap is between"),
            "{}",
            error(&session("25h"))
        );
        assert!(error(&session("0s")).starts_with("m.yaml:3: "), "{}", error(&session("0s")));
        assert!(error(&session("30m").replace("  n:", "  retracted:")).contains("is not free"));
        assert!(error(&SMALL.replace("1m", "1m, session: {gap: 1m}")).contains("a window is"));
        assert!(error(&SMALL.replace("name: sales", "name: Sales!")).contains("is not a name"));
        let no_types = error(&SMALL.replace("types: [order.placed]", "types: []"));
        assert!(no_types.starts_with("m.yaml:2: metric `sales` names no event types"), "{no_types}");
        // The place is said whatever is wrong: of nothing at all, and of a key in quotes.
        assert!(error("").starts_with("m.yaml:1: "), "{}", error(""));
        let quoted = error(&SMALL.replace("types: [order.placed]", r#""types": []"#));
        assert!(quoted.starts_with("m.yaml:1: "), "{quoted}");
        assert!(error(&SMALL.replace("types:", "typos: 1\ntypes:")).contains("typos"));
    }

    #[test]
    fn a_session_is_known_by_its_gap() {
        let text = SMALL.replace("tumbling: 1m", "session: {gap: 30m}");
        let window = MetricDefinition::parse("m.yaml", &text).expect("a session").window;
        assert_eq!(window, Window::Session { gap_millis: 30 * MINUTE });
        assert_eq!((window.kind(), window.step_millis()), ("session", None));
        assert_eq!(window.starts(Timestamp::EPOCH).count(), 0);
        for gap in ["1s", "24h"] {
            MetricDefinition::parse("m.yaml", &text.replace("30m", gap)).expect(gap);
        }
    }

    #[test]
    fn windows_hold_their_times() {
        let at = |millis| Timestamp::saturating_from_millis(millis);
        let starts = |window: Window, time| window.starts(at(time)).map(Timestamp::millis).collect::<Vec<_>>();
        let tumbling = Window::Tumbling { size_millis: 10 };
        assert_eq!(starts(tumbling, 0), [0]);
        assert_eq!(starts(tumbling, 19), [10]);
        assert_eq!(starts(tumbling, -1), [-10]);
        let sliding = Window::Sliding { size_millis: 10, step_millis: 4 };
        assert_eq!(starts(sliding, 9), [0, 4, 8]);
        assert_eq!(starts(sliding, 10), [4, 8]);
        assert_eq!(starts(sliding, 8), [0, 4, 8]);
    }
}
