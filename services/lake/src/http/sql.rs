//! Questions in SQL, and plans for other engines.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tidemill_batch_views::{AsOf, MetricPlan, ResultFormat, Scope, SqlDialect, SqlEngine, SqlError};
use tidemill_domain::Code;
use tidemill_service::{
    FieldError, Problem,
    parameters::{Given, given},
};
use utoipa::{IntoParams, ToSchema};

use crate::sql::SqlProcesses;

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlRequestError {
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The body is no JSON by its media type.
    #[error("the body must be application/json")]
    MediaType,
    /// A member or a parameter is wrong.
    #[error("the request is not as it should be")]
    Invalid(FieldError),
    #[error("there is no metric {0:?}")]
    UnknownMetric(String),
    /// The engine has no words for it.
    #[error("{0}")]
    NoPlan(String),
}

impl SqlRequestError {
    pub(super) fn wrong(pointer: &str, detail: impl ToString) -> Self {
        Self::Invalid(FieldError { pointer: pointer.into(), detail: detail.to_string() })
    }

    const fn code(&self) -> Code {
        match self {
            Self::Sql(error) => error.code(),
            Self::MediaType => Code::UnsupportedMediaType,
            Self::Invalid(_) => Code::InvalidRequest,
            Self::UnknownMetric(_) => Code::UnknownMetric,
            Self::NoPlan(_) => Code::InvalidParameter,
        }
    }

    fn problem(&self) -> Problem {
        let status = match self {
            Self::Sql(error) => match error {
                SqlError::UnknownTable { .. } | SqlError::NoSuchVersion { .. } => StatusCode::NOT_FOUND,
                SqlError::NotReadOnly => StatusCode::FORBIDDEN,
                SqlError::Lake(_) | SqlError::Damaged { .. } | SqlError::Busy | SqlError::NoProcess(_) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                SqlError::Invalid(_)
                | SqlError::VersionOfSeveral(_)
                | SqlError::TooLong(_)
                | SqlError::TooManyOperators(_)
                | SqlError::TooManyRelations(_)
                | SqlError::TooManyGroupingSets(_)
                | SqlError::TooManyRows(_)
                | SqlError::TooManyBytes(_)
                | SqlError::TookTooLong(_)
                | SqlError::OutOfMemory(_)
                | SqlError::Failed(_)
                | SqlError::Killed(_)
                | SqlError::Broken => StatusCode::UNPROCESSABLE_ENTITY,
            },
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) | Self::NoPlan(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnknownMetric(_) => StatusCode::NOT_FOUND,
        };
        let problem = Problem::new(status, self.code());
        match self {
            // What a store says may name its places.
            Self::Sql(SqlError::Lake(error)) if error.code() == Code::LakeStore => {
                problem.detail("the lake's store is away").retry_after(5)
            }
            // Of its own words, which name no place.
            Self::Sql(SqlError::Lake(error)) if error.code() == Code::LakeSchema => {
                problem.detail(error.reason()).retry_after(5)
            }
            // The title says it.
            Self::Sql(SqlError::Lake(_)) => problem.retry_after(5),
            // Why is in the log, with the program's place.
            Self::Sql(SqlError::NoProcess(_)) => {
                problem.detail("no process can be started for the question").retry_after(1)
            }
            Self::Sql(SqlError::Busy) => problem.detail(self.to_string()).retry_after(1),
            Self::Invalid(error) => problem.errors(vec![error.clone()]),
            other => problem.detail(other.to_string()),
        }
    }
}

impl IntoResponse for SqlRequestError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        if problem.status >= 500 {
            tracing::warn!(code = self.code().as_str(), error = %self, "a question could not be answered");
        }
        problem.into_response()
    }
}

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlQuestion {
    /// SQL that only reads.
    sql: String,
    /// As of a version of the table (`12`) or a time (`2026-01-31T00:00:00Z`).
    at: Option<String>,
    /// json (the default), ndjson, csv, arrow or parquet.
    format: Option<String>,
}

/// Answers a question in SQL.
///
/// TableList are `bronze.…`, `silver.…` and `gold.…`. Amounts are texts in JSON and CSV.
#[utoipa::path(post, path = "/v1/sql",
    request_body = SqlQuestion,
    responses(
        (status = 200, content((Object = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"), (Vec<u8> = "application/vnd.apache.parquet"))),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn sql(
    State(processes): State<Arc<SqlProcesses>>,
    request: Request,
) -> Result<Response, SqlRequestError> {
    let question = read(request).await?;
    let at = question.at.map(|at| at.parse::<AsOf>()).transpose().map_err(|e| SqlRequestError::wrong("/at", e))?;
    let format = question.format.map(|format| format.parse::<ResultFormat>()).transpose();
    let format = format.map_err(|e| SqlRequestError::wrong("/format", e))?.unwrap_or_default();
    let answer = processes.query(question.sql, at, format).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (header::CONTENT_LENGTH, answer.bytes().into()),
    ];
    Ok((headers, Body::from_stream(answer.chunks())).into_response())
}

async fn read(request: Request) -> Result<SqlQuestion, SqlRequestError> {
    let is_json =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
        });
    if !is_json {
        return Err(SqlRequestError::MediaType);
    }
    let body = <Bytes as axum::extract::FromRequest<()>>::from_request(request, &()).await;
    let body = body.map_err(|rejection| SqlRequestError::wrong("", rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| SqlRequestError::wrong("", error))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanParameters {
    /// datafusion (the default), duckdb or spark.
    engine: Option<String>,
}

/// The SQL that computes a metric from silver.
#[utoipa::path(get, path = "/v1/plans/{metric}",
    params(("metric" = String, Path, description = "The metric."), PlanParameters),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn plan(
    State(engine): State<Arc<SqlEngine>>,
    Path(metric): Path<String>,
    parameters: Given<PlanParameters>,
) -> Result<String, SqlRequestError> {
    let parameters = given(parameters).map_err(|told| SqlRequestError::wrong("", told))?;
    let dialect = match parameters.engine.as_deref() {
        None | Some("datafusion") => SqlDialect::DataFusion,
        Some("duckdb") => SqlDialect::DuckDb,
        Some("spark") => SqlDialect::Spark,
        Some(other) => {
            return Err(SqlRequestError::wrong(
                "/engine",
                format!("`{other}` is none of datafusion, duckdb and spark"),
            ));
        }
    };
    let found = engine.metrics().iter().find(|known| known.name == metric);
    let found = found.ok_or(SqlRequestError::UnknownMetric(metric))?;
    let sql = MetricPlan::of(found).sql(dialect, &Scope::default());
    sql.map(|sql| sql + "\n").map_err(|error| SqlRequestError::NoPlan(error.to_string()))
}
