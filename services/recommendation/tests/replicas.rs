//! Starting again, several replicas over one database, and erasure on all of them.

mod common;

use std::time::Instant;

use common::{DEADLINE, PARTITIONS, Running, Shop, enrichment, event, ids, view};
use serde_json::{Value, json};
use tidemill_testkit::{Postgres, eventually, skipped};

const PATHS: [&str; 5] = [
    "/v1/recommendations?customer=c1",
    "/v1/recommendations?items=books-a",
    "/v1/recommendations/similar/books-a",
    "/v1/recommendations/popular",
    "/v1/recommendations/trending",
];

/// Waits until its charts, which may be half a second old, tell of so many visits.
async fn charted(service: &Running, item: &str, visits: u64) {
    let is_there = |answer: &Value| {
        let items = answer["items"].as_array().expect("a list");
        items.iter().any(|charted| charted["item"] == item && charted["reason"]["count"] == visits)
    };
    service.until("/v1/recommendations/popular", is_there).await;
}

/// What a replica answers, but when it answered.
async fn answers(service: &Running) -> Vec<Value> {
    let mut answers = Vec::new();
    for path in PATHS {
        let (status, answer) = service.get(path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answers.push(answer["items"].clone());
    }
    answers
}

/// Waits until the index of each partition is stored in pages, for which somebody unknown is forgotten: again and
/// again, since who has just taken a partition over knows of it.
async fn stored(service: &Running) {
    eventually("pages are written", DEADLINE, async || {
        assert_eq!(service.delete("/v1/profiles/nobody").await.0, 200);
        let told = service.text("/metrics").await;
        let written = told.lines().find_map(|line| line.strip_prefix("tidemill_recommendation_pages_written_total "));
        (written?.parse::<u64>().ok()? >= u64::from(PARTITIONS)).then_some(())
    })
    .await;
}

async fn fill(shop: &mut Shop) -> u64 {
    shop.visitors(0..10, &["books-a", "books-b", "music-c"]).await;
    shop.visitors(10..16, &["books-a", "toys-d"]).await;
    shop.publish(1, &[view("c1", "books-a")]).await
}

/// Other settings of what is kept make the index anew from the log; with those of before it is as it was.
#[tokio::test]
async fn with_other_settings_the_log_is_learnt_anew() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    let last = fill(&mut shop).await;
    service.learnt(1, last).await;
    stored(&service).await;
    service.stop().await;
    let mut visits = 17;
    for more in ["index.session_gap_seconds = 60\n", "", "index.items_per_session = 7\n"] {
        let again = Running::start(&shop.toml(&shop.sqlite(), more)).await;
        charted(&again, "books-a", visits).await;
        visits += 1;
        let last = shop.publish(1, &[view(&format!("new{visits}"), "books-a")]).await;
        again.learnt(1, last).await;
        charted(&again, "books-a", visits).await;
        stored(&again).await;
        again.stop().await;
    }
}

#[tokio::test]
async fn a_restart_answers_as_before() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    let last = fill(&mut shop).await;
    service.learnt(1, last).await;
    charted(&service, "books-a", 17).await;
    let before = answers(&service).await;
    assert!(before.iter().all(|items| !items.as_array().expect("a list").is_empty()), "{before:?}");
    service.stop().await;
    // What is in the store by now is left out of the log: it must do without.
    let again = shop.start().await;
    again.learnt(1, last).await;
    charted(&again, "books-a", 17).await;
    assert_eq!(answers(&again).await, before);
    let more = shop.publish(0, &[view("c2", "books-b"), view("c2", "toys-d")]).await;
    again.learnt(0, more).await;
    charted(&again, "toys-d", 7).await;
    let learnt = answers(&again).await;
    assert_ne!(learnt, before);
    again.stop().await;
    let third = shop.start().await;
    third.learnt(0, more).await;
    charted(&third, "toys-d", 7).await;
    assert_eq!(answers(&third).await, learnt);
    third.stop().await;
}

#[tokio::test]
async fn replicas_answer_alike_and_hand_over() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("replicas_answer_alike_and_hand_over", "no PostgreSQL is installed");
    };
    let mut shop = Shop::open().await;
    let toml = shop.toml(&postgres.url(), "");
    let (first, second) = (Running::start(&toml).await, Running::start(&toml).await);
    let last = fill(&mut shop).await;
    for service in [&first, &second] {
        service.learnt(1, last).await;
        charted(service, "books-a", 17).await;
    }
    let before = answers(&first).await;
    assert_eq!(answers(&second).await, before);
    first.stop().await;
    let more = shop.publish(0, &[view("c2", "books-b"), view("c2", "toys-d")]).await;
    second.learnt(0, more).await;
    charted(&second, "toys-d", 7).await;
    let learnt = answers(&second).await;
    // The second one keeps what was the first one's.
    eventually("the profile is kept", DEADLINE, async || {
        let (status, _) = second.get("/v1/profiles/c2").await;
        (status == 200).then_some(())
    })
    .await;
    let third = Running::start(&toml).await;
    third.learnt(0, more).await;
    charted(&third, "toys-d", 7).await;
    assert_eq!(answers(&third).await, learnt);
    third.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn who_is_forgotten_is_forgotten_by_all_and_for_good() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("who_is_forgotten_is_forgotten_by_all_and_for_good", "no PostgreSQL is installed");
    };
    let mut shop = Shop::open().await;
    let toml = shop.toml(&postgres.url(), "");
    let (first, second) = (Running::start(&toml).await, Running::start(&toml).await);
    fill(&mut shop).await;
    let last = shop.publish(1, &[view("secret", "books-a"), view("secret", "only-seen-by-one")]).await;
    for service in [&first, &second] {
        service.learnt(1, last).await;
    }
    first
        .until("/v1/profiles/secret", |profile| profile["views"].as_array().is_some_and(|views| views.len() == 2))
        .await;
    let is_there = |answer: &Value| ids(answer).contains(&"only-seen-by-one");
    let popular = "/v1/recommendations/popular?n=100";
    // The charts may be of before, and then say nothing of who is forgotten.
    for service in [&first, &second] {
        service.until(popular, |answer| is_there(answer)).await;
    }
    let (status, erased) = first.delete("/v1/profiles/secret").await;
    assert!(status == 200 && erased["number"].is_u64(), "{erased}");
    let begun = Instant::now();
    assert_eq!(first.get("/v1/profiles/secret").await.0, 404);
    for service in [&first, &second] {
        service.until(popular, |answer| !is_there(answer)).await;
    }
    // The charts are half a second old at most, and the other replica looks five times a
    // second; others have the machine too.
    assert!(begun.elapsed().as_secs_f64() < 3.0, "{:?}", begun.elapsed());
    // Sent again by enrichment, or learnt anew from the log: never again.
    shop.publish(1, &[view("secret", "only-seen-by-one"), view("other", "books-late")]).await;
    let is_charted = |answer: &Value| ids(answer).contains(&"books-late");
    assert!(!is_there(&second.until(popular, is_charted).await));
    first.stop().await;
    second.stop().await;
    let third = Running::start(&toml).await;
    assert!(!is_there(&third.until(popular, is_charted).await));
    assert_eq!(third.get("/v1/profiles/secret").await.0, 404);
    third.stop().await;
}

/// The visit is tied to the customer by an event that comes behind the erasure, and was taken
/// in before its end.
#[tokio::test]
async fn a_visit_is_forgotten_that_turns_out_to_be_of_who_was_forgotten() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("a_visit_is_forgotten_that_turns_out_to_be_of_who_was_forgotten", "no PostgreSQL is installed");
    };
    let mut shop = Shop::open().await;
    let toml = shop.toml(&postgres.url(), "");
    let (first, second) = (Running::start(&toml).await, Running::start(&toml).await);
    let seen = |customer: Option<&str>, product: &str| {
        let data = json!({"product_id": product, "session_id": "visit"});
        (event("product.viewed", customer, data), enrichment(&["Books"]))
    };
    let last = shop.publish(0, &[seen(None, "only-seen-by-one"), view("other", "books-a")]).await;
    let popular = "/v1/recommendations/popular?n=100";
    let is_there = |answer: &Value| ids(answer).contains(&"only-seen-by-one");
    for service in [&first, &second] {
        service.learnt(0, last).await;
        service.until(popular, is_there).await;
    }
    assert_eq!(first.delete("/v1/profiles/secret").await.0, 200);
    let tie = shop.publish(1, &[seen(Some("secret"), "books-a")]).await;
    for service in [&first, &second] {
        service.learnt(1, tie).await;
        service.until(popular, |answer| !is_there(answer)).await;
    }
    let late = shop.publish(0, &[seen(None, "only-seen-by-one"), view("other", "books-b")]).await;
    let is_charted = |answer: &Value| ids(answer).contains(&"books-b");
    for service in [&first, &second] {
        service.learnt(0, late).await;
        assert!(!is_there(&service.until(popular, is_charted).await));
    }
    // All of it is kept before the profile of what came last is.
    let is_kept = |profile: &Value| profile["views"].as_array().is_some_and(|views| views.len() == 2);
    first.until("/v1/profiles/other", is_kept).await;
    first.stop().await;
    second.stop().await;
    let third = Running::start(&toml).await;
    third.learnt(1, tie).await;
    third.learnt(0, late).await;
    assert!(!is_there(&third.until(popular, is_charted).await));
    third.stop().await;
}
