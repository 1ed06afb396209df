//! The routes, and what they answer.

mod intake;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidemill_domain::EventId;
use tidemill_service::{Access, Caller, MoreRejected, Problem, Role, Routes, StartError};
use tokio::time::Instant;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tracing::Instrument;
use utoipa::{OpenApi, ToSchema};

pub(crate) use intake::Intake;

use crate::{
    formats::Route,
    rejections::{Listed, Rejections},
    telemetry::request_span,
};

/// What became of a request's events.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Verdict {
    /// Events that are in the log.
    accepted: usize,
    /// How many of them repeat a source and id that this replica has accepted
    /// not long ago. They are in the log all the same; later stages count each
    /// event once.
    duplicate: usize,
    /// How many events are not in the log.
    rejected_total: usize,
    /// The first 100 of them, and why.
    rejected: Vec<Rejection>,
    /// The others, by the code of their problems; absent where `rejected` lists
    /// all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_rejected: Vec<MoreRejected>,
    /// How many rejected events are not kept as dead letters, since the
    /// caller's budget of them is used up or their stream is full; absent where
    /// all are. They are counted in the books.
    #[serde(skip_serializing_if = "is_zero")]
    not_kept: u64,
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
pub(crate) struct Rejection {
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

impl Verdict {
    fn new(accepted: usize, duplicate: usize, rejected: &Rejections) -> Self {
        let rejection = |(listed, kept): (&Listed, bool)| Rejection {
            index: listed.index,
            id: listed.id.as_ref().map(EventId::to_string),
            problem: listed.error.problem(),
            kept,
        };
        Self {
            accepted,
            duplicate,
            rejected_total: rejected.total(),
            rejected: rejected.listed().map(rejection).collect(),
            more_rejected: rejected.unlisted().told(),
            not_kept: rejected.not_kept(),
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
pub(crate) enum Answer {
    /// At least one event is in the log, or there was none.
    Accepted(Verdict),
    /// The one event is not.
    Rejected(OneRejected),
    /// None of several is.
    AllRejected(Verdict),
}

#[derive(Serialize)]
struct AllRejected {
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    verdict: Verdict,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Accepted(verdict) => (StatusCode::ACCEPTED, Json(verdict)).into_response(),
            Self::Rejected(one) => problem_json(one.problem.status, one),
            Self::AllRejected(verdict) => {
                let problem =
                    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "all_rejected", "Every event was rejected");
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

/// The service's routes.
pub(crate) fn routes(access: &Access, intake: Arc<Intake>, origins: &BTreeSet<String>) -> Result<Routes, StartError> {
    Ok(Routes::new(access)
        .post(Role::Write, Route::Events.path(), events)
        .post(Role::Write, Route::Track.path(), track)
        .post(Role::Write, Route::Batch.path(), batch)
        .layer(cors(origins)?)
        .with_state(intake))
}

fn cors(origins: &BTreeSet<String>) -> Result<CorsLayer, StartError> {
    let origin = |text: &String| {
        text.parse::<HeaderValue>().map_err(|_| StartError::new(format!("cors.origins: {text:?} is no origin")))
    };
    let allowed = match origins.is_empty() {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().map(origin).collect::<Result<Vec<_>, _>>()?),
    };
    Ok(CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::POST])
        // A wildcard would leave out Authorization.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_secs(3600)))
}

async fn answer(route: Route, intake: Arc<Intake>, caller: Caller, request: Request) -> Response {
    let started = Instant::now();
    let span = request_span(route, request.headers());
    let response = match intake.take_in(route, caller, request).instrument(span.clone()).await {
        Ok(answer) => answer.into_response(),
        Err(error) => {
            intake.telemetry.refused(&error);
            error.into_response()
        }
    };
    intake.telemetry.answered(route, response.status(), started.elapsed(), &span);
    response
}

/// An event as CloudEvents 1.0 has it. Further members are extensions: names
/// of lower-case letters and digits, and a string, boolean or integer each.
#[derive(ToSchema)]
#[schema(as = CloudEvent)]
#[allow(dead_code, reason = "it describes a body in /openapi.json; bodies are read by `forms`")]
struct CloudEventSchema {
    /// `1.0`, also where it is missing.
    specversion: Option<String>,
    /// Unique within the source; one is assigned where it is missing. Send
    /// one: a repeated request is then counted once.
    id: Option<String>,
    /// Who produced the event.
    source: String,
    /// What happened, for instance `order.placed`.
    r#type: String,
    /// When, in RFC 3339; now where it is missing.
    time: Option<String>,
    /// What it is about; for a shop, the customer.
    subject: Option<String>,
    /// The payload, as the type's schema has it.
    data: Option<serde_json::Value>,
}

/// A call as Segment's HTTP tracking API has it.
#[derive(ToSchema)]
#[schema(as = SegmentCall)]
#[allow(dead_code, reason = "it describes a body in /openapi.json; bodies are read by `segment`")]
struct SegmentCallSchema {
    /// The event's name in Segment's e-commerce specification.
    event: String,
    #[schema(rename = "messageId")]
    message_id: Option<String>,
    #[schema(rename = "userId")]
    user_id: Option<String>,
    #[schema(rename = "anonymousId")]
    anonymous_id: Option<String>,
    timestamp: Option<String>,
    properties: Option<serde_json::Value>,
    context: Option<serde_json::Value>,
}

/// Calls as Segment's HTTP tracking API has them.
#[derive(ToSchema)]
#[schema(as = SegmentBatch)]
#[allow(dead_code, reason = "it describes a body in /openapi.json; bodies are read by `segment`")]
struct SegmentBatchSchema {
    batch: Vec<SegmentCallSchema>,
}

/// Take in events
///
/// The answer comes when every accepted event is in the log, and every
/// rejected one is kept with its reason, or counted: those beyond what the key
/// may have kept in a minute, and all while the stream of dead letters is full. In binary mode, attributes are
/// `ce-` headers and the body is the data.
#[utoipa::path(
    post, path = "/v1/events", tag = "events",
    request_body(content(
        (CloudEventSchema = "application/cloudevents+json"),
        (Vec<CloudEventSchema> = "application/cloudevents-batch+json"),
        (String = "application/x-ndjson"),
        (CloudEventSchema = "application/json"),
    )),
    responses(Answers)
)]
async fn events(State(intake): State<Arc<Intake>>, caller: Caller, request: Request) -> Response {
    answer(Route::Events, intake, caller, request).await
}

/// Take in one Segment call
#[utoipa::path(
    post, path = "/v1/track", tag = "segment",
    request_body = SegmentCallSchema, responses(Answers)
)]
async fn track(State(intake): State<Arc<Intake>>, caller: Caller, request: Request) -> Response {
    answer(Route::Track, intake, caller, request).await
}

/// Take in a batch of Segment calls
#[utoipa::path(
    post, path = "/v1/batch", tag = "segment",
    request_body = SegmentBatchSchema, responses(Answers)
)]
async fn batch(State(intake): State<Arc<Intake>>, caller: Caller, request: Request) -> Response {
    answer(Route::Batch, intake, caller, request).await
}

/// The answers of every route, for `/openapi.json`.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "it describes the answers in /openapi.json")]
enum Answers {
    /// The accepted events are in the log.
    #[response(status = 202)]
    Accepted(Verdict),
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
    /// The key has used up its events for now; `Retry-After` says for how long.
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(Problem),
    /// Nothing can be promised: the log is away or full, or the stream of dead
    /// letters is away. Send the same request again after `Retry-After`, with the same
    /// ids: those of its events that are in the log already are then
    /// duplicates, and each is counted once.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// The service's description, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(title = "Tidemill ingestion", description = "Takes events in and writes them to the log."),
    paths(events, track, batch),
    // Answers that are told apart by their status are not found by themselves.
    components(schemas(OneRejected, Verdict, Rejection)),
)]
pub(crate) struct ApiDoc;
