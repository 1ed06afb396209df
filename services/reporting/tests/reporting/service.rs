//! The service on a real NATS: messages in, answers out.

use crate::shop::{
    HOSTILE, MINUTE, Shop, at, batch, cell, letter, made_up, made_up_csv, outcomes, status, transition, update,
};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use tidemill_bus::Bus;
use tidemill_events::{
    AlertState, AlertTransition, DecodeError, Encoded, HeaderSource, Message, MetricsUpdate, StreamName,
};
use tidemill_testkit::try_eventually;

/// Two partitions with ten events accepted, two rejected, nine settled.
pub(crate) async fn trade(bus: &Bus) {
    let first = bus.publish(&batch(1, 0, 6)).await.expect("stored").sequence;
    let second = bus.publish(&batch(2, 1, 4)).await.expect("stored").sequence;
    bus.publish(&letter("a", "ingestion", "{\"broken\": tru")).await.expect("stored");
    bus.publish(&letter("b", "ingestion", format!("{:?}", "x".repeat(9000)))).await.expect("stored");
    let cells = vec![cell(0, HOSTILE, "EU", 2, 1050), cell(1, "books", "EU", 1, 999)];
    let books = vec![outcomes(4, 1, 1)];
    bus.publish(&MetricsUpdate { books, ..update(0, first, cells) }).await.expect("stored");
    let cells = vec![cell(0, HOSTILE, "US", 1, 1), cell(0, HOSTILE, "EU", 3, 2000), cell(2, "books", "EU", 1, 1)];
    let books = vec![outcomes(3, 0, 0)];
    bus.publish(&MetricsUpdate { books, ..update(1, second, cells) }).await.expect("stored");
}

/// All that [`trade`] sent is folded. The four streams are folded side by side, so
/// fewer of its numbers can be right for a moment before the others have come.
pub(crate) fn is_traded(books: &Json) -> bool {
    books["totals"]["received"] == 12 && books["totals"]["in_flight"] == 1
}

fn revenue_of(answer: &Json, path: &str) -> Vec<Json> {
    answer[path].as_array().expect("a list").iter().map(|row| row["values"]["revenue"].clone()).collect()
}

#[tokio::test]
async fn numbers_are_merged_grouped_and_marked() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let metrics = running.json("/v1/metrics").await;
    assert_eq!(metrics["metrics"].as_array().expect("a list").len(), 10);
    assert_eq!(metrics["metrics"][4]["window"], json!({"kind": "tumbling", "seconds": 60}));
    trade(&shop.bus).await;

    let all = "/v1/metrics/sales_metrics/series?group_by=category,region";
    // How far an answer is true is known before its totals are read.
    let is_there = |answer: &Json| answer["series"].as_array().is_some_and(|series| series.len() == 3);
    let answer = running.until(all, |answer| is_there(answer) && !answer["watermark"].is_null()).await;
    assert_eq!((&answer["source"], &answer["approximate"]), (&json!("speed"), &json!([])));
    assert_eq!(answer["watermark"], json!(at(2 * MINUTE)));
    assert_eq!(answer["complete"], json!(false), "the watermark is behind the clock");
    let hostile = answer["series"].as_array().expect("series").iter();
    let hostile: Vec<&Json> = hostile.filter(|series| series["dimensions"]["category"] == HOSTILE).collect();
    assert_eq!(hostile[0]["dimensions"]["region"], "EU");
    assert_eq!(
        json!([made_up(hostile[0]["points"][0].clone())]),
        json!([{"start": at(0), "end": at(MINUTE), "complete": true,
                "values": {"customers": 2, "orders": 5, "quantity": "4.00", "revenue": "30.50"},
                "converted": {"revenue": "30.50"}}])
    );

    let answer = running.json("/v1/metrics/sales_metrics/totals").await;
    assert_eq!(
        (revenue_of(&answer, "rows"), &answer["approximate"]),
        (vec![json!("40.51")], &json!(["customers", "orders"]))
    );
    let answer = running.json("/v1/metrics/sales_metrics/totals?category=books&group_by=category").await;
    assert_eq!(revenue_of(&answer, "rows"), ["10.00"]);
    let span = format!("/v1/metrics/sales_metrics/totals?from={}&to={}", at(MINUTE), at(2 * MINUTE));
    let answer = running.json(&span).await;
    assert_eq!((revenue_of(&answer, "rows"), &answer["complete"]), (vec![json!("9.99")], &json!(true)));
    let answer = running.json(&format!("/v1/metrics/sales_metrics/series?version={}", crate::shop::version())).await;
    assert_eq!(answer["series"][0]["points"].as_array().expect("points").len(), 3);
    assert_eq!(answer["series"][0]["points"][2]["complete"], false, "it ends after the watermark");

    // All idle: the past is complete.
    for partition in [0, 1] {
        shop.bus.publish(&status(partition, 9)).await.expect("stored");
    }
    running.until(all, |answer| answer["complete"] == true).await;

    let csv = running.get("/v1/metrics/sales_metrics/totals?group_by=category&format=csv").send().await.expect("csv");
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let names = [
        "category",
        "currency",
        "customers",
        "orders",
        "quantity",
        "revenue",
        "converted.revenue",
        "unconverted.revenue",
        "base_currency",
    ];
    let expected = [
        names,
        [HOSTILE, "EUR", "3", "6", "6.00", "30.51", "30.51", "0", "EUR"],
        ["books", "EUR", "2", "2", "4.00", "10.00", "10.00", "0", "EUR"],
    ];
    let plain = csv.text().await.expect("text");
    assert_eq!(made_up_csv(&plain), expected);
    let marked = "/v1/metrics/sales_metrics/totals?group_by=category&format=csv&bom=true";
    let csv = running.get(marked).send().await.expect("csv").bytes().await.expect("bytes");
    assert_eq!(csv, format!("\u{feff}{plain}").as_bytes());
    let csv = running.get("/v1/metrics/sales_metrics/series").header("accept", "text/csv").send().await.expect("csv");
    assert!(csv.text().await.expect("text").starts_with("currency,start,end,complete,cancelled,customers"));
    running.stop().await;
}

#[tokio::test]
async fn the_books_balance_when_every_event_has_its_outcome() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let books = running.json("/v1/books").await;
    assert_eq!((&books["balanced"], &books["totals"]["received"]), (&json!(true), &json!(0)));
    trade(&shop.bus).await;
    let books = running.until("/v1/books", is_traded).await;
    assert_eq!(books["balanced"], false);
    // Given up by enrichment: an outcome. By alert: the event is counted all the same.
    shop.bus.publish(&letter("c", "enrichment", "{}")).await.expect("stored");
    shop.bus.publish(&letter("d", "alert", "{}")).await.expect("stored");
    let books = running.until("/v1/books?hours=true", |books| books["balanced"] == true).await;
    let line = json!({"received": 12, "accepted": 10, "rejected": 2, "counted": 7, "late": 1, "duplicate": 1,
                      "repeated": 1, "dead_lettered": 3, "in_flight": 0});
    assert_eq!(books["totals"], line);
    let source = &books["sources"][0];
    assert_eq!((&source["source"], &source["balanced"]), (&json!(HOSTILE), &json!(true)));
    let mut hour = line;
    hour["hour"] = json!(at(0));
    assert_eq!(source["hours"], json!([hour]));

    let of =
        async |source: String| running.get("/v1/books").query(&[("source", source)]).send().await.expect("answers");
    let own: Json = of(HOSTILE.into()).await.json().await.expect("JSON");
    assert_eq!((&own["totals"], &own["sources"][0]["source"]), (&books["totals"], &json!(HOSTILE)));
    let none: Json = of("' OR 1=1 --".into()).await.json().await.expect("JSON");
    assert_eq!((&none["totals"]["received"], &none["sources"]), (&json!(0), &json!([])));

    let letters =
        running.until("/v1/dead-letters", |l| l["dead_letters"].as_array().is_some_and(|l| l.len() == 4)).await;
    let newest = &letters["dead_letters"][0];
    assert_eq!((&newest["service"], &newest["source"]), (&json!("alert"), &json!(HOSTILE)));
    assert_eq!((&newest["trace_id"], &newest["event_id"]), (&json!(format!("{:032x}", 7)), &json!("e-1")));
    let bodies: Vec<usize> = letters["dead_letters"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|letter| letter["body"].as_str().expect("a body").len())
        .collect();
    let is_no_json = "(masked): 14 bytes that are no JSON".len();
    assert_eq!(bodies, [2, 2, 4096, is_no_json]);
    let some = running.json("/v1/dead-letters?service=ingestion&limit=1").await;
    assert_eq!(some["dead_letters"][0]["sequence"], 2);
    running.stop().await;
}

#[tokio::test]
async fn a_restart_loses_nothing_and_repeats_nothing() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop.bus).await;
    running.until("/v1/books", is_traded).await;
    let before = running.json("/v1/metrics/sales_metrics/totals?group_by=region").await;
    running.stop().await;

    // What comes while it is away, and an older update that comes again.
    shop.bus.publish(&batch(3, 0, 5)).await.expect("stored");
    let again = vec![cell(0, HOSTILE, "EU", 1, 1)];
    shop.bus.publish(&MetricsUpdate { part: 7, ..update(0, 1, again) }).await.expect("stored");
    let running = shop.report("").await;
    let truth = running.json("/v1/metrics/sales_metrics/totals?group_by=region").await;
    assert_eq!((&truth["rows"], &truth["watermark"]), (&before["rows"], &before["watermark"]));
    running.until("/v1/books", |books| books["totals"]["accepted"] == 15).await;
    shop.bus.publish(&MetricsUpdate { books: vec![outcomes(9, 1, 1)], ..update(0, 4, vec![]) }).await.expect("stored");
    let books = running.until("/v1/books", |books| books["totals"]["counted"] == 12).await;
    assert_eq!(books["totals"]["in_flight"], 1);
    assert_eq!(running.json("/v1/metrics/sales_metrics/totals?group_by=region").await["rows"], before["rows"]);
    running.stop().await;
}

#[tokio::test]
async fn nats_may_go_and_come_back() {
    let mut shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop.bus).await;
    running.until("/v1/books", is_traded).await;
    shop.nats.server.restart().await.expect("restarts");
    let complain = |error: &tidemill_bus::Error| eprintln!("{error}");
    shop.bus.publish_until_stored(&letter("z", "aggregation", "{}"), complain).await.expect("stored");
    running.until("/v1/books", |books| books["balanced"] == true).await;
    running.stop().await;
}

#[tokio::test]
async fn alerts_are_served_with_their_traces() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let transition = |id: u128, state: AlertState, millis: i64| AlertTransition {
        rule: if id == 1 { "FRAUD_DETECTION".into() } else { "REVENUE_SPIKE".into() },
        ..transition(id, state, millis)
    };
    for message in [
        transition(1, AlertState::Firing, 1),
        transition(2, AlertState::Firing, 2),
        transition(1, AlertState::Notified, 3),
    ] {
        shop.bus.publish(&message).await.expect("stored");
    }
    let notified = |answer: &Json| answer["alerts"][1]["state"] == "notified";
    let answer = running.until("/v1/alerts", notified).await;
    assert_eq!(answer["alerts"][0]["notified_at"], Json::Null);
    let alert = &answer["alerts"][1];
    assert_eq!((&alert["fired_at"], &alert["notified_at"]), (&json!(at(1)), &json!(at(3))));
    assert_eq!((&alert["title"], &alert["values"]["revenue"]), (&json!(HOSTILE), &json!("3.00")));
    assert_eq!(alert["trace_id"], json!(format!("{:032x}", 7)));
    let fraud = running.json("/v1/alerts?rule=FRAUD_DETECTION&limit=1").await;
    assert_eq!(fraud["alerts"].as_array().expect("a list").len(), 1);
    running.stop().await;
}

/// A message that says it is an update, and is none.
pub(crate) struct Broken(pub(crate) u32);

impl Message for Broken {
    const STREAM: StreamName = StreamName::Metrics;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let payload = Bytes::from_static(b"{ nonsense");
        let headers = vec![("Tm-Version", "1".into())];
        Ok(Encoded { subject: "tm.metrics.0".into(), message_id: format!("broken-{}", self.0), headers, payload })
    }

    fn decode(_: &impl HeaderSource, _: Bytes) -> Result<Self, DecodeError> {
        Ok(Self(0))
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_holds_nothing_up() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    shop.bus.publish(&Broken(1)).await.expect("stored");
    trade(&shop.bus).await;
    running.until("/v1/books", is_traded).await;
    let own = "/v1/dead-letters?service=reporting";
    let letters = running.until(own, |l| l["dead_letters"].as_array().is_some_and(|l| l.len() == 1)).await;
    assert_eq!(letters["dead_letters"][0]["code"], "malformed_message");
    assert_eq!(letters["dead_letters"][0]["body"], "(masked): 10 bytes that are no JSON");
    let books = running.json("/v1/books").await;
    assert_eq!(books["totals"]["dead_lettered"], 2, "it was no event");
    let metrics = running.get("/metrics").send().await.expect("metrics").text().await.expect("text");
    assert!(metrics.contains("tidemill_reporting_dead_letters_total{code=\"malformed_message\"} 1"), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn wrong_questions_get_clear_answers() {
    let shop = Shop::open().await;
    let running = shop.report("limits.points = 2").await;
    trade(&shop.bus).await;
    running.until("/v1/books", |books| books["totals"]["counted"] == 7).await;
    for (path, status, code) in [
        ("/v1/metrics/none/series", 404, "unknown_metric"),
        ("/v1/metrics/sales_metrics/series?version=none", 404, "unknown_version"),
        ("/v1/metrics/sales_metrics/series?from=now", 400, "invalid_parameter"),
        ("/v1/metrics/sales_metrics/totals?group_by=colour", 400, "invalid_parameter"),
        ("/v1/metrics/sales_metrics/totals?colour=red", 400, "invalid_parameter"),
        ("/v1/metrics/sales_metrics/series?group_by=region&resolution=window", 422, "too_many_points"),
        ("/v1/alerts?limit=0", 400, "invalid_parameter"),
        ("/v1/alerts?limit=-1", 400, "invalid_parameter"),
        ("/v1/alerts?colour=red", 400, "invalid_parameter"),
        ("/v1/books?hours=maybe", 400, "invalid_parameter"),
        ("/v1/dead-letters?before=x", 400, "invalid_parameter"),
        ("/v1/dead-letters?state=mended", 400, "invalid_parameter"),
        ("/v1/dead-letters?since=yesterday", 400, "invalid_parameter"),
        ("/v1/dead-letters?before=9223372036854775808", 400, "invalid_parameter"),
        ("/v1/dead-letters/audit?letter=9223372036854775808", 400, "invalid_parameter"),
        ("/v1/dead-letters/x", 400, "invalid_parameter"),
        ("/v1/dead-letters/99", 404, "unknown_dead_letter"),
        ("/v1/dead-letters/audit?request=x", 400, "invalid_parameter"),
        ("/v1/dead-letters/orders/x", 400, "invalid_parameter"),
        ("/v1/nothing", 404, "not_found"),
        ("/assets/../Cargo.toml", 404, "not_found"),
        ("/assets/nothing.js", 404, "not_found"),
    ] {
        let (seen, problem) = running.problem(path).await;
        assert_eq!((seen, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
    let (_, problem) = running.problem("/v1/metrics/sales_metrics/series?from=1&to=2&x=3").await;
    assert_eq!(problem["errors"].as_array().expect("errors").len(), 3);
    let posted = running.client.post(format!("http://{}/v1/books", running.address)).send().await.expect("answers");
    assert_eq!(posted.status(), 405);
    running.stop().await;
}

#[tokio::test]
async fn the_page_is_served_and_may_be_kept() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let page = running.get("/").send().await.expect("the page");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().expect("ascii").to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let etag = page.headers()["etag"].clone();
    let text = page.text().await.expect("text");
    let again = running.get("/").header("if-none-match", etag).send().await.expect("the page");
    assert_eq!((again.status().as_u16(), again.bytes().await.expect("no body").len()), (304, 0));
    // All that the page names is there, in a type that browsers take.
    let named = text.split('"').filter(|part| part.starts_with("/assets/"));
    for path in named {
        let asset = running.get(path).send().await.expect(path);
        assert_eq!(asset.status(), 200, "{path}");
        assert_eq!(asset.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    let api = running.json("/openapi.json").await;
    assert_eq!(api["paths"].as_object().expect("paths").len(), 22);
    running.stop().await;
}

#[tokio::test]
async fn the_chain_is_as_healthy_as_its_services() {
    let shop = Shop::open().await;
    let running = shop.report("links.jaeger = 'http://localhost:16686'").await;
    trade(&shop.bus).await;
    let is_seen = |health: &Json| health["services"][4]["ready"] == true && health["stages"][0]["lag"] == 0;
    let health = running.until("/v1/health", is_seen).await;
    let names: Vec<_> = health["services"].as_array().expect("services").iter().map(|s| &s["service"]).collect();
    assert_eq!(names, ["ingestion", "enrichment", "aggregation", "alert", "reporting"]);
    assert_eq!((&health["status"], &health["links"]["jaeger"]), (&json!("degraded"), &json!("http://localhost:16686")));
    assert_eq!(health["stages"], json!([{"stage": "reporting", "lag": 0}]), "the others have no consumers yet");
    assert_eq!(running.json("/readyz").await["ready"], true);
    try_eventually("the lag is measured", crate::shop::DEADLINE, async || {
        let metrics = running.get("/metrics").send().await.expect("metrics").text().await.expect("text");
        if metrics.contains("tidemill_reporting_consumer_lag{stream=\"RAW\"} 0") { Ok(()) } else { Err(metrics) }
    })
    .await;
    running.stop().await;
}

/// Totals that the database will never hold are set aside, one by one; all
/// others are folded, and so is what comes behind them.
async fn what_the_store_refuses_is_a_dead_letter_and_holds_nothing_up(shop: &Shop, store: &str) {
    let running = shop.replica(store, "").await;
    tidemill_store::testing::refuse(store, "packed_cells", "cells", "poison").await.expect("refuses from now on");
    let mixed = vec![cell(0, "books", "EU", 2, 1050), cell(0, "poison", "EU", 1, 7), cell(1, "games", "EU", 1, 5)];
    shop.bus.publish(&MetricsUpdate { books: vec![outcomes(4, 0, 0)], ..update(0, 3, mixed) }).await.expect("stored");
    shop.bus.publish(&update(1, 4, vec![cell(0, "books", "EU", 1, 1)])).await.expect("stored");
    let all = "/v1/metrics/sales_metrics/totals?group_by=category";
    let answer = running.until(all, |answer| answer["rows"][0]["values"]["revenue"] == "10.51").await;
    assert_eq!(revenue_of(&answer, "rows"), ["10.51", "0.05"]);
    let books = running.until("/v1/books", |books| books["totals"]["counted"] == 4).await;
    assert_eq!(books["totals"]["dead_lettered"], 0, "the events are counted");
    let letters =
        running.until("/v1/dead-letters", |a| a["dead_letters"].as_array().is_some_and(|l| !l.is_empty())).await;
    let letters = letters["dead_letters"].as_array().expect("a list");
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["service"], &letters[0]["code"]), (&json!("reporting"), &json!("store_refused")));
    assert!(letters[0]["body"].as_str().is_some_and(|body| body.contains("poison") && !body.contains("books")));
    try_eventually("it is ready", crate::shop::DEADLINE, async || match running.context.health.problems() {
        none if none.is_empty() => Ok(()),
        some => Err(some),
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn what_sqlite_refuses_is_a_dead_letter_and_holds_nothing_up() {
    let shop = Shop::open().await;
    what_the_store_refuses_is_a_dead_letter_and_holds_nothing_up(&shop, &shop.sqlite()).await;
}

#[tokio::test]
async fn what_postgres_refuses_is_a_dead_letter_and_holds_nothing_up() {
    let Some(postgres) = tidemill_testkit::Postgres::start().await else {
        let test = "what_postgres_refuses_is_a_dead_letter_and_holds_nothing_up";
        return tidemill_testkit::skipped(test, "no PostgreSQL is installed");
    };
    what_the_store_refuses_is_a_dead_letter_and_holds_nothing_up(&Shop::open().await, &postgres.url()).await;
}

#[tokio::test]
async fn control_characters_and_numbers_of_no_letter_are_a_clients_error() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    for path in ["/v1/dead-letters?code=%00", "/v1/alerts?rule=%00", "/v1/metrics/%00/totals", "/v1/books?source=a%1b"]
    {
        let (status, problem) = running.problem(path).await;
        assert_eq!((status, &problem["code"]), (400, &json!("control_character")), "{path}");
    }
    let (status, problem) = running.problem("/v1/dead-letters/0").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_dead_letter")));
    running.stop().await;
}
