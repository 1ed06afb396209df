//! `GET /v1/alerts`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tidemill_domain::{Code, Timestamp};
use tidemill_events::{AlertState, TraceParent};
use tidemill_service::{
    Problem,
    parameters::{Given, given},
};
use tidemill_totals::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{alert::Notification, app::App, error::Error, store::Recorded};

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 500;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertsQuery {
    /// At most this many; 50 without it.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// Of this rule only.
    rule: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AlertsAnswer)]
pub(super) struct RecordedAlerts {
    /// When this was read.
    #[schema(value_type = String)]
    as_of: Timestamp,
    /// Newest first.
    alerts: Vec<AlertView>,
}

#[derive(Serialize, ToSchema)]
struct AlertView {
    id: String,
    rule: String,
    rule_version: String,
    severity: String,
    /// `firing` or `notified`.
    state: &'static str,
    title: String,
    summary: String,
    dimensions: BTreeMap<String, String>,
    /// Amounts are decimal strings.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    values: BTreeMap<String, Value>,
    #[schema(value_type = String)]
    event_time: Timestamp,
    #[schema(value_type = String)]
    fired_at: Timestamp,
    #[schema(value_type = Option<String>)]
    notified_at: Option<Timestamp>,
    trace_id: Option<String>,
    /// `off`, `pending`, `sent`, `refused` or `expired`.
    notification: &'static str,
    /// Why nobody was told.
    reason: Option<String>,
}

impl From<Recorded> for AlertView {
    fn from(Recorded { alert, notification, settled_at, reason }: Recorded) -> Self {
        let is_sent = notification == Notification::Sent;
        let firing = alert.firing;
        Self {
            id: firing.id.to_string(),
            rule: firing.rule,
            rule_version: firing.rule_version,
            severity: firing.severity,
            state: if is_sent { AlertState::Notified } else { AlertState::Firing }.as_str(),
            title: firing.title,
            summary: firing.summary,
            dimensions: firing.dimensions,
            values: firing.values,
            event_time: firing.event_time,
            fired_at: firing.at,
            notified_at: settled_at.filter(|_| is_sent),
            trace_id: firing.trace.map(TraceParent::trace_id_hex),
            notification: notification.as_str(),
            reason,
        }
    }
}

/// Alerts that fired, newest first.
#[utoipa::path(get, path = "/v1/alerts", params(AlertsQuery), responses(
    (status = 200, body = RecordedAlerts),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn alerts(
    State(app): State<Arc<App>>,
    query: Given<AlertsQuery>,
) -> Result<Json<RecordedAlerts>, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, Code::InvalidParameter).detail(detail);
    let query = given(query).map_err(bad)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(bad(format!("limit must be 1 to {MAX_LIMIT}")));
    }
    let recorded = app.store.newest(query.rule.as_deref(), limit).await.map_err(|error| {
        tracing::warn!(%error, "alerts cannot be read");
        Error::from(error).problem()
    })?;
    let alerts = recorded.into_iter().map(AlertView::from).collect();
    Ok(Json(RecordedAlerts { as_of: app.context.clock.now(), alerts }))
}
