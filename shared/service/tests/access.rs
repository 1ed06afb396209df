//! Who is let in, and what a service tells of it.

use std::{net::SocketAddr, time::Duration};

use axum::{
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tidemill_service::{
    Access, Admitted, AuthConfig, Caller, Context, HttpConfig, Needs, Role, Routes, Server, config,
};
use utoipa::OpenApi;

const ALL: [Role; 3] = Role::ALL;

fn started(text: &str, serves: &[Role]) -> Result<Access, String> {
    let config: AuthConfig = config::parse(text).map_err(|e| e.to_string())?;
    Access::start(&config, &Context::new("test"), serves).map_err(|e| e.to_string())
}

fn bearing(key: &str) -> HeaderMap {
    let value = format!("Bearer {key}").parse().expect("a value");
    HeaderMap::from_iter([(axum::http::header::AUTHORIZATION, value)])
}

#[tokio::test]
async fn a_service_is_open_only_where_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = format!("folder = '{}'", folder.path().display());
    for (text, told) in [
        ("", "no key opens this service"),
        ("write = []", "no key opens this service"),
        ("read = 'key-of-the-wall-1'", "no key opens this service; give auth.write,"),
        (&empty, "no key opens this service"),
        ("folder = '/no/such/folder'", "is no folder"),
        ("write = ''", "is empty"),
        ("open = true\nwrite = 'key-of-the-shop-1'", "give no keys beside it"),
        ("write = 'key-of-the-shop-1'\nread = 'key-of-the-shop-1'", "are the same key"),
        ("write = 'shop key-of-the-shop-1,shop key-of-the-shop-2'", "two write keys have the name shop"),
        ("keys = ['key-of-the-shop-1']", "auth.keys is no more"),
    ] {
        let error = started(text, &[Role::Write]).map(|_| ()).expect_err(text);
        assert!(error.contains(told) && !error.contains("key-of"), "{text}: {error}");
    }
    let open = started("open = true", &[Role::Write]).expect("starts");
    for needs in ALL {
        assert_eq!(open.check(&Method::POST, &HeaderMap::new(), needs).expect("open").name(), "anybody");
    }
    // Who operates reads too, so that no key of its own is needed for that.
    started("operate = 'anna key-of-anna-is-it'", &[Role::Read]).expect("starts");
}

#[tokio::test]
async fn a_caller_has_the_name_of_its_key_and_what_it_lacks_is_named() {
    let access = started("write = 'shop key-of-the-shop-1'\nread = 'key-of-the-wall-1'", &ALL).expect("starts");
    let check = |key: &str, needs| access.check(&Method::GET, &bearing(key), needs);
    assert_eq!(check("key-of-the-shop-1", Role::Write).expect("known").to_string(), "shop");
    assert_eq!(check("key-of-the-wall-1", Role::Read).expect("known").name().len(), 8, "its fingerprint");
    let problem = check("key-of-the-shop-1", Role::Operate).expect_err("another role").problem();
    assert_eq!((problem.status, &*problem.code), (403, "forbidden_role"));
    assert_eq!(problem.detail.as_deref(), Some("the key shop may write, and this needs one that may operate"));
    let problem = check("key-of-the-shop-2", Role::Read).expect_err("unknown").problem();
    assert!(problem.status == 401 && problem.detail.is_some_and(|told| told.contains("may read")));
    // Without sessions a cookie is nothing.
    let cookie = "tidemill_session=43200.wall.00".parse().expect("a value");
    let headers = HeaderMap::from_iter([(axum::http::header::COOKIE, cookie)]);
    assert_eq!(access.check(&Method::GET, &headers, Role::Read).expect_err("nothing").code().as_str(), "unauthorized");
}

#[utoipa::path(get, path = "/v1/things", responses((status = 200, body = String)))]
async fn things(caller: Caller) -> String {
    caller.to_string()
}

#[utoipa::path(post, path = "/v1/things", responses((status = 200, body = String)))]
async fn make() -> &'static str {
    "made"
}

#[derive(OpenApi)]
#[openapi(paths(things, make))]
struct Documentation;

async fn server(context: &Context) -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(context, &HttpConfig::at(listen), Documentation::openapi()).await.expect("listens")
}

#[tokio::test]
async fn a_route_and_its_description_say_the_same() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let config: AuthConfig = config::parse("read = 'wall key-of-the-wall-1'").expect("right");
    let access = Access::start(&config, &context, &[Role::Read]).expect("starts");
    let server = server(&context).await;
    let half = Routes::new(&access).get(Role::Read, "/v1/things", things);
    let error = server.install(half).expect_err("one is documented, and not there").to_string();
    assert_eq!(error, "POST /v1/things is documented, and no route");
    let more = Routes::new(&access)
        .get(Role::Read, "/v1/things", things)
        .post(Needs::Nothing, "/v1/things", make)
        .post(Role::Operate, "/v1/others", make);
    assert_eq!(
        server.install(more).expect_err("too many").to_string(),
        "POST /v1/others is a route, and not documented"
    );

    let routes = Routes::new(&access).get(Role::Read, "/v1/things", things).post(Needs::Nothing, "/v1/things", make);
    server.install(routes).expect("they are the same");
    let address = format!("http://{}", server.address());
    let openapi: Value =
        reqwest::get(format!("{address}/openapi.json")).await.expect("an answer").json().await.expect("JSON");
    let item = &openapi["paths"]["/v1/things"];
    assert_eq!(item["get"]["security"], serde_json::json!([{"read_key": []}, {"operate_key": []}]));
    assert_eq!(item["post"]["security"], serde_json::json!([]), "open to everybody");
    assert!(item["get"]["responses"]["401"].is_object() && item["post"]["responses"]["401"].is_null());
    assert_eq!(openapi["components"]["securitySchemes"]["read_key"]["scheme"], "bearer");
    assert!(openapi["components"]["schemas"]["Problem"].is_object());

    let http = reqwest::Client::new();
    let get = || http.get(format!("{address}/v1/things"));
    let in_address = get().query(&[("write_key", "key-of-the-wall-1")]).send().await.expect("an answer");
    assert_eq!(in_address.status().as_u16(), 401, "what reads takes no key from an address");
    let refused = get().send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
        (401, &"Bearer realm=\"tidemill\"".parse().expect("a value"))
    );
    assert_eq!(
        get().bearer_auth("key-of-the-wall-1").send().await.expect("an answer").text().await.expect("text"),
        "wall"
    );
    assert_eq!(http.post(format!("{address}/v1/things")).send().await.expect("an answer").status(), 200);
    assert_eq!(http.put(format!("{address}/v1/things")).send().await.expect("an answer").status(), 405);
    context.shutdown.cancel();
    assert!(context.drained(Duration::from_secs(10)).await);
}

#[utoipa::path(post, path = "/v1/calls", responses((status = 200, body = String)))]
async fn call(admitted: Admitted, body: String) -> Response {
    let caller = match admitted {
        Admitted::Known(caller) => Ok(caller),
        Admitted::Undecided(undecided) => undecided.decide(Some(&*body).filter(|key| !key.is_empty())),
    };
    caller.map(|caller| caller.to_string()).into_response()
}

#[utoipa::path(post, path = "/v1/mistakes", responses((status = 200, body = String)))]
async fn mistake(caller: Caller) -> String {
    caller.to_string()
}

#[derive(OpenApi)]
#[openapi(paths(call, mistake))]
struct Calls;

/// Who has a key before the body is judged by that one; of others the handler decides.
#[tokio::test]
async fn a_key_in_the_body_counts_where_the_route_says_so() {
    tidemill_service::install_crypto();
    let context = Context::new("test");
    let text = "write = 'shop key-of-the-shop-1'\nread = 'wall key-of-the-wall-1'";
    let config: AuthConfig = config::parse(text).expect("right");
    let access = Access::start(&config, &context, &[Role::Write]).expect("starts");
    let listen = HttpConfig::at(([127, 0, 0, 1], 0).into());
    let server = Server::start(&context, &listen, Calls::openapi()).await.expect("listens");
    let needs = Needs::KeyInBody(Role::Write);
    server
        .install(Routes::new(&access).post(needs, "/v1/calls", call).post(needs, "/v1/mistakes", mistake))
        .expect("they are the same");
    let address = format!("http://{}", server.address());
    let openapi: Value =
        reqwest::get(format!("{address}/openapi.json")).await.expect("an answer").json().await.expect("JSON");
    let post = &openapi["paths"]["/v1/calls"]["post"];
    assert!(post["responses"]["401"].is_object() && post["security"][0]["write_key"].is_array(), "{post}");

    let http = reqwest::Client::new();
    let send = |path: &str, body: &'static str| http.post(format!("{address}{path}")).body(body);
    let status = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.expect("an answer");
        let told = answer.headers().contains_key("www-authenticate");
        (answer.status().as_u16(), told, answer.text().await.expect("text"))
    };
    assert_eq!(status(send("/v1/calls", "key-of-the-shop-1")).await, (200, false, "shop".into()));
    let refused = status(send("/v1/calls", "key-of-nobody-at-all")).await;
    assert_eq!((refused.0, refused.1), (401, true));
    assert_eq!(status(send("/v1/calls", "")).await, refused, "a wrong key and none are told the same");
    assert_eq!(status(send("/v1/calls", "key-of-the-wall-1")).await.0, 403);
    let cookie = send("/v1/calls", "key-of-the-shop-1").header("cookie", "tidemill_session=43200.wall.00");
    assert_eq!(status(cookie).await.0, 200);
    // Before the body: the header, then the address, however wrong.
    let body = || send("/v1/calls", "key-of-the-shop-1");
    assert_eq!(status(body().bearer_auth("key-of-nobody-at-all")).await, refused);
    assert_eq!(status(body().header("authorization", "nonsense")).await, refused);
    assert_eq!(status(send("/v1/calls?write_key=key-of-nobody-at-all", "key-of-the-shop-1")).await, refused);
    assert_eq!(status(send("/v1/calls?write_key=key-of-the-shop-1", "")).await.0, 200);
    // A handler that forgets to decide lets nobody in.
    assert_eq!(status(send("/v1/mistakes", "key-of-the-shop-1")).await.0, 500);
    let metrics = reqwest::get(format!("{address}/metrics")).await.expect("an answer").text().await.expect("text");
    assert!(metrics.contains("tidemill_access_granted_total{key=\"shop\"} 3"), "{metrics}");
    context.shutdown.cancel();
    assert!(context.drained(Duration::from_secs(10)).await);
}
