//! The page's login: a key in, a cookie out.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tidemill_service::{
    FieldError, Problem,
    access::{Session, session_cookie},
};
use utoipa::ToSchema;

use super::{
    body,
    extract::{NoParameters, Parameters},
};
use crate::{error::Error, state::Reporting};

/// A login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// A key that may read.
    key: String,
}

/// Log a page in: a cookie that reads for twelve hours, and changes nothing.
///
/// It ends with the key that it was given for. Where everybody may read, there
/// is no cookie and the answer is the same.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = Login, responses(
    (status = 204, description = "Logged in"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 429, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn login(
    State(reporting): State<Arc<Reporting>>,
    _: Parameters<NoParameters>,
    request: Request,
) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    reporting.logins.allow(reporting.client(&head))?;
    let headers = head.headers.clone();
    let body = body::read(Request::from_parts(head, body)).await?;
    // The reader's own words may quote the key.
    let wrong = |_| FieldError { pointer: "/key".into(), detail: "must be a text, and alone".into() };
    let login: Login = serde_json::from_slice(&body).map_err(|error| Error::Request(vec![wrong(error)]))?;
    match reporting.access.login(&login.key) {
        Ok(Some(session)) => Ok(cookie(&reporting, &headers, Some(&session))),
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(denied) => Ok(denied.into_response()),
    }
}

/// Log a page out.
#[utoipa::path(delete, path = "/v1/session", tag = "session", responses((status = 204, description = "Logged out")))]
pub(super) async fn logout(
    State(reporting): State<Arc<Reporting>>,
    _: Parameters<NoParameters>,
    headers: HeaderMap,
) -> Response {
    cookie(&reporting, &headers, None)
}

/// The cookie, marked so that it never goes in the clear where the page came
/// over https.
fn cookie(reporting: &Reporting, headers: &HeaderMap, session: Option<&Session>) -> Response {
    let scheme = headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok()).unwrap_or_default();
    let secure = reporting.session.https || scheme.split(',').any(|scheme| scheme.trim().eq_ignore_ascii_case("https"));
    let headers = [(header::SET_COOKIE, session_cookie(session, secure)), (header::CACHE_CONTROL, "no-store".into())];
    (StatusCode::NO_CONTENT, headers).into_response()
}
