//! Alerts, as their transitions left them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_events::{AlertState, AlertTransition};
use tidemill_totals::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// The same rule, version and occasion give the same id.
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// The rule's name.
    pub rule: String,
    /// The rule's version: its hash.
    pub rule_version: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// `firing` until its notification was accepted, then `notified`.
    #[schema(value_type = String)]
    pub state: AlertState,
    /// One line.
    pub title: String,
    /// What happened, in words.
    pub summary: String,
    /// What it is about.
    pub dimensions: BTreeMap<String, String>,
    /// The figures that made it fire; amounts are strings.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub values: BTreeMap<String, Value>,
    /// Event time of the occasion.
    #[schema(value_type = String, format = DateTime)]
    pub event_time: Timestamp,
    /// When the rule fired.
    #[schema(value_type = String, format = DateTime)]
    pub fired_at: Timestamp,
    /// When the notification was accepted.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub notified_at: Option<Timestamp>,
    /// The trace of the event behind it.
    pub trace_id: Option<String>,
}

impl Alert {
    /// The alert after a transition. Transitions may come in any order and
    /// more than once: of two times for the same step the earlier one stands.
    pub fn after(before: Option<Self>, transition: &AlertTransition) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, transition};

    #[test]
    fn transitions_may_come_in_any_order() {
        let (fired, notified) = (transition(1, AlertState::Firing, at(5)), transition(1, AlertState::Notified, at(9)));
        let all = |order: &[&AlertTransition]| order.iter().fold(None, |alert, step| Some(Alert::after(alert, step)));
        let straight = all(&[&fired, &notified]).expect("two transitions");
        assert_eq!(
            (straight.state, straight.fired_at, straight.notified_at),
            (AlertState::Notified, at(5), Some(at(9)))
        );
        assert_eq!(all(&[&notified, &fired, &notified, &fired]), Some(straight));
        assert_eq!(all(&[&fired]).expect("one").notified_at, None);
    }
}
