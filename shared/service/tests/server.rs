//! What every service's HTTP server and configuration promise.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, routing::get};
use serde::Deserialize;
use serde_json::Value;
use tidemill_service::{Context, HttpConfig, Problem, Server, config};
use utoipa::OpenApi;

#[derive(OpenApi)]
struct Documentation;

async fn server(context: &Context) -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(context, &HttpConfig { listen }, Documentation::openapi()).await.expect("listens")
}

async fn ask(server: &Server, path: &str) -> (u16, String, Value) {
    let answer = reqwest::get(format!("http://{}{path}", server.address())).await.expect("an answer");
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|v| v.to_str().unwrap_or_default().to_owned());
    (status, kind.unwrap_or_default(), answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn it_is_alive_at_once_and_serves_when_it_can() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    context.health.unready("nats", "not reachable");
    let server = server(&context).await;
    assert_eq!(ask(&server, "/livez").await.0, 200);
    let (status, _, ready) = ask(&server, "/readyz").await;
    assert_eq!((status, &ready["problems"]["nats"]), (503, &Value::from("not reachable")));
    let (status, kind, problem) = ask(&server, "/v1/things").await;
    assert_eq!((status, kind.as_str()), (503, "application/problem+json"));
    assert_eq!(problem["retry_after"], 1, "a client is told to come back");

    context.health.ready("nats");
    assert_eq!(ask(&server, "/readyz").await.2["problems"]["http"], "the service is starting");
    server.install(Router::new().route("/v1/things", get(|| async { "things" })));
    assert_eq!(ask(&server, "/readyz").await.0, 200);
    assert_eq!(ask(&server, "/v1/things").await.0, 200);
    assert_eq!(ask(&server, "/v1/others").await.2["code"], "not_found");
    for address in ["/v1/things?code=%00", "/v1/th%0Aings"] {
        let (status, _, problem) = ask(&server, address).await;
        assert_eq!((status, &problem["code"]), (400, &Value::from("control_character")), "{address}");
    }

    context.shutdown.cancel();
    assert!(context.drained(Duration::from_secs(10)).await);
    assert_eq!(context.failure(), None);
}

#[tokio::test]
async fn a_panic_is_one_clients_error_and_no_more() {
    async fn panics() -> String {
        panic!("a fault of ours")
    }
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let server = server(&context).await;
    server.install(
        Router::new()
            .route("/panics", get(panics))
            .route("/busy", get(|| async { Problem::unavailable("busy").retry_after(7) })),
    );
    let (status, _, problem) = ask(&server, "/panics").await;
    assert_eq!((status, &problem["code"]), (500, &Value::from("internal")));
    assert!(!problem.to_string().contains("fault of ours"), "what is internal stays internal");
    let busy = reqwest::get(format!("http://{}/busy", server.address())).await.expect("an answer");
    assert_eq!(busy.headers()["retry-after"], "7");
}

/// Time stands still but for what is waited for, so that a minute is none.
#[tokio::test(start_paused = true)]
async fn a_route_that_waits_for_ever_is_answered_all_the_same() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let server = server(&context).await;
    server.install(Router::new().route("/waits", get(std::future::pending::<String>)));
    let (status, kind, problem) = ask(&server, "/waits").await;
    assert_eq!((status, kind.as_str()), (503, "application/problem+json"));
    assert_eq!((&problem["code"], &problem["retry_after"]), (&Value::from("unavailable"), &Value::from(1)));
}

#[tokio::test]
async fn a_task_that_fails_ends_the_service_with_its_reason() {
    let context = Context::new("test");
    context.spawn("good", async { Ok::<_, String>(()) });
    context.spawn("bad", async { Err::<(), _>("out of luck") });
    assert!(context.drained(Duration::from_secs(10)).await);
    assert!(context.shutdown.is_cancelled());
    assert_eq!(context.failure(), Some("bad: out of luck"));
}

#[tokio::test]
async fn a_dependency_is_waited_for_and_a_mistake_is_not() {
    let context = Context::new("test");
    let attempts = AtomicU32::new(0);
    let late = async || match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => Err("away"),
        _ => Ok("here"),
    };
    assert_eq!(context.retry("store", late, |_| true).await.expect("comes back"), "here");
    assert!(context.health.is_ready());
    let wrong = context.retry("store", async || Err::<(), _>("no such database"), |_| false).await;
    assert_eq!(wrong.expect_err("at once").to_string(), "store: no such database");
    context.shutdown.cancel();
    let never = context.retry("store", async || Err::<(), _>("away"), |_| true).await;
    assert!(never.is_err(), "a shutdown ends the wait");
}

#[test]
fn a_wrong_setting_is_named() {
    #[derive(Debug, Deserialize)]
    struct Settings {
        http: HttpConfig,
    }
    let settings: Settings = config::parse("[http]\nlisten = \"127.0.0.1:7070\"").expect("reads");
    assert_eq!(settings.http.listen.port(), 7070);
    for (text, named) in [
        ("[http]\nlisten = \"nowhere\"", "listen"),
        ("[http]\nlisten = \"127.0.0.1:1\"\nport = 2", "port"),
        ("", "http"),
    ] {
        let error = config::parse::<Settings>(text).expect_err(text).to_string();
        assert!(error.contains(named), "{error}");
    }
}
