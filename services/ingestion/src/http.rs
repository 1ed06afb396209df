//! The routes, and what they answer.

mod answer;
mod bodies;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use tidemill_service::{Access, Admitted, Caller, Needs, Role, Routes, StartError};
use tokio::time::Instant;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};
use tracing::Instrument;
use utoipa::OpenApi;

use self::{
    answer::{Answers, IntakeAnswer, OneRejected, RejectedEvent, RequestVerdict},
    bodies::{BackfillHeader, CloudEventSchema, SegmentBatchSchema, SegmentCallSchema, SegmentOtherCallSchema},
};
use crate::{
    intake::{route::Route, take_in::EventIntake},
    telemetry::request_span,
};

/// What Segment's calls need. Its library in the browser has the key in the body.
const CALLS: Needs = Needs::KeyInBody(Role::Write);

/// The service's routes.
pub(crate) fn routes(
    access: &Access,
    intake: Arc<EventIntake>,
    origins: &BTreeSet<String>,
) -> Result<Routes, StartError> {
    let routes = Routes::new(access)
        .post(Role::Write, Route::EVENTS.path, events)
        .post(CALLS, Route::TRACK.path, track)
        .post(CALLS, Route::PAGE.path, page)
        .post(CALLS, Route::BATCH.path, batch);
    let routes = Route::LIKE.into_iter().fold(routes, |routes, (route, _)| {
        let handler = move |State(intake): State<Arc<EventIntake>>, admitted: Admitted, request: Request| {
            answer(route, intake, admitted, request)
        };
        routes.post(CALLS, route.path, handler)
    });
    Ok(routes.layer(cors(origins)?).with_state(intake))
}

/// The service's description, for `/openapi.json`.
pub(crate) fn description() -> utoipa::openapi::OpenApi {
    let mut described = ApiDoc::openapi();
    for (route, like) in Route::LIKE {
        let Some(item) = described.paths.paths.get(like.path) else { continue };
        let mut item = item.clone();
        if let Some(operation) = &mut item.post {
            operation.operation_id = Some(route.path.trim_start_matches("/v1/").to_owned());
            operation.summary = Some(format!("Take in {}, as `{}` does", route.taken(), like.path));
        }
        described.paths.paths.insert(route.path.to_owned(), item);
    }
    described
}

fn cors(origins: &BTreeSet<String>) -> Result<CorsLayer, StartError> {
    let origin = |text: &String| {
        text.parse::<HeaderValue>().map_err(|_| StartError::new(format!("cors.origins: {text:?} is no origin")))
    };
    let named = origins.iter().map(origin).collect::<Result<Vec<_>, _>>()?;
    let allowed = if named.is_empty() { AllowOrigin::any() } else { AllowOrigin::list(named.clone()) };
    // A beacon goes with credentials, and a browser then wants to be told that they
    // may. They open nothing here: a key is in a header or in the address.
    let credentials = AllowCredentials::predicate(move |origin, _| named.contains(origin));
    Ok(CorsLayer::new()
        .allow_origin(allowed)
        .allow_credentials(credentials)
        .allow_methods([Method::POST])
        // A wildcard would leave out Authorization.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_secs(3600)))
}

async fn answer(route: Route, intake: Arc<EventIntake>, admitted: Admitted, request: Request) -> Response {
    let started = Instant::now();
    let span = request_span(route.path, request.headers());
    let response = match intake.take_in(route, admitted, request).instrument(span.clone()).await {
        Ok(taken) => IntakeAnswer::new(&taken).into_response(),
        Err(error) => {
            intake.telemetry.refused(&error);
            error.into_response()
        }
    };
    intake.telemetry.answered(route.path, response.status(), started.elapsed(), &span);
    response
}

/// Take in events
///
/// The answer comes when every accepted event is in the log, and every
/// rejected one is kept with its reason, or counted: those beyond what the key
/// may have kept in a minute, and all while the stream of dead letters is full. In binary mode, attributes are
/// `ce-` headers and the body is the data. `text/plain` is what a page's beacon
/// says; the text is one event, or an array of them.
#[utoipa::path(
    post, path = "/v1/events", params(BackfillHeader), tag = "events",
    request_body(content(
        (CloudEventSchema = "application/cloudevents+json"),
        (Vec<CloudEventSchema> = "application/cloudevents-batch+json"),
        (String = "application/x-ndjson"),
        (CloudEventSchema = "application/json"),
        (CloudEventSchema = "text/plain"),
    )),
    responses(Answers)
)]
async fn events(State(intake): State<Arc<EventIntake>>, caller: Caller, request: Request) -> Response {
    answer(Route::EVENTS, intake, Admitted::Known(caller), request).await
}

/// Take in one Segment call
///
/// Segment's library in the browser sends each call to the first letter of its
/// kind, as `text/plain`, which needs no preflight. A `type` in the body goes
/// before the address. Where no header and no address has the write key, the first
/// 500 KiB of the body may, as `writeKey`; it is kept nowhere.
#[utoipa::path(
    post, path = "/v1/track", params(BackfillHeader), tag = "segment",
    request_body(content((SegmentCallSchema = "application/json"), (SegmentCallSchema = "text/plain"))),
    responses(Answers)
)]
async fn track(State(intake): State<Arc<EventIntake>>, admitted: Admitted, request: Request) -> Response {
    answer(Route::TRACK, intake, admitted, request).await
}

/// Take in one Segment call that is no `track`
///
/// It becomes an event of type `segment.page`, `segment.screen`,
/// `segment.identify`, `segment.group` or `segment.alias`. The body may have the write
/// key, as that of a `track` may.
#[utoipa::path(
    post, path = "/v1/page", params(BackfillHeader), tag = "segment",
    request_body(content((SegmentOtherCallSchema = "application/json"), (SegmentOtherCallSchema = "text/plain"))),
    responses(Answers)
)]
async fn page(State(intake): State<Arc<EventIntake>>, admitted: Admitted, request: Request) -> Response {
    answer(Route::PAGE, intake, admitted, request).await
}

/// Take in a batch of Segment calls
///
/// The body may have the write key, as that of a `track` may: beside `batch`.
#[utoipa::path(
    post, path = "/v1/batch", params(BackfillHeader), tag = "segment",
    request_body(content((SegmentBatchSchema = "application/json"), (SegmentBatchSchema = "text/plain"))),
    responses(Answers)
)]
async fn batch(State(intake): State<Arc<EventIntake>>, admitted: Admitted, request: Request) -> Response {
    answer(Route::BATCH, intake, admitted, request).await
}

/// What is described in full; the other calls are like these.
#[derive(OpenApi)]
#[openapi(
    info(title = "Tidemill ingestion", description = "Takes events in and writes them to the log."),
    paths(events, track, page, batch),
    // Answers that are told apart by their status are not found by themselves.
    components(schemas(OneRejected, RequestVerdict, RejectedEvent)),
)]
struct ApiDoc;
