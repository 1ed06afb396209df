//! One record, changed.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
};
use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_service::{FieldError, Problem};
use utoipa::ToSchema;

use super::{
    address::RecordAddress,
    api::{Api, body, fields},
};
use crate::{
    error::Error,
    reference::{Record, RecordKind, RecordVerdict},
};

/// What became of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The version that the record made, or the one that says the same already.
    version: u64,
    /// Whether it says anything new.
    changed: bool,
    /// From when it is valid; `null` for the beginning of time, absent where
    /// nothing changed.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<Option<Timestamp>>,
    /// What of it is not understood, such as a country that is in no table; absent
    /// where all is.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<FieldError>,
}

/// Changes what is known of one product, customer or country.
#[utoipa::path(
    put, path = "/v1/reference/{kind}/{id}",
    params(("kind" = inline(RecordKind), Path), ("id" = String, Path, min_length = 1, max_length = 200)),
    request_body(content = Object, content_type = "application/json", description = "Attributes by name, and optionally `valid_from` (RFC 3339)"),
    responses(
        (status = 200, body = Accepted),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    State(api): State<Api>,
    kind: RecordKind,
    Path(named): Path<RecordAddress>,
    content: Result<Bytes, BytesRejection>,
) -> Result<Json<Accepted>, Error> {
    let record = Record::read(kind, Some(named.id), fields(&body(content)?)?)?.of_another_currency_than(api.base)?;
    let earliest = api.earliest();
    let hint = api.reference.hint(&record);
    match api.accept(&[record], earliest).await?.first() {
        Some(RecordVerdict::Unchanged(version)) => {
            Ok(Json(Accepted { version: *version, changed: false, valid_from: None, hint }))
        }
        Some(RecordVerdict::Changed(version, valid_from)) => {
            Ok(Json(Accepted { version: *version, changed: true, valid_from: Some(*valid_from), hint }))
        }
        Some(RecordVerdict::TooEarly(last_rate)) => Err(Error::TooEarly { earliest, last_rate: *last_rate }),
        None => Err(Error::TooEarly { earliest, last_rate: None }),
    }
}
