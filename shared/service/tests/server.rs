//! What every service's HTTP server and configuration promise.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{extract::Path, http::StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tidemill_service::{Access, Context, HttpConfig, Needs, Problem, Routes, Server, config};
use utoipa::OpenApi;

#[derive(OpenApi)]
struct Documentation;

#[utoipa::path(post, path = "/v1/things", responses((status = 200, body = String)))]
async fn change() -> &'static str {
    "changed"
}

#[derive(OpenApi)]
#[openapi(paths(change))]
struct Changing;

fn routes(context: &Context) -> Routes {
    Routes::new(&Access::everybody(context))
}

async fn server(context: &Context) -> Server {
    server_with(context, |_| ()).await
}

async fn server_with(context: &Context, change: impl FnOnce(&mut HttpConfig)) -> Server {
    let mut http = HttpConfig::at(SocketAddr::from(([127, 0, 0, 1], 0)));
    change(&mut http);
    Server::start(context, &http, Documentation::openapi()).await.expect("listens")
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
    server.install(routes(&context).page("/v1/things", async || "things")).expect("installs");
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
    let busy = async || Problem::unavailable("busy").retry_after(7);
    server.install(routes(&context).page("/panics", panics).page("/busy", busy)).expect("installs");
    let (status, _, problem) = ask(&server, "/panics").await;
    assert_eq!((status, &problem["code"]), (500, &Value::from("internal")));
    assert!(!problem.to_string().contains("fault of ours"), "what is internal stays internal");
    let busy = reqwest::get(format!("http://{}/busy", server.address())).await.expect("an answer");
    assert_eq!(busy.headers()["retry-after"], "7");
}

#[tokio::test]
async fn a_part_of_an_address_that_is_not_of_its_type_is_refused_with_a_code() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let server = server(&context).await;
    let number = async |Path(number): Path<i64>| number.to_string();
    let plain = async || (StatusCode::BAD_REQUEST, Problem::not_found());
    server.install(routes(&context).page("/things/{number}", number).page("/own", plain)).expect("installs");
    let (status, kind, problem) = ask(&server, "/things/99999999999999999999").await;
    assert_eq!((status, kind.as_str()), (422, "application/problem+json"));
    assert_eq!(problem["code"], "invalid_parameter");
    let detail = "`99999999999999999999` is nothing that may stand in this place of the address";
    assert_eq!(problem["detail"], detail);
    assert_eq!(ask(&server, "/things/many").await.2["code"], "invalid_parameter");
    assert_eq!(ask(&server, "/things/7").await.0, 200);
    assert_eq!(ask(&server, "/own").await.2["code"], "not_found", "what a handler says stays");
}

/// Time stands still but for what is waited for, so that a minute is none.
#[tokio::test(start_paused = true)]
async fn a_route_that_waits_for_ever_is_answered_all_the_same() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let server = server_with(&context, |http| {
        // The clock runs ahead of the sockets too.
        for limit in [&mut http.header_seconds, &mut http.idle_seconds, &mut http.stall_seconds] {
            *limit = 600.try_into().expect("positive");
        }
    })
    .await;
    server.install(routes(&context).page("/waits", std::future::pending::<String>)).expect("installs");
    let (status, kind, problem) = ask(&server, "/waits").await;
    assert_eq!((status, kind.as_str()), (503, "application/problem+json"));
    assert_eq!((&problem["code"], &problem["retry_after"]), (&Value::from("unavailable"), &Value::from(1)));
}

#[tokio::test]
async fn what_a_supervisor_asks_has_a_port_of_its_own() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let server = server_with(&context, |http| {
        http.operations = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        http.hosts = [String::from("shop.example").try_into().expect("a host")].into();
    })
    .await;
    server.install(routes(&context).page("/v1/things", async || "things")).expect("installs");
    let client = reqwest::Client::new();
    let ask = async |address: SocketAddr, path: &str| {
        let request = client.get(format!("http://{address}{path}")).header("host", "shop.example");
        request.send().await.expect("an answer").status().as_u16()
    };
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(ask(server.address(), path).await, 404, "{path}");
        let probed = reqwest::get(format!("http://{}{path}", server.operations())).await.expect("an answer");
        assert_eq!(probed.status(), 200, "{path}: a probe names a pod by its address");
    }
    assert_eq!(ask(server.address(), "/v1/things").await, 200);
    assert_eq!(ask(server.address(), "/openapi.json").await, 200);
    assert_eq!(ask(server.operations(), "/v1/things").await, 404);
}

/// As after DNS rebinding: the browser asks this server, and takes it for another.
#[tokio::test]
async fn a_name_that_is_not_ours_is_answered_nothing() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let server = server_with(&context, |http| {
        http.hosts = [String::from("127.0.0.1").try_into().expect("a host")].into();
    })
    .await;
    server.install(routes(&context).page("/v1/things", async || "things")).expect("installs");
    let client = reqwest::Client::new();
    for path in ["/v1/things", "/metrics", "/readyz", "/openapi.json", "/none"] {
        let url = format!("http://{}{path}", server.address());
        let answer = client.get(&url).header("host", "rebound.example:80").send().await.expect("an answer");
        assert_eq!(answer.status(), 421, "{path}");
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(problem["code"], "misdirected_request");
        assert_ne!(client.get(&url).send().await.expect("an answer").status(), 421, "{path}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_asks_for_nothing() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let listen = HttpConfig::at(SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = Server::start(&context, &listen, Changing::openapi()).await.expect("listens");
    let changing = || routes(&context).page("/v1/things", async || "things").post(Needs::Nothing, "/v1/things", change);
    server.install(changing()).expect("installs");
    let client = reqwest::Client::new();
    let things = format!("http://{}/v1/things", server.address());
    let from = |site: &str, mode: &str| [("sec-fetch-site", site.to_owned()), ("sec-fetch-mode", mode.to_owned())];
    let with = |request: reqwest::RequestBuilder, headers: [(&'static str, String); 2]| async move {
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.expect("an answer")
    };
    let posted = with(client.post(&things), from("cross-site", "no-cors")).await;
    assert_eq!(posted.status(), 403);
    assert_eq!(posted.json::<Value>().await.expect("a problem")["code"], "foreign_page");
    for path in ["/v1/things", "/metrics"] {
        let url = format!("http://{}{path}", server.address());
        assert_eq!(with(client.get(&url), from("same-site", "no-cors")).await.status(), 403, "{path}");
        assert_eq!(with(client.get(&url), from("cross-site", "navigate")).await.status(), 200, "{path}: a link");
    }
    assert_eq!(with(client.post(&things), from("same-origin", "cors")).await.status(), 200);

    // Routes with a rule of their own.
    server.install_for_pages(changing()).expect("installs");
    assert_eq!(with(client.post(&things), from("cross-site", "no-cors")).await.status(), 200);
    assert_eq!(client.get(&things).send().await.expect("an answer").status(), 200);
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
    assert_eq!(never.expect_err("a shutdown ends the wait").to_string(), "shut down while starting");
}

#[test]
fn a_wrong_setting_is_named() {
    #[derive(Debug, Deserialize, schemars::JsonSchema)]
    struct Settings {
        http: HttpConfig,
    }
    let settings: Settings = config::parse("[http]\nlisten = \"127.0.0.1:7070\"").expect("reads");
    assert_eq!(settings.http.listen.port(), 7070);
    for (text, named) in [
        ("[http]\nlisten = \"nowhere\"", "listen"),
        ("[http]\nlisten = \"127.0.0.1:1\"\nport = 2", "port"),
        ("[http]\nlisten = \"127.0.0.1:1\"\nidle_seconds = 0", "idle_seconds"),
        ("[http]\nlisten = \"127.0.0.1:1\"\nhosts = [\"localhost:1\"]", "localhost:1"),
        ("[http]\nlisten = \"127.0.0.1:1\"\nshared_networks = [\"10\"]", "shared_networks"),
        ("", "http"),
    ] {
        let error = config::parse::<Settings>(text).expect_err(text).to_string();
        assert!(error.contains(named), "{error}");
    }
}
