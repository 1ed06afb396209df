//! Orders to take events out of the quarantine.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tidemill_batch_views::{ResultFormat, SqlError};
use tidemill_domain::{Code, Timestamp};
use tidemill_lake_tables::{AppId, LakeError, RedriveScope, tables::QuarantinedEvent};
use tidemill_service::{FieldError, Problem};
use tidemill_store::answered;
use utoipa::ToSchema;

use super::state::LakeApi;
use crate::{error::Error, store::StoredRedrive};

/// Which events are judged again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RedriveOrder {
    /// Those that this rule has held back; all, where none is named.
    rule: Option<String>,
    /// Taken in by ingestion at that time or later.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Taken in before.
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// A redrive.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RedriveAnswer {
    /// Its number, which the rows have that it adds.
    number: i64,
    #[schema(value_type = String, format = DateTime)]
    ordered_at: Timestamp,
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    done_at: Option<Timestamp>,
    /// Events that have left the quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<u64>,
}

/// The rules that have held events back, which are as many as contracts have had.
const HOLDING: &str = "SELECT DISTINCT rule FROM silver.quarantine WHERE rule IS NOT NULL LIMIT 1000";

#[derive(Debug, Deserialize)]
struct HeldBy {
    rule: String,
}

/// Why an order is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedriveError {
    #[error(transparent)]
    Failed(#[from] Error),
    #[error("the body is not as it should be")]
    Invalid(String),
    #[error("no contract has the rule `{rule}`, and nothing is held back by it; there are {}", known.join(", "))]
    UnknownRule { rule: String, known: Vec<String> },
    #[error("there is no redrive {0}")]
    Unknown(i64),
}

impl From<LakeError> for RedriveError {
    fn from(error: LakeError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<tidemill_store::Error> for RedriveError {
    fn from(error: tidemill_store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl IntoResponse for RedriveError {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Failed(error) => return error.into_response(),
            Self::Invalid(detail) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidRequest)
                .errors(vec![FieldError { pointer: String::new(), detail }]),
            Self::UnknownRule { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidRequest)
                .errors(vec![FieldError { pointer: "/rule".into(), detail: self.to_string() }]),
            Self::Unknown(_) => Problem::new(StatusCode::NOT_FOUND, Code::UnknownOrder).detail(self.to_string()),
        };
        problem.into_response()
    }
}

/// Judges events of the quarantine again, by the rules that hold now.
///
/// Those that pass become rows of silver. One redrive takes at most 20,000 of them.
#[utoipa::path(post, path = "/v1/redrives",
    request_body = RedriveOrder,
    responses(
        (status = 202, description = "It is ordered", body = RedriveAnswer),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn order(State(api): State<LakeApi>, body: Bytes) -> Result<Response, RedriveError> {
    let order = if body.is_empty() { Ok(RedriveOrder::default()) } else { serde_json::from_slice(&body) };
    let RedriveOrder { rule, from, to } = order.map_err(|error| RedriveError::Invalid(error.to_string()))?;
    if let Some(rule) = &rule {
        check_rule(&api, rule).await?;
    }
    // The table may know of more than the store, if that is another one by now.
    let after = api.committers.quarantine.reached(AppId::of_redrives(&QuarantinedEvent::TABLE)).await?;
    let scope = RedriveScope { number: after, rule, from, to };
    let ordered_at = api.clock.now();
    let number = answered::<_, tidemill_store::Error>(api.store.order_redrive(&scope, ordered_at)).await?;
    let answer = RedriveAnswer { number, ordered_at, done_at: None, released: None };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Refuses a rule that has nothing to do with any event: most likely its name is misspelt.
async fn check_rule(api: &LakeApi, rule: &str) -> Result<(), RedriveError> {
    let mut known: Vec<String> = api.rules.judge.contract().rules.iter().map(|rule| rule.name().to_owned()).collect();
    if known.iter().any(|name| name == rule) {
        return Ok(());
    }
    // A rule that is mended by being taken out of its contract has still held back what it has.
    known.extend(match api.engine.query(HOLDING, None).await {
        Ok(answer) => rules_of(&answer.write(ResultFormat::Ndjson).unwrap_or_default()),
        Err(SqlError::UnknownTable { .. }) => Vec::new(),
        // Whoever does the redrive tells what is wrong with the table.
        Err(_) => return Ok(()),
    });
    match known.iter().any(|name| name == rule) {
        true => Ok(()),
        false => {
            known.sort();
            known.dedup();
            Err(RedriveError::UnknownRule { rule: rule.into(), known })
        }
    }
}

fn rules_of(rows: &[u8]) -> Vec<String> {
    let row = |line: &[u8]| serde_json::from_slice::<HeldBy>(line).ok().map(|row| row.rule);
    rows.split(|byte| *byte == b'\n').filter_map(row).collect()
}

/// What became of a redrive.
#[utoipa::path(get, path = "/v1/redrives/{number}",
    params(("number" = i64, Path, description = "The redrive.")),
    responses(
        (status = 200, body = RedriveAnswer),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn redrive(
    State(api): State<LakeApi>,
    Path(number): Path<i64>,
) -> Result<Json<RedriveAnswer>, RedriveError> {
    let found = answered::<_, tidemill_store::Error>(api.store.redrive(number)).await?;
    let StoredRedrive { ordered_at, done_at, released, .. } = found.ok_or(RedriveError::Unknown(number))?;
    Ok(Json(RedriveAnswer { number, ordered_at, done_at, released }))
}
