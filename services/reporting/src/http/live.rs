//! The live stream.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::header,
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
};
use futures::StreamExt;
use tidemill_service::{Caller, Problem};

use super::extract::{NoParameters, Parameters};
use crate::{error::Error, state::Reporting};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Changes as server-sent events.
///
/// `metrics`: changed windows with absolute values (`retracted` for one that
/// was merged into another); `truth`: how far all numbers are true (`as_of`,
/// `watermark`, `complete_until`), also while nothing comes; `alert`, `books`,
/// `health`: as their own routes answer; `reset`: fetch everything anew. A
/// client that comes back with `Last-Event-ID` gets what it missed.
#[utoipa::path(get, path = "/v1/stream",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn live(
    State(reporting): State<Arc<Reporting>>,
    caller: Caller,
    _: Parameters<NoParameters>,
    request: Request,
) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let last_id = head.headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    let events = reporting.hub.subscribe(reporting.client(&head), last_id)?;
    // A key that is taken away ends what was begun with it.
    let events = events.take_until(reporting.access.until_void(&caller));
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    // A proxy that gathers answers would hold events back.
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, stream).into_response())
}
