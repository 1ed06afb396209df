//! Totals as points: those of InfluxDB, or of the checkpoints where there is none.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tidemill_definitions::Metrics;
use tidemill_domain::Timestamp;
use tidemill_metrics_store::{InfluxStore, Point};
use tidemill_service::{
    Access, Problem, Role, Routes,
    parameters::{Given, given},
};
use tidemill_stage::Failure;
use utoipa::OpenApi;

use crate::{error::Error, fold::session::TimeSpan, store::Store};

const MAX_POINTS: u32 = 10_000;

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) influx: Option<InfluxStore>,
    pub(crate) metrics: Arc<Metrics>,
}

#[derive(OpenApi)]
#[openapi(paths(points), info(title = "Tidemill aggregation", description = "Window totals as they were written"))]
struct Documentation;

pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    Documentation::openapi()
}

pub(crate) fn routes(access: &Access, api: Api) -> Routes {
    Routes::new(access).get(Role::Read, "/v1/points/{measurement}", points).with_state(api)
}

#[derive(Deserialize)]
struct PointsQuery {
    from: Option<String>,
    to: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Points {
    points: Vec<Point>,
    /// There are more: ask for them from the time of the last on, which comes again.
    truncated: bool,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // What a caller got wrong is no concern of who runs the service.
        if !matches!(self, Self::BadRequest(_)) {
            tracing::warn!(error = %self, code = self.code().as_str(), "a request failed");
        }
        self.problem().into_response()
    }
}

fn time(text: Option<&str>, default: Timestamp, name: &str) -> Result<Timestamp, Error> {
    text.map_or(Ok(default), |text| {
        text.parse().map_err(|_| Error::BadRequest(format!("{name}: `{text}` is not an RFC 3339 time")))
    })
}

/// The points of a metric, one for each window, dimensions and partition; add the
/// partitions up. Without InfluxDB they are the totals of the checkpoints, of the
/// definition in force: a session that became part of another has none.
#[utoipa::path(get, path = "/v1/points/{measurement}", params(
    ("measurement" = String, Path, description = "Name of a metric"),
    ("from" = Option<String>, Query, format = DateTime, description = "First instant, RFC 3339"),
    ("to" = Option<String>, Query, format = DateTime, description = "First instant no longer asked for, RFC 3339"),
    ("limit" = Option<u32>, Query, maximum = 10000, description = "Points at most; 1000 without it"),
), responses((status = 200, description = "`points` by time and tags, and whether there are more (`truncated`)"), (
    status = 400, description = "A wrong parameter", body = Problem, content_type = "application/problem+json",
)))]
async fn points(
    State(api): State<Api>,
    Path(measurement): Path<String>,
    span: Given<PointsQuery>,
) -> Result<Json<Points>, Error> {
    let span = given(span).map_err(Error::BadRequest)?;
    let from = time(span.from.as_deref(), Timestamp::EPOCH, "from")?;
    let to = time(span.to.as_deref(), Timestamp::saturating_from_millis(i64::MAX), "to")?;
    let limit = span.limit.unwrap_or(1000);
    if limit > MAX_POINTS {
        return Err(Error::BadRequest(format!("limit: at most {MAX_POINTS}")));
    }
    // One more tells whether there are more.
    let mut points = match &api.influx {
        Some(influx) => influx.read(&measurement, from, to, limit + 1).await?,
        None => match api.metrics.get(&measurement) {
            Some(metric) => api.store.points(metric, TimeSpan { from, to }, limit as usize + 1).await?,
            None => Vec::new(),
        },
    };
    let truncated = points.len() > limit as usize;
    points.truncate(limit as usize);
    Ok(Json(Points { points, truncated }))
}
