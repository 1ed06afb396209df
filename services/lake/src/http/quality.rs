//! How good the tables are.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use tidemill_batch_views::QualityFigure;
use tidemill_domain::Timestamp;
use tidemill_events::MeasuredFigure;
use tidemill_service::{
    Problem,
    parameters::{Given, given},
};
use utoipa::{IntoParams, ToSchema};

use super::{sql::SqlRequestError, state::LakeApi};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct QualityParameters {
    /// A table, for instance `silver.events`; all without it.
    table: Option<String>,
}

/// How good the tables are, as measured last.
#[derive(Serialize, ToSchema)]
pub(super) struct QualityReport {
    /// When it was measured; none before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    measured_at: Option<Timestamp>,
    /// Whether no figure is beyond its threshold.
    good: bool,
    figures: Vec<FigureEntry>,
}

/// A figure of a table.
#[derive(Serialize, ToSchema)]
struct FigureEntry {
    /// The table, for instance `silver.events`.
    table: String,
    /// What was measured.
    measure: String,
    /// The contract of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<String>,
    /// The rule whose failed rows it counts, or whose answer it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// What becomes of rows that break the rule: `warn`, `quarantine` or `fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<String>,
    value: f64,
    /// Rows that were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked: Option<u64>,
    /// What the figure may not be beyond.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// Whether it is on the right side of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    good: Option<bool>,
    /// Version of the table.
    version: u64,
}

impl From<QualityFigure> for FigureEntry {
    fn from(figure: QualityFigure) -> Self {
        let QualityFigure { table, version, figure } = figure;
        let MeasuredFigure { measure, contract, rule, severity, value, checked, threshold, good } = figure;
        Self { table, measure, contract, rule, severity, value, checked, threshold, good, version }
    }
}

/// How good the tables are.
#[utoipa::path(get, path = "/v1/quality", params(QualityParameters),
    responses(
        (status = 200, description = "The figures", body = QualityReport),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn quality(
    State(api): State<LakeApi>,
    parameters: Given<QualityParameters>,
) -> Result<Json<QualityReport>, SqlRequestError> {
    let QualityParameters { table } = given(parameters).map_err(|told| SqlRequestError::wrong("", told))?;
    let engine = api.engine.clone();
    let measured = api.engine.run(async move { engine.last_measured().await }).await?;
    let measured_at = measured.as_ref().map(|measured| measured.time);
    let figures = measured.into_iter().flat_map(|measured| measured.figures);
    let wanted = |figure: &QualityFigure| table.as_ref().is_none_or(|table| *table == figure.table);
    let figures: Vec<FigureEntry> = figures.filter(wanted).map(FigureEntry::from).collect();
    let good = figures.iter().all(|figure| figure.good != Some(false));
    Ok(Json(QualityReport { measured_at, good, figures }))
}
