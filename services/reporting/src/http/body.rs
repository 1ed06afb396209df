//! Bodies of requests.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::DeserializeOwned;
use tidemill_service::FieldError;

use crate::error::Error;

/// Bytes of a request's body: a mended event may take 128 KiB, and be a JSON
/// text in which each byte takes several.
pub(super) const MAX_BODY: usize = 1 << 20;

/// Reads a body that is sent as JSON.
pub(super) async fn read(request: Request) -> Result<Bytes, Error> {
    if !is_json(request.headers()) {
        return Err(Error::MediaType);
    }
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(MAX_BODY),
        _ => wrong(rejection.body_text()),
    })
}

/// Reads a body that is sent as JSON into its type.
pub(super) async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, Error> {
    serde_json::from_slice(&read(request).await?).map_err(|error| wrong(error.to_string()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

fn wrong(detail: String) -> Error {
    Error::Request(vec![FieldError { pointer: String::new(), detail }])
}
