//! From an HTTP event to a live number, a Slack message and one trace.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidemill::suite::Jaeger;
use tidemill_testkit::eventually;
use tidemill_tests::{DEADLINE, TestSuite, now, order};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// Ends a suite whose Slack had nothing to complain of.
async fn stop(suite: TestSuite) {
    assert!(suite.slack.refusals().is_empty(), "Slack refused: {:?}", suite.slack.refusals());
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_answers() {
    let suite = TestSuite::start().await;
    let s = &suite.suite;
    for address in [s.ingestion, s.enrichment, s.aggregation, s.alert, s.recommendation, s.reporting] {
        let get = |path| suite.http.get(format!("http://{address}/{path}")).send();
        for path in ["livez", "metrics", "openapi.json"] {
            assert_eq!(get(path).await.expect(path).status(), 200, "{address}/{path}");
        }
        eventually("the service is ready", DEADLINE, || async {
            get("readyz").await.is_ok_and(|answer| answer.status() == 200).then_some(())
        })
        .await;
        let answer = suite.http.get(format!("http://{address}/nothing-here")).send().await.expect("an answer");
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    let health = eventually("all services are known", DEADLINE, || async {
        let health = suite.get("/v1/health").await;
        (health["status"] == "ok").then_some(health)
    })
    .await;
    assert_eq!(health["services"].as_array().map(Vec::len), Some(6));
    stop(suite).await;
}

/// Totals of sales by category, as reporting gives them.
async fn sales(suite: &TestSuite, category: &str) -> Value {
    let totals = suite.get(&format!("/v1/metrics/sales_metrics/totals?group_by=category&category={category}")).await;
    totals["rows"][0]["values"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_becomes_a_number() {
    let suite = TestSuite::start().await;
    let (status, verdict) = suite.post(JSON, order("1", "c-1", "novel", 3, "19.99")).await;
    assert_eq!((status, &verdict["accepted"]), (202, &json!(1)), "{verdict}");
    let values = eventually("the order is in the totals", DEADLINE, || async {
        let values = sales(&suite, "Books").await;
        (!values.is_null()).then_some(values)
    })
    .await;
    assert_eq!(values["revenue"], "59.97");
    assert_eq!(values["quantity"], "3.00");
    assert_eq!((&values["orders"], &values["customers"]), (&json!(1), &json!(1)));
    let series = suite.get("/v1/metrics/sales_metrics/series?group_by=category,region").await;
    assert_eq!(series["series"][0]["dimensions"], json!({"category": "Books", "currency": "EUR", "region": "Europe"}));
    assert!(series["as_of"].is_string() && series["source"] == "speed", "{series}");
    // The same total stands among the points, tagged by partition, once it is checkpointed.
    let points = eventually("the total is a point", DEADLINE, || async {
        let url = format!("http://{}/v1/points/sales_metrics", suite.suite.aggregation);
        let answer = suite.http.get(url).send().await.expect("aggregation answers");
        let points = answer.json::<Value>().await.expect("JSON");
        (!points["points"][0].is_null()).then_some(points)
    })
    .await;
    assert_eq!(points["points"][0]["fields"]["revenue_micros"], 59_970_000);
    assert_eq!(points["truncated"], false);
    let url = format!("http://{}/v1/points/sales_metrics?limit=0", suite.suite.aggregation);
    let cut = suite.http.get(url).send().await.expect("answers").json::<Value>().await.expect("JSON");
    assert_eq!(cut, json!({"points": [], "truncated": true}));
    assert_eq!(points["points"][0]["tags"]["category"], "Books");
    stop(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_counted_once() {
    let suite = TestSuite::start().await;
    let same = order("2", "c-2", "chess", 1, "49.90");
    for _ in 0..3 {
        assert_eq!(suite.post(JSON, same.clone()).await.0, 202);
    }
    let totals = suite.balanced(3).await;
    assert_eq!((&totals["counted"], &totals["duplicate"]), (&json!(1), &json!(2)));
    assert_eq!(sales(&suite, "Games").await["revenue"], "49.90");
    stop(suite).await;
}

/// An order with this event id, of somebody.
fn placed(id: &str, subject: &str, order_id: &str) -> Value {
    json!({"type": "order.placed", "source": "web", "id": id, "subject": subject, "time": now(), "data": {
        "order_id": order_id, "items": [{"product_id": "novel", "quantity": 1, "unit_price": "17.94"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_one_however_often_a_page_tells_of_it() {
    let suite = TestSuite::start().await;
    // A thank-you page that is loaded three times.
    let page: Vec<String> = (0..3).map(|n| placed(&format!("load-{n}"), "c-1", "o1").to_string()).collect();
    assert_eq!(suite.post(NDJSON, page.join("\n")).await.0, 202);
    let totals = suite.balanced(3).await;
    let told = |totals: &Value| ["counted", "duplicate", "repeated"].map(|name| totals[name].clone());
    assert_eq!(told(&totals), [1, 2, 2].map(|n| json!(n)), "{totals}");
    let values = sales(&suite, "Books").await;
    assert_eq!((&values["orders"], &values["revenue"]), (&json!(1), &json!("17.94")));

    // A browser that knows nobody, and the shop's server, by Segment's call: of many
    // orders, so that visitor, customer and order are in one partition by chance only.
    for n in 0..12 {
        let order = format!("both-{n}");
        assert_eq!(suite.post(JSON, placed(&order, &format!("anonymous-{n}"), &order).to_string()).await.0, 202);
    }
    suite.balanced(15).await;
    for n in 0..12 {
        let call = json!({"event": "Order Completed", "messageId": format!("server-{n}"), "userId": format!("c-{n}"),
            "properties": {"order_id": format!("both-{n}"), "products": [
                {"product_id": "novel", "quantity": 1, "price": "17.94"}]}});
        let url = format!("http://{}/v1/track", suite.suite.ingestion);
        assert_eq!(suite.http.post(url).json(&call).send().await.expect("an answer").status(), 202);
    }
    let totals = suite.balanced(27).await;
    assert_eq!(told(&totals), [13, 14, 14].map(|n| json!(n)), "{totals}");
    let values = sales(&suite, "Books").await;
    assert_eq!((&values["orders"], &values["customers"]), (&json!(13), &json!(13)));
    assert_eq!(values["revenue"], "233.22");
    stop(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_device_whose_clock_is_wrong_is_of_today() {
    let suite = TestSuite::start().await;
    let sent_at = now().plus_millis(-30 * 24 * 3_600_000);
    assert_eq!(suite.post(JSON, order("1", "c-1", "chess", 1, "30")).await.0, 202);
    let call = json!({"sentAt": sent_at, "batch": [{
        "type": "track", "event": "Order Completed", "messageId": "slow", "userId": "c-1",
        "timestamp": sent_at.plus_millis(-4000),
        "properties": {"order_id": "slow", "products": [{"product_id": "chess", "price": 12, "quantity": 1}]},
    }]});
    let url = format!("http://{}/v1/batch", suite.suite.ingestion);
    assert_eq!(suite.http.post(url).json(&call).send().await.expect("an answer").status(), 202);
    let totals = suite.balanced(2).await;
    assert_eq!((&totals["counted"], &totals["late"]), (&json!(2), &json!(0)));
    assert_eq!(sales(&suite, "Games").await["revenue"], "42.00");
    stop(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_noise_of_floats_is_in_no_total() {
    let suite = TestSuite::start().await;
    let orders =
        [order("js", "c-1", "novel", 1, "0.30000000000000004"), order("php", "c-1", "novel", 1, "29.949999999999999")];
    assert_eq!(suite.post(NDJSON, orders.join("\n")).await.0, 202);
    let totals = suite.balanced(2).await;
    assert_eq!((&totals["counted"], &totals["rejected"]), (&json!(2), &json!(0)));
    assert_eq!(sales(&suite, "Books").await["revenue"], "30.25");
    stop(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_event_is_a_dead_letter_and_harms_no_other() {
    let suite = TestSuite::start().await;
    let good = order("3", "c-1", "novel", 1, "0.03");
    let body = format!(
        "{good}\n{{\"type\":\"order.placed\",\"id\":\"bad\",\"source\":\"test-shop\",\"data\":{{}}}}\nnot json\n"
    );
    let (status, verdict) = suite.post(NDJSON, body).await;
    assert_eq!((status, &verdict["accepted"]), (202, &json!(1)), "{verdict}");
    let rejected = verdict["rejected"].as_array().expect("verdicts");
    assert_eq!(rejected.iter().map(|r| r["index"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
    let totals = suite.balanced(3).await;
    assert_eq!((&totals["rejected"], &totals["dead_lettered"]), (&json!(2), &json!(2)));
    let letters = suite.get("/v1/dead-letters").await;
    let bodies: Vec<_> = letters["dead_letters"].as_array().expect("letters").iter().map(|l| &l["body"]).collect();
    assert!(bodies.iter().any(|body| *body == "(masked): 8 bytes that are no JSON"), "{letters}");
    stop(suite).await;
}

/// What the letter of event `bad` is now.
async fn letter(suite: &TestSuite) -> Value {
    let letters = suite.get("/v1/dead-letters?service=ingestion&code=schema_violation").await;
    let letter =
        letters["dead_letters"].as_array().and_then(|all| all.iter().find(|letter| letter["event_id"] == "bad"));
    letter.cloned().unwrap_or_else(|| panic!("no letter: {letters}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_mended_is_counted_once() {
    let suite = TestSuite::start().await;
    assert_eq!(suite.post(JSON, order("1", "c-2", "chess", 1, "49.90")).await.0, 202);
    let broken = r#"{"type":"order.placed","id":"bad","source":"test-shop","data":{}}"#;
    assert_eq!(suite.post(JSON, broken).await.0, 422);
    suite.balanced(2).await;
    let sequence = letter(&suite).await["sequence"].clone();
    let url = format!("http://{}/v1/dead-letters/redrive", suite.suite.reporting);
    let redrive = async |order: Value| {
        let answer = suite.http.post(&url).json(&order).send().await.expect("reporting answers");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let before = sales(&suite, "Games").await;
    let mended: Value = serde_json::from_str(&order("bad", "c-2", "chess", 1, "0.10")).expect("JSON");
    let order = json!({"sequences": [sequence], "by": "anna", "reason": "the price was missing", "body": mended});
    let (status, answer) = redrive(order.clone()).await;
    assert_eq!((status, &answer["ordered"]), (202, &json!(1)), "{answer}");
    eventually("the letter is accepted", DEADLINE, || async {
        (letter(&suite).await["state"] == "accepted").then_some(())
    })
    .await;
    let totals = suite.balanced(3).await;
    assert_eq!((&totals["accepted"], &totals["dead_lettered"]), (&json!(2), &json!(1)), "{totals}");
    assert_eq!(
        (before["revenue"].as_str(), sales(&suite, "Games").await["revenue"].as_str()),
        (Some("49.90"), Some("50.00"))
    );

    // Once more, by somebody who insists: a duplicate.
    let (_, answer) = redrive(order.clone()).await;
    assert_eq!(answer["refused"], 1, "{answer}");
    let forced = json!({"sequences": [sequence], "by": "bert", "force": true, "body": mended});
    let (status, answer) = redrive(forced).await;
    assert_eq!((status, &answer["ordered"]), (202, &json!(1)), "{answer}");
    let totals = suite.balanced(4).await;
    assert_eq!((&totals["counted"], &totals["duplicate"]), (&json!(2), &json!(1)), "{totals}");
    assert_eq!(sales(&suite, "Games").await["revenue"], "50.00");
    let audit = suite.get("/v1/dead-letters/audit").await;
    let by: Vec<_> = audit["actions"].as_array().expect("actions").iter().map(|action| &action["by"]).collect();
    assert_eq!(by, ["bert", "anna"], "{audit}");
    stop(suite).await;
}

/// The one test that is traced: traces are the process's.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspicious_order_is_one_trace_from_the_post_to_slack() {
    let (suite, telemetry) = TestSuite::traced().await;
    let before = suite.slack.messages().len();
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let url = format!("http://{}/v1/events", suite.suite.ingestion);
    let answer = suite
        .http
        .post(url)
        .header("content-type", JSON)
        .header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"))
        .body(order("fraud", "c-1", "chess", 400, "99.50"))
        .send()
        .await
        .expect("ingestion answers");
    assert_eq!(answer.status(), 202);
    eventually("Slack is told", DEADLINE, || async { (suite.slack.messages().len() > before).then_some(()) }).await;
    let message = suite.slack.messages().last().expect("a message").to_string();
    assert!(message.contains("c-1") && message.contains(trace_id), "{message}");
    assert!(suite.slack.traceparents().iter().any(|parent| parent.contains(trace_id)), "the call carries the trace");
    let alert = eventually("reporting knows the alert", DEADLINE, || async {
        let alerts = suite.get("/v1/alerts?rule=FRAUD_DETECTION").await;
        let alert = alerts["alerts"][0].clone();
        (!alert["notified_at"].is_null()).then_some(alert)
    })
    .await;
    assert_eq!(alert["trace_id"], trace_id);
    let jaeger = suite.jaeger.expect("a traced suite").ui;
    let spans = eventually("one trace spans every service", DEADLINE, || async {
        let url = format!("http://{jaeger}/api/traces/{trace_id}");
        let answer: Value = suite.http.get(url).send().await.ok()?.json().await.ok()?;
        let trace = &answer["data"][0];
        let spans: BTreeSet<(String, String)> = trace["spans"]
            .as_array()?
            .iter()
            .filter_map(|span| {
                let process = &trace["processes"][span["processID"].as_str()?];
                Some((process["serviceName"].as_str()?.to_owned(), span["operationName"].as_str()?.to_owned()))
            })
            .collect();
        let services: BTreeSet<&str> = spans.iter().map(|(service, _)| service.as_str()).collect();
        let all = ["ingestion", "enrichment", "aggregation", "alert", "reporting"];
        let notified = spans.iter().any(|(_, operation)| operation.contains("notify"));
        (all.iter().all(|service| services.contains(service)) && notified).then_some(spans)
    })
    .await;
    assert!(spans.len() >= 6, "{spans:?}");
    stop(suite).await;
    telemetry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_data_changes_without_a_restart() {
    let suite = TestSuite::start().await;
    let url = format!("http://{}/v1/reference/products/atlas", suite.suite.enrichment);
    let answer = suite.http.put(url).json(&json!({"category": "Maps"})).send().await.expect("enrichment answers");
    assert!(answer.status().is_success(), "{}", answer.status());
    let (mut n, shop) = (0, &suite);
    // Replicas learn of a change within a few seconds.
    eventually("orders count in the new category", DEADLINE, || {
        n += 1;
        let order = order(&format!("atlas-{n}"), "c-1", "atlas", 1, "1");
        async move {
            assert_eq!(shop.post(JSON, order).await.0, 202);
            (!sales(shop, "Maps").await.is_null()).then_some(())
        }
    })
    .await;
    stop(suite).await;
}

/// A page that somebody opens on this machine reaches loopback, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_elsewhere_changes_and_reads_nothing() {
    let suite = TestSuite::start().await;
    let product = format!("http://{}/v1/reference/products", suite.suite.enrichment);
    let category = async || {
        let product: Value =
            suite.http.get(format!("{product}/novel")).send().await.expect("an answer").json().await.expect("JSON");
        product["changes"][0]["attributes"]["category"].clone()
    };
    let change = |kind: &str| {
        let body = "{\"id\": \"novel\", \"category\": \"Evil\"}";
        suite.http.post(&product).header("content-type", kind.to_owned()).body(body)
    };
    // By a form or without CORS; a browser of today says where it comes from.
    assert_eq!(change("text/plain").send().await.expect("an answer").status(), 415);
    let told = change("text/plain").header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "no-cors");
    assert_eq!(told.send().await.expect("an answer").status(), 403);
    let old = change(NDJSON).header("origin", "https://evil.example");
    assert_eq!(old.send().await.expect("an answer").status(), 403);
    assert_eq!(category().await, "Books");
    let live = suite.http.get(format!("http://{}/v1/stream", suite.suite.reporting));
    let live = live.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "cors");
    assert_eq!(live.send().await.expect("an answer").status(), 403);

    // By DNS rebinding: the browser takes the suite for the page's own server.
    let s = &suite.suite;
    let jaeger = Jaeger::start(0).await.expect("a collector of traces");
    for (address, path) in [
        (s.reporting, "/v1/books"),
        (s.reporting, "/v1/stream"),
        (s.reporting, "/"),
        (s.enrichment, "/v1/reference/products"),
        (s.aggregation, "/metrics"),
        (s.alert, "/v1/alerts"),
        (s.ingestion, "/openapi.json"),
        (jaeger.ui, "/api/services"),
    ] {
        let get = |host: String| suite.http.get(format!("http://{address}{path}")).header("host", host).send();
        let rebound = get(format!("evil.example:{}", address.port())).await.expect("an answer");
        assert_eq!(rebound.status(), 421, "{address}{path}");
        let own = get(format!("localhost:{}", address.port())).await.expect("an answer");
        assert_eq!(own.status(), 200, "{address}{path}");
    }
    // The collector of traces speaks HTTP/2 from the first byte, which no page can.
    let collector = format!("http://{}/opentelemetry.proto.collector.trace.v1.TraceService/Export", jaeger.otlp);
    assert!(suite.http.post(collector).header("content-type", "text/plain").send().await.is_err());
    stop(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_gets_a_clear_answer() {
    let suite = TestSuite::start().await;
    let event = |data: &str, more: &str| format!(r#"{{"type":"product.viewed","source":"x","data":{data}{more}}}"#);
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let accepted_before = suite.balanced(0).await["accepted"].clone();
    for (what, body) in [
        ("truncated", r#"{"type":"product.viewed","source"#.to_owned()),
        ("deep", event(&deep, "")),
        ("duplicate key", event(r#"{"product_id":"a","product_id":"b"}"#, "")),
        ("NaN", event(r#"{"product_id":NaN}"#, "")),
        ("lone surrogate", event(r#"{"product_id":"\ud800"}"#, "")),
        ("huge number", event(r#"{"product_id":"a","price":1e999}"#, "")),
        ("wrong type", event(r#"{"product_id":true}"#, "")),
        ("unknown type", event("{}", "").replace("product.viewed", "no.such.type")),
        ("not a time", event(r#"{"product_id":"a"}"#, r#","time":"soon""#)),
        ("control characters", event(r#"{"product_id":"a"}"#, r#","id":"a\nb""#)),
        ("empty", String::new()),
    ] {
        let (status, problem) = suite.post(JSON, body).await;
        assert!((400..500).contains(&status), "{what}: {status} {problem}");
        assert!(problem["code"].is_string() && problem["title"].is_string(), "{what}: {problem}");
    }
    let bomb = zstd::bulk::compress(&vec![b' '; 200 << 20], 3).expect("compresses");
    let url = format!("http://{}/v1/events", suite.suite.ingestion);
    let request = suite.http.post(url).header("content-type", JSON).header("content-encoding", "zstd").body(bomb);
    assert_eq!(request.send().await.expect("an answer").status(), 413);
    // Wrong clocks are taken in, and make nobody else late.
    for time in ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"] {
        let body = event(r#"{"product_id":"novel"}"#, &format!(r#","subject":"c-1","time":"{time}""#));
        assert_eq!(suite.post(JSON, body).await.0, 202, "{time}");
    }
    let late = suite.balanced(0).await["late"].clone();
    assert_eq!(suite.post(JSON, order(&now().to_string(), "c-1", "novel", 1, "1.00")).await.0, 202);
    eventually("all is accounted for", DEADLINE, || async {
        let totals = suite.balanced(0).await;
        let more = totals["accepted"].as_u64() >= accepted_before.as_u64().map(|n| n + 3);
        more.then(|| assert_eq!(totals["late"], late, "the order of now is not late"))
    })
    .await;
    stop(suite).await;
}
