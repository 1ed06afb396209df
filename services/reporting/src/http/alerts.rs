//! The newest alerts.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_service::Problem;
use utoipa::{IntoParams, ToSchema};

use super::extract::{PageSize, Parameters};
use crate::{alerts::AlertRecord, error::Error, state::Reporting};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsParameters {
    /// At most this many; 50 without it.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: PageSize,
    /// Of this rule alone.
    rule: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AlertsAnswer)]
pub(super) struct NewestAlerts {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The newest first.
    alerts: Vec<AlertRecord>,
}

/// The newest alerts.
#[utoipa::path(get, path = "/v1/alerts",
    params(AlertsParameters),
    responses(
        (status = 200, body = NewestAlerts),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn alerts(
    State(reporting): State<Arc<Reporting>>,
    Parameters(asked): Parameters<AlertsParameters>,
) -> Result<Json<NewestAlerts>, Error> {
    let alerts = reporting.store.alerts(asked.rule.as_deref(), asked.limit.0).await?;
    Ok(Json(NewestAlerts { as_of: reporting.now(), alerts }))
}
