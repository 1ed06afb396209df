//! The API: routes that translate. What they answer is decided elsewhere.

mod alerts;
mod body;
mod books;
mod dead_letters;
mod drift;
mod experiments;
mod extract;
mod generations;
mod health;
mod live;
mod metrics;
mod page;
mod session;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use tidemill_service::{Needs, Role, Routes};
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;

// By their bare names: of a module in a path, utoipa would make a tag.
use self::{alerts::*, books::*, drift::*, experiments::*, health::*, live::*, metrics::*};
use crate::state::Reporting;

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
        experiment,
        alerts,
        books,
        drift,
        health,
        live,
        generations::list,
        generations::differences,
        generations::cutover,
        generations::rollback,
        generations::retire,
        generations::changes,
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

pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

pub(crate) fn routes(reporting: Arc<Reporting>) -> Routes {
    Routes::new(&reporting.access)
        .page("/", page::index)
        .page("/products", page::products)
        .page("/assets/{*path}", page::asset)
        .post(Needs::Nothing, "/v1/session", session::login)
        .delete(Needs::Nothing, "/v1/session", session::logout)
        .get(Role::Read, "/v1/metrics", metrics)
        .get(Role::Read, "/v1/metrics/{name}/series", series)
        .get(Role::Read, "/v1/metrics/{name}/totals", totals)
        .get(Role::Read, "/v1/experiments/{name}", experiment)
        .get(Role::Read, "/v1/alerts", alerts)
        .get(Role::Read, "/v1/books", books)
        .get(Role::Read, "/v1/drift", drift)
        .get(Role::Read, "/v1/health", health)
        .get(Role::Read, "/v1/stream", live)
        .get(Role::Read, "/v1/generations", generations::list)
        .get(Role::Read, "/v1/generations/{name}/differences", generations::differences)
        .post(Role::Operate, "/v1/generations/{name}/cutover", generations::cutover)
        .post(Role::Operate, "/v1/generations/{name}/rollback", generations::rollback)
        .post(Role::Operate, "/v1/generations/{name}/retire", generations::retire)
        .get(Role::Operate, "/v1/generations/changes", generations::changes)
        .get(Role::Operate, "/v1/dead-letters", dead_letters::list)
        .get(Role::Operate, "/v1/dead-letters/{sequence}", dead_letters::show)
        .post(Role::Operate, "/v1/dead-letters/redrive", dead_letters::redrive)
        .post(Role::Operate, "/v1/dead-letters/discard", dead_letters::discard)
        .get(Role::Operate, "/v1/dead-letters/audit", dead_letters::audit)
        .get(Role::Operate, "/v1/dead-letters/orders/{request}", dead_letters::progress)
        .layer(DefaultBodyLimit::max(body::MAX_BODY))
        // Streams of events are left as they are: a compressor holds them back.
        .layer(CompressionLayer::new())
        .with_state(reporting)
}
