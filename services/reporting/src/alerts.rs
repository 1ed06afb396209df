//! Alerts, as their transitions left them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_events::{AlertState, AlertTransition};
use tidemill_totals::Value;
use utoipa::ToSchema;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct AlertRecord {
    /// The same rule, version and occasion give the same id.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: Uuid,
    /// The rule's name.
    pub(crate) rule: String,
    /// The rule's version: its hash.
    pub(crate) rule_version: String,
    /// `info`, `warning` or `critical`.
    pub(crate) severity: String,
    /// `firing` until its notification was accepted, then `notified`.
    #[schema(value_type = String)]
    pub(crate) state: AlertState,
    /// One line.
    pub(crate) title: String,
    /// What happened, in words.
    pub(crate) summary: String,
    /// What it is about.
    pub(crate) dimensions: BTreeMap<String, String>,
    /// The figures that made it fire; amounts are strings.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) values: BTreeMap<String, Value>,
    /// Event time of the occasion.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) event_time: Timestamp,
    /// When the rule fired.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) fired_at: Timestamp,
    /// When the notification was accepted.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) notified_at: Option<Timestamp>,
    /// The trace of the event behind it.
    pub(crate) trace_id: Option<String>,
}

impl AlertRecord {
    /// The alert after a transition. Transitions may come in any order and
    /// more than once: of two times for the same step the earlier one stands.
    pub(crate) fn after(before: Option<Self>, transition: &AlertTransition) -> Self {
        let earlier = |known: Option<Timestamp>| known.map_or(transition.at, |known| known.min(transition.at));
        let (fired_at, notified_at) = before.as_ref().map_or((None, None), |a| (Some(a.fired_at), a.notified_at));
        Self {
            id: transition.id,
            rule: transition.rule.clone(),
            rule_version: transition.rule_version.clone(),
            severity: transition.severity.clone(),
            state: match notified_at {
                Some(_) => AlertState::Notified,
                None => transition.state,
            },
            title: transition.title.clone(),
            summary: transition.summary.clone(),
            dimensions: transition.dimensions.clone(),
            values: transition.values.clone(),
            event_time: transition.event_time,
            fired_at: earlier(fired_at),
            notified_at: match transition.state {
                AlertState::Notified => Some(earlier(notified_at)),
                AlertState::Firing => notified_at,
            },
            trace_id: transition.trace.map(|trace| trace.trace_id_hex()).or(before.and_then(|alert| alert.trace_id)),
        }
    }
}
