//! The API.

mod dead_letters;
mod session;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequestParts, Path, Query, Request, State},
    http::{HeaderMap, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
};
use futures::StreamExt;
use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_service::{Caller, Needs, Problem, Role, Routes};
use tidemill_stage::Failure;
use tokio::time::{Instant, timeout};
use tower_http::compression::CompressionLayer;
use utoipa::{OpenApi, ToSchema};

pub use session::Logins;

use crate::{
    alerts::Alert,
    books::{self, Books},
    catalogue::Metric,
    error::Error,
    health::Health,
    page,
    query::{self, Group, Grouping, Head, Parameters, Point, Question, Series, SeriesAnswer, TotalsAnswer, TotalsRow},
    state::{Reporting, Truth},
};

const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a question waits for its turn, and dead letters for their bodies.
const PATIENCE: Duration = Duration::from_secs(5);
const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 500;
/// Databases know no larger whole number.
const MAX_SEQUENCE: u64 = i64::MAX as u64;
/// Sources that the books list.
const SOURCES: usize = 10_000;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidemill reporting",
        description = "Series and totals, the books, alerts, dead letters, and the health of the chain."
    ),
    paths(
        metrics,
        series,
        totals,
        alerts,
        books,
        health,
        live,
        dead_letters::list,
        dead_letters::show,
        dead_letters::redrive,
        dead_letters::discard,
        dead_letters::audit,
        dead_letters::progress,
        session::login,
        session::logout
    )
)]
struct Api;

/// The API's description.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// The routes.
pub fn routes(reporting: Arc<Reporting>) -> Routes {
    Routes::new(&reporting.access)
        .page("/", page::index)
        .page("/assets/{*path}", page::asset)
        .post(Needs::Nothing, "/v1/session", session::login)
        .delete(Needs::Nothing, "/v1/session", session::logout)
        .get(Role::Read, "/v1/metrics", metrics)
        .get(Role::Read, "/v1/metrics/{name}/series", series)
        .get(Role::Read, "/v1/metrics/{name}/totals", totals)
        .get(Role::Read, "/v1/alerts", alerts)
        .get(Role::Read, "/v1/books", books)
        .get(Role::Read, "/v1/health", health)
        .get(Role::Read, "/v1/stream", live)
        .get(Role::Operate, "/v1/dead-letters", dead_letters::list)
        .get(Role::Operate, "/v1/dead-letters/{sequence}", dead_letters::show)
        .post(Role::Operate, "/v1/dead-letters/redrive", dead_letters::redrive)
        .post(Role::Operate, "/v1/dead-letters/discard", dead_letters::discard)
        .get(Role::Operate, "/v1/dead-letters/audit", dead_letters::audit)
        .get(Role::Operate, "/v1/dead-letters/orders/{request}", dead_letters::progress)
        .layer(DefaultBodyLimit::max(dead_letters::MAX_BODY))
        // Streams of events are left as they are: a compressor holds them back.
        .layer(CompressionLayer::new())
        .with_state(reporting)
}

/// The parameters of a request.
struct Asked(Parameters);

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Error::Parameters(vec![query::wrong("", rejection.body_text())])),
        }
    }
}

impl Asked {
    /// Refuses parameters that are not among `known`.
    fn only(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = |(name, _): &&(String, String)| !known.contains(&name.as_str());
        let told = format!("is not known; there are {}", known.join(", "));
        let errors: Vec<_> = self.0.iter().filter(unknown).map(|(name, _)| query::wrong(name, told.clone())).collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::Parameters(errors)) }
    }

    fn text(&self, name: &str) -> Option<&str> {
        query::single(&self.0, name)
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Error> {
        let mut errors = Vec::new();
        let value = self.text(name).and_then(|text| query::parsed(name, text, &mut errors));
        if errors.is_empty() { Ok(value) } else { Err(Error::Parameters(errors)) }
    }

    /// A letter's sequence, as the store can hold it.
    fn sequence(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.parsed(name)? {
            Some(sequence) if sequence > MAX_SEQUENCE => {
                Err(Error::Parameters(vec![query::wrong(name, format!("must be at most {MAX_SEQUENCE}"))]))
            }
            sequence => Ok(sequence),
        }
    }

    fn limit(&self) -> Result<u16, Error> {
        match self.parsed("limit")?.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(limit),
            _ => Err(Error::Parameters(vec![query::wrong("limit", format!("must be between 1 and {MAX_LIMIT}"))])),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct MetricsAnswer {
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    metrics: Vec<Metric>,
}

/// The metrics, each in the version that is served.
#[utoipa::path(get, path = "/v1/metrics", responses((status = 200, body = MetricsAnswer)))]
async fn metrics(State(reporting): State<Arc<Reporting>>) -> Json<MetricsAnswer> {
    Json(MetricsAnswer { as_of: reporting.now(), metrics: reporting.metrics() })
}

/// A metric over time: a point for each window with data.
///
/// Also as CSV, by `format=csv` or `Accept: text/csv`. Any dimension's name is
/// a filter; given more than once, any of its values passes.
#[utoipa::path(get, path = "/v1/metrics/{name}/series",
    params(
        ("name" = String, Path, description = "The metric's name"),
        ("from" = Option<String>, Query, format = DateTime, description = "Windows that start at or after it (RFC 3339)"),
        ("to" = Option<String>, Query, format = DateTime, description = "Windows that start before it (RFC 3339)"),
        ("group_by" = Option<String>, Query, description = "Dimensions to split by, separated by commas"),
        ("version" = Option<String>, Query, description = "Another version than the one served"),
        ("format" = Option<String>, Query, pattern = "^(json|csv)$", description = "`json` or `csv`"),
    ),
    responses(
        (status = 200, content((SeriesAnswer = "application/json"), (String = "text/csv"))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
async fn series(
    State(reporting): State<Arc<Reporting>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    asked: Asked,
) -> Result<Response, Error> {
    let Found { metric, question, groups, head, truth } = ask(&reporting, "series", &name, &headers, asked).await?;
    let points = |group: Group| {
        let point = |sum: query::Sum| Point {
            start: sum.start,
            end: sum.end,
            complete: truth.is_complete(sum.end),
            values: sum.values(&metric),
        };
        Series { dimensions: group.dimensions, points: group.sums.into_iter().map(point).collect() }
    };
    let series = groups.into_iter().map(points);
    if !question.csv {
        return Ok(Json(SeriesAnswer { head, series: series.collect() }).into_response());
    }
    let rows = series.flat_map(|Series { dimensions, points }| {
        let row =
            move |point: Point| (dimensions.clone(), Some((point.start, point.end, point.complete)), point.values);
        points.into_iter().map(row)
    });
    Ok(csv_response(&name, query::csv(&metric, &question.group_by, true, rows)))
}

/// A metric in sum: all its windows together.
///
/// Also as CSV; filters as for the series. Windows that overlap are refused.
#[utoipa::path(get, path = "/v1/metrics/{name}/totals",
    params(
        ("name" = String, Path, description = "The metric's name"),
        ("from" = Option<String>, Query, format = DateTime, description = "Windows that start at or after it (RFC 3339)"),
        ("to" = Option<String>, Query, format = DateTime, description = "Windows that start before it (RFC 3339)"),
        ("group_by" = Option<String>, Query, description = "Dimensions to split by, separated by commas"),
        ("version" = Option<String>, Query, description = "Another version than the one served"),
        ("format" = Option<String>, Query, pattern = "^(json|csv)$", description = "`json` or `csv`"),
    ),
    responses(
        (status = 200, content((TotalsAnswer = "application/json"), (String = "text/csv"))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
async fn totals(
    State(reporting): State<Arc<Reporting>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    asked: Asked,
) -> Result<Response, Error> {
    let Found { metric, question, groups, head, .. } = ask(&reporting, "totals", &name, &headers, asked).await?;
    let rows = groups.into_iter().flat_map(|group| {
        let dimensions = group.dimensions;
        group.sums.into_iter().map(move |sum| (dimensions.clone(), sum))
    });
    let rows = rows.map(|(dimensions, sum)| TotalsRow { dimensions, values: sum.values(&metric) });
    if !question.csv {
        return Ok(Json(TotalsAnswer { head, rows: rows.collect() }).into_response());
    }
    let rows = rows.map(|row| (row.dimensions, None, row.values));
    Ok(csv_response(&name, query::csv(&metric, &question.group_by, false, rows)))
}

/// The answer to a question about a metric, before it has a form.
struct Found {
    metric: Metric,
    question: Question,
    groups: Vec<Group>,
    head: Head,
    truth: Truth,
}

async fn ask(
    reporting: &Reporting,
    view: &'static str,
    name: &str,
    headers: &HeaderMap,
    asked: Asked,
) -> Result<Found, Error> {
    let begun = Instant::now();
    let found = find(reporting, view == "series", name, headers, asked).await;
    let outcome = found.as_ref().map_or_else(Error::code, |_| "ok");
    reporting.telemetry.answered(view, outcome, begun.elapsed().as_secs_f64());
    found
}

async fn find(
    reporting: &Reporting,
    by_window: bool,
    name: &str,
    headers: &HeaderMap,
    Asked(parameters): Asked,
) -> Result<Found, Error> {
    let metric = reporting.metric(name, query::single(&parameters, "version"))?;
    let mut question = Question::parse(&metric, parameters)?;
    question.csv |= accepts_csv(headers);
    if !by_window && !metric.has_disjoint_windows() {
        return Err(Error::Overlapping(metric.name));
    }
    let place = timeout(PATIENCE, reporting.readers.acquire()).await;
    let _place = place.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
    // Taken first: what is read after it is true at least as far.
    let truth = reporting.truth();
    let mut grouping = Grouping::new(&metric, &question, by_window, reporting.limits.points, reporting.limits.cells);
    let from = question.from.unwrap_or(Timestamp::saturating_from_millis(i64::MIN));
    let to = question.to.unwrap_or(Timestamp::saturating_from_millis(i64::MAX));
    reporting.store.each_cell(&metric, from, to, |cell| grouping.add(cell)).await?;
    let (groups, approximate) = grouping.finish();
    let read_until = to.min(reporting.now());
    let is_complete = truth.is_complete(read_until)
        && groups.iter().flat_map(|group| &group.sums).all(|sum| truth.is_complete(sum.end));
    let head = Head {
        metric: metric.name.clone(),
        version: metric.version.clone(),
        from: question.from,
        to: question.to,
        group_by: question.group_by.clone(),
        as_of: truth.as_of,
        watermark: truth.watermark,
        complete: is_complete,
        source: "speed",
        approximate,
    };
    Ok(Found { metric, question, groups, head, truth })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

fn accepts_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/csv"))
}

fn csv_response(name: &str, written: Result<Vec<u8>, csv::Error>) -> Response {
    match written {
        Ok(bytes) => {
            let disposition = format!("attachment; filename=\"{name}.csv\"");
            let headers = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
                (header::CONTENT_DISPOSITION, disposition),
            ];
            (headers, bytes).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as CSV");
            Problem::internal().into_response()
        }
    }
}

#[derive(Serialize, ToSchema)]
struct AlertsAnswer {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The newest first.
    alerts: Vec<Alert>,
}

/// The newest alerts.
#[utoipa::path(get, path = "/v1/alerts",
    params(
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 500, description = "At most this many; 50 without it"),
        ("rule" = Option<String>, Query, description = "Of this rule alone"),
    ),
    responses(
        (status = 200, body = AlertsAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
async fn alerts(State(reporting): State<Arc<Reporting>>, asked: Asked) -> Result<Json<AlertsAnswer>, Error> {
    asked.only(&["limit", "rule"])?;
    let alerts = reporting.store.alerts(asked.text("rule"), asked.limit()?).await?;
    Ok(Json(AlertsAnswer { as_of: reporting.now(), alerts }))
}

/// The books: what was received, and what became of it.
///
/// `received = accepted + rejected`, and the books balance when it equals
/// `counted + late + duplicate + dead_lettered`. An event of a dead letter that
/// is redriven is received anew, in the hour of that; the letter stays the
/// outcome of its first attempt. Dead letters of alert and reporting are not in
/// the books: they are failures of readers, whose events have their outcome.
#[utoipa::path(get, path = "/v1/books",
    params(
        ("source" = Option<String>, Query, description = "Of this source alone"),
        ("hours" = Option<bool>, Query, description = "Whether each source is told by hour of ingestion too"),
        ("from" = Option<String>, Query, format = DateTime, description = "Hours from this one on (RFC 3339)"),
    ),
    responses(
        (status = 200, body = Books),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
async fn books(State(reporting): State<Arc<Reporting>>, asked: Asked) -> Result<Json<Books>, Error> {
    asked.only(&["source", "hours", "from"])?;
    let with_hours = asked.parsed::<bool>("hours")?.unwrap_or(false);
    let from = asked.parsed::<Timestamp>("from")?.map_or(Timestamp::saturating_from_millis(i64::MIN), books::hour_of);
    let as_of = reporting.now();
    let lines = reporting.store.book_lines().await?.into_iter();
    let lines = lines.filter(|(source, _)| asked.text("source").is_none_or(|wanted| wanted == source));
    let books = Books::new(as_of, lines, SOURCES);
    Ok(Json(match with_hours {
        true => books.with_hours(reporting.store.book_hours(from).await?),
        false => books,
    }))
}

/// The health of the chain.
#[utoipa::path(get, path = "/v1/health", responses((status = 200, body = Health)))]
async fn health(State(reporting): State<Arc<Reporting>>) -> Json<Health> {
    Json(reporting.health.borrow().clone())
}

/// Changes as server-sent events.
///
/// `metrics`: changed windows with absolute values (`retracted` for one that
/// was merged into another); `alert`, `books`,
/// `health`: as their own routes answer; `reset`: fetch everything anew. A
/// client that comes back with `Last-Event-ID` gets what it missed.
#[utoipa::path(get, path = "/v1/stream",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
async fn live(State(reporting): State<Arc<Reporting>>, caller: Caller, request: Request) -> Result<Response, Error> {
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
