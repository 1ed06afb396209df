//! The HTTP server of a service: `/livez`, `/readyz`, `/metrics` and
//! `/openapi.json` from the first moment, the service's own routes as soon as
//! it can serve them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};
use tower::ServiceExt;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

use crate::{Context, HttpConfig, Problem, StartError, address};

const HEALTH: &str = "http";
/// How long a route of a service may take until its answer begins. What it waits
/// for has shorter deadlines of its own; a database whose machine lost its power
/// has none, and says nothing for a quarter of an hour.
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);

/// A listening server whose routes can be completed later.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    routes: Arc<RwLock<Router>>,
    context: Context,
}

#[derive(Clone)]
struct Admin {
    context: Context,
    openapi: Arc<utoipa::openapi::OpenApi>,
}

impl Server {
    /// Listens, and answers the routes that every service has; all others are
    /// answered 503 until [`install`](Self::install).
    pub async fn start(
        context: &Context,
        config: &HttpConfig,
        openapi: utoipa::openapi::OpenApi,
    ) -> Result<Self, StartError> {
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|e| StartError::new(format!("http.listen {}: {e}", config.listen)))?;
        let address = listener.local_addr().map_err(|e| StartError::new(format!("http.listen: {e}")))?;
        context.health.unready(HEALTH, "the service is starting");
        let not_yet = || async { Problem::unavailable("the service is starting").into_response() };
        let routes = Arc::new(RwLock::new(Router::new().fallback(not_yet)));
        let admin = Admin { context: context.clone(), openapi: Arc::new(openapi) };
        let current = routes.clone();
        let app = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/openapi.json", get(openapi_json))
            .with_state(admin)
            .fallback(move |request: Request| {
                let router = current.read().unwrap_or_else(PoisonError::into_inner).clone();
                let path = request.uri().path().to_owned();
                async move {
                    if let Err(problem) = address::check(request.uri()) {
                        return problem.into_response();
                    }
                    // A request that is given up is one whose client has left: no harm.
                    let answer: Result<Response, Infallible> =
                        match timeout(ANSWER_DEADLINE, router.oneshot(request)).await {
                            Ok(answer) => answer,
                            Err(_) => return too_slow(&path),
                        };
                    answer.unwrap_or_else(|never| match never {})
                }
            })
            .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
                tracing::error!(panic = text, "a request handler panicked");
                Problem::internal().into_response()
            }))
            .layer(SetResponseHeaderLayer::if_not_present(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ));
        let shutdown = context.shutdown.clone();
        context.spawn("http", async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(shutdown.cancelled_owned())
                .await
        });
        tracing::info!(service = context.service, %address, "listening");
        Ok(Self { address, routes, context: context.clone() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds the service's own routes.
    pub fn install(&self, routes: Router) {
        let routes = routes.fallback(|| async { Problem::not_found().into_response() });
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
        self.context.health.ready(HEALTH);
        tracing::info!(service = self.context.service, "serving");
    }
}

fn too_slow(path: &str) -> Response {
    tracing::warn!(path, seconds = ANSWER_DEADLINE.as_secs(), "a request was not answered in time");
    Problem::unavailable(format!("no answer within {} s", ANSWER_DEADLINE.as_secs())).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let mut problems = admin.context.health.problems();
    if admin.context.shutdown.is_cancelled() {
        problems.insert("process", "shutting down".into());
    }
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": problems.is_empty(), "service": admin.context.service, "problems": problems });
    (status, Json(body)).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.context.registry.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            Problem::internal().into_response()
        }
    }
}

async fn openapi_json(State(admin): State<Admin>) -> Response {
    Json(&*admin.openapi).into_response()
}
