//! Reference data over HTTP.

mod address;
mod api;
mod bulk;
mod change;
mod read;
mod turns;

use axum::{
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{Method, header},
    middleware::{self, Next},
    response::Response,
};
use tidemill_service::{Access, Problem, Role, Routes};
use utoipa::OpenApi;

// Each handler comes with its description: a handler that is named by its module
// would get that as its tag.
use self::{
    api::RECORD_BYTES,
    bulk::{__path_change_many, change_many},
    change::{__path_change, change},
    read::{__path_list, __path_one, list, one},
};
use crate::error::Error;

pub(crate) use api::Api;
pub(crate) use turns::BulkTurns;

/// The largest body of records.
const BODY_BYTES: usize = 8 << 20;

/// The description of the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidemill enrichment",
        description = "Products, customers, countries and rates that events are enriched with."
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

/// Refuses a body of another content type than expected: a form on any page can
/// send the others.
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
