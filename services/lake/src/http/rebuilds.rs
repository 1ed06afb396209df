//! Layers made anew.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tidemill_domain::Code;
use tidemill_service::{FieldError, Problem};

use crate::{
    error::Error,
    rebuild::{RebuildOrder, RebuildState, Rebuilder},
};

/// Why a rebuild is not begun, or not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum RebuildRequestError {
    /// The order is wrong.
    #[error("the order is not as it should be")]
    Invalid(FieldError),
    /// One is under way.
    #[error("a rebuild is under way: wait for it, or end it")]
    UnderWay,
    /// There is none.
    #[error("nothing was rebuilt so far")]
    None,
    /// The store is away.
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
}

impl IntoResponse for RebuildRequestError {
    fn into_response(self) -> Response {
        match self {
            Self::Invalid(error) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidRequest).errors(vec![error]).into_response()
            }
            Self::UnderWay => {
                Problem::new(StatusCode::CONFLICT, Code::Busy).detail(self.to_string()).retry_after(5).into_response()
            }
            Self::None => Problem::not_found().detail(self.to_string()).into_response(),
            Self::Store(error) => Error::Store(error).into_response(),
        }
    }
}

/// Makes a layer anew from the one below, or a part of it. One at a time.
///
/// Old and new rows are compared, folder by folder; where they differ, one version of the table takes the new ones in
/// place of the old. Events that come meanwhile go on into the tables.
#[utoipa::path(post, path = "/v1/rebuilds",
    request_body = RebuildOrder,
    responses(
        (status = 202, description = "It has begun", body = RebuildState),
        (status = 409, description = "Another one is under way", body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn begin(
    State(rebuilder): State<Arc<Rebuilder>>,
    body: Bytes,
) -> Result<(StatusCode, Json<RebuildState>), RebuildRequestError> {
    let wrong =
        |pointer: &str, detail: String| RebuildRequestError::Invalid(FieldError { pointer: pointer.into(), detail });
    let order: RebuildOrder = serde_json::from_slice(&body).map_err(|error| wrong("", error.to_string()))?;
    if order.from.zip(order.to).is_some_and(|(from, to)| from >= to) {
        return Err(wrong("/to", "must be behind `from`".into()));
    }
    let begun = rebuilder.begin(order).await?.ok_or(RebuildRequestError::UnderWay)?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// The newest rebuild: how far it is, or how it ended.
#[utoipa::path(get, path = "/v1/rebuilds",
    responses(
        (status = 200, body = RebuildState),
        (status = 404, description = "Nothing was rebuilt so far", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn newest(State(rebuilder): State<Arc<Rebuilder>>) -> Result<Json<RebuildState>, RebuildRequestError> {
    Ok(Json(rebuilder.newest().await?.ok_or(RebuildRequestError::None)?))
}

/// Ends the rebuild that is under way. Tables that it has not done are as they were.
#[utoipa::path(delete, path = "/v1/rebuilds",
    responses(
        (status = 204, description = "It will end"),
        (status = 404, description = "Nothing was rebuilt so far", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn stop(State(rebuilder): State<Arc<Rebuilder>>) -> Result<StatusCode, RebuildRequestError> {
    match rebuilder.stop().await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(RebuildRequestError::None),
    }
}
