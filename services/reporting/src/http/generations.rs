//! Generations of totals: which there are, how they differ, and which is served.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State},
};
use serde::Deserialize;
use tidemill_service::{Caller, Problem};
use utoipa::IntoParams;

use super::{
    body::read_json,
    extract::{NoParameters, PageSize, Parameters},
};
use crate::{
    cutover::{self, ChangesAnswer, DifferencesAnswer, GenerationsAnswer, OrderedAnswer},
    error::Error,
    generations::{GenerationAct, GenerationRequest},
    state::Reporting,
};

/// The generations that are counted beside the live totals, and the metrics that they
/// answer.
#[utoipa::path(get, path = "/v1/generations", tag = "generations", responses(
    (status = 200, body = GenerationsAnswer),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(reporting): State<Arc<Reporting>>,
    _: Parameters<NoParameters>,
) -> Result<Json<GenerationsAnswer>, Error> {
    cutover::list(&reporting).await.map(Json)
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DifferenceParameters {
    /// This metric alone.
    metric: Option<String>,
    /// Differing cells that are told of each metric, the first in time; 50 without it. All
    /// are counted.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: PageSize,
}

/// How a generation differs from the live totals, cell by cell, at one position of the log.
///
/// The position of a partition is the one that both have counted. A cell that one of them
/// has counted further is open: it is told how many there are, and they are not compared.
#[utoipa::path(get, path = "/v1/generations/{name}/differences", tag = "generations",
    params(("name" = String, Path, description = "The generation's name"), DifferenceParameters),
    responses(
        (status = 200, body = DifferencesAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn differences(
    State(reporting): State<Arc<Reporting>>,
    Path(name): Path<String>,
    Parameters(DifferenceParameters { metric, limit }): Parameters<DifferenceParameters>,
) -> Result<Json<DifferencesAnswer>, Error> {
    cutover::differences(&reporting, &name, metric.as_deref(), limit.0.into()).await.map(Json)
}

/// Has a generation answer metrics from here on: all that it has, or some.
///
/// All change at one moment, for every replica, and no answer tells of two generations. A
/// generation that has not counted what the live totals have is refused, unless `force` is
/// set.
#[utoipa::path(post, path = "/v1/generations/{name}/cutover", tag = "generations",
    params(("name" = String, Path, description = "The generation's name")),
    request_body = GenerationRequest,
    responses(
        (status = 200, body = OrderedAnswer),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn cutover(
    state: State<Arc<Reporting>>,
    name: Path<String>,
    caller: Caller,
    _: Parameters<NoParameters>,
    request: Request,
) -> Result<Json<OrderedAnswer>, Error> {
    order(state, name, caller, GenerationAct::Cutover, request).await
}

/// Has metrics that a generation answers be answered again by what was there before it.
#[utoipa::path(post, path = "/v1/generations/{name}/rollback", tag = "generations",
    params(("name" = String, Path, description = "The generation's name")),
    request_body = GenerationRequest,
    responses(
        (status = 200, body = OrderedAnswer),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn rollback(
    state: State<Arc<Reporting>>,
    name: Path<String>,
    caller: Caller,
    _: Parameters<NoParameters>,
    request: Request,
) -> Result<Json<OrderedAnswer>, Error> {
    order(state, name, caller, GenerationAct::Rollback, request).await
}

/// Gives a generation up that answers nothing: its totals are deleted, and what still comes
/// of it is passed over.
#[utoipa::path(post, path = "/v1/generations/{name}/retire", tag = "generations",
    params(("name" = String, Path, description = "The generation's name")),
    request_body = GenerationRequest,
    responses(
        (status = 200, body = OrderedAnswer),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn retire(
    state: State<Arc<Reporting>>,
    name: Path<String>,
    caller: Caller,
    _: Parameters<NoParameters>,
    request: Request,
) -> Result<Json<OrderedAnswer>, Error> {
    order(state, name, caller, GenerationAct::Retire, request).await
}

async fn order(
    State(reporting): State<Arc<Reporting>>,
    Path(name): Path<String>,
    caller: Caller,
    act: GenerationAct,
    request: Request,
) -> Result<Json<OrderedAnswer>, Error> {
    let asked = read_json(request).await?;
    cutover::order(&reporting, act, &name, &caller, asked).await.map(Json)
}

/// Who changed which version of a metric is served, and who retired a generation.
#[utoipa::path(get, path = "/v1/generations/changes", tag = "generations", responses(
    (status = 200, body = ChangesAnswer),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn changes(
    State(reporting): State<Arc<Reporting>>,
    _: Parameters<NoParameters>,
) -> Result<Json<ChangesAnswer>, Error> {
    cutover::changes(&reporting).await.map(Json)
}
