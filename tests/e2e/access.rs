//! Who can reach what with which key: every documented route of every service,
//! called without a key and with one of each role, against what its description
//! says; and docs/security.md, whose table is made of those descriptions.
//! `TIDEMILL_UPDATE=1 cargo test --package tidemill-tests --test access` writes
//! the table anew.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::Value;
use tidemill_service::Role;
use tidemill_tests::{KEYS, TestSuite};

/// What every service answers before anything else, whoever asks.
const EVERYWHERE: &str = "GET `/livez`, `/readyz`, `/metrics`, `/openapi.json`";
const BEGIN: &str = "<!-- routes: made of the OpenAPI documents by tests/e2e/access.rs -->\n";
const END: &str = "<!-- routes: end -->";

/// A documented route.
struct Route {
    service: &'static str,
    address: SocketAddr,
    method: Method,
    path: String,
    /// Of its body, where it takes one.
    content_type: Option<String>,
    /// The names of the ways in; empty for a route that is open to everybody.
    schemes: Vec<String>,
}

impl Route {
    fn opens(&self, key: Option<Role>) -> bool {
        let is_of = |scheme: &String, role: Role| scheme.starts_with(role.as_str());
        self.schemes.is_empty() || key.is_some_and(|role| self.schemes.iter().any(|scheme| is_of(scheme, role)))
    }

    fn has_session(&self) -> bool {
        self.schemes.is_empty() || self.schemes.iter().any(|scheme| scheme == "session")
    }

    /// What a caller without a key, or with one of a role, gets: 401, 403, or
    /// whatever the route itself answers.
    async fn answer(&self, http: &reqwest::Client, key: Option<&str>) -> (u16, Value) {
        // Names that nothing has, and that change nothing.
        let path = self.path.replace("{kind}", "products").replace("{sequence}", "99").replace(['{', '}'], "");
        let request = http.request(self.method.clone(), format!("http://{}{path}", self.address));
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let request = match &self.content_type {
            Some(content_type) => request.header("content-type", content_type),
            None => request,
        };
        let answer = request.send().await.unwrap_or_else(|e| panic!("{} {}: {e}", self.method, self.path));
        let status = answer.status().as_u16();
        // Of a stream there is no end to wait for.
        let is_problem = answer.headers().get("content-type").is_some_and(|kind| kind == "application/problem+json");
        let body = if is_problem { answer.json().await.expect("a problem") } else { Value::Null };
        (status, body)
    }
}

async fn routes(suite: &TestSuite) -> Vec<Route> {
    let s = &suite.suite;
    let mut routes = Vec::new();
    for (service, address) in [
        ("ingestion", s.ingestion),
        ("enrichment", s.enrichment),
        ("aggregation", s.aggregation),
        ("alert", s.alert),
        ("recommendation", s.recommendation),
        ("reporting", s.reporting),
    ] {
        let answer = suite.http.get(format!("http://{address}/openapi.json")).send().await.expect("an answer");
        let openapi: Value = answer.json().await.expect("JSON");
        for (path, item) in openapi["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let method = method.to_uppercase().parse().expect("a method");
                let security =
                    operation["security"].as_array().unwrap_or_else(|| panic!("{method} {path} tells nobody"));
                let names = security.iter().flat_map(|way| way.as_object().expect("a way").keys().cloned());
                for name in names.clone() {
                    assert!(openapi["components"]["securitySchemes"][&name].is_object(), "{name} is described");
                }
                let content = operation["requestBody"]["content"].as_object();
                let content_type = content.and_then(|content| content.keys().next().cloned());
                let (path, schemes) = (path.clone(), names.collect());
                routes.push(Route { service, address, method, path, content_type, schemes });
            }
        }
    }
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_opens_to_the_keys_that_its_description_names() {
    let suite = TestSuite::guarded().await;
    let routes = routes(&suite).await;
    assert!(routes.len() > 20, "{} routes", routes.len());
    let callers = [(None, None)].into_iter().chain(KEYS.map(|(role, key)| (Some(role), Some(key))));
    for route in &routes {
        for (role, key) in callers.clone() {
            let (status, problem) = route.answer(&suite.http, key).await;
            let code = problem["code"].as_str().unwrap_or_default();
            let told = format!("{} {} {} with {role:?}: {status} {code}", route.service, route.method, route.path);
            match (route.opens(role), role) {
                // A login without a key is a 422 here, and never a 401.
                (true, _) => assert!(!matches!(status, 401 | 403), "{told}"),
                (false, None) => assert_eq!((status, code), (401, "unauthorized"), "{told}"),
                (false, Some(_)) => assert_eq!((status, code), (403, "forbidden_role"), "{told}"),
            }
        }
        if !route.schemes.is_empty() {
            let (status, _) = route.answer(&suite.http, Some("key-of-nobody-at-all")).await;
            assert_eq!(status, 401, "{} {}", route.method, route.path);
        }
    }
    let page = tidemill_testkit::crate_folder().join("../docs/security.md");
    let text = std::fs::read_to_string(&page).expect("docs/security.md");
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (_, after) = rest.split_once(END).expect("the table's end");
    let wanted = format!("{before}{BEGIN}{}{END}{after}", table(&routes));
    if std::env::var_os("TIDEMILL_UPDATE").is_some() {
        std::fs::write(&page, &wanted).expect("writes");
    } else {
        assert!(text == wanted, "the table in docs/security.md is out of date; `make reference` writes it anew");
    }
    suite.stop().await;
}

fn table(routes: &[Route]) -> String {
    let mut text = String::from(
        "| service | route | without a key | write | read | operate | the page's session |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mark = |opens: bool| if opens { "yes" } else { "–" };
    text.push_str(&format!("| every one | {EVERYWHERE} | yes | yes | yes | yes | yes |\n"));
    text.push_str("| reporting | GET `/`, `/assets/…` | yes | yes | yes | yes | yes |\n");
    for route in routes {
        let [anybody, write, read, operate] =
            [None, Some(Role::Write), Some(Role::Read), Some(Role::Operate)].map(|key| mark(route.opens(key)));
        let session = mark(route.has_session());
        let Route { service, method, path, .. } = route;
        text.push_str(&format!(
            "| {service} | {method} `{path}` | {anybody} | {write} | {read} | {operate} | {session} |\n"
        ));
    }
    text
}
