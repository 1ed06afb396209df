//! Questions over HTTP.

use std::path::Path;

use axum::extract::FromRef;
use serde_json::{Value, json};
use tidemill_batch_views::SqlLimits;
use tidemill_definitions::Metrics;
use tidemill_lake_tables::{Lake, S3Config, StorageConfig};
use tidemill_service::{Access, AuthConfig, Context, HttpConfig, Role, Routes, Server, config};
use utoipa::OpenApi;

use super::*;
use crate::sql::SqlPlace;

/// Both that the routes work with.
#[derive(Clone)]
struct SqlState(Arc<SqlEngine>, Arc<SqlProcesses>);

impl FromRef<SqlState> for Arc<SqlEngine> {
    fn from_ref(state: &SqlState) -> Self {
        Self::clone(&state.0)
    }
}

impl FromRef<SqlState> for Arc<SqlProcesses> {
    fn from_ref(state: &SqlState) -> Self {
        Self::clone(&state.1)
    }
}

#[derive(OpenApi)]
#[openapi(paths(sql, plan))]
struct SqlDocumentation;

struct Asked {
    status: u16,
    kind: String,
    body: String,
}

struct LakeApi {
    url: String,
    http: reqwest::Client,
}

impl LakeApi {
    async fn start(folder: &Path) -> Self {
        tidemill_service::install_crypto();
        let metrics = Metrics::load(None).expect("the defaults");
        let metrics = metrics.iter().cloned().map(Arc::new).collect();
        let storage = StorageConfig { url: folder.display().to_string(), s3: S3Config::default() };
        let lake = Lake::open(&storage).expect("opens");
        let engine = Arc::new(SqlEngine::new(lake.clone(), metrics, SqlLimits::default()).expect("an engine"));
        let place = SqlPlace::new((&lake, storage), None, Vec::new());
        // What is answered is answered by a program, which is tried with a whole lake.
        let processes = SqlProcesses::new(Some(folder.join("none")), place, engine.clone(), "test").expect("a program");
        let context = Context::new("lake");
        let auth: AuthConfig = config::parse("read = 'key-of-the-wall-1'\nwrite = 'key-of-the-shop-1'").expect("keys");
        let access = Access::start(&auth, &context, &[Role::Read]).expect("keys");
        let http: HttpConfig = config::parse("listen = '127.0.0.1:0'").expect("an address");
        let server = Server::start(&context, &http, SqlDocumentation::openapi()).await.expect("starts");
        let routes = Routes::new(&access).post(Role::Read, "/v1/sql", sql).get(Role::Read, "/v1/plans/{metric}", plan);
        server.install(routes.with_state(SqlState(engine, Arc::new(processes)))).expect("are as they are documented");
        Self { url: format!("http://{}", server.address()), http: reqwest::Client::new() }
    }

    async fn send(&self, request: reqwest::RequestBuilder, key: &str) -> Asked {
        let answer = request.bearer_auth(key).send().await.expect("answers");
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().expect("text").to_owned();
        Asked { status: answer.status().as_u16(), kind, body: answer.text().await.expect("a body") }
    }

    async fn ask(&self, body: Value) -> Asked {
        self.send(self.http.post(format!("{}/v1/sql", self.url)).json(&body), "key-of-the-wall-1").await
    }

    async fn get(&self, path: &str) -> Asked {
        self.send(self.http.get(format!("{}{path}", self.url)), "key-of-the-wall-1").await
    }
}

impl Asked {
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.kind, "application/problem+json", "{}", self.body);
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        (self.status, problem["code"].as_str().expect("a code").to_owned())
    }
}

#[tokio::test]
async fn what_is_no_question_starts_no_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = LakeApi::start(folder.path()).await;
    let sql = "select 1";
    for body in [
        json!({ "sql": sql, "at": "yesterday" }),
        json!({ "sql": sql, "format": "xml" }),
        json!({ "sql": sql, "limit": 1 }),
        json!({ "at": "1" }),
    ] {
        assert_eq!(api.ask(body.clone()).await.problem(), (422, "invalid_request".into()), "{body}");
    }
    let post = || api.http.post(format!("{}/v1/sql", api.url));
    let refused = api.send(post().json(&json!({ "sql": sql })), "key-of-the-shop-1").await.problem();
    assert_eq!(refused, (403, "forbidden_role".into()));
    let form = api.send(post().body("sql=select 1"), "key-of-the-wall-1").await.problem();
    assert_eq!(form, (415, "unsupported_media_type".into()));

    let none = api.ask(json!({ "sql": sql })).await;
    assert_eq!(none.problem(), (503, "unavailable".into()));
    assert!(!none.body.contains(&folder.path().display().to_string()), "its place is told to nobody: {}", none.body);
}

#[tokio::test]
async fn plans_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = LakeApi::start(folder.path()).await;
    let plan = api.get("/v1/plans/sales_metrics?engine=duckdb").await;
    assert_eq!(plan.status, 200, "{}", plan.body);
    assert!(plan.body.contains("FROM silver.order_lines") && !plan.body.contains("rows_of_"), "{}", plan.body);
    assert!(api.get("/v1/plans/sales_metrics").await.body.contains("rows_of_sales_metrics"));
    assert_eq!(api.get("/v1/plans/nothing").await.problem(), (404, "unknown_metric".into()));
    assert_eq!(api.get("/v1/plans/sales_metrics?engine=access").await.problem(), (422, "invalid_request".into()));
}
