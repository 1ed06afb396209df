//! Rules as data: what both kinds share, and how a folder of them is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned};
use tidemill_definitions::{Condition, DefinitionError, Metrics, from_yaml, parse_duration, read_folder, version_of};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{AlertState, AlertTransition, TraceParent};
use tidemill_totals::Value;
use uuid::Uuid;

use crate::{event_rules::EventRule, metric_rules::MetricRule};

/// Names the alerts' ids apart from everybody else's (UUID version 5).
const NAMESPACE: Uuid = Uuid::from_u128(0x8a63_9f5c_21d4_4f0e_9b1d_5d2c_07e4_a6b8);
const DAY: i64 = 24 * 3_600_000;

/// What a shop gets without a word: file name and text.
const DEFAULTS: [(&str, &str); 2] = [
    ("fraud_detection.yaml", include_str!("../rules/fraud_detection.yaml")),
    ("revenue_spike.yaml", include_str!("../rules/revenue_spike.yaml")),
];

/// The rules that are evaluated.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Those over window totals.
    pub metric: Vec<Arc<MetricRule>>,
    /// Those over single events.
    pub event: Vec<Arc<EventRule>>,
}

impl Rules {
    /// Reads every rule of a folder (`*.yaml`, `*.yml`, one a file), or the
    /// defaults without one.
    pub fn load(folder: Option<&Path>, metrics: &Metrics) -> Result<Self, DefinitionError> {
        let mut rules = Self::default();
        match folder {
            None => DEFAULTS.iter().try_for_each(|(file, text)| rules.add(file, text, metrics))?,
            Some(folder) => {
                for (file, text) in read_folder(folder)? {
                    rules.add(&file, &text, metrics)?;
                }
            }
        }
        Ok(rules)
    }

    /// Reads one rule from YAML.
    pub fn add(&mut self, file: &str, text: &str, metrics: &Metrics) -> Result<(), DefinitionError> {
        let source = Source { file, text };
        let on: Kind = from_yaml(file, text)?;
        let name = match on.on {
            On::Metric => {
                let rule = MetricRule::read(&source, metrics)?;
                self.metric.push(Arc::new(rule));
                &self.metric[self.metric.len() - 1].head.rule
            }
            On::Event => {
                let rule = EventRule::read(&source)?;
                self.event.push(Arc::new(rule));
                &self.event[self.event.len() - 1].head.rule
            }
        };
        if self.heads().filter(|head| head.rule == *name).count() > 1 {
            return Err(source.wrong("rule:", format!("rule `{name}` is defined twice")));
        }
        Ok(())
    }

    /// What all rules have in common.
    pub fn heads(&self) -> impl Iterator<Item = &RuleMeta> {
        self.metric.iter().map(|rule| &rule.head).chain(self.event.iter().map(|rule| &rule.head))
    }
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// Window totals.
    Metric,
    /// Single events.
    Event,
}

#[derive(Deserialize)]
struct Kind {
    on: On,
}

/// How much an alert of a rule matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// As it stands in a message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What every rule has, whatever it looks at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RuleMeta {
    /// Its name.
    #[serde(deserialize_with = "rule_name")]
    pub rule: String,
    /// What it looks at.
    pub on: On,
    /// How much its alerts matter.
    pub severity: Severity,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// An alert's one line.
    pub title: Template,
    /// What happened, in words.
    pub summary: Template,
    /// What is older than this when it is evaluated raises no alert, so that
    /// an import of last year's orders wakes nobody.
    #[serde(default)]
    pub max_age: Span,
    /// The hash of the whole rule.
    #[serde(skip)]
    pub version: String,
}

impl RuleMeta {
    /// The name of an trigger: the same one whenever and wherever it is met.
    pub fn alert_id(&self, trigger: &[&str]) -> Uuid {
        // A JSON array, so that no two lists of texts run together.
        let name = serde_json::json!([self.rule, self.version, trigger]).to_string();
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }

    /// An alert of this rule.
    pub fn alert(&self, trigger: Trigger) -> Alert {
        let facts = trigger.facts();
        let firing = AlertTransition {
            id: trigger.id,
            rule: self.rule.clone(),
            rule_version: self.version.clone(),
            severity: self.severity.as_str().into(),
            state: AlertState::Firing,
            title: self.title.render(&facts),
            summary: self.summary.render(&facts),
            dimensions: trigger.dimensions,
            values: trigger.values,
            event_time: trigger.event_time,
            at: trigger.at,
            partition: trigger.partition,
            raw_seq: trigger.raw_seq,
            trace: trigger.trace,
        };
        Alert { firing, parent: trigger.parent }
    }
}

/// What made a rule fire.
pub struct Trigger {
    /// [`RuleMeta::alert_id`] of it.
    pub id: Uuid,
    /// What it is about.
    pub dimensions: BTreeMap<String, String>,
    /// The figures.
    pub values: BTreeMap<String, Value>,
    /// Further texts for the templates.
    pub texts: BTreeMap<String, String>,
    /// When it happened; of a window, its start.
    pub event_time: Timestamp,
    /// When it was noticed.
    pub at: Timestamp,
    /// Where in the log.
    pub partition: Partition,
    /// Where in the log.
    pub raw_seq: u64,
    /// The trace of the event behind it.
    pub trace: Option<TraceParent>,
    /// The span that what follows is a child of.
    pub parent: Option<TraceParent>,
}

impl Trigger {
    fn facts(&self) -> BTreeMap<&str, String> {
        let texts = self.dimensions.iter().chain(&self.texts).map(|(k, v)| (k.as_str(), v.clone()));
        let figures = self.values.iter().map(|(k, v)| (k.as_str(), figure(v)));
        texts.chain(figures).collect()
    }
}

/// An alert to be recorded, published and sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its first transition, which says everything.
    pub firing: AlertTransition,
    /// The span that the notification's span is a child of.
    pub parent: Option<TraceParent>,
}

/// A figure as people read it.
pub fn figure(value: &Value) -> String {
    match value {
        Value::Count(n) => n.to_string(),
        Value::Amount(amount) => amount.to_string(),
        Value::Number(x) => format!("{x:.2}"),
        Value::None => "none".into(),
    }
}

/// Reads a text and parses it while the YAML reader still stands on it: that
/// is how it knows the line of what is refused.
fn scalar<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Text<F>(F);
    impl<T, F: FnOnce(&str) -> Result<T, String>> de::Visitor<'_> for Text<F> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text(parse))
}

/// A condition, by [`scalar`].
pub fn condition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
    scalar(deserializer, Condition::compile)
}

fn rule_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    scalar(deserializer, |name| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        match (1..=64).contains(&name.len()) && name.bytes().all(plain) {
            true => Ok(name.to_owned()),
            false => Err(format!("`{name}` is not a rule's name: 1 to 64 letters, digits, _ and -")),
        }
    })
}

/// A rule's file while it is read.
pub struct Source<'a> {
    /// Its name.
    pub file: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl Source<'_> {
    /// The head and the body of a rule; a key that belongs to neither is an
    /// error. (Serde refuses unknown keys of one type, not of two.)
    pub fn read<T: DeserializeOwned + Serialize>(&self) -> Result<(RuleMeta, T), DefinitionError> {
        let mut head: RuleMeta = from_yaml(self.file, self.text)?;
        let body: T = from_yaml(self.file, self.text)?;
        let keys: BTreeMap<String, de::IgnoredAny> = from_yaml(self.file, self.text)?;
        let known = [serde_json::to_value(&head), serde_json::to_value(&body)];
        let is_known = |key: &str| known.iter().flatten().any(|part| part.get(key).is_some());
        if let Some(key) = keys.keys().find(|key| !is_known(key)) {
            return Err(self.wrong(key, format!("unknown key `{key}`")));
        }
        head.version = version_of(&(&head, &body));
        Ok((head, body))
    }

    /// An error at the first line that holds `place`.
    pub fn wrong(&self, place: &str, reason: impl Into<String>) -> DefinitionError {
        DefinitionError::at(self.file, self.text, place, reason)
    }

    /// Refuses a condition or template that needs a name that nobody gives.
    pub fn check_names<'n>(
        &self,
        place: &str,
        mut needed: impl Iterator<Item = &'n str>,
        known: &BTreeSet<String>,
    ) -> Result<(), DefinitionError> {
        match needed.find(|name| !known.contains(*name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Err(self.wrong(place, format!("`{name}` is not known here; known are {}", known.join(", "))))
            }
        }
    }
}

/// A length of time, written `90s`, `10m`, `24h` or `7d`; 24 hours by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(i64);

impl Span {
    /// In milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

impl Default for Span {
    fn default() -> Self {
        Self(DAY)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0 / 1000))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What is kept to tell a repeated alert by is kept for 30 days.
        scalar(deserializer, |text| match parse_duration(text)? {
            millis if millis > 30 * DAY => Err("at most 30d".into()),
            millis => Ok(Self(millis)),
        })
    }
}

/// A text with `{names}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("a `{` without its `}`")?;
            parts.extend([Part::Text(before.into()), Part::Name(name.trim().into())]);
            rest = behind;
        }
        parts.push(Part::Text(rest.into()));
        Ok(Self { text: text.into(), parts })
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Name(name) => Some(name.as_str()),
        })
    }

    fn render(&self, facts: &BTreeMap<&str, String>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(name) => facts.get(name.as_str()).cloned().unwrap_or_else(|| "none".into()),
        };
        self.parts.iter().map(part).collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SPIKE: &str = include_str!("../rules/revenue_spike.yaml");
    const FRAUD: &str = include_str!("../rules/fraud_detection.yaml");

    fn metrics() -> Metrics {
        Metrics::load(None).expect("the defaults load")
    }

    #[test]
    fn a_place_is_said_even_of_a_key_in_quotes_and_of_nothing() {
        let quoted = FRAUD.replace("fire_at: 60", r#""fire_at": 6000"#);
        assert!(refusal(&quoted).starts_with("rule.yaml:1: can never fire"), "{}", refusal(&quoted));
        assert!(refusal("").starts_with("rule.yaml:1: "), "{}", refusal(""));
    }

    fn refusal(text: &str) -> String {
        Rules::default().add("rule.yaml", text, &metrics()).expect_err(text).to_string()
    }

    fn line_of(text: &str, place: &str) -> usize {
        text.lines().position(|line| line.contains(place)).expect(place) + 1
    }

    #[test]
    fn the_defaults_load() {
        let rules = Rules::load(None, &metrics()).expect("they are right");
        let names: Vec<_> = rules.heads().map(|head| (head.rule.as_str(), head.version.len())).collect();
        assert_eq!(names, [("REVENUE_SPIKE", 12), ("FRAUD_DETECTION", 12)]);
    }

    #[test]
    fn a_wrong_rule_is_refused_with_file_line_and_reason() {
        for (rule, from, to, at, why) in [
            (SPIKE, "  (has_threshold", "  (has_threshold ||| ", "condition:", "CEL"),
            (
                SPIKE,
                "revenue >= 500.0)",
                "revenue >= 500.0) || profit > 1.0",
                "condition:",
                "`profit` is not known here",
            ),
            (SPIKE, "2.0 * threshold", "2 * threshold", "condition:", ""),
            (SPIKE, "group_by: [category]", "group_by: [brand]", "group_by:", "no dimension `brand`"),
            (SPIKE, "metric: sales_metrics", "metric: sales", "metric: sales", "no metric `sales`"),
            (SPIKE, "min_windows: 5", "min_windows: 11", "baseline: {", "min_windows"),
            (SPIKE, "thresholds: {}", "treshholds: {}", "treshholds: {}", "unknown key `treshholds`"),
            (SPIKE, "in {category}", "in {shop}", "title:", "`shop` is not known here"),
            (SPIKE, "in {category}", "in {category", "title:", "without its"),
            (SPIKE, "max_age: 24h", "max_age: 31d", "max_age:", "at most 30d"),
            (SPIKE, "severity: warning", "severity: loud", "severity:", "loud"),
            (FRAUD, "on: event", "on: stream", "on: stream", "stream"),
            (FRAUD, "key: clientip", "key: ip", "key: ip", "ip"),
            (FRAUD, "fire_at: 60", "fire_at: 6000", "fire_at:", "can never fire"),
            (FRAUD, "\"amount > 2000.0\"", "\"amount >\"", "name: large amount", "CEL"),
            (FRAUD, "orders_per_ip > 10", "orders_per_city > 10", "many orders from one address", "orders_per_city"),
        ] {
            let text = rule.replacen(from, to, 1);
            assert_ne!(text, rule, "{from}");
            let refusal = refusal(&text);
            let line: usize = refusal.split(':').nth(1).and_then(|line| line.parse().ok()).expect(&refusal);
            assert_eq!(line, line_of(&text, at), "{refusal}");
            assert!(refusal.starts_with("rule.yaml:") && refusal.contains(why), "{refusal}: {why}");
        }
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut rules = Rules::default();
        rules.add("a.yaml", SPIKE, &metrics()).expect("the first");
        assert!(rules.add("b.yaml", SPIKE, &metrics()).expect_err("the second").to_string().contains("defined twice"));
    }

    #[test]
    fn the_version_is_of_the_meaning_and_not_of_the_spelling() {
        let version = |text: &str| {
            let mut rules = Rules::default();
            rules.add("rule.yaml", text, &metrics()).expect(text);
            rules.metric[0].head.version.clone()
        };
        assert_eq!(version(SPIKE), version(&format!("# a remark\n{SPIKE}").replace("24h", "1d")));
        assert_ne!(version(SPIKE), version(&SPIKE.replace("2.0 * threshold", "3.0 * threshold")));
    }

    #[test]
    fn a_folder_is_read_in_order_and_an_absent_one_is_named() {
        let folder = tidemill_testkit::tempdir();
        fs::write(folder.path().join("b.yaml"), SPIKE).expect("written");
        fs::write(folder.path().join("a.yml"), FRAUD).expect("written");
        fs::write(folder.path().join("notes.txt"), "not a rule").expect("written");
        let rules = Rules::load(Some(folder.path()), &metrics()).expect("loads");
        assert_eq!(rules.heads().count(), 2);
        let absent = folder.path().join("absent");
        assert!(Rules::load(Some(&absent), &metrics()).expect_err("absent").to_string().contains("absent"));
    }
}
