//! Reference data over HTTP.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRequestParts, MatchedPath, Path, Query, Request, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tidemill_domain::{SharedClock, Timestamp};
use tidemill_service::{Access, Problem, Role, Routes};
use utoipa::{
    IntoParams, OpenApi, PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use crate::{
    bulk::{self, RECORD_BYTES, Summary, Turns},
    error::Error,
    records::{Fields, Record},
    reference::{Attributes, Change, Kind, Reference, Verdict},
    store::Store,
};

/// The largest body of records.
const BODY_BYTES: usize = 8 << 20;
const MOST_LISTED: u32 = 1000;

/// What the routes work on.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) reference: Arc<Reference>,
    pub(crate) clock: SharedClock,
    pub(crate) lead_millis: i64,
    pub(crate) turns: Turns,
}

/// The description of the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidemill enrichment",
        description = "Products, customers and countries that events are enriched with."
    ),
    paths(change, change_many, one, list),
    components(schemas(Problem))
)]
pub(crate) struct Description;

/// The routes.
pub(crate) fn routes(access: &Access, api: Api) -> Routes {
    Routes::new(access)
        .put(Role::Operate, "/v1/reference/{kind}/{id}", change)
        .layer(DefaultBodyLimit::max(RECORD_BYTES))
        .get(Role::Operate, "/v1/reference/{kind}/{id}", one)
        .get(Role::Operate, "/v1/reference/{kind}", list)
        .post(Role::Operate, "/v1/reference/{kind}", change_many)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(typed))
        .with_state(api)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}

/// Refuses bodies that are not said to be what they must be: a form of any page
/// can send the other types.
async fn typed(request: Request, next: Next) -> Result<Response, Error> {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let expected = match (request.method(), path.ends_with("/{id}")) {
        (&Method::PUT, true) => "application/json",
        (&Method::POST, false) => "application/x-ndjson",
        // Nothing is read, or the method is not answered there.
        _ => return Ok(next.run(request).await),
    };
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if !given.eq_ignore_ascii_case(expected) {
        return Err(Error::MediaType { expected });
    }
    Ok(next.run(request).await)
}

/// The kind in the address, by its plural.
impl<S: Send + Sync> FromRequestParts<S> for Kind {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Address {
            kind: String,
        }
        let Path(Address { kind: name }) =
            Path::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        Kind::ALL.into_iter().find(|kind| kind.plural() == name).ok_or_else(Problem::not_found)
    }
}

impl PartialSchema for Kind {
    fn schema() -> RefOr<Schema> {
        let plurals = Self::ALL.map(Self::plural);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(plurals)).into()
    }
}

impl ToSchema for Kind {}

/// The id in the address.
#[derive(Deserialize)]
struct Named {
    id: String,
}

/// An accepted change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    /// The version that it made.
    version: u64,
    /// From when it is valid; `null` for the beginning of time.
    #[schema(value_type = Option<String>)]
    valid_from: Option<Timestamp>,
    /// What is known from then on.
    attributes: Attributes,
}

/// What is known of one thing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordView {
    /// Its id.
    id: String,
    /// All accepted changes, the latest first.
    changes: Vec<ChangeView>,
}

impl RecordView {
    fn new(id: String, changes: Vec<Change>) -> Self {
        let view = |c: Change| ChangeView { version: c.version, valid_from: c.valid_from, attributes: c.attributes };
        Self { id, changes: changes.into_iter().rev().map(view).collect() }
    }
}

/// What became of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The version that the record made, or the one that says the same already.
    version: u64,
    /// Whether it says anything new.
    changed: bool,
    /// From when it is valid; `null` for the beginning of time, absent where
    /// nothing changed.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<Option<Timestamp>>,
}

/// A page of records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page {
    /// The version of all reference data: its number of accepted changes.
    version: u64,
    /// Records in the order of their ids.
    items: Vec<RecordView>,
    /// What to give as `after` for the next page; `null` at the end.
    next: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The id after which to begin.
    #[serde(default)]
    after: String,
    /// Records at most.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000)]
    limit: u32,
}

fn default_limit() -> u32 {
    100
}

impl Api {
    /// From when a change may be valid that is made now.
    pub(crate) fn earliest(&self) -> Timestamp {
        self.clock.now().plus_millis(self.lead_millis)
    }

    pub(crate) async fn accept(&self, records: &[Record], earliest: Timestamp) -> Result<Vec<Verdict>, Error> {
        let verdicts = self.store.accept(records, earliest).await?;
        // Other replicas look within a second; this one need not wait.
        if let Err(error) = self.reference.refresh().await {
            tracing::debug!(%error, "the change will be seen at the next look");
        }
        Ok(verdicts)
    }
}

pub(crate) fn body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Error> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
        _ => Error::Body(rejection.body_text()),
    })
}

pub(crate) fn fields(json: &[u8]) -> Result<Fields, Error> {
    serde_json::from_slice(json).map_err(|e| Error::Body(e.to_string()))
}

/// Changes what is known of one product, customer or country.
#[utoipa::path(
    put, path = "/v1/reference/{kind}/{id}",
    params(("kind" = inline(Kind), Path), ("id" = String, Path, min_length = 1, max_length = 200)),
    request_body(content = Object, content_type = "application/json", description = "Attributes by name, and optionally `valid_from` (RFC 3339)"),
    responses(
        (status = 200, body = Accepted),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change(
    State(api): State<Api>,
    kind: Kind,
    Path(named): Path<Named>,
    content: Result<Bytes, BytesRejection>,
) -> Result<Json<Accepted>, Error> {
    let record = Record::read(kind, Some(named.id), fields(&body(content)?)?)?;
    let earliest = api.earliest();
    match api.accept(&[record], earliest).await?.first() {
        Some(Verdict::Unchanged(version)) => Ok(Json(Accepted { version: *version, changed: false, valid_from: None })),
        Some(Verdict::Changed(version, valid_from)) => {
            Ok(Json(Accepted { version: *version, changed: true, valid_from: Some(*valid_from) }))
        }
        Some(Verdict::TooEarly) | None => Err(Error::TooEarly { earliest }),
    }
}

/// Changes what is known of many: one JSON object a line, each with its `id`;
/// at most 100,000.
#[utoipa::path(
    post, path = "/v1/reference/{kind}",
    params(("kind" = inline(Kind), Path)),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = Summary),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 408, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change_many(State(api): State<Api>, kind: Kind, request: Request) -> Result<Json<Summary>, Error> {
    bulk::take_in(&api, kind, request).await.map(Json)
}

/// What is known of one product, customer or country, with all versions.
#[utoipa::path(
    get, path = "/v1/reference/{kind}/{id}",
    params(("kind" = inline(Kind), Path), ("id" = String, Path, min_length = 1, max_length = 200)),
    responses(
        (status = 200, body = RecordView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn one(State(api): State<Api>, kind: Kind, Path(named): Path<Named>) -> Result<Json<RecordView>, Error> {
    let id = named.id;
    let changes = api.store.histories(kind, &[&id]).await?.remove(&id).ok_or(Error::Unknown { kind })?;
    Ok(Json(RecordView::new(id, changes)))
}

/// What is known of a kind, a page at a time.
#[utoipa::path(
    get, path = "/v1/reference/{kind}",
    params(("kind" = inline(Kind), Path), PageQuery),
    responses(
        (status = 200, body = Page),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(api): State<Api>,
    kind: Kind,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Page>, Error> {
    let Query(query) = query.map_err(|rejection| Error::Parameter(rejection.body_text()))?;
    let limit = query.limit;
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(Error::Parameter(format!("limit must be between 1 and {MOST_LISTED}")));
    }
    let version = api.store.version().await?;
    let ids = api.store.ids(kind, &query.after, limit).await?;
    let next = ids.last().filter(|_| ids.len() == limit as usize).cloned();
    let mut found = api.store.histories(kind, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let items = ids
        .into_iter()
        .map(|id| {
            let changes = found.remove(&id).unwrap_or_default();
            RecordView::new(id, changes)
        })
        .collect();
    Ok(Json(Page { version, items, next }))
}
