//! Metrics: which there are, and questions about one.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_service::Problem;
use utoipa::ToSchema;

use super::extract::{AnyParameters, NoParameters, Parameters};
use crate::{
    calendar::Zone,
    catalogue::Metric,
    counting::Counting,
    error::Error,
    query::{self, QuestionParameters, QuestionView, SeriesAnswer, TotalsAnswer},
    state::Reporting,
};

#[derive(Serialize, ToSchema)]
pub(super) struct MetricsAnswer {
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// Whose days are meant where a question names no zone: `calendar.zone`.
    #[schema(value_type = String)]
    zone: Zone,
    metrics: Vec<ServedMetric>,
}

/// A metric, and since when its version counts.
#[derive(Serialize, ToSchema)]
struct ServedMetric {
    #[serde(flatten)]
    metric: Metric,
    #[serde(flatten)]
    counting: Counting,
    /// Windows that start before it are kept no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    kept_since: Option<Timestamp>,
}

/// The metrics, each in the version that is served.
///
/// Of a version that does not count all of the log, `counted_from` and `uncounted`
/// say what it lacks. `kept_since` is there where older windows are kept no longer.
#[utoipa::path(get, path = "/v1/metrics", responses(
    (status = 200, body = MetricsAnswer),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn metrics(
    State(reporting): State<Arc<Reporting>>,
    _: Parameters<NoParameters>,
) -> Result<Json<MetricsAnswer>, Error> {
    let catalogue = reporting.served_now().await?;
    let mut all = reporting.store.counting_of_all().await?;
    let kept = reporting.store.kept_of_all().await?;
    let served = |metric: Metric| {
        let counting = all.remove(&(metric.name.clone(), metric.version.clone())).unwrap_or_default();
        let kept_since = kept.get(&metric.version_name()).copied();
        ServedMetric { metric, counting, kept_since }
    };
    let metrics = catalogue.served().into_iter().cloned().map(served).collect();
    Ok(Json(MetricsAnswer { as_of: reporting.now(), zone: reporting.calendar.zone, metrics }))
}

/// A metric over time: a point for each window, or each period, with data.
///
/// Also as CSV, by `format=csv` or `Accept: text/csv`, and with a byte order
/// mark by `bom=true`; its last column, `approximate`, names the measures that are
/// not exact, the same in every row, and separated by spaces. Where something is not
/// counted, the columns `counted_from` and `uncounted` before it say what, and `kept_since` where older windows were
/// asked for than are kept. Any dimension's name is a filter; given more than once,
/// any of its values passes.
#[utoipa::path(get, path = "/v1/metrics/{name}/series",
    params(
        ("name" = String, Path, description = "The metric's name"),
        QuestionParameters,
        ("resolution" = Option<String>, Query, pattern = "^(window|minute|hour|day|week|month|year)$",
            description = "What a point is of: the metric's own windows, or periods that are made of them. Minutes \
                           and hours are those of UTC, days and what is longer those of `zone`. Without it, the finest that has few points; the answer names it"),
    ),
    responses(
        (status = 200, content((SeriesAnswer = "application/json"), (String = "text/csv"))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn series(
    State(reporting): State<Arc<Reporting>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    AnyParameters(pairs): AnyParameters,
) -> Result<Response, Error> {
    let answered = query::ask(&reporting, QuestionView::Series, &name, &pairs).await?;
    if !(answered.is_csv() || accepts_csv(&headers)) {
        return Ok(Json(answered.series()).into_response());
    }
    let (metric, bom) = (answered.metric.clone(), answered.bom);
    Ok(csv_response(&name, bom, query::series_csv(&metric, answered.series())))
}

/// A metric in sum: all its windows together.
///
/// Also as CSV, with the last column `approximate`; filters as for the series.
/// Windows that overlap are refused.
#[utoipa::path(get, path = "/v1/metrics/{name}/totals",
    params(
        ("name" = String, Path, description = "The metric's name"),
        QuestionParameters,
    ),
    responses(
        (status = 200, content((TotalsAnswer = "application/json"), (String = "text/csv"))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn totals(
    State(reporting): State<Arc<Reporting>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    AnyParameters(pairs): AnyParameters,
) -> Result<Response, Error> {
    let answered = query::ask(&reporting, QuestionView::Totals, &name, &pairs).await?;
    if !(answered.is_csv() || accepts_csv(&headers)) {
        return Ok(Json(answered.totals()).into_response());
    }
    let (metric, bom) = (answered.metric.clone(), answered.bom);
    Ok(csv_response(&name, bom, query::totals_csv(&metric, answered.totals())))
}

fn accepts_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/csv"))
}

/// The byte order mark of UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

fn csv_response(name: &str, bom: bool, written: Result<Vec<u8>, csv::Error>) -> Response {
    match written {
        Ok(mut bytes) => {
            if bom {
                bytes.splice(..0, MARK.iter().copied());
            }
            let disposition = format!("attachment; filename=\"{name}.csv\"");
            let headers = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
                (header::CONTENT_DISPOSITION, disposition),
            ];
            (headers, bytes).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as CSV");
            Problem::internal().into_response()
        }
    }
}
