//! The HTTP server of a service: `/livez`, `/readyz`, `/metrics` and
//! `/openapi.json` from the first moment, the service's own routes as soon as
//! it can serve them. The first three have a port of their own where one is
//! configured.

use std::{
    any::Any,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tidemill_domain::Code;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

use crate::{
    Context, HttpConfig, Problem, Registry, Routes, StartError, address,
    connections::{self, ConnectionMetrics},
    contract, guard, parameters,
};

const HEALTH: &str = "http";
/// How long a route of a service may take until its answer begins. The
/// dependencies that it waits for have shorter deadlines of their own. A
/// database whose machine lost its power has none, and says nothing for a
/// quarter of an hour.
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);
/// Bytes of what a library tells of a request that are read.
const LONGEST_REFUSAL: usize = 16 << 10;

/// A listening server whose routes can be completed later.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    operations: SocketAddr,
    openapi: Arc<RwLock<utoipa::openapi::OpenApi>>,
    context: Context,
}

impl Server {
    /// Listens, and answers the routes that every service has; all others are
    /// answered 503 until [`install`](Self::install).
    pub async fn start(
        context: &Context,
        config: &HttpConfig,
        openapi: utoipa::openapi::OpenApi,
    ) -> Result<Self, StartError> {
        let (listener, address) = listen("http.listen", config.listen).await?;
        let apart = match config.operations {
            Some(address) => Some(listen("http.operations", address).await?),
            None => None,
        };
        context.health.unready(HEALTH, "the service is starting");
        context.routes.clear();
        let metrics = ConnectionMetrics::new(&context.registry);
        let openapi = Arc::new(RwLock::new(contract::complete(openapi)));
        let describing = openapi.clone();
        let described = Router::new().route("/openapi.json", get(|| async move { description(&describing) }));
        let operations = operations(context);
        let mut answering = address;
        let own = match apart {
            None => described.merge(operations),
            Some((listener, address)) => {
                answering = address;
                let nothing_else = operations.fallback(|| async { Problem::not_found().into_response() });
                spawn(context, "operations", listener, nothing_else, config, &metrics);
                described
            }
        };
        let installed = context.clone();
        let app = own
            .route_layer(from_fn(guard::own_pages))
            .fallback(move |request: Request| answer(routes_for(&installed, request.uri().path()), request));
        spawn(context, "http", listener, named(app, config), config, &metrics);
        tracing::info!(service = context.service, %address, operations = %answering, "listening");
        Ok(Self { address, operations: answering, openapi, context: context.clone() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/metrics`, `/livez` and `/readyz` are answered.
    pub fn operations(&self) -> SocketAddr {
        self.operations
    }

    /// Adds the service's own routes. No page of another origin may ask them.
    /// The service's description tells who may call them; it is an error if it
    /// describes other routes.
    pub fn install(&self, routes: Routes) -> Result<(), StartError> {
        self.install_for_pages(routes.layer(from_fn(guard::own_pages)))
    }

    /// The same, for routes that pages of other origins may ask. The routes'
    /// own rule says which pages.
    pub fn install_for_pages(&self, routes: Routes) -> Result<(), StartError> {
        let mut openapi = self.openapi.write().unwrap_or_else(PoisonError::into_inner);
        routes.describe(&mut openapi).map_err(StartError::new)?;
        let routes = routes.into_router().fallback(|| async { Problem::not_found().into_response() });
        self.context.routes.set(routes);
        self.context.health.ready(HEALTH);
        tracing::info!(service = self.context.service, "serving");
        Ok(())
    }
}

/// Serves routes that belong to no service, until `shutdown`. They have the
/// bounds of a service's routes: only clients that name a host of the
/// configuration may ask, and no page of another origin.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    config: &HttpConfig,
    registry: &Registry,
    shutdown: CancellationToken,
) {
    let app = named(routes.layer(from_fn(guard::own_pages)), config);
    connections::serve(listener, app, config, ConnectionMetrics::new(registry), shutdown).await;
}

async fn listen(setting: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::listening(format_args!("{setting} {address}"), &error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Answers on a port for as long as the service lives.
fn spawn(
    context: &Context,
    name: &'static str,
    listener: TcpListener,
    app: Router,
    config: &HttpConfig,
    metrics: &ConnectionMetrics,
) {
    let app = app.layer(CatchPanicLayer::custom(panicked)).layer(SetResponseHeaderLayer::if_not_present(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ));
    let (config, metrics, shutdown) = (config.clone(), metrics.clone(), context.shutdown.clone());
    context.spawn(name, async move {
        connections::serve(listener, app, &config, metrics, shutdown).await;
        Ok::<_, Infallible>(())
    });
}

/// Only for clients that name a host of the configuration.
fn named(app: Router, config: &HttpConfig) -> Router {
    app.layer(from_fn_with_state(Arc::new(config.hosts.clone()), guard::known_host))
}

/// The routes that a supervisor asks.
fn operations(context: &Context) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(context.clone())
}

/// The routes that are installed by now: those of the guest below its path.
fn routes_for(context: &Context, path: &str) -> Router {
    context.guest.as_ref().and_then(|guest| guest.routes_of(path)).unwrap_or_else(|| context.routes.get())
}

/// The answer of these routes.
async fn answer(router: Router, request: Request) -> Response {
    if let Err(problem) = address::check(request.uri()) {
        return problem.into_response();
    }
    let path = request.uri().path().to_owned();
    // Giving up a request does no harm: it is as if its client had left.
    let answer: Result<Response, Infallible> = match timeout(ANSWER_DEADLINE, router.oneshot(request)).await {
        Ok(answer) => answer,
        Err(_) => return too_slow(&path),
    };
    let answer = answer.unwrap_or_else(|never| match never {});
    match is_refusal_of_library(&answer) {
        true => refused_address(answer).await,
        false => answer,
    }
}

/// Whether it is no answer of a handler's: those of problems are JSON.
fn is_refusal_of_library(answer: &Response) -> bool {
    let is_plain = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/plain");
    answer.status() == StatusCode::BAD_REQUEST && answer.headers().get(header::CONTENT_TYPE).is_some_and(is_plain)
}

/// A part of the path that is not of its type: the router tells that in its own words, without a code.
async fn refused_address(answer: Response) -> Response {
    // It tells the part that is wrong, so it is as long as an address at most.
    let told = to_bytes(answer.into_body(), LONGEST_REFUSAL).await.unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    let told = told.trim_start_matches("Invalid URL: ");
    // Of one that stands alone its type in Rust is told, which helps nobody.
    let alone = told.strip_prefix("Cannot parse ").and_then(|told| told.split_once(" to a `"));
    let detail = match alone {
        Some((value, _)) => format!("{value} is nothing that may stand in this place of the address"),
        None => parameters::in_words(told),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidParameter).detail(detail).into_response()
}

#[allow(clippy::needless_pass_by_value, reason = "as the layer hands it over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    tracing::error!(panic = text, "a request handler panicked");
    Problem::internal().into_response()
}

fn description(openapi: &RwLock<utoipa::openapi::OpenApi>) -> Response {
    Json(&*openapi.read().unwrap_or_else(PoisonError::into_inner)).into_response()
}

fn too_slow(path: &str) -> Response {
    tracing::warn!(path, seconds = ANSWER_DEADLINE.as_secs(), "a request was not answered in time");
    Problem::unavailable(format!("no answer within {} s", ANSWER_DEADLINE.as_secs())).into_response()
}

async fn readyz(State(context): State<Context>) -> Response {
    let mut problems = context.health.problems();
    if context.shutdown.is_cancelled() {
        problems.insert("process", "shutting down".into());
    }
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let notices = context.health.notices();
    let body =
        json!({ "ready": problems.is_empty(), "service": context.service, "problems": problems, "notices": notices });
    (status, Json(body)).into_response()
}

async fn metrics(State(context): State<Context>) -> Response {
    match context.registry.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            Problem::internal().into_response()
        }
    }
}
