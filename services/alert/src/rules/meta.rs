//! What every rule has, and the alert that it makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{AlertState, AlertTransition, TraceParent};
use uuid::Uuid;

use super::{
    period::Period,
    scalar::scalar,
    template::{Template, figure},
};
use crate::alert::FiredAlert;

/// The namespace of alert ids (UUID version 5).
const NAMESPACE: Uuid = Uuid::from_u128(0x8a63_9f5c_21d4_4f0e_9b1d_5d2c_07e4_a6b8);

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum On {
    /// Window totals.
    Metric,
    /// Single events.
    Event,
    /// How good the lake's tables are.
    Quality,
}

/// How much an alert of a rule matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// As it stands in a message.
    pub(crate) const fn as_str(self) -> &'static str {
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
    /// The rule's name.
    #[serde(deserialize_with = "rule_name")]
    pub(crate) rule: String,
    pub(crate) on: On,
    pub(crate) severity: Severity,
    #[serde(default)]
    pub(crate) description: String,
    /// An alert in one line.
    pub(crate) title: Template,
    /// What happened, in words.
    pub(crate) summary: Template,
    /// What is older than this when it is evaluated raises no alert, so that
    /// an import of last year's orders wakes nobody.
    #[serde(default)]
    pub(crate) max_age: Period,
    /// The hash of the whole rule.
    #[serde(skip)]
    pub version: String,
}

impl RuleMeta {
    /// The same trigger gives the same id, whenever and wherever it is met.
    fn alert_id(&self, trigger: &[&str]) -> Uuid {
        // A JSON array, so that no two lists of texts run together.
        let name = serde_json::json!([self.rule, self.version, trigger]).to_string();
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }

    /// The first transition of an alert as far as rule and trigger decide it.
    /// What was found out is to be added by who evaluates the rule, and the
    /// texts by [`RuleMeta::alert`].
    pub(crate) fn firing(&self, trigger: &[&str], at: Timestamp) -> AlertTransition {
        AlertTransition {
            id: self.alert_id(trigger),
            rule: self.rule.clone(),
            rule_version: self.version.clone(),
            severity: self.severity.as_str().into(),
            state: AlertState::Firing,
            title: String::new(),
            summary: String::new(),
            dimensions: BTreeMap::new(),
            values: BTreeMap::new(),
            event_time: at,
            at,
            partition: Partition::new(0),
            raw_seq: 0,
            trace: None,
        }
    }

    /// The alert of this transition. Its title and summary name dimensions,
    /// values and further `texts`.
    pub(crate) fn alert(
        &self,
        mut firing: AlertTransition,
        texts: &BTreeMap<String, String>,
        parent: Option<TraceParent>,
    ) -> FiredAlert {
        let named = |(name, text)| (String::as_str(name), String::clone(text));
        let figures = firing.values.iter().map(|(name, value)| (name.as_str(), figure(value)));
        // A text may say more than the figure of its name: which money it is.
        let facts: BTreeMap<&str, String> =
            firing.dimensions.iter().map(named).chain(figures).chain(texts.iter().map(named)).collect();
        let (title, summary) = (self.title.render(&facts), self.summary.render(&facts));
        (firing.title, firing.summary) = (title, summary);
        FiredAlert { firing, parent }
    }
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
