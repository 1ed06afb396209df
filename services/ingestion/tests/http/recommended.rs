//! What a storefront tells of recommendations.

use serde_json::{Value, json};

use crate::support::Service;

fn event(id: &str, kind: &str, data: Value) -> String {
    json!({"id": id, "source": "shop", "type": kind, "subject": "c", "data": data}).to_string()
}

#[tokio::test]
async fn what_was_shown_and_clicked_is_taken_in_as_it_is_told() {
    let service = Service::start().await;
    let item = json!({
        "product_id": "p", "position": 1,
        "recommendation": {"request": "r", "strategy": "visits", "experiment": "shelf", "variant": "control"},
    });
    let shown = json!({"placement": "home", "session_id": 7, "items": [item, {"product_id": 8, "recommendation": {"strategy": "popular"}}]});
    let answer = service.send("application/json", event("1", "recommendation.shown", shown.clone())).await;
    answer.accepted(1);
    assert!(answer.body.get("hints").is_none_or(|hints| hints == &json!([])), "{answer:?}");
    service.send("application/json", event("2", "recommendation.clicked", json!({"items": [item]}))).await.accepted(1);
    // A click is of one product, and of a recommendation.
    for data in [shown, json!({"items": [{"product_id": "p"}]}), json!({"product_id": "p"})] {
        let answer = service.send("application/json", event("3", "recommendation.clicked", data)).await;
        answer.problem(422, "schema_violation");
    }
    service.stop().await;
}

/// Where a sale comes from is a remark: an order is an order without it too.
#[tokio::test]
async fn an_order_is_taken_in_whatever_it_says_of_recommendations() {
    let service = Service::start().await;
    for (id, recommendation) in
        [json!({"strategy": "visits"}), json!("visits"), json!(null), json!([1])].iter().enumerate()
    {
        let line = json!({"product_id": "p", "quantity": 1, "unit_price": 2, "recommendation": recommendation});
        let order = json!({"order_id": id, "items": [line.clone()]});
        service.send("application/json", event(&format!("o{id}"), "order.placed", order)).await.accepted(1);
        service.send("application/json", event(&format!("c{id}"), "cart.item_added", line)).await.accepted(1);
    }
    service.stop().await;
}

/// The schema of what the suite's services tell is there whatever folder a shop has.
#[tokio::test]
async fn own_types_are_known_beside_a_folder_of_schemas() {
    let folder = tidemill_testkit::tempdir();
    std::fs::write(folder.path().join("sensor.read.json"), "{}").expect("written");
    let path = folder.path().to_owned();
    let service = Service::with(|config| config.schemas.folder = Some(path)).await;
    let data =
        json!({"partition": 0, "from": 1, "to": 2, "cutoff": 20, "cases": 3, "hits": 1, "reciprocal_rank": "0.5"});
    service.send("application/json", event("1", "recommendation.evaluated", data)).await.accepted(1);
    service
        .send("application/json", event("2", "recommendation.evaluated", json!({"cases": 3})))
        .await
        .problem(422, "schema_violation");
    service.stop().await;
}
