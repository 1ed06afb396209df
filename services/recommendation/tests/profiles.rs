//! What others are told of customers, in `PROFILES`.

mod common;

use common::{DEADLINE, PARTITIONS, Running, Shop, enrichment, event, order, view};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidemill_bus::Stored;
use tidemill_domain::{Amount, Currency};
use tidemill_events::{Enrichment, LineFacts, ProfileUpdate, PublishedProfile, topology};
use tidemill_testkit::{Postgres, eventually, jetstream, skipped};

fn hash(customer: &str) -> String {
    let digest = Sha256::digest(format!("customer:{customer}"));
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits for a message about the customer.
async fn told(shop: &Shop, customer: &str, is_it: impl Fn(&Option<PublishedProfile>) -> bool) -> Stored<ProfileUpdate> {
    let subject = topology::profiles(&hash(customer));
    eventually("it is published", DEADLINE, async || {
        let last = shop.bus.last::<ProfileUpdate>(&subject).await.expect("answers")?;
        is_it(&last.message.profile).then_some(last)
    })
    .await
}

fn items(profile: &Option<PublishedProfile>) -> Vec<&str> {
    profile.iter().flat_map(|profile| &profile.views).map(|view| &*view.item).collect()
}

fn usd() -> Currency {
    "USD".parse().expect("a currency")
}

/// An order that comes to so much, in euros where the shop reckons in dollars.
fn order_of(customer: &str, product: &str, euros: i64, rate: &str) -> (Value, Enrichment) {
    let (event, enriched) = order(customer, &[product]);
    let line = LineFacts { gross: Amount::from_int(euros), ..LineFacts::default() };
    let (base, rate) = (Some(usd()), Some(rate.into()));
    (event, Enrichment { currency: Some(Currency::EUR), base, rate, lines: vec![line], ..enriched })
}

#[tokio::test]
async fn the_latest_of_each_customer_is_told_whatever_partition_it_is_of() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    shop.publish(0, &[view("Zoë", "books-a"), view("other", "toys-b")]).await;
    let first = told(&shop, "Zoë", |profile| items(profile) == ["books-a"]).await;
    shop.publish(1, &[order_of("Zoë", "music-b", 9_000, "1.2")]).await;
    let last = told(&shop, "Zoë", |profile| profile.as_ref().is_some_and(|profile| profile.orders == 1)).await;
    let profile = last.message.profile.expect("a profile");
    assert_eq!((last.message.customer, profile.segment.as_deref()), (hash("Zoë"), Some("VIP")));
    assert_eq!(profile.value, [(Currency::EUR, Amount::from_int(9_000))].into());
    assert_eq!((&*profile.views[0].item, &*profile.purchases[0].item), ("books-a", "music-b"));
    let (_, answer) = service.get("/v1/profiles/Zo%C3%AB").await;
    assert_eq!((&answer["segment"], &answer["orders"]), (&json!("VIP"), &json!(1)));
    let before = shop.bus.message_at::<ProfileUpdate>(first.sequence).await.expect("answers");
    assert!(before.is_none(), "the stream has the latest of each customer alone");
    told(&shop, "other", |profile| items(profile) == ["toys-b"]).await;
    service.stop().await;
}

#[tokio::test]
async fn of_a_forgotten_customer_nothing_is_left_and_a_new_one_is_told_again() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    shop.publish(0, &[view("secret", "books-a")]).await;
    shop.publish(1, &[order("secret", &["music-b"])]).await;
    let known = told(&shop, "secret", |profile| {
        profile.as_ref().is_some_and(|profile| profile.orders == 1 && profile.views.len() == 1)
    })
    .await;
    assert_eq!(service.delete("/v1/profiles/secret").await.0, 200);
    let gone = told(&shop, "secret", Option::is_none).await;
    assert!(gone.sequence > known.sequence);
    for sequence in 1..gone.sequence {
        let left = shop.bus.message_at::<ProfileUpdate>(sequence).await.expect("answers");
        assert!(left.is_none_or(|left| left.message.customer != hash("secret")), "{sequence}");
    }
    service.stop().await;
    // Whoever starts tells it again, and nothing of before.
    let again = shop.start().await;
    shop.publish(0, &[view("later", "books-a")]).await;
    told(&shop, "later", Option::is_some).await;
    told(&shop, "secret", Option::is_none).await;
    again.stop().await;
}

/// As where an older folder of the log was put back: it has of a forgotten customer what was told
/// before, and of others nothing.
async fn put_back(shop: &Shop, older: &ProfileUpdate) {
    jetstream(&shop.nats.url(), "STREAM.DELETE.PROFILES", "").await;
    eventually("the streams are made", DEADLINE, async || shop.bus.ensure_topology().await.ok()).await;
    shop.bus.publish(older).await.expect("published");
}

#[tokio::test]
async fn an_older_stream_is_told_again_who_is_forgotten() {
    let mut shop = Shop::open().await;
    let service = shop.start().await;
    shop.publish(0, &[view("secret", "books-a"), view("other", "toys-b")]).await;
    let known = told(&shop, "secret", |profile| items(profile) == ["books-a"]).await.message;
    told(&shop, "other", |profile| items(profile) == ["toys-b"]).await;
    assert_eq!(service.delete("/v1/profiles/secret").await.0, 200);
    told(&shop, "secret", Option::is_none).await;
    // At its end it writes down how far it was told, so that what starts compares with it.
    service.stop().await;
    put_back(&shop, &known).await;
    let service = shop.start().await;
    told(&shop, "secret", Option::is_none).await;
    told(&shop, "other", |profile| items(profile) == ["toys-b"]).await;
    // The same under a service that runs.
    put_back(&shop, &known).await;
    told(&shop, "secret", Option::is_none).await;
    told(&shop, "other", |profile| items(profile) == ["toys-b"]).await;
    service.stop().await;
}

#[tokio::test]
async fn what_was_kept_while_nobody_told_is_told_later() {
    let mut shop = Shop::open().await;
    let silent = shop.toml(&shop.sqlite(), "profiles.published_per_second = 0\n");
    let service = Running::start(&silent).await;
    shop.publish(0, &[view("c", "books-a")]).await;
    service.until("/v1/profiles/c", |profile| profile["views"].as_array().is_some()).await;
    let subject = topology::profiles(&hash("c"));
    assert!(shop.bus.last::<ProfileUpdate>(&subject).await.expect("answers").is_none());
    service.stop().await;
    let service = shop.start().await;
    told(&shop, "c", |profile| items(profile) == ["books-a"]).await;
    service.stop().await;
}

/// Two replicas keep a partition each, and both tell of the same customers: what is last
/// in the stream is what both partitions have.
#[tokio::test]
async fn two_replicas_that_tell_of_one_customer_leave_the_latest() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("two_replicas_that_tell_of_one_customer_leave_the_latest", "no PostgreSQL is installed");
    };
    let mut shop = Shop::open().await;
    let toml = shop.toml(&postgres.url(), "");
    let (first, second) = (Running::start(&toml).await, Running::start(&toml).await);
    let customers: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    for round in 0..10 {
        for partition in 0..PARTITIONS {
            let views: Vec<_> =
                customers.iter().map(|customer| view(customer, &format!("books-{partition}-{round}"))).collect();
            shop.publish(partition, &views).await;
        }
    }
    for customer in &customers {
        told(&shop, customer, |profile| items(profile).len() == 20).await;
    }
    // One of them goes; the other one tells what comes then.
    first.stop().await;
    let data = json!({"product_id": "books-last"});
    shop.publish(1, &[(event("product.viewed", Some("c0"), data), enrichment(&["books"]))]).await;
    told(&shop, "c0", |profile| items(profile).len() == 21).await;
    second.stop().await;
}
