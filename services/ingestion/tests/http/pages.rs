//! What a shop's page sends, and what a browser wants to be answered.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use tidemill_service::AuthConfig;

use crate::support::{Answer, Service, answer, view};

const SHOP: &str = "https://shop.example";
const SHOP_KEY: &str = "key-of-the-shop-1";
const OPERATE_KEY: &str = "key-of-anna-is-it";

async fn of_a_shop() -> Service {
    Service::with(|config| {
        config.auth = AuthConfig::default();
        config.auth.write = [format!("shop {SHOP_KEY}")].into_iter().collect();
        config.auth.operate = [format!("anna {OPERATE_KEY}")].into_iter().collect();
        config.cors.origins = BTreeSet::from([SHOP.to_owned()]);
    })
    .await
}

/// As `navigator.sendBeacon` sends a text.
fn beacon(service: &Service, path: &str, origin: &str) -> RequestBuilder {
    let request = service.post(path).header("origin", origin).header("content-type", "text/plain;charset=UTF-8");
    request.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "no-cors").body(view("beacon").to_string())
}

/// What a browser asks before a request that is not simple.
async fn preflight(service: &Service, origin: &str) -> Answer {
    let request = service.client.request(Method::OPTIONS, format!("http://{}/v1/events", service.address));
    let request = request.header("origin", origin).header("access-control-request-method", "POST");
    answer(request.header("access-control-request-headers", "content-type,x-write-key")).await
}

#[tokio::test]
async fn a_beacon_brings_events_and_its_key_in_the_address() {
    let service = of_a_shop().await;
    let with_key = format!("/v1/events?write_key={SHOP_KEY}");
    let taken = answer(beacon(&service, &with_key, SHOP)).await;
    taken.accepted(1);
    assert_eq!(taken.headers["access-control-allow-origin"], SHOP);
    assert_eq!(taken.headers["access-control-allow-credentials"], "true");
    let two = format!("[{},{}]", view("two"), view("three"));
    answer(beacon(&service, &with_key, SHOP).body(two)).await.accepted(2);
    let call = r#"{"type":"page","messageId":"m","anonymousId":"a"}"#;
    answer(beacon(&service, &format!("/v1/p?write_key={SHOP_KEY}"), SHOP).body(call)).await.accepted(1);
    assert_eq!(service.log().await.len(), 4);
    service.stop().await;
}

#[tokio::test]
async fn a_beacon_of_another_page_or_without_a_key_brings_nothing() {
    let service = of_a_shop().await;
    let with = |key: &str| format!("/v1/events?write_key={key}");
    let foreign = answer(beacon(&service, &with(SHOP_KEY), "https://evil.example")).await;
    foreign.problem(403, "forbidden_origin");
    assert!(!foreign.headers.contains_key("access-control-allow-origin"));
    answer(beacon(&service, &with(SHOP_KEY), "null")).await.problem(403, "forbidden_origin");
    answer(beacon(&service, "/v1/events", SHOP)).await.problem(401, "unauthorized");
    answer(beacon(&service, &with("key-of-nobody-at-all"), SHOP)).await.problem(401, "unauthorized");
    answer(beacon(&service, &with(OPERATE_KEY), SHOP)).await.problem(403, "forbidden_role");
    let twice = format!("/v1/events?write_key={SHOP_KEY}&write_key={SHOP_KEY}");
    answer(beacon(&service, &twice, SHOP)).await.problem(401, "unauthorized");
    assert!(service.log().await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn only_pages_that_are_named_may_send_with_credentials() {
    let service = of_a_shop().await;
    let allowed = preflight(&service, SHOP).await;
    assert_eq!(allowed.headers["access-control-allow-origin"], SHOP);
    assert_eq!(allowed.headers["access-control-allow-credentials"], "true");
    assert_eq!(allowed.headers["access-control-allow-headers"], "content-type,x-write-key");
    let refused = preflight(&service, "https://evil.example").await;
    for header in ["access-control-allow-origin", "access-control-allow-credentials"] {
        assert!(!refused.headers.contains_key(header), "{refused:?}");
    }
    service.stop().await;

    // Where no page is named, all may send, and none with credentials.
    let service = Service::start().await;
    let any = preflight(&service, SHOP).await;
    assert_eq!(any.headers["access-control-allow-origin"], "*");
    assert!(!any.headers.contains_key("access-control-allow-credentials"), "{any:?}");
    answer(beacon(&service, "/v1/events", SHOP)).await.accepted(1);
    service.stop().await;
}
