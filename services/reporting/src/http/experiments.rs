//! Experiments of recommendations.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use tidemill_service::Problem;
use utoipa::IntoParams;

use super::extract::Parameters;
use crate::{
    error::Error,
    experiments::{ExperimentReport, METRIC},
    query::{self, QuestionView},
    state::Reporting,
};

/// Of a report of an experiment.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct ExperimentParameters {
    /// What was shown and clicked at or after it: a time, or a date for the first instant of
    /// that day in `zone`.
    from: Option<String>,
    /// Before it, likewise.
    to: Option<String>,
    /// Whose days are meant. Without it, the setting `calendar.zone`.
    zone: Option<String>,
    /// The variant that the others are compared with: `control` without it, or the first by
    /// name.
    control: Option<String>,
}

/// How the variants of an experiment compare.
///
/// Click-through of each variant, by the metric `recommendation_metrics`, with the interval
/// in which it lies with 95 % confidence; and how much higher it is than the control's. The
/// intervals take impressions for independent of each other. An experiment of which nothing
/// was shown has no variants.
#[utoipa::path(get, path = "/v1/experiments/{name}",
    params(("name" = String, Path, description = "The experiment's name"), ExperimentParameters),
    responses(
        (status = 200, body = ExperimentReport),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn experiment(
    State(reporting): State<Arc<Reporting>>,
    Path(name): Path<String>,
    Parameters(parameters): Parameters<ExperimentParameters>,
) -> Result<Json<ExperimentReport>, Error> {
    let ExperimentParameters { from, to, zone, control } = parameters;
    let range = [("from", from), ("to", to), ("zone", zone)];
    let range = range.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let asked = [("experiment", &*name), ("group_by", "variant")].map(|(key, value)| (key.into(), value.to_owned()));
    let pairs: Vec<(String, String)> = range.chain(asked).collect();
    let answered = query::ask(&reporting, QuestionView::Totals, METRIC, &pairs).await?;
    Ok(Json(ExperimentReport::of(name, control, &answered.totals())))
}
