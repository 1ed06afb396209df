//! The page's login: a key in, a cookie out.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use serde::Deserialize;
use tidemill_service::{
    FieldError, Problem,
    access::{Session, session_cookie},
    clients::ClientKey,
};
use utoipa::ToSchema;

use crate::{config::SessionConfig, error::Error, state::Reporting};

/// Logins that an address may try in a minute, and at once. A key cannot be
/// guessed; this keeps trying from costing anything.
const TRIES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Addresses that are told apart. Beyond them those that have not tried lately
/// are forgotten, and while there are none nobody new may try.
const ADDRESSES: usize = 10_000;

/// Who may log in, and how often it may be tried.
pub struct Logins {
    config: SessionConfig,
    tries: DefaultKeyedRateLimiter<ClientKey>,
}

impl Logins {
    /// By the settings.
    pub fn new(config: SessionConfig) -> Self {
        Self { config, tries: DefaultKeyedRateLimiter::keyed(Quota::per_minute(TRIES)) }
    }

    /// Whether this client may try; one whose address stands for many always
    /// may.
    fn allow(&self, client: Option<ClientKey>) -> Result<(), Error> {
        let Some(client) = client else { return Ok(()) };
        if self.tries.len() >= ADDRESSES {
            self.tries.retain_recent();
        }
        if self.tries.len() >= ADDRESSES {
            return Err(Error::TooManyLogins(60));
        }
        self.tries.check_key(&client).map_err(|not_until| {
            Error::TooManyLogins(not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1)
        })
    }

    /// The cookie, marked so that it never goes in the clear where the page
    /// came over https.
    fn answer(&self, headers: &HeaderMap, session: Option<&Session>) -> Response {
        let scheme = headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok()).unwrap_or_default();
        let secure = self.config.https || scheme.split(',').any(|scheme| scheme.trim().eq_ignore_ascii_case("https"));
        let headers =
            [(header::SET_COOKIE, session_cookie(session, secure)), (header::CACHE_CONTROL, "no-store".into())];
        (StatusCode::NO_CONTENT, headers).into_response()
    }
}

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
pub(super) async fn login(State(reporting): State<Arc<Reporting>>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    reporting.logins.allow(reporting.client(&head))?;
    let headers = head.headers.clone();
    if !super::is_json(&headers) {
        return Err(Error::MediaType);
    }
    let read = Json::<Login>::from_request(Request::from_parts(head, body), &()).await;
    let Json(login) = read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(super::dead_letters::MAX_BODY),
        // The reader's own words may quote the key.
        _ => Error::Request(vec![FieldError { pointer: "/key".into(), detail: "must be a text, and alone".into() }]),
    })?;
    match reporting.access.login(&login.key) {
        Ok(Some(session)) => Ok(reporting.logins.answer(&headers, Some(&session))),
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(denied) => Ok(denied.into_response()),
    }
}

/// Log a page out.
#[utoipa::path(delete, path = "/v1/session", tag = "session", responses((status = 204, description = "Logged out")))]
pub(super) async fn logout(State(reporting): State<Arc<Reporting>>, headers: HeaderMap) -> Response {
    reporting.logins.answer(&headers, None)
}
