//! Where the stream and the batch views of the lake differ.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use tidemill_service::Problem;
use utoipa::IntoParams;

use super::extract::{PageSize, Parameters};
use crate::{batch::DriftAnswer, drifting, error::Error, state::Reporting};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DriftParameters {
    /// This metric alone.
    metric: Option<String>,
    /// Differing cells that are told, the first in time; 50 without it. All are counted.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: PageSize,
}

/// How the stream and the batch views of the lake differ, at one position of the log.
///
/// Of each total of a view, and of each of the stream that a view should have, both are compared where both have
/// counted the same events. A total that differs stays as the stream has it, until a view says the same.
#[utoipa::path(get, path = "/v1/drift",
    params(DriftParameters),
    responses(
        (status = 200, body = DriftAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn drift(
    State(reporting): State<Arc<Reporting>>,
    Parameters(DriftParameters { metric, limit }): Parameters<DriftParameters>,
) -> Result<Json<DriftAnswer>, Error> {
    drifting::answer(&reporting, metric.as_deref(), limit.0).await.map(Json)
}
