//! The script that shows recommendations in a shop's page: a shop serves a copy of it.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

const SNIPPET: &str = include_str!("../../assets/recommend.js");

/// `GET /assets/recommend.js`
pub(super) async fn snippet() -> Response {
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    // A release changes the file, not its name.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))], SNIPPET)
        .into_response()
}
