//! Questions over HTTP.

use std::path::Path;

use serde_json::{Value, json};
use tidemill_batch_views::SqlLimits;
use tidemill_definitions::Metrics;
use tidemill_domain::{Partition, Timestamp};
use tidemill_lake_tables::{
    AppId, Appender, Lake, Money, S3Config, StorageConfig, TablePart, TableProperties, TableRows, tables::SilverOrder,
};
use tidemill_service::{Access, AuthConfig, Context, HttpConfig, Role, Routes, Server, config};
use utoipa::OpenApi;

use super::*;

#[derive(OpenApi)]
#[openapi(paths(sql, plan))]
struct SqlDocumentation;

/// A lake with one order.
async fn lake(folder: &Path) -> Lake {
    let storage = StorageConfig { url: folder.display().to_string(), s3: S3Config::default() };
    let lake = Lake::open(&storage).expect("opens");
    let properties = TableProperties {
        owner: "test".into(),
        checkpoint_interval: 10,
        log_retention_hours: 24,
        deleted_files_hours: 24,
    };
    let table = lake.table(&SilverOrder::TABLE, &properties).await.expect("is made");
    let zero = Money::from(tidemill_domain::Amount::ZERO);
    let mut rows = TableRows::<SilverOrder<'_>>::new().expect("columns");
    rows.push(&SilverOrder {
        partition: 0,
        order_id: "o1",
        placed_at: Some(Timestamp::EPOCH),
        first_event: Timestamp::EPOCH,
        last_event: Timestamp::EPOCH,
        customer: Some("ada"),
        country: None,
        region: None,
        currency: Some("EUR"),
        gross: zero,
        discount: zero,
        revenue: zero,
        refund: zero,
        cancelled: zero,
        net: zero,
        shipping: zero,
        tax: zero,
        excess: zero,
        status: "placed",
        raw_seq: 1,
    });
    let app = AppId::of(&SilverOrder::TABLE, Partition::new(0));
    let part = TablePart { app, reaches: 1, rows: rows.take().expect("rows") };
    Appender::new(table, "raw_seq").append(&[part]).await.expect("is written");
    lake
}

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
        let engine = SqlEngine::new(lake(folder).await, metrics, SqlLimits::default()).expect("an engine");
        let context = Context::new("lake");
        let auth: AuthConfig = config::parse("read = 'key-of-the-wall-1'\nwrite = 'key-of-the-shop-1'").expect("keys");
        let access = Access::start(&auth, &context, &[Role::Read]).expect("keys");
        let http: HttpConfig = config::parse("listen = '127.0.0.1:0'").expect("an address");
        let server = Server::start(&context, &http, SqlDocumentation::openapi()).await.expect("starts");
        let routes = Routes::new(&access).post(Role::Read, "/v1/sql", sql).get(Role::Read, "/v1/plans/{metric}", plan);
        server.install(routes.with_state(Arc::new(engine))).expect("are as they are documented");
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
async fn questions_are_answered_to_whoever_may_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = LakeApi::start(folder.path()).await;
    let sql = "select order_id, net from silver.orders";
    let answer = api.ask(json!({ "sql": sql })).await;
    assert_eq!((answer.status, answer.kind.as_str()), (200, "application/json"), "{}", answer.body);
    let rows: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(rows["rows"], json!([{ "order_id": "o1", "net": "0.00" }]));
    let answer = api.ask(json!({ "sql": sql, "format": "csv", "at": "1" })).await;
    assert_eq!((answer.kind.as_str(), answer.body.as_str()), ("text/csv; charset=utf-8", "order_id,net\no1,0.00\n"));
    for (body, expected) in [
        (json!({ "sql": "selec 1" }), (422, "invalid_sql")),
        (json!({ "sql": "drop table silver.orders" }), (403, "not_read_only")),
        (json!({ "sql": "select * from silver.order" }), (404, "unknown_table")),
        (json!({ "sql": sql, "at": "9" }), (404, "unknown_table_version")),
        (json!({ "sql": sql, "at": "yesterday" }), (422, "invalid_request")),
        (json!({ "sql": sql, "format": "xml" }), (422, "invalid_request")),
        (json!({ "sql": sql, "limit": 1 }), (422, "invalid_request")),
        (json!({ "sql": "select 1 / (net * 0) from silver.orders" }), (422, "sql_failed")),
    ] {
        let (status, code) = api.ask(body.clone()).await.problem();
        assert_eq!((status, code.as_str()), expected, "{body}");
    }
    let post = || api.http.post(format!("{}/v1/sql", api.url));
    let refused = api.send(post().json(&json!({ "sql": sql })), "key-of-the-shop-1").await.problem();
    assert_eq!(refused, (403, "forbidden_role".into()));
    let form = api.send(post().body("sql=select 1"), "key-of-the-wall-1").await.problem();
    assert_eq!(form, (415, "unsupported_media_type".into()));
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
