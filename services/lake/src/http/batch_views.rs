//! Batch views: which there are, and orders to compute them now.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tidemill_domain::{Code, Timestamp};
use tidemill_service::{FieldError, Problem};
use tidemill_store::answered;
use utoipa::ToSchema;

use super::state::LakeApi;
use crate::{
    error::Error,
    store::{StoredBatchOrder, StoredView},
};

/// What is computed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchOrder {
    /// All windows, and not only those of days that have new events.
    #[serde(default)]
    whole: bool,
}

/// An order, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchOrderAnswer {
    number: i64,
    whole: bool,
    #[schema(value_type = String, format = DateTime)]
    ordered_at: Timestamp,
    /// When it had come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    done_at: Option<Timestamp>,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

/// The views that were told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchViewsAnswer {
    views: Vec<BatchViewAnswer>,
}

/// The newest view of a version of a metric.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchViewAnswer {
    metric: String,
    /// The definition's version.
    version: String,
    /// A higher one is newer.
    number: u64,
    /// It has windows that start then or later.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    computed_at: Timestamp,
    /// When all its windows were computed last.
    #[schema(value_type = String, format = DateTime)]
    whole_at: Timestamp,
    /// Totals that the newest run told of it.
    cells: u64,
    /// By partition, the `RAW` sequence that it reaches.
    #[schema(value_type = BTreeMap<String, u64>)]
    positions: BTreeMap<u16, u64>,
}

/// Why an order is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchOrderError {
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    #[error("the body is not as it should be")]
    Invalid(String),
    #[error("there is no order {0}")]
    Unknown(i64),
}

impl IntoResponse for BatchOrderError {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Store(error) => return Error::Store(error).into_response(),
            Self::Invalid(detail) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidRequest)
                .errors(vec![FieldError { pointer: String::new(), detail }]),
            Self::Unknown(_) => Problem::new(StatusCode::NOT_FOUND, Code::UnknownOrder).detail(self.to_string()),
        };
        problem.into_response()
    }
}

/// Computes batch views from silver, and tells them to reporting.
///
/// Without `whole`, of the days that have new events.
#[utoipa::path(post, path = "/v1/batch-views/orders",
    request_body = BatchOrder,
    responses(
        (status = 202, description = "It is ordered", body = BatchOrderAnswer),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn order(State(api): State<LakeApi>, body: Bytes) -> Result<Response, BatchOrderError> {
    let order = if body.is_empty() { Ok(BatchOrder::default()) } else { serde_json::from_slice(&body) };
    let BatchOrder { whole } = order.map_err(|error| BatchOrderError::Invalid(error.to_string()))?;
    let ordered_at = api.clock.now();
    let number = answered::<_, tidemill_store::Error>(api.store.order_batch(whole, ordered_at)).await?;
    let answer = BatchOrderAnswer { number, whole, ordered_at, done_at: None, failed: None };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// What became of an order.
#[utoipa::path(get, path = "/v1/batch-views/orders/{number}",
    params(("number" = i64, Path, description = "The order.")),
    responses(
        (status = 200, body = BatchOrderAnswer),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn ordered(
    State(api): State<LakeApi>,
    Path(number): Path<i64>,
) -> Result<Json<BatchOrderAnswer>, BatchOrderError> {
    let found = answered::<_, tidemill_store::Error>(api.store.batch_order(number)).await?;
    let StoredBatchOrder { number, whole, ordered_at, done_at, failed } =
        found.ok_or(BatchOrderError::Unknown(number))?;
    Ok(Json(BatchOrderAnswer { number, whole, ordered_at, done_at, failed }))
}

/// The batch views that were told: how far each is, and from which windows on.
#[utoipa::path(get, path = "/v1/batch-views",
    responses(
        (status = 200, body = BatchViewsAnswer),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn views(State(api): State<LakeApi>) -> Result<Json<BatchViewsAnswer>, BatchOrderError> {
    let stored = answered::<_, tidemill_store::Error>(api.store.batch_views()).await?;
    let view = |view: StoredView| {
        let StoredView { metric, version, number, reach, since, computed_at, cells, whole_at } = view;
        let positions = reach.sequences().map(|(partition, raw_seq)| (partition.index(), raw_seq)).collect();
        BatchViewAnswer { metric, version, number, since, computed_at, whole_at, cells, positions }
    };
    Ok(Json(BatchViewsAnswer { views: stored.into_iter().map(view).collect() }))
}
