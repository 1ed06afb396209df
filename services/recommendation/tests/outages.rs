//! When it is ready, and what it does without.

mod common;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use common::{DEADLINE, Running, Shop, ids, now, order, view};
use serde_json::Value;
use tidemill_domain::Partition;
use tidemill_events::{EnrichedBatch, RawBatch};
use tidemill_recommendation::RecommendationService;
use tidemill_service::{Context, Service as _};
use tidemill_testkit::{Postgres, eventually, skipped};

/// What readiness names under `key` of `/readyz`, once it is there.
async fn told(service: &Running, key: &str, what: &str) -> String {
    eventually(what, DEADLINE, async || {
        let (_, readiness) = service.get("/readyz").await;
        readiness[key][what].as_str().map(str::to_owned)
    })
    .await
}

async fn ready(service: &Running) -> Value {
    eventually("it is ready", DEADLINE, async || {
        let (status, readiness) = service.get("/readyz").await;
        (status == 200).then_some(readiness)
    })
    .await
}

#[tokio::test]
async fn an_index_in_memory_is_ready_whatever_is_away() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("an_index_in_memory_is_ready_whatever_is_away", "no PostgreSQL is installed");
    };
    let mut shop = Shop::open().await;
    let service = Running::start(&shop.toml(&postgres.url(), "nats.timeout_seconds = 1\n")).await;
    let last = shop.publish(0, &[order("c", &["books-a"])]).await;
    service.learnt(0, last).await;
    ready(&service).await;
    drop(postgres);
    told(&service, "notices", "store").await;
    assert_eq!(service.get("/readyz").await.0, 200);
    // What needs the store says so at once.
    for path in ["/v1/recommendations?customer=c&exclude=purchased", "/v1/profiles/c"] {
        let begun = Instant::now();
        assert_eq!(service.get(path).await.0, 503, "{path}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{path} took {:?}", begun.elapsed());
    }
    drop(shop);
    told(&service, "notices", "nats").await;
    assert_eq!(service.get("/readyz").await.0, 200);
    let (status, popular) = service.get("/v1/recommendations/popular").await;
    assert_eq!((status, ids(&popular)), (200, vec!["books-a"]));
}

#[tokio::test]
async fn it_is_ready_once_it_has_learnt_what_the_log_had() {
    let mut shop = Shop::open().await;
    let [first, second, third] = ["books-a", "books-b", "books-c"].map(|product| shop.batch(0, &[view("c", product)]));
    for batch in [&first, &third] {
        shop.bus.publish(batch).await.expect("published");
    }
    let service = shop.start().await;
    // At first it says that it begins.
    eventually("it says how far it is", DEADLINE, async || {
        let told = told(&service, "problems", "index").await;
        (told.contains("partition 0 is learnt up to ") && told.contains("went to 3")).then_some(())
    })
    .await;
    service.learnt(0, 1).await;
    assert_eq!(service.get("/readyz").await.0, 503);
    for batch in [second, EnrichedBatch { remade: Some(1), ..third }] {
        shop.bus.publish(&batch).await.expect("published");
    }
    let readiness = ready(&service).await;
    assert_eq!(readiness["problems"].as_object().map(serde_json::Map::len), Some(0), "{readiness}");
    service.learnt(0, 3).await;
    service.stop().await;
}

#[tokio::test]
async fn an_answer_is_as_old_as_the_partition_that_is_furthest_behind() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    let of_an_hour_ago =
        EnrichedBatch { ingested_at: now().plus_millis(-3_600_000), ..shop.batch(0, &[view("c", "books-a")]) };
    shop.bus.publish(&of_an_hour_ago).await.expect("published");
    let last = shop.publish(1, &[view("d", "books-b")]).await;
    service.learnt(0, of_an_hour_ago.raw_seq).await;
    service.learnt(1, last).await;
    let (_, answer) = service.get("/v1/recommendations/popular").await;
    let model = &answer["model"];
    let age = |of: &Value| of["age_seconds"].as_f64().expect("an age");
    assert!(age(model) >= 3_600.0, "{model}");
    assert_eq!(age(&model["partitions"][0]), age(model));
    assert!(age(&model["partitions"][1]) < 600.0, "{model}");
    service.stop().await;
}

/// Batches of logs so far: none is a copy of another.
static PUBLISHED: AtomicU64 = AtomicU64::new(0);

/// A log that is another one: its first batch.
fn of_a_new_log() -> RawBatch {
    RawBatch {
        batch_id: uuid::Uuid::from_u128(PUBLISHED.fetch_add(1, Ordering::Relaxed).into()),
        partition: Partition::new(0),
        ingested_at: now(),
        sources: BTreeMap::new(),
        redriven: Vec::new(),
        lines: Vec::new().into(),
        trace: None,
    }
}

#[tokio::test]
async fn a_store_of_another_log_is_refused() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    shop.publish(0, &[view("c", "books-a")]).await;
    let last = shop.publish(0, &[view("c", "books-b")]).await;
    service.learnt(0, last).await;
    service.until("/v1/profiles/c", |profile| profile["views"].as_array().is_some_and(|views| views.len() == 2)).await;
    // As if the log had lost its disk under the service.
    shop.bus.publish(&of_a_new_log()).await.expect("published");
    let context = service.context;
    let failure = eventually("it ends", DEADLINE, async || context.failure().map(str::to_owned)).await;
    assert!(failure.contains("foreign_log"), "{failure}");
    assert!(context.drained(DEADLINE).await);
    let config = tidemill_service::config::parse(&shop.toml(&shop.sqlite(), "")).expect("the configuration parses");
    let context = Context::new("recommendation");
    let refused = RecommendationService::start(config, context.clone()).await.expect_err("another log");
    assert!(refused.to_string().contains("foreign_log"), "{refused}");
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await);
}

#[tokio::test]
async fn a_log_that_loses_its_disk_under_the_service_ends_it() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    for product in ["books-a", "books-b"] {
        let raw = shop.bus.publish(&of_a_new_log()).await.expect("published").sequence;
        assert_eq!(shop.publish(0, &[view("c", product)]).await, raw);
        service.learnt(0, raw).await;
    }
    shop.nats.lose_disk().await;
    eventually("the streams are made", DEADLINE, async || shop.bus.ensure_topology().await.ok()).await;
    shop.bus.publish(&of_a_new_log()).await.expect("published");
    let context = service.context;
    let failure = eventually("it ends", DEADLINE, async || context.failure().map(str::to_owned)).await;
    assert!(failure.contains("foreign_log"), "{failure}");
    assert!(context.drained(DEADLINE).await);
}

/// A type may be mistyped, and nothing is learnt by it.
#[tokio::test]
async fn a_type_of_the_definition_that_no_event_has_is_told_of() {
    let mut shop = Shop::open().await;
    let file = shop.folder.path().join("learning.yaml");
    let written = tidemill_recommendation::BUILT_IN_LEARNING
        .replace("view: [product.viewed]", "view: [product.viewed, product.veiwed]")
        .replace("cart: [cart.item_added]", "cart: [cart.added]");
    std::fs::write(&file, written).expect("writes");
    let more = format!("learning.definition = {:?}\n", file.display().to_string());
    let service = Running::start(&shop.toml(&shop.sqlite(), &more)).await;
    // As many as a shop has in a while; rare types may not be among fewer.
    let few = EnrichedBatch { count: 9_000, ..shop.batch(0, &[view("c", "books-a"), order("c", &["books-a"])]) };
    shop.bus.publish(&few).await.expect("published");
    service.learnt(0, few.raw_seq).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(service.get("/readyz").await.1["notices"]["learning"].is_null());
    let many = EnrichedBatch { count: 9_000, ..shop.batch(1, &[view("d", "books-b")]) };
    shop.bus.publish(&many).await.expect("published");
    let what = told(&service, "notices", "learning").await;
    assert_eq!(
        what,
        "since the start no event has come of the types cart.added, product.veiwed, which the definition of learning names"
    );
    assert_eq!(service.get("/readyz").await.0, 200);
    let (mut added, facts) = view("d", "books-a");
    added["type"] = "cart.added".into();
    shop.publish(1, &[(added, facts)]).await;
    eventually("it has come", DEADLINE, async || {
        let (_, readiness) = service.get("/readyz").await;
        let told = readiness["notices"]["learning"].as_str().unwrap_or_default().to_owned();
        (told.contains("of the types product.veiwed,")).then_some(())
    })
    .await;
    service.stop().await;
}
