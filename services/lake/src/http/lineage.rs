//! From a number of gold back to its events.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tidemill_batch_views::{EventPosition, Lineage, LineageError, LineageQuestion};
use tidemill_domain::Timestamp;
use tidemill_service::{
    FieldError, Problem,
    parameters::{Given, given},
};
use utoipa::IntoParams;

use super::{sql::SqlRequestError, state::LakeApi};

/// What stands before a dimension that has the name of a parameter.
const DIMENSION: &str = "dimension.";

/// Why a number is not traced.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineageRequestError {
    #[error(transparent)]
    Lineage(#[from] LineageError),
    /// Parameters are wrong.
    #[error("the parameters are not as they should be")]
    Invalid(Vec<FieldError>),
}

impl IntoResponse for LineageRequestError {
    fn into_response(self) -> Response {
        let error = match self {
            Self::Lineage(LineageError::Sql(error)) => return SqlRequestError::from(error).into_response(),
            Self::Invalid(errors) => {
                let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, tidemill_domain::Code::InvalidParameter);
                return problem.errors(errors).into_response();
            }
            Self::Lineage(error) => error,
        };
        let status = match error {
            LineageError::UnknownMetric { .. } => StatusCode::NOT_FOUND,
            LineageError::NotComputed(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Problem::new(status, error.code()).detail(error.to_string()).into_response()
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it documents what is read from pairs")]
pub(super) struct LineageParameters {
    /// A time in the window: the last one that starts until then.
    #[param(value_type = String, format = DateTime)]
    window: String,
    /// How many events are told, 1 to 500; 20 without it.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: Option<u16>,
    /// Events behind this position are told, as `next` of an answer has it.
    after: Option<String>,
}

/// What a number of gold is made of: its rows and events, added up again.
///
/// Any dimension's name is a parameter, or `dimension.` and its name. Without some of them all numbers of the window that
/// have the others are told, at most 50.
#[utoipa::path(get, path = "/v1/lineage/{metric}",
    params(("metric" = String, Path, description = "The metric."), LineageParameters),
    responses(
        (status = 200, body = Lineage),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn lineage(
    State(api): State<LakeApi>,
    Path(metric): Path<String>,
    pairs: Given<Vec<(String, String)>>,
) -> Result<Json<Lineage>, LineageRequestError> {
    let wrong = |detail| LineageRequestError::Invalid(vec![FieldError { pointer: String::new(), detail }]);
    let pairs = given(pairs).map_err(wrong)?;
    let question = read(metric, pairs).map_err(LineageRequestError::Invalid)?;
    Ok(Json(api.gold.lineage(&api.engine, question).await?))
}

/// Reads parameters; all that is wrong is told at once.
fn read(metric: String, pairs: Vec<(String, String)>) -> Result<LineageQuestion, Vec<FieldError>> {
    let (mut window, mut limit, mut after) = (None, LineageQuestion::EVENTS, None);
    let (mut dimensions, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, value) in pairs {
        let read = match name.as_str() {
            "window" => value.parse::<Timestamp>().map(|time| window = Some(time)).map_err(|error| error.to_string()),
            "limit" => match value.parse() {
                Ok(number @ 1..=LineageQuestion::MOST_EVENTS) => {
                    limit = number;
                    Ok(())
                }
                _ => Err(format!("must be between 1 and {}", LineageQuestion::MOST_EVENTS)),
            },
            "after" => value.parse::<EventPosition>().map(|position| after = Some(position)),
            _ => {
                let name = name.strip_prefix(DIMENSION).unwrap_or(&name).to_owned();
                match dimensions.insert(name, value) {
                    None => Ok(()),
                    Some(_) => Err("is given twice".into()),
                }
            }
        };
        errors.extend(read.err().map(|detail| FieldError { pointer: format!("/{name}"), detail }));
    }
    match window {
        Some(window) if errors.is_empty() => Ok(LineageQuestion { metric, window, dimensions, limit, after }),
        None if errors.is_empty() => {
            let detail = "say which: a time in it, as 2026-01-31T12:00:00Z".into();
            Err(vec![FieldError { pointer: "/window".into(), detail }])
        }
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<LineageQuestion, Vec<String>> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read("m".into(), pairs).map_err(|errors| errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn parameters_name_the_window_and_dimensions() {
        let window = ("window", "2026-01-31T12:00:00Z");
        let question =
            asked(&[window, ("category", "Books"), ("dimension.limit", "a"), ("limit", "5")]).expect("right");
        let expected = [("category", "Books"), ("limit", "a")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((question.dimensions, question.limit), (expected.into(), 5));
        assert_eq!(asked(&[]).err(), Some(vec!["/window".into()]));
        let wrong = [("window", "now"), ("limit", "0"), ("after", "1.2"), ("a", "x"), ("a", "y")];
        assert_eq!(asked(&wrong).err(), Some(["/window", "/limit", "/after", "/a"].map(String::from).to_vec()));
    }
}
