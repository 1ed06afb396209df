//! What comes late is recovered: sent again as history, or redriven from the dead
//! letters; and it is counted once.

use serde_json::{Value, json};
use tidemill_testkit::eventually;
use tidemill_tests::{DEADLINE, TestSuite, now};

const DAY: i64 = 86_400_000;

/// An order of one book at a time that is so many days ago. All of them are in one
/// partition.
fn order(id: &str, days_ago: i64) -> Value {
    json!({"type": "order.placed", "source": "till", "id": id, "partitionkey": "one", "subject": "c-1",
        "time": now().plus_millis(-days_ago * DAY).to_string(),
        "data": {"order_id": id, "items": [{"product_id": "novel", "quantity": 1, "unit_price": "10.50"}]}})
}

async fn post(suite: &TestSuite, event: &Value, backfill: Option<&str>) {
    let url = format!("http://{}/v1/events", suite.suite.ingestion);
    let mut request = suite.http.post(url).json(event);
    if let Some(name) = backfill {
        request = request.header("Tidemill-Backfill", name);
    }
    let answer = request.send().await.expect("ingestion answers");
    assert_eq!(answer.status(), 202);
}

/// Counted, late, duplicate and dead-lettered, once `received` events are accounted
/// for.
async fn books(suite: &TestSuite, received: u64) -> [u64; 4] {
    let totals = suite.balanced(received).await;
    ["counted", "late", "duplicate", "dead_lettered"].map(|name| totals[name].as_u64().unwrap_or(u64::MAX))
}

async fn revenue(suite: &TestSuite) -> Value {
    total_of_books(suite, "revenue").await
}

async fn total_of_books(suite: &TestSuite, measure: &str) -> Value {
    let (from, to) = (now().floor_to(DAY).plus_millis(-20 * DAY), now().floor_to(DAY).plus_millis(DAY));
    let path = format!("/v1/metrics/sales_metrics/totals?group_by=category&category=Books&from={from}&to={to}");
    suite.get(&path).await["rows"][0]["values"][measure].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_is_counted_once_it_comes_as_history() {
    let suite = TestSuite::start().await;
    post(&suite, &order("today", 0), None).await;
    // A till that was away for a weekend is not late.
    post(&suite, &order("weekend", 3), None).await;
    assert_eq!(books(&suite, 2).await, [2, 0, 0, 0]);
    post(&suite, &order("late", 12), None).await;
    assert_eq!(books(&suite, 3).await, [2, 1, 0, 0]);
    let late = order("late", 12);
    post(&suite, &late, None).await;
    assert_eq!(books(&suite, 4).await, [2, 1, 1, 0], "a repetition alone mends nothing");
    assert_eq!(revenue(&suite).await, "21.00");
    post(&suite, &late, Some("till 7, of the attic")).await;
    assert_eq!(books(&suite, 5).await, [3, 1, 1, 0]);
    post(&suite, &late, Some("till 7, of the attic")).await;
    assert_eq!(books(&suite, 6).await, [3, 1, 2, 0], "counted once");
    assert_eq!(revenue(&suite).await, "31.50");
    // History moves no clock: the till's own events are on time as before.
    post(&suite, &order("of old", 300), Some("archive")).await;
    post(&suite, &order("now", 0), None).await;
    assert_eq!(books(&suite, 8).await, [5, 1, 2, 0]);
    suite.stop().await;
}

/// A browser with a wrong clock tells of an order first, and is late; then the shop's
/// server tells of the same order, under an id of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_told_too_late_is_counted_when_another_tells_it_in_time() {
    let suite = TestSuite::start().await;
    // The till's clock in the order's partition.
    let viewed = json!({"type": "product.viewed", "source": "till", "partitionkey": "sold",
        "data": {"product_id": "novel"}});
    post(&suite, &viewed, None).await;
    let told = |id: &str, source: &str, days_ago: i64| {
        let mut event = order("sold", days_ago);
        (event["id"], event["source"]) = (id.into(), source.into());
        event
    };
    post(&suite, &told("a", "till", 12), None).await;
    assert_eq!(books(&suite, 2).await, [1, 1, 0, 0]);
    post(&suite, &told("b", "server", 0), None).await;
    assert_eq!(books(&suite, 3).await, [2, 1, 0, 0]);
    assert_eq!(revenue(&suite).await, "10.50");
    // Whoever tells of it from now on repeats it, the first as well.
    post(&suite, &told("c", "server", 0), None).await;
    post(&suite, &told("a", "till", 12), Some("till 7, of the attic")).await;
    assert_eq!(books(&suite, 5).await, [2, 1, 2, 0]);
    let refund = json!({"type": "order.refunded", "source": "till", "id": "back", "subject": "c-1",
        "data": {"order_id": "sold", "amount": "4.00"}});
    post(&suite, &refund, None).await;
    assert_eq!(books(&suite, 6).await, [3, 1, 2, 0]);
    assert_eq!(revenue(&suite).await, "10.50");
    assert_eq!(total_of_books(&suite, "net").await, "6.50");
    suite.stop().await;
}

/// A refund came before its order, and the order was told too late first: whoever tells
/// it in time takes the refund to its lines, as the first would have.
#[tokio::test(flavor = "multi_thread")]
async fn who_tells_an_order_in_place_of_another_takes_its_refund_along() {
    let suite = TestSuite::start().await;
    let viewed = json!({"type": "product.viewed", "source": "till", "partitionkey": "sold",
        "data": {"product_id": "novel"}});
    post(&suite, &viewed, None).await;
    let refund = json!({"type": "order.refunded", "source": "shop", "id": "back", "subject": "c-1",
        "data": {"order_id": "sold", "items": [{"product_id": "novel", "quantity": 1}]}});
    post(&suite, &refund, None).await;
    assert_eq!(books(&suite, 2).await, [2, 0, 0, 0]);
    post(&suite, &order("sold", 12), None).await;
    assert_eq!(books(&suite, 3).await, [2, 1, 0, 0]);
    let mut in_time = order("sold", 0);
    (in_time["id"], in_time["source"]) = ("b".into(), "server".into());
    post(&suite, &in_time, None).await;
    assert_eq!(books(&suite, 4).await, [3, 1, 0, 0]);
    assert_eq!(revenue(&suite).await, "10.50");
    assert_eq!(total_of_books(&suite, "net").await, "0.00");
    suite.stop().await;
}

/// A refund that was late has changed the order that is remembered, and is in no
/// total: when it comes as history, it takes what it took.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_refund_takes_once_what_it_took_off_its_order() {
    let suite = TestSuite::start().await;
    let refund = |id: &str, days_ago: i64, data: Value| {
        json!({"type": "order.refunded", "source": "till", "id": id, "subject": "c-1",
            "time": now().plus_millis(-days_ago * DAY).to_string(), "data": data})
    };
    let (some, late) = (
        refund("some", 0, json!({"order_id": "sold", "amount": "1.00"})),
        refund("late", 12, json!({"order_id": "sold", "amount": "4.00"})),
    );
    post(&suite, &order("sold", 14), Some("archive")).await;
    assert_eq!(books(&suite, 1).await, [1, 0, 0, 0]);
    post(&suite, &some, None).await;
    assert_eq!(books(&suite, 2).await, [2, 0, 0, 0]);
    post(&suite, &late, None).await;
    assert_eq!(books(&suite, 3).await, [2, 1, 0, 0]);
    post(&suite, &late, None).await;
    // All that is left: the order knows what was late.
    post(&suite, &refund("rest", 0, json!({"order_id": "sold"})), None).await;
    assert_eq!(books(&suite, 5).await, [3, 1, 1, 0]);
    assert_eq!(total_of_books(&suite, "net").await, "4.00");
    for (received, duplicates) in [(6, 1), (7, 2), (8, 3)] {
        post(&suite, &late, Some("till 7, of the attic")).await;
        assert_eq!(books(&suite, received).await, [4, 1, duplicates, 0], "counted once");
        assert_eq!(total_of_books(&suite, "net").await, "0.00");
        assert_eq!(total_of_books(&suite, "refunds").await, "10.50");
    }
    // One that was in time is a duplicate like any other.
    post(&suite, &some, Some("till 7, of the attic")).await;
    assert_eq!(books(&suite, 9).await, [4, 1, 4, 0]);
    assert_eq!(total_of_books(&suite, "net").await, "0.00");
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_event_is_counted_however_old_it_is_by_then() {
    let suite = TestSuite::start().await;
    post(&suite, &order("today", 0), None).await;
    let mut broken = order("broken", 15);
    broken["data"] = json!({});
    let (status, _) = suite.post("application/json", broken.to_string()).await;
    assert_eq!(status, 422);
    assert_eq!(books(&suite, 2).await, [1, 0, 0, 1]);

    let url = format!("http://{}/v1/dead-letters/redrive", suite.suite.reporting);
    let redrive = async |force: bool| {
        let letters = suite.get("/v1/dead-letters").await;
        let sequence = &letters["dead_letters"][0]["sequence"];
        let order = json!({"sequences": [sequence], "by": "anna", "force": force, "body": order("broken", 15)});
        let answer = suite.http.post(&url).json(&order).send().await.expect("reporting answers");
        let answer: Value = answer.json().await.expect("JSON");
        let path = format!("/v1/dead-letters/orders/{}", answer["request"].as_str().expect("a name"));
        eventually("it is known what became of the event", DEADLINE, || async {
            let progress = suite.get(&path).await;
            (progress["accepted"] == 1 && progress["known"] == 1).then_some(progress)
        })
        .await
    };
    let told = redrive(false).await;
    assert_eq!([&told["counted"], &told["late"], &told["duplicate"]], [1, 0, 0], "{told}");
    assert_eq!(books(&suite, 3).await, [2, 0, 0, 1]);
    let told = redrive(true).await;
    assert_eq!([&told["counted"], &told["late"], &told["duplicate"]], [0, 0, 1], "{told}");
    assert_eq!(books(&suite, 4).await, [2, 0, 1, 1]);
    assert_eq!(revenue(&suite).await, "21.00");
    suite.stop().await;
}
