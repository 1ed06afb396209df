//! Erasures that a replica hears of late.

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{DEADLINE, Running, Shop, ids, view};
use serde_json::Value;
use tidemill_testkit::{Gate, GateMode, Postgres, eventually, skipped};
use tokio::time::{Instant, sleep};

const POPULAR: &str = "/v1/recommendations/popular?n=100";

/// The network between a replica and its store, and the store's address behind it.
async fn cut_off(postgres: &Postgres) -> (Gate, String) {
    let url = postgres.url();
    let server: SocketAddr = url
        .split_once('@')
        .and_then(|(_, server)| server.split_once('/'))
        .and_then(|(server, _)| server.parse().ok())
        .expect("an address");
    let gate = Gate::start(server).await;
    let url = url.replace(&server.to_string(), &gate.address().to_string());
    (gate, url)
}

/// A replica that cannot reach the store may not know who is forgotten: it must not learn what
/// such a customer does later, since that would go once it hears of the erasure.
#[tokio::test]
async fn who_comes_back_is_learnt_by_a_replica_that_hears_late_too() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("who_comes_back_is_learnt_by_a_replica_that_hears_late_too", "no PostgreSQL is installed");
    };
    let mut shop = Shop::open().await;
    let (gate, behind) = cut_off(&postgres).await;
    let first = Running::start(&shop.toml(&postgres.url(), "")).await;
    let second = Running::start(&shop.toml(&behind, "")).await;
    let last = shop.publish(0, &[view("secret", "books-secret"), view("other", "books-a")]).await;
    let has = |answer: &Value, item: &str| ids(answer).contains(&item);
    for service in [&first, &second] {
        service.learnt(0, last).await;
        service.until(POPULAR, |answer| has(answer, "books-secret")).await;
    }
    gate.set(GateMode::Shut);
    assert_eq!(first.delete("/v1/profiles/secret").await.0, 200);
    let begun = Instant::now();
    first.until(POPULAR, |answer| !has(answer, "books-secret")).await;
    let told = eventually("it says so", DEADLINE, async || {
        let (status, readiness) = second.get("/readyz").await;
        assert_eq!(status, 200, "it answers from memory");
        readiness["notices"]["erasures"].as_str().map(str::to_owned)
    })
    .await;
    assert!(told.contains("is forgotten"), "{told}");
    assert!(has(&second.get(POPULAR).await.1, "books-secret"), "it goes on with what it knew");
    sleep((begun + Duration::from_millis(10_500)).saturating_duration_since(Instant::now())).await;
    let back = shop.publish(0, &[view("secret", "books-back")]).await;
    first.learnt(0, back).await;
    first.until(POPULAR, |answer| has(answer, "books-back")).await;
    gate.set(GateMode::Open);
    second.learnt(0, back).await;
    for service in [&first, &second] {
        service.until(POPULAR, |answer| has(answer, "books-back") && !has(answer, "books-secret")).await;
    }
    // Then it knows who is forgotten.
    eventually("nothing is amiss", DEADLINE, async || {
        let (_, readiness) = second.get("/readyz").await;
        readiness["notices"]["erasures"].is_null().then_some(())
    })
    .await;
    for service in [&first, &second] {
        service.until(POPULAR, |answer| has(answer, "books-back")).await;
    }
    first.stop().await;
    second.stop().await;
    // Nor is it gone from what is stored.
    let third = Running::start(&shop.toml(&postgres.url(), "")).await;
    third.learnt(0, back).await;
    third.until(POPULAR, |answer| has(answer, "books-back") && !has(answer, "books-secret")).await;
    third.stop().await;
}
