//! Rules over figures of the lake.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemill_definitions::{Condition, DefinitionError};
use tidemill_domain::Timestamp;

use super::{file::RuleFile, meta::RuleMeta, scalar::condition};

/// The measure that counts the rows that break a rule of a contract.
const FAILED_ROWS: &str = "failed_rows";

/// A rule over figures of the lake.
#[derive(Debug, Clone)]
pub(crate) struct QualityRule {
    pub(crate) meta: RuleMeta,
    pub(crate) body: QualityRuleBody,
}

/// What a rule over figures says, beside its [`RuleMeta`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct QualityRuleBody {
    /// The table, for instance `silver.events`; every table without it.
    #[serde(default)]
    pub(crate) table: Option<String>,
    /// What is measured.
    #[serde(default)]
    pub(crate) measure: Option<String>,
    /// In its place: the rule of a contract whose failed rows are looked at; `*` for each.
    #[serde(default)]
    pub(crate) contract_rule: Option<String>,
    /// In place of the threshold that the lake's settings have.
    #[serde(default)]
    pub(crate) threshold: Option<f64>,
    /// When it fires.
    #[serde(deserialize_with = "condition")]
    pub(crate) condition: Condition,
    /// When it may fire again; without it, when `condition` does not hold any more.
    #[serde(default, deserialize_with = "some_condition", skip_serializing_if = "Option::is_none")]
    pub(crate) clears: Option<Condition>,
}

fn some_condition<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Condition>, D::Error> {
    condition(deserializer).map(Some)
}

/// A figure, with all that a condition may name.
#[derive(Debug, Clone)]
pub(crate) struct FigureCase {
    pub(crate) table: String,
    pub(crate) measure: String,
    pub(crate) contract: Option<String>,
    pub(crate) contract_rule: Option<String>,
    pub(crate) value: f64,
    pub(crate) threshold: Option<f64>,
    pub(crate) previous: Option<f64>,
    pub(crate) checked: Option<u64>,
    pub(crate) version: u64,
    pub(crate) measured_at: Timestamp,
}

impl QualityRule {
    /// Reads one from YAML.
    pub(super) fn read(file: &RuleFile<'_>) -> Result<Self, DefinitionError> {
        let (meta, body): (RuleMeta, QualityRuleBody) = file.read()?;
        if body.measure.is_some() == body.contract_rule.is_some() {
            let place = if body.measure.is_some() { "contract_rule:" } else { "condition:" };
            return Err(file.wrong(place, "needs either `measure` or `contract_rule`"));
        }
        let layered = |table: &String| ["bronze.", "silver.", "gold."].iter().any(|layer| table.starts_with(layer));
        if let Some(table) = body.table.as_ref().filter(|table| !layered(table)) {
            return Err(file.wrong("table:", format!("`{table}` is not a table as `silver.events` is one")));
        }
        let rule = Self { meta, body };
        rule.check_names(file)?;
        // Types do not depend on the figures. What a figure may lack is null.
        let full = FigureCase::trial();
        let bare = FigureCase { threshold: rule.body.threshold, previous: None, ..full.clone() };
        for case in [FigureCase { threshold: Some(1.0), ..full }, bare] {
            for (place, condition) in rule.conditions() {
                condition.holds(&case.variables()).map_err(|reason| {
                    let may_lack = "what a figure may lack is to be asked for: `has_threshold`, `has_previous`";
                    file.wrong(place, format!("{reason}; {may_lack}"))
                })?;
            }
        }
        Ok(rule)
    }

    fn conditions(&self) -> impl Iterator<Item = (&'static str, &Condition)> {
        [("condition:", &self.body.condition)]
            .into_iter()
            .chain(self.body.clears.as_ref().map(|clears| ("clears:", clears)))
    }

    fn check_names(&self, file: &RuleFile<'_>) -> Result<(), DefinitionError> {
        let case = FigureCase::trial();
        let variables: BTreeSet<String> = case.variables().into_keys().collect();
        for (place, condition) in self.conditions() {
            file.check_names(place, condition.variables().iter().map(String::as_str), &variables)?;
        }
        let facts: BTreeSet<String> = case.texts(Timestamp::EPOCH).into_keys().collect();
        file.check_names("title:", self.meta.title.names(), &facts)?;
        file.check_names("summary:", self.meta.summary.names(), &facts)
    }

    /// Whether it looks at a figure.
    pub(crate) fn looks_at(&self, table: &str, measure: &str, contract_rule: Option<&str>) -> bool {
        let is_wanted = match (&self.body.contract_rule, contract_rule) {
            (Some(wanted), Some(rule)) => measure == FAILED_ROWS && (wanted == "*" || wanted == rule),
            (None, None) => self.body.measure.as_deref() == Some(measure),
            _ => false,
        };
        is_wanted && self.body.table.as_deref().is_none_or(|wanted| wanted == table)
    }
}

impl FigureCase {
    /// One with every figure there is.
    fn trial() -> Self {
        Self {
            table: String::new(),
            measure: String::new(),
            contract: None,
            contract_rule: None,
            value: 1.0,
            threshold: Some(1.0),
            previous: Some(1.0),
            checked: Some(1),
            version: 0,
            measured_at: Timestamp::EPOCH,
        }
    }

    /// What CEL sees. Figures are doubles.
    pub(crate) fn variables(&self) -> BTreeMap<String, Value> {
        [
            ("table", json!(self.table)),
            ("measure", json!(self.measure)),
            ("contract", json!(self.contract)),
            ("contract_rule", json!(self.contract_rule)),
            ("value", json!(self.value)),
            ("threshold", json!(self.threshold)),
            ("has_threshold", json!(self.threshold.is_some())),
            ("previous", json!(self.previous)),
            ("has_previous", json!(self.previous.is_some())),
            ("checked", json!(self.checked.unwrap_or_default())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// What an alert is about.
    pub(crate) fn dimensions(&self) -> BTreeMap<String, String> {
        let known = [
            ("table", Some(&self.table)),
            ("measure", Some(&self.measure)),
            ("contract", self.contract.as_ref()),
            ("contract_rule", self.contract_rule.as_ref()),
        ];
        known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone()))).collect()
    }

    /// The figures of an alert.
    pub(crate) fn values(&self) -> BTreeMap<String, tidemill_totals::Value> {
        let known = [("value", Some(self.value)), ("threshold", self.threshold), ("previous", self.previous)];
        let number =
            |(name, value): (&str, Option<f64>)| Some((name.to_owned(), tidemill_totals::Value::Number(value?)));
        known.into_iter().filter_map(number).collect()
    }

    /// Texts for templates.
    pub(crate) fn texts(&self, since: Timestamp) -> BTreeMap<String, String> {
        let figure = |value: Option<f64>| value.map_or_else(|| "none".into(), shown);
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
        [
            ("table", self.table.clone()),
            ("measure", self.measure.clone()),
            ("contract", text(&self.contract)),
            ("contract_rule", text(&self.contract_rule)),
            ("value", shown(self.value)),
            ("threshold", figure(self.threshold)),
            ("previous", figure(self.previous)),
            ("checked", self.checked.map_or_else(|| "none".into(), |rows| rows.to_string())),
            ("version", self.version.to_string()),
            ("measured_at", self.measured_at.to_string()),
            ("since", since.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A figure as people read it: a share has digits that a number of rows has not.
fn shown(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
