//! Over HTTP and a real NATS.

mod common;

use common::{DEADLINE, Running, Shop, enrichment, event, ids, now, order, view};
use serde_json::json;
use tidemill_events::Enrichment;
use tidemill_testkit::eventually;

#[tokio::test]
async fn a_click_changes_what_is_recommended() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    shop.visitors(0..8, &["music-strings", "music-guitar"]).await;
    shop.visitors(20..40, &["books-tides"]).await;
    let path = |n: u32| format!("/v1/recommendations?customer=c{n}&n=5");
    let metrics = service.text("/metrics").await;
    assert!(metrics.contains("tidemill_recommendation_events_total{outcome=\"unconcerned\"} 0"), "{metrics}");
    // Nobody is known yet: what is popular.
    service.until(&path(0), |answer| ids(answer).first() == Some(&"books-tides")).await;
    let mut took = Vec::new();
    for n in 0..5 {
        let clicked = now();
        shop.publish(0, &[view(&format!("c{n}"), "music-strings")]).await;
        service.until(&path(n), |answer| ids(answer).first() == Some(&"music-guitar")).await;
        took.push(now().millis() - clicked.millis());
    }
    // The best of them: others have the machine too.
    assert!(took.iter().min().is_some_and(|took| *took < 1_000), "{took:?} ms from the click to the answer");
    let (_, answer) = service.get(&path(0)).await;
    let guitar = &answer["items"][0];
    assert_eq!(guitar["category"], "music");
    assert_eq!(guitar["reason"]["strategy"], "visits");
    assert_eq!(
        (&guitar["reason"]["count"], &guitar["reason"]["text"]),
        (&json!(8), &json!("in 8 visits or orders like this one"))
    );
    assert!(guitar["score"].as_f64().is_some_and(|score| score > 0.0), "{answer}");
    assert!(answer["model"]["age_seconds"].as_f64().is_some_and(|age| age < 60.0), "{answer}");
    assert_eq!(answer["model"]["partitions"].as_array().map(Vec::len), Some(2));
    service.stop().await;
}

#[tokio::test]
async fn every_list_answers_by_its_reason() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    for n in 0..4 {
        shop.publish(n % 2, &[order(&format!("c{n}"), &["music-strings", "music-picks"])]).await;
    }
    for n in 4..8 {
        shop.publish(n % 2, &[order(&format!("c{n}"), &["books-a"])]).await;
    }
    let session = json!({"product_id": "toys-boat", "session_id": "visit"});
    let last = shop.publish(1, &[(event("product.viewed", None, session), enrichment(&["toys"]))]).await;
    service.learnt(1, last).await;
    let (_, together) = service.get("/v1/recommendations/bought-together/music-strings").await;
    assert_eq!(ids(&together), ["music-picks"]);
    assert_eq!(together["items"][0]["reason"]["strategy"], "together");
    assert_eq!(together["items"][0]["reason"]["count"], 4);
    assert!(together["items"][0]["reason"]["lift"].as_f64().is_some_and(|lift| lift > 1.0), "{together}");
    let (_, similar) = service.get("/v1/recommendations/similar/music-strings?n=1").await;
    assert_eq!((ids(&similar), &similar["items"][0]["reason"]["strategy"]), (vec!["music-picks"], &json!("similar")));
    for list in ["popular", "trending"] {
        // The charts may be of a moment ago.
        let path = format!("/v1/recommendations/{list}?category=toys");
        let answer = service.until(&path, |answer| ids(answer) == ["toys-boat"]).await;
        assert_eq!(answer["items"][0]["reason"]["strategy"], list);
    }
    let (_, visit) = service.get("/v1/recommendations?session=visit").await;
    assert!(!ids(&visit).contains(&"toys-boat"), "it is what the visitor looks at: {visit}");
    let (_, named) = service.get("/v1/recommendations?items=music-picks,music-strings&n=2").await;
    assert_eq!(ids(&named).first(), Some(&"music-picks"), "{named}");
    service.stop().await;
}

#[tokio::test]
async fn what_was_bought_is_left_out_where_that_is_asked() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    shop.visitors(0..3, &["books-a", "books-b"]).await;
    shop.publish(0, &[order("c", &["books-a"])]).await;
    let path = "/v1/profiles/c";
    service.until(path, |profile| profile["purchases"][0]["item"] == "books-a").await;
    let (status, answer) = service.get("/v1/recommendations?customer=c&exclude=purchased").await;
    assert_eq!((status, ids(&answer)), (200, vec!["books-b"]));
    service.stop().await;
}

#[tokio::test]
async fn a_profile_tells_what_a_customer_did_and_duplicates_count_once() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    shop.publish(0, &[view("Zoë /?", "books-a"), view("Zoë /?", "music-b")]).await;
    let (line, enriched) = view("Zoë /?", "toys-c");
    let last =
        shop.publish(1, &[order("Zoë /?", &["music-b"]), (line, Enrichment { duplicate: true, ..enriched })]).await;
    service.learnt(1, last).await;
    let path = "/v1/profiles/Zo%C3%AB%20%2F%3F";
    let known = eventually("both partitions are kept", DEADLINE, async || {
        let (status, profile) = service.get(path).await;
        (status == 200 && profile["orders"] == 1 && profile["views"].as_array()?.len() == 2).then_some(profile)
    })
    .await;
    assert_eq!(known["purchases"][0]["item"], "music-b");
    assert_eq!(known["favourite_categories"][0], json!({"name": "music", "weight": 4}));
    assert_eq!(known["favourite_categories"].as_array().map(Vec::len), Some(2), "the duplicate is not counted");
    let (_, popular) = service.get("/v1/recommendations/popular").await;
    assert!(!ids(&popular).contains(&"toys-c"), "{popular}");
    let (status, problem) = service.get("/v1/profiles/nobody").await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_known_or_too_much_is_refused() {
    let shop = Shop::open().await;
    let service = shop.start().await;
    let many = vec!["p"; 51].join(",");
    let long = "x".repeat(401);
    for path in [
        "?n=0".to_owned(),
        "?n=101".into(),
        "?n=many".into(),
        "?limit=5".into(),
        "?customer=".into(),
        "?items=a,,b".into(),
        "?exclude=purchased".into(),
        "?customer=c&exclude=seen".into(),
        format!("?items={many}"),
        format!("?customer={long}"),
        format!("/similar/{long}"),
        "/popular?customer=c".into(),
    ] {
        let (status, problem) = service.get(&format!("/v1/recommendations{path}")).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_parameter")), "{path}: {problem}");
    }
    for n in ["0", "-1", "101", "1.5", "many"] {
        let (_, problem) = service.get(&format!("/v1/recommendations/popular?n={n}")).await;
        assert!(problem["detail"].as_str().is_some_and(|told| told == "n: must be 1 to 100"), "{n}: {problem}");
    }
    let (status, answer) = service.get("/v1/recommendations?customer=c").await;
    assert_eq!((status, ids(&answer).len()), (200, 0), "nothing is learnt yet");
    service.stop().await;
}

#[tokio::test]
async fn a_parameter_that_a_profile_does_not_have_erases_nothing() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    shop.publish(0, &[order("c", &["books-a"])]).await;
    let path = "/v1/profiles/c";
    service.until(path, |profile| profile["orders"] == 1).await;
    for query in ["?confirm=no", "?dry_run", "?="] {
        let path = format!("{path}{query}");
        for (status, problem) in [service.get(&path).await, service.delete(&path).await] {
            assert_eq!((status, &problem["code"]), (400, &json!("invalid_parameter")), "{path}: {problem}");
        }
    }
    assert_eq!(service.get(path).await.0, 200, "nothing is erased");
    assert_eq!(service.delete(path).await.0, 200);
    assert_eq!(service.get(path).await.0, 404);
    service.stop().await;
}

#[tokio::test]
async fn the_script_for_pages_is_served() {
    let shop = Shop::open().await;
    let service = shop.start().await;
    let answer = reqwest::get(format!("http://{}/assets/recommend.js", service.address)).await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/javascript; charset=utf-8");
    let script = answer.text().await.expect("text");
    assert!(script.contains("recommendation.${what}") && script.contains("IntersectionObserver"));
    service.stop().await;
}

#[tokio::test]
async fn a_visit_of_nobody_who_is_known_is_forgotten() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    let seen = |visit: &str, product: &str| {
        let data = json!({"product_id": product, "session_id": visit});
        (event("product.viewed", None, data), enrichment(&["Books"]))
    };
    let events = [seen("v,1", "books-a"), seen("v,1", "only-there"), seen("v2", "books-a")];
    let last = shop.publish(0, &events).await;
    service.learnt(0, last).await;
    let popular = "/v1/recommendations/popular";
    service.until(popular, |answer| ids(answer).contains(&"only-there")).await;
    assert_eq!(service.delete("/v1/sessions/v%2C1?sure").await.0, 400);
    assert_eq!(service.delete("/v1/sessions/v%2C1").await.0, 200);
    assert_eq!(ids(&service.get(popular).await.1), ["books-a"], "at once");
    let late = shop.publish(0, &[seen("v,1", "only-there"), seen("v2", "books-b")]).await;
    service.learnt(0, late).await;
    service.until(popular, |answer| ids(answer).contains(&"books-b")).await;
    assert!(!ids(&service.get(popular).await.1).contains(&"only-there"));
    service.stop().await;
}

#[tokio::test]
async fn keys_open_what_their_role_opens() {
    let (read, operate) = ("r".repeat(40), "o".repeat(40));
    let shop = Shop::open().await;
    let keys = format!("auth.read = 'page {read}'\nauth.operate = 'shop {operate}'\n");
    let service = common::Running::start(&shop.toml(&shop.sqlite(), &keys)).await;
    let (popular, profile) = ("/v1/recommendations/popular", "/v1/profiles/c");
    assert_eq!(service.get(popular).await.0, 401);
    assert_eq!(service.get_with(popular, &read).await.0, 200);
    assert_eq!(service.get_with(profile, &read).await.0, 403);
    assert_eq!(service.get_with(profile, &operate).await.0, 404);
    assert_eq!(service.delete_with(profile, &read).await.0, 403);
    assert_eq!(service.delete_with(profile, &operate).await.0, 200);
    service.stop().await;
}

#[tokio::test]
async fn a_visitor_stays_in_a_variant_and_the_answer_names_it() {
    let mut shop = Shop::open().await;
    let rules = shop.folder.path().join("rules.yaml");
    let variants = "{name: control, share: 50}, {name: popular-first, share: 50, strategy: popular}";
    let yaml = format!("fallbacks: [popular]\nexperiment: {{name: shelf, variants: [{variants}]}}\n");
    std::fs::write(&rules, yaml).expect("written");
    let toml = shop.toml(&shop.sqlite(), &format!("rules.file = '{}'\n", rules.display()));
    let service = Running::start(&toml).await;
    shop.visitors(0..6, &["music-strings", "music-guitar"]).await;
    let last = shop.publish(0, &[view("c", "books-tides")]).await;
    service.learnt(0, last).await;
    // The charts may be of a moment ago.
    service.until("/v1/recommendations/popular", |answer| ids(answer).contains(&"books-tides")).await;
    let mut seen = std::collections::BTreeMap::new();
    for n in 0..20 {
        let path = format!("/v1/recommendations?session=s{n}&items=music-strings");
        let (_, answer) = service.get(&path).await;
        let (_, again) = service.get(&path).await;
        assert_eq!((&answer["experiment"], &answer["variant"]), (&json!("shelf"), &again["variant"]), "{answer}");
        assert_ne!(answer["request"], again["request"]);
        let strategy = answer["items"][0]["reason"]["strategy"].as_str().expect("a strategy").to_owned();
        seen.insert(answer["variant"].as_str().expect("a variant").to_owned(), strategy);
    }
    let expected = [("control", "visits"), ("popular-first", "popular")];
    assert_eq!(seen, expected.map(|(variant, strategy)| (variant.to_owned(), strategy.to_owned())).into());
    // Who is not known is in none, and other lists have none.
    for path in ["/v1/recommendations?items=music-strings", "/v1/recommendations/popular"] {
        let (_, answer) = service.get(path).await;
        assert!(answer["request"].is_string() && answer.get("variant").is_none(), "{answer}");
    }
    service.stop().await;
}
