//! What a request is answered.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidemill_domain::{Code, EventId};
use tidemill_service::{FieldError, MoreRejected, Problem};
use utoipa::ToSchema;

use crate::{
    dead_letters::rejections::Listed,
    intake::{hints::Hint, take_in::TakenIn},
};

/// What became of a request's events.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Verdict)]
pub(crate) struct RequestVerdict {
    /// Events that are in the log.
    accepted: usize,
    /// How many of them repeat a source and id that this replica has accepted
    /// not long ago. They are in the log all the same; later stages count each
    /// event once.
    duplicate: usize,
    /// How many events are not in the log.
    rejected_total: usize,
    /// The first 100 of them, and why.
    rejected: Vec<RejectedEvent>,
    /// The others, by the code of their problems; absent where `rejected` lists
    /// all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_rejected: Vec<MoreRejected>,
    /// How many rejected events are not kept as dead letters, since the
    /// caller's budget of them is used up or their stream is full; absent where
    /// all are. They are counted in the books.
    #[serde(skip_serializing_if = "is_zero")]
    not_kept: u64,
    /// Members of accepted events that the schemas of their types do not know, or that
    /// hold what cannot be read, each once for its type, and at most 20; absent with none. They are in the log all
    /// the same. Of Segment's calls nothing is said here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<EventHint>,
}

/// A member that the schema of an event's type does not know, or that holds what
/// cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Hint)]
pub(crate) struct EventHint {
    /// The place of the first such event in the request, from 0.
    index: usize,
    #[serde(flatten)]
    field: FieldError,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_true(flag: &bool) -> bool {
    *flag
}

/// An event that is not in the log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Rejection)]
pub(crate) struct RejectedEvent {
    /// Its place in the request, from 0.
    index: usize,
    /// Its id, where it has one.
    id: Option<String>,
    /// Why.
    problem: Problem,
    /// `false` where no dead letter keeps it; absent otherwise.
    #[serde(skip_serializing_if = "is_true")]
    kept: bool,
}

impl RequestVerdict {
    fn new(taken: &TakenIn) -> Self {
        let rejection = |(listed, kept): (&Listed, bool)| RejectedEvent {
            index: listed.index,
            id: listed.id.as_ref().map(EventId::to_string),
            problem: listed.error.problem(),
            kept,
        };
        let hint = |hint: &Hint| EventHint { index: hint.index, field: hint.field.clone() };
        let TakenIn { accepted, duplicate, rejected, hints, .. } = taken;
        Self {
            accepted: *accepted,
            duplicate: *duplicate,
            rejected_total: rejected.total(),
            rejected: rejected.listed().map(rejection).collect(),
            more_rejected: rejected.unlisted().told(),
            not_kept: rejected.not_kept(),
            hints: hints.listed().iter().map(hint).collect(),
        }
    }
}

/// The one event of a request, which is not in the log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct OneRejected {
    /// Why.
    #[serde(flatten)]
    problem: Problem,
    /// `false` where no dead letter keeps it; absent otherwise.
    #[serde(skip_serializing_if = "is_true")]
    kept: bool,
}

impl OneRejected {
    fn new(only: &Listed, kept: bool) -> Self {
        Self { problem: only.error.problem(), kept }
    }
}

/// What a request is answered, once its events are stored.
#[derive(Debug)]
pub(crate) enum IntakeAnswer {
    /// At least one event is in the log, or there was none.
    Accepted(RequestVerdict),
    /// The one event is not.
    Rejected(OneRejected),
    /// None of several is.
    AllRejected(RequestVerdict),
}

impl IntakeAnswer {
    pub(super) fn new(taken: &TakenIn) -> Self {
        match taken.rejected.listed().next() {
            Some((only, kept)) if taken.single => Self::Rejected(OneRejected::new(only, kept)),
            Some(_) if taken.accepted == 0 => Self::AllRejected(RequestVerdict::new(taken)),
            _ => Self::Accepted(RequestVerdict::new(taken)),
        }
    }
}

#[derive(Serialize)]
struct AllRejected {
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    verdict: RequestVerdict,
}

impl IntoResponse for IntakeAnswer {
    fn into_response(self) -> Response {
        match self {
            Self::Accepted(verdict) => (StatusCode::ACCEPTED, Json(verdict)).into_response(),
            Self::Rejected(one) => problem_json(one.problem.status, one),
            Self::AllRejected(verdict) => {
                let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::AllRejected);
                problem_json(problem.status, AllRejected { problem, verdict })
            }
        }
    }
}

/// A problem with members of its own.
fn problem_json(status: u16, body: impl Serialize) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// The answers of every route, for `/openapi.json`.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "it describes the answers in /openapi.json")]
pub(super) enum Answers {
    /// The accepted events are in the log.
    #[response(status = 202)]
    Accepted(RequestVerdict),
    /// The body, or the one event, is malformed.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(OneRejected),
    /// The key is of another role, or the page's origin is not allowed.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// The body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    TimedOut(Problem),
    /// The body, or the one event, is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(OneRejected),
    /// The content type or encoding is not supported.
    #[response(status = 415, content_type = "application/problem+json")]
    Unsupported(Problem),
    /// The one event is not valid; or every one of several was rejected: then
    /// the members of a verdict stand beside those of the problem.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(OneRejected),
    /// The key has used up its events for now, or later stages are behind (code
    /// `backlog`); `Retry-After` says for how long.
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(Problem),
    /// Nothing can be promised: the log is away or full, or the stream of dead
    /// letters is away. Send the same request again after `Retry-After`, with the same
    /// ids: those of its events that are in the log already are then
    /// duplicates, and each is counted once.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}
