//! The write key in the body of Segment's calls, where a page can set no header.

use std::{collections::BTreeSet, io::Write};

use flate2::{Compression, write::GzEncoder};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tidemill_service::AuthConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Service, answer};

const SHOP: &str = "https://shop.example";
const SHOP_KEY: &str = "key-of-the-shop-1";
const APP_KEY: &str = "key-of-the-app-02";
const OPERATE_KEY: &str = "key-of-anna-is-it";

async fn of_a_shop() -> Service {
    Service::with(|config| {
        config.auth = AuthConfig::default();
        config.auth.write = [format!("shop {SHOP_KEY}"), format!("app {APP_KEY}")].into_iter().collect();
        config.auth.operate = [format!("anna {OPERATE_KEY}")].into_iter().collect();
        config.cors.origins = BTreeSet::from([SHOP.to_owned()]);
        config.limits.rate_per_key = std::num::NonZeroU32::MIN;
        config.limits.burst = std::num::NonZeroU32::MIN.saturating_add(19);
        config.limits.events_per_request = 20;
    })
    .await
}

/// As `navigator.sendBeacon` sends a text.
fn beacon(service: &Service, path: &str, body: &Value) -> RequestBuilder {
    let request = service.post(path).header("origin", SHOP).header("content-type", "text/plain;charset=UTF-8");
    request.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "no-cors").body(body.to_string())
}

fn page(id: &str, key: Option<&str>) -> Value {
    let mut call = json!({"type": "page", "messageId": id, "anonymousId": "a"});
    if let Some(key) = key {
        call["writeKey"] = key.into();
    }
    call
}

/// All that is stored, as bytes.
async fn stored(service: &Service) -> String {
    let letters = service.dead_letters().await;
    let bodies = letters.iter().map(|letter| format!("{letter:?} {}", String::from_utf8_lossy(&letter.body)));
    format!("{} {}", json!(service.log().await), bodies.collect::<String>())
}

#[tokio::test]
async fn a_key_in_the_body_opens_the_routes_of_calls() {
    let service = of_a_shop().await;
    let elsewhere = answer(beacon(&service, "/v1/events", &page("e", Some(SHOP_KEY)))).await;
    elsewhere.problem(401, "unauthorized");
    let detail = elsewhere.body["detail"].as_str().expect("why");
    assert!(detail.contains("`writeKey` in the body is read by the routes of Segment's calls alone"), "{detail}");
    for path in ["/v1/p", "/v1/page"] {
        let taken = answer(beacon(&service, path, &page(path, Some(SHOP_KEY)))).await;
        taken.accepted(1);
        assert_eq!(taken.headers["access-control-allow-origin"], SHOP);
    }
    let batch = json!({"batch": [page("b-1", None), page("b-2", Some("another"))], "writeKey": SHOP_KEY});
    answer(beacon(&service, "/v1/b", &batch)).await.accepted(2);
    answer(service.post("/v1/batch").json(&batch)).await.accepted(2);
    // Its name is the caller's, as that of a key in a header.
    let metrics = service.metrics().await;
    assert!(metrics.contains("tidemill_access_granted_total{key=\"shop\"} 4"), "{metrics}");
    assert_eq!(service.log().await.len(), 6);
    assert!(!stored(&service).await.contains(SHOP_KEY));
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_key_or_none_is_answered_as_ever() {
    let service = of_a_shop().await;
    let as_ever = answer(service.post("/v1/events").json(&page("1", Some(SHOP_KEY)))).await;
    as_ever.problem(401, "unauthorized");
    let in_batch = json!({"batch": [page("1", Some(SHOP_KEY))]});
    for (path, body) in [
        ("/v1/p", page("1", None)),
        ("/v1/p", page("1", Some("key-of-nobody-at-all"))),
        ("/v1/p", json!({"type": "page", "writeKey": 7})),
        ("/v1/p", json!([page("1", Some(SHOP_KEY))])),
        ("/v1/b", in_batch.clone()),
    ] {
        let refused = answer(beacon(&service, path, &body)).await;
        refused.problem(401, "unauthorized");
        assert_eq!((&refused.body, refused.headers.get("www-authenticate").is_some()), (&as_ever.body, true));
    }
    for (content_type, body) in [
        ("application/xml", page("1", Some(SHOP_KEY)).to_string()),
        ("application/json", format!("{{\"writeKey\":\"{SHOP_KEY}\"")),
    ] {
        let request = service.post("/v1/p").header("content-type", content_type).body(body);
        answer(request).await.problem(401, "unauthorized");
    }
    answer(beacon(&service, "/v1/p", &page("1", Some(OPERATE_KEY)))).await.problem(403, "forbidden_role");
    // A key in a header or in the address is the one that counts.
    let right = page("1", Some(SHOP_KEY));
    answer(beacon(&service, "/v1/p", &right).header("x-write-key", "key-of-nobody-at-all"))
        .await
        .problem(401, "unauthorized");
    answer(beacon(&service, "/v1/p?write_key=key-of-nobody-at-all", &right)).await.problem(401, "unauthorized");
    assert!(service.log().await.is_empty() && service.dead_letters().await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn its_role_budget_and_origins_apply() {
    let service = of_a_shop().await;
    let foreign = service.post("/v1/p").header("origin", "https://evil.example").json(&page("1", Some(SHOP_KEY)));
    answer(foreign).await.problem(403, "forbidden_origin");

    let many = |key| json!({"batch": (0..20).map(|n| page(&n.to_string(), None)).collect::<Vec<_>>(), "writeKey": key});
    answer(beacon(&service, "/v1/b", &many(SHOP_KEY))).await.accepted(20);
    answer(beacon(&service, "/v1/b", &many(SHOP_KEY))).await.problem(429, "rate_limited");
    answer(beacon(&service, "/v1/b", &many(APP_KEY))).await.accepted(20);
    service.stop().await;
}

#[tokio::test]
async fn a_compressed_body_may_have_the_key() {
    let service = of_a_shop().await;
    let gzip = |body: &Value| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body.to_string().as_bytes()).expect("writes");
        encoder.finish().expect("ends")
    };
    let send = |body: Vec<u8>| {
        let request = service.post("/v1/p").header("content-type", "application/json");
        answer(request.header("content-encoding", "gzip").body(body))
    };
    send(gzip(&page("1", Some(SHOP_KEY)))).await.accepted(1);
    send(gzip(&page("1", None))).await.problem(401, "unauthorized");
    send(b"no gzip".to_vec()).await.problem(401, "unauthorized");
    // It inflates to more than is looked at.
    let mut bomb = page("1", Some(SHOP_KEY));
    bomb["context"] = json!({"x": " ".repeat(4 << 20)});
    send(gzip(&bomb)).await.problem(401, "unauthorized");
    // Large, and validated where it holds nobody up.
    let mut large = page("2", Some(SHOP_KEY));
    large["context"] = json!({"x": "y".repeat(40 << 10)});
    answer(beacon(&service, "/v1/p", &large)).await.accepted(1);
    service.stop().await;
}

#[tokio::test]
async fn a_large_body_of_a_stranger_is_not_read() {
    let service = of_a_shop().await;
    // It announces more than is looked at, and is answered before any of it comes.
    let mut client = TcpStream::connect(service.address).await.expect("connects");
    let head = "POST /v1/b HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 600000\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("sends");
    let mut start = [0; 12];
    client.read_exact(&mut start).await.expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 401");
    drop(client);
    // One that announces nothing is read so far.
    let batch = json!({"batch": [page("1", None)], "writeKey": SHOP_KEY, "x": " ".repeat(600_000)}).to_string();
    let chunked = |body: String| reqwest::Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>(body)]));
    let send = |body: String| answer(service.post("/v1/b").header("content-type", "text/plain").body(chunked(body)));
    send(batch.clone()).await.problem(401, "unauthorized");
    // The holder of a key in a header may send as much as ever.
    let keyed = service.post("/v1/b").header("content-type", "text/plain").bearer_auth(SHOP_KEY);
    answer(keyed.body(batch)).await.accepted(1);
    service.stop().await;
}

#[tokio::test]
async fn no_dead_letter_keeps_a_key() {
    let service = of_a_shop().await;
    let nameless = json!({"type": "track", "writeKey": SHOP_KEY, "properties": {"writeKey": SHOP_KEY}});
    answer(beacon(&service, "/v1/t", &nameless)).await.problem(422, "invalid_event");
    let batch = json!({"batch": [{"event": "", "writeKey": SHOP_KEY}], "writeKey": SHOP_KEY});
    answer(beacon(&service, "/v1/b", &batch)).await.problem(422, "all_rejected");
    let keyed =
        |body: String| service.post("/v1/t").bearer_auth(SHOP_KEY).header("content-type", "text/plain").body(body);
    answer(keyed(format!("{{\"writeKey\":\"{SHOP_KEY}\",\"event\":"))).await.problem(400, "malformed_json");
    let large = json!({"a": "b".repeat(70_000), "writeKey": SHOP_KEY}).to_string();
    answer(keyed(large)).await.problem(413, "event_too_large");
    let cut = json!({"writeKey": SHOP_KEY, "a": "b".repeat(70_000)}).to_string();
    answer(keyed(cut)).await.problem(413, "event_too_large");
    let letters = service.dead_letters().await;
    assert!(letters.len() >= 4, "{letters:?}");
    let stored = stored(&service).await;
    assert!(!stored.contains(SHOP_KEY), "{stored}");
    service.stop().await;
}

#[tokio::test]
async fn many_strangers_of_one_address_wait() {
    let service = of_a_shop().await;
    let mut statuses = BTreeSet::new();
    for _ in 0..2000 {
        if statuses.contains(&429) {
            break;
        }
        statuses.insert(answer(beacon(&service, "/v1/p", &page("1", None))).await.status.as_u16());
    }
    assert_eq!(statuses, BTreeSet::from([401, 429]));
    // A key before the body is not looked for in it.
    answer(beacon(&service, "/v1/p", &page("1", None)).header("x-write-key", APP_KEY)).await.accepted(1);
    service.stop().await;
}

#[tokio::test]
async fn where_everybody_may_send_a_key_is_ignored_and_not_kept() {
    let service = Service::start().await;
    answer(beacon(&service, "/v1/p", &page("1", Some(SHOP_KEY)))).await.accepted(1);
    answer(beacon(&service, "/v1/t", &page("2", Some(SHOP_KEY)))).await.accepted(1);
    answer(beacon(&service, "/v1/t", &json!({"type": "track", "writeKey": SHOP_KEY})))
        .await
        .problem(422, "invalid_event");
    assert!(!stored(&service).await.contains(SHOP_KEY));
    service.stop().await;
}
