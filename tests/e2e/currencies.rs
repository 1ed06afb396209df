//! Orders in two currencies, from the POST to totals and alerts.

use serde_json::{Value, json};
use tidemill_testkit::eventually;
use tidemill_tests::{DEADLINE, TestSuite};

const JSON: &str = "application/json";
const TOTALS: &str = "/v1/metrics/sales_metrics/totals?category=Books";

fn order(id: &str, currency: Option<&str>, price: &str) -> String {
    let items = json!([{"product_id": "novel", "quantity": 1, "unit_price": price}]);
    let data = json!({"order_id": id, "currency": currency, "items": items});
    json!({"type": "order.placed", "source": "test-shop", "id": id, "subject": "stranger", "data": data}).to_string()
}

/// What the rows say: currency, revenue, the same in the base currency, and rows without a rate.
fn told(totals: &Value) -> Value {
    let row = |row: &Value| {
        let revenue = |of: &str| row[of]["revenue"].clone();
        json!([row["dimensions"]["currency"], revenue("values"), revenue("converted"), revenue("unconverted")])
    };
    totals["rows"].as_array().expect("rows").iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn yen_and_euros_are_never_added() {
    let suite = TestSuite::start().await;
    for order in [order("k1", Some("JPY"), "15000"), order("k2", None, "20.00")] {
        assert_eq!(suite.post(JSON, order).await.0, 202);
    }
    suite.balanced(2).await;
    let apart = json!([["EUR", "20.00", "20.00", null], ["JPY", "15000.00", null, 1]]);
    eventually("both currencies are counted", DEADLINE, || async {
        (told(&suite.get(TOTALS).await) == apart).then_some(())
    })
    .await;

    let address = format!("http://{}/v1/reference/rates/JPY", suite.suite.enrichment);
    let rate = json!({"rate": "0.0062", "valid_from": "2020-01-01T00:00:00Z"});
    assert_eq!(suite.http.put(address).json(&rate).send().await.expect("an answer").status(), 200);
    // Some 93 euros: no very large order, whatever the number says.
    assert_eq!(suite.post(JSON, order("k3", Some("jpy"), "15000.05")).await.0, 202);
    suite.balanced(3).await;
    let apart = json!([["EUR", "20.00", "20.00", null], ["JPY", "30000.05", "93.00031", 1]]);
    eventually("the rate is used", DEADLINE, || async { (told(&suite.get(TOTALS).await) == apart).then_some(()) })
        .await;
    let converted = suite.get(&format!("{TOTALS}&convert=true")).await;
    assert_eq!(converted["base_currency"], "EUR");
    assert_eq!(converted["rows"][0]["values"]["revenue"], "113.00031");
    assert_eq!(converted["rows"][0]["unconverted"]["revenue"], 1);

    // An order that is large in any currency is told with both amounts.
    assert_eq!(suite.post(JSON, order("k4", Some("JPY"), "2000000")).await.0, 202);
    let alert = eventually("the large order raises an alert", DEADLINE, || async {
        suite.get("/v1/alerts").await["alerts"].as_array().and_then(|alerts| alerts.first().cloned())
    })
    .await;
    assert_eq!(alert["values"]["amount"], "12400.00");
    let summary = alert["summary"].as_str().expect("a text");
    assert!(summary.contains("Amount 2000000 JPY (12400.00 EUR)"), "{summary}");
    assert_eq!(suite.get("/v1/alerts").await["alerts"].as_array().map(Vec::len), Some(1), "and no other did");
    suite.stop().await;
}
