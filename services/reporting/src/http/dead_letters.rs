//! Dead letters over HTTP: list, show, redrive, discard, audit.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use tidemill_service::{Caller, Problem};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    body::read_json,
    extract::{NoParameters, PageSize, Parameters, StoredNumber, path_parameter},
};
use crate::{
    calendar::AskedTime,
    dead_letters::{Act, ActionFilter, ActionProgress, LetterFilter, LetterState, RequestKind},
    error::Error,
    handling::{self, AuditAnswer, LetterAnswer, ListAnswer, OrderAnswer, OrderRequest},
    state::Reporting,
};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Given up by this service.
    service: Option<String>,
    /// For this reason.
    code: Option<String>,
    /// Events of this source.
    source: Option<String>,
    /// Failed at or after it (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<AskedTime>,
    /// Failed before it (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<AskedTime>,
    /// Where they stand.
    state: Option<LetterState>,
    /// With a lower sequence: the next page.
    #[param(value_type = Option<u64>)]
    before: Option<StoredNumber>,
    /// At most this many; 50 without it.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: PageSize,
}

/// Dead letters, the newest first.
///
/// What is personal in them is masked.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead letters",
    params(ListParameters),
    responses(
        (status = 200, body = ListAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(reporting): State<Arc<Reporting>>,
    Parameters(asked): Parameters<ListParameters>,
) -> Result<Json<ListAnswer>, Error> {
    let ListParameters { service, code, source, since, until, state, before, limit } = asked;
    let [since, until] = [since, until].map(|time| time.map(|time| time.0));
    let filter = LetterFilter { service, code, source, since, until, state };
    handling::list(&reporting, &filter, before.map(|before| before.0), limit.0).await.map(Json)
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowParameters {
    /// Whether to show what is personal too.
    unmasked: Option<bool>,
}

/// One dead letter, with its body and its history.
///
/// What is personal in it is masked: members that schemas mark so, e-mail
/// addresses and card numbers anywhere, and a body that is no JSON as a whole.
/// That somebody asks for all of it is written to the audit.
#[utoipa::path(get, path = "/v1/dead-letters/{sequence}", tag = "dead letters",
    params(
        ("sequence" = u64, Path, description = "Its sequence in the stream of dead letters"),
        ShowParameters,
    ),
    responses(
        (status = 200, body = LetterAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn show(
    State(reporting): State<Arc<Reporting>>,
    Path(sequence): Path<String>,
    caller: Caller,
    Parameters(asked): Parameters<ShowParameters>,
) -> Result<Json<LetterAnswer>, Error> {
    let sequence = path_parameter("sequence", &sequence)?;
    handling::show(&reporting, &caller, sequence, asked.unmasked.unwrap_or_default()).await.map(Json)
}

/// Send the events of dead letters again.
///
/// Ingestion validates each like any other event, under the source and id
/// that it has (where it has none, under one that follows from the letter): so
/// it is counted once, however often it is redriven. It counts as history
/// (`backfill`), so it is not late however old it is by then. It is received
/// anew, and is accepted, or fails again as another dead letter. The answer comes when
/// the order is written down; `GET /v1/dead-letters/orders/{request}` tells how
/// far it has come. A letter that is redriving, accepted or discarded is
/// refused unless `force` is set; letters of alert and reporting always are,
/// since their events have their outcome.
#[utoipa::path(post, path = "/v1/dead-letters/redrive", tag = "dead letters",
    request_body = OrderRequest,
    responses(
        (status = 200, description = "A dry run", body = OrderAnswer),
        (status = 202, body = OrderAnswer),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn redrive(
    State(reporting): State<Arc<Reporting>>,
    caller: Caller,
    _: Parameters<NoParameters>,
    request: Request,
) -> Result<(StatusCode, Json<OrderAnswer>), Error> {
    let asked: OrderRequest = read_json(request).await?;
    let status = if asked.dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = handling::order(&reporting, RequestKind::Redrive, &caller, asked).await?;
    Ok((status, Json(answer)))
}

/// Give dead letters up for good.
///
/// Their bodies leave the stream, which is room for others, within moments of
/// the answer; the list and the audit keep them as discarded. One that is
/// accepted is refused.
#[utoipa::path(post, path = "/v1/dead-letters/discard", tag = "dead letters",
    request_body = OrderRequest,
    responses(
        (status = 200, description = "Written down, or a dry run", body = OrderAnswer),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn discard(
    State(reporting): State<Arc<Reporting>>,
    caller: Caller,
    _: Parameters<NoParameters>,
    request: Request,
) -> Result<Json<OrderAnswer>, Error> {
    let asked = read_json(request).await?;
    handling::order(&reporting, RequestKind::Discard, &caller, asked).await.map(Json)
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditParameters {
    /// For this letter.
    #[param(value_type = Option<u64>)]
    letter: Option<StoredNumber>,
    /// By this order.
    #[param(value_type = Option<String>, format = "uuid")]
    request: Option<Uuid>,
    /// Ordered by them.
    by: Option<String>,
    /// `redrive`, `discard` or `unmask`.
    kind: Option<Act>,
    /// How far it has come.
    state: Option<ActionProgress>,
    /// With a lower number: the next page.
    #[param(value_type = Option<u64>)]
    before: Option<StoredNumber>,
    /// At most this many; 50 without it.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: PageSize,
}

/// What was ordered for dead letters, by whom, and the outcome.
#[utoipa::path(get, path = "/v1/dead-letters/audit", tag = "dead letters",
    params(AuditParameters),
    responses(
        (status = 200, body = AuditAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn audit(
    State(reporting): State<Arc<Reporting>>,
    Parameters(asked): Parameters<AuditParameters>,
) -> Result<Json<AuditAnswer>, Error> {
    let AuditParameters { letter, request, by, kind, state, before, limit } = asked;
    let number = |given: Option<StoredNumber>| given.map(|number| number.0);
    let filter = ActionFilter { letter: number(letter), request, by, kind, state, before: number(before) };
    handling::audit(&reporting, &filter, limit.0).await.map(Json)
}

/// How many letters of an order have come how far.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct ProgressAnswer {
    /// Letters that it is for.
    letters: u64,
    /// Those that are written down, and not done yet.
    requested: u64,
    /// Those on their way to ingestion.
    sent: u64,
    /// Those whose event is in the log.
    accepted: u64,
    /// Those whose event has failed once more.
    failed_again: u64,
    /// Those that are discarded.
    done: u64,
    /// Those whose body was gone before it could be sent.
    lost: u64,
    /// Whether none is on its way.
    settled: bool,
    /// Accepted letters of which it is known what became of their events.
    known: u64,
    /// Events that are counted in the metrics, of those known.
    counted: u64,
    /// Events that are in no total: aggregation keeps nothing any more of their time
    /// (`windows.retention_days`).
    late: u64,
    /// Events that had been counted before.
    duplicate: u64,
}

/// How far an order has come.
#[utoipa::path(get, path = "/v1/dead-letters/orders/{request}", tag = "dead letters",
    params(("request" = String, Path, format = "uuid", description = "The order's name, as its answer gave it")),
    responses(
        (status = 200, body = ProgressAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn progress(
    State(reporting): State<Arc<Reporting>>,
    Path(request): Path<String>,
    _: Parameters<NoParameters>,
) -> Result<Json<ProgressAnswer>, Error> {
    let request = path_parameter("request", &request)?;
    let counts = reporting.store.order_progress(request).await?;
    if counts.is_empty() {
        return Err(Error::UnknownOrder(request));
    }
    let outcomes = reporting.store.order_outcomes(request).await?;
    let of = |state: ActionProgress| counts.get(state.as_str()).copied().unwrap_or_default();
    use ActionProgress::{Accepted, Done, FailedAgain, Lost, Requested, Sent};
    Ok(Json(ProgressAnswer {
        letters: counts.values().sum(),
        requested: of(Requested),
        sent: of(Sent),
        accepted: of(Accepted),
        failed_again: of(FailedAgain),
        done: of(Done),
        lost: of(Lost),
        settled: of(Requested) + of(Sent) == 0,
        known: outcomes.letters,
        counted: outcomes.counted,
        late: outcomes.late,
        duplicate: outcomes.duplicate,
    }))
}
