//! Keys, origins, sizes, types and rates.

use std::{collections::BTreeSet, num::NonZeroU32};

use reqwest::RequestBuilder;
use serde_json::json;
use tidemill_service::AuthConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Service, answer, view};

const SHOP_KEY: &str = "key-of-the-shop-1";
const APP_KEY: &str = "key-of-the-app-02";

/// With keys, and limits that a few small requests reach.
async fn limited() -> Service {
    Service::with(|config| {
        config.auth = AuthConfig::default();
        config.auth.write = [format!("shop {SHOP_KEY}"), format!("app {APP_KEY}")].into_iter().collect();
        config.auth.operate = ["anna key-of-anna-is-it"].into_iter().collect();
        config.cors.origins = BTreeSet::from(["https://shop.example".to_owned()]);
        config.limits.wire_bytes = 100_000;
        config.limits.events_per_request = 3;
        config.limits.burst = NonZeroU32::MIN.saturating_add(2);
        config.limits.rate_per_key = NonZeroU32::MIN;
    })
    .await
}

fn post_view(service: &Service) -> RequestBuilder {
    service.post("/v1/events").header("content-type", "application/json").body(view("1").to_string())
}

#[tokio::test]
async fn a_request_needs_a_key_that_may_write() {
    let service = limited().await;
    let unauthorized = answer(post_view(&service)).await;
    unauthorized.problem(401, "unauthorized");
    assert_eq!(unauthorized.headers.get_all("www-authenticate").iter().count(), 1);
    answer(post_view(&service).bearer_auth("key-of-nobody-at-all")).await.problem(401, "unauthorized");
    // Who may operate may not write: each key is for one thing.
    let other = answer(post_view(&service).bearer_auth("key-of-anna-is-it")).await;
    other.problem(403, "forbidden_role");
    assert_eq!(other.body["detail"], "the key anna may operate, and this needs one that may write");
    service.stop().await;
}

#[tokio::test]
async fn a_key_comes_in_any_of_three_headers() {
    let service = limited().await;
    answer(post_view(&service).bearer_auth(APP_KEY)).await.accepted(1);
    answer(post_view(&service).header("x-write-key", APP_KEY)).await.accepted(1);
    answer(post_view(&service).basic_auth(APP_KEY, Some(""))).await.accepted(1);
    service.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_not_send() {
    let service = limited().await;
    let page = |origin| answer(post_view(&service).bearer_auth(SHOP_KEY).header("origin", origin));
    page("https://evil.example").await.problem(403, "forbidden_origin");
    let allowed = page("https://shop.example").await;
    allowed.accepted(1);
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://shop.example");
    service.stop().await;
}

#[tokio::test]
async fn bodies_are_limited_in_size_and_type() {
    let service = limited().await;
    let keyed = || service.post("/v1/events").bearer_auth(APP_KEY);
    let json = || keyed().header("content-type", "application/json");
    answer(json().body(" ".repeat(100_001))).await.problem(413, "body_too_large");
    let endless =
        reqwest::Body::wrap_stream(futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1000])));
    answer(json().body(endless)).await.problem(413, "body_too_large");
    answer(json().body("[1,2,3,4]")).await.problem(413, "too_many_events");
    answer(keyed().header("content-type", "application/xml").body("<a/>")).await.problem(415, "unsupported_media_type");
    answer(keyed().body("{}")).await.problem(415, "unsupported_media_type");
    service.stop().await;
}

/// As Node's fetch does it: all of the body first, then the answer.
#[tokio::test]
async fn who_sends_too_much_is_told_so() {
    let service = limited().await;
    let head = |key: &str| {
        format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nX-Write-Key: {key}\r\n\
             Content-Length: 6000000\r\nConnection: close\r\n\r\n"
        )
    };
    for (key, status) in [(APP_KEY, "413"), (APP_KEY, "413"), ("key-of-nobody-at-all", "401")] {
        let mut client = TcpStream::connect(service.address).await.expect("connects");
        client.write_all(head(key).as_bytes()).await.expect("sends");
        client.write_all(&vec![b'x'; 6_000_000]).await.expect("all of it is taken");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn each_key_has_a_rate_of_its_own() {
    let service = limited().await;
    let send = |key, body: String| {
        answer(service.post("/v1/events").bearer_auth(key).header("content-type", "application/json").body(body))
    };
    let two = json!([view("a"), view("b")]).to_string();
    send(APP_KEY, two.clone()).await.accepted(2);
    let limited = send(APP_KEY, json!([view("c"), view("d"), view("e")]).to_string()).await;
    limited.problem(429, "rate_limited");
    let wait: u64 = limited.headers["retry-after"].to_str().expect("ascii").parse().expect("seconds");
    assert!((1..=4).contains(&wait), "{wait}");
    send(SHOP_KEY, two).await.accepted(2);
    service.stop().await;
}

#[tokio::test]
async fn other_methods_and_addresses_have_no_answer() {
    let service = limited().await;
    let get = service.client.get(format!("http://{}/v1/events", service.address));
    answer(get).await.problem(405, "method_not_allowed");
    answer(service.post("/v1/nothing")).await.problem(404, "not_found");
    service.stop().await;
}
