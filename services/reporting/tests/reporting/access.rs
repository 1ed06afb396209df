//! Who may do what: keys, the page's session, and what is personal.

use futures::StreamExt;
use serde_json::{Value as Json, json};
use tidemill_events::{
    DeadLetter, Events,
    bodies::{self, Body},
};
use tidemill_testkit::eventually;

use crate::shop::{DEADLINE, Running, Shop, letter};

const READ: &str = "key-of-the-wall-1";
const OPERATE: &str = "key-of-anna-is-it";
const KEYS: &str = "auth.write = 'shop key-of-the-shop-1'\nauth.read = 'wall key-of-the-wall-1'\n\
                    auth.operate = 'anna key-of-anna-is-it'\n";
const EMAIL: &str = "anna.jones@example.com";
const CARD: &str = "4111 1111 1111 1111";

async fn code(request: reqwest::RequestBuilder) -> (u16, Option<String>) {
    let answer = request.send().await.expect("answers");
    let status = answer.status().as_u16();
    let problem: Json = answer.json().await.unwrap_or_default();
    (status, problem["code"].as_str().map(str::to_owned))
}

async fn logged_in(running: &Running, key: &str) -> reqwest::Response {
    let login = running.client.post(format!("http://{}/v1/session", running.address)).json(&json!({"key": key}));
    login.send().await.expect("answers")
}

fn cookie(answer: &reqwest::Response) -> String {
    answer.headers()["set-cookie"].to_str().expect("ASCII").split(';').next().expect("a value").to_owned()
}

#[tokio::test]
async fn each_key_opens_what_its_role_says() {
    let shop = Shop::open().await;
    let running = shop.report(KEYS).await;
    let denied = |code: &str| Some(code.to_owned());
    for (path, opened) in [("/v1/books", [false, true, true]), ("/v1/dead-letters", [false, false, true])] {
        assert_eq!(code(running.get(path)).await, (401, denied("unauthorized")), "{path}");
        assert_eq!(code(running.get(path).bearer_auth("key-of-nobody-at-all")).await.0, 401);
        for (key, opened) in ["key-of-the-shop-1", READ, OPERATE].into_iter().zip(opened) {
            let expected = if opened { (200, None) } else { (403, denied("forbidden_role")) };
            assert_eq!(code(running.get(path).bearer_auth(key)).await, expected, "{path} {key}");
        }
    }
    let discard = running.client.post(format!("http://{}/v1/dead-letters/discard", running.address));
    let order = json!({"sequences": [1], "by": "a", "reason": "b"});
    assert_eq!(code(discard.bearer_auth(READ).json(&order)).await, (403, denied("forbidden_role")));
    // The page itself, and what is asked of every service, need no key.
    for path in ["/", "/assets/dashboard.js", "/openapi.json", "/livez"] {
        assert_eq!(running.get(path).send().await.expect("answers").status(), 200, "{path}");
    }
    let metrics = running.get("/metrics").send().await.expect("answers").text().await.expect("text");
    for line in [
        "tidemill_access_granted_total{key=\"anna\"} 2",
        "tidemill_access_denied_total{code=\"forbidden_role\",needs=\"operate\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_page_logs_in_and_reads_no_more_than_that() {
    let shop = Shop::open().await;
    let running = shop.report(KEYS).await;
    assert_eq!(logged_in(&running, "key-of-nobody-at-all").await.status(), 401);
    assert_eq!(logged_in(&running, "key-of-the-shop-1").await.status(), 403, "a write key reads nothing");
    let answer = logged_in(&running, OPERATE).await;
    assert_eq!(answer.status(), 204);
    let set = answer.headers()["set-cookie"].to_str().expect("ASCII").to_owned();
    assert!(set.contains("; HttpOnly; SameSite=Strict") && !set.contains("Secure") && !set.contains(OPERATE), "{set}");
    let cookie = cookie(&answer);
    let with = |path: &str| running.get(path).header("cookie", &cookie);
    assert_eq!(with("/v1/books").send().await.expect("answers").status(), 200);
    assert_eq!(with("/v1/stream").send().await.expect("answers").status(), 200);
    // Even of an operator's key, the cookie reads alone.
    assert_eq!(code(with("/v1/dead-letters")).await, (403, Some("forbidden_role".into())));
    let order = running.client.post(format!("http://{}/v1/dead-letters/discard", running.address));
    let order = order.header("cookie", &cookie).json(&json!({"sequences": [1], "by": "a", "reason": "b"}));
    assert_eq!(code(order).await.0, 403);
    let forged = cookie.replacen("anna", "wall", 1);
    assert_eq!(code(running.get("/v1/books").header("cookie", forged)).await.0, 401);

    let login = running.client.post(format!("http://{}/v1/session", running.address)).json(&json!({"key": READ}));
    let answer = login.header("x-forwarded-proto", "https").send().await.expect("answers");
    assert!(answer.headers()["set-cookie"].to_str().expect("ASCII").ends_with("; Secure"));
    let out = running.client.delete(format!("http://{}/v1/session", running.address)).send().await.expect("answers");
    assert!(out.headers()["set-cookie"].to_str().expect("ASCII").contains("Max-Age=0"));
    // A page elsewhere cannot post JSON, and a form is refused.
    let form = running.client.post(format!("http://{}/v1/session", running.address)).body("key=x").send();
    assert_eq!(form.await.expect("answers").status(), 415);
    let mut last = 0;
    for _ in 0..12 {
        last = logged_in(&running, "key-of-nobody-at-all").await.status().as_u16();
    }
    assert_eq!(last, 429, "an address tries so often and no more");
    running.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_what_was_begun_with_it() {
    let shop = Shop::open().await;
    let keys = tidemill_testkit::tempdir();
    let write = |name: &str, text: &str| std::fs::write(keys.path().join(name), text).expect("writes");
    write("read", "wall key-of-the-wall-1\ndesk key-of-the-desk-1\n");
    let running = shop.report(&format!("auth.folder = '{}'", keys.path().display())).await;
    let cookie = cookie(&logged_in(&running, READ).await);
    let stream = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.expect("answers");
        assert_eq!(answer.status(), 200);
        let mut parts = answer.bytes_stream();
        parts.next().await.expect("its position").expect("bytes");
        parts
    };
    let of_key = stream(running.get("/v1/stream").bearer_auth(READ)).await;
    let of_cookie = stream(running.get("/v1/stream").header("cookie", &cookie)).await;
    let mut of_other = stream(running.get("/v1/stream").bearer_auth("key-of-the-desk-1")).await;

    // A broken file changes nothing, and readiness tells of it.
    write("read", "wall short\n");
    let notice = async || {
        let ready: Json = running.get("/readyz").send().await.expect("answers").json().await.expect("JSON");
        ready["notices"]["keys"].as_str().map(str::to_owned)
    };
    let told = eventually("the broken file is told of", DEADLINE, &notice).await;
    assert!(told.contains("read, line 1 has a key of less than 16 bytes"), "{told}");
    assert!(running.context.health.problems().keys().all(|what| *what != "keys"), "no reason to leave service");
    assert_eq!(code(running.get("/v1/books").bearer_auth(READ)).await.0, 200);

    write("read", "desk key-of-the-desk-1\nnew key-of-the-new-one\n");
    for parts in [of_key, of_cookie] {
        tokio::time::timeout(DEADLINE, parts.for_each(async |_| ())).await.expect("the stream ends");
    }
    for gone in [running.get("/v1/books").bearer_auth(READ), running.get("/v1/books").header("cookie", &cookie)] {
        assert_eq!(code(gone).await.0, 401);
    }
    assert_eq!(code(running.get("/v1/books").bearer_auth("key-of-the-new-one")).await.0, 200);
    eventually("nothing is told any more", DEADLINE, async || notice().await.is_none().then_some(())).await;
    let heartbeat = tokio::time::timeout(DEADLINE, of_other.next()).await.expect("in time");
    assert!(heartbeat.is_some(), "another key's stream goes on");

    // The last key may go before there is another: it opens nothing any more.
    write("read", "");
    let told = eventually("that nobody is let in is told of", DEADLINE, &notice).await;
    assert!(told.contains("no key opens this service any more"), "{told}");
    assert_eq!(code(running.get("/v1/books").bearer_auth("key-of-the-new-one")).await.0, 401);
    running.stop().await;
}

/// Letters of one event that is personal, one that is broken, and several.
fn personal(body: &str) -> [DeadLetter; 3] {
    let odd = DeadLetter {
        reason: format!("the value {EMAIL} with {CARD} is wrong"),
        event_id: Some(EMAIL.into()),
        source: EMAIL.into(),
        pointer: Some(format!("/data/{EMAIL}")),
        personal: vec!["loyalty".into()],
        ..letter("a", "ingestion", body)
    };
    let broken = letter("b", "ingestion", &body[..body.len() - 2]);
    let list = [Body { count: 2, bytes: body.to_owned().into() }];
    let grouped = DeadLetter {
        events: Events::Several(2),
        personal: vec!["loyalty".into()],
        ..letter("c", "ingestion", bodies::encode(&list).expect("encodes"))
    };
    [odd, broken, grouped]
}

#[tokio::test]
async fn nothing_personal_comes_back_unless_it_is_asked_for() {
    let shop = Shop::open().await;
    let running = shop.report(KEYS).await;
    let body = format!(
        r#"{{"source":"shop","data":{{"customer_email":"{EMAIL}","loyalty":"gold-77","note":"pays with {CARD}","n":1.10}}}}"#
    );
    for letter in personal(&body) {
        shop.bus.publish(&letter).await.expect("publishes");
    }
    let operate = async |path: &str| {
        let answer = running.get(path).bearer_auth(OPERATE).send().await.expect("answers");
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.expect("text")
    };
    eventually("all are listed", DEADLINE, || async {
        let listed: Json = serde_json::from_str(&operate("/v1/dead-letters").await).expect("JSON");
        (listed["dead_letters"].as_array().map(Vec::len) == Some(3)).then_some(())
    })
    .await;
    let order = running.client.post(format!("http://{}/v1/dead-letters/discard", running.address));
    let order = order.bearer_auth(OPERATE).json(&json!({
        "sequences": [2], "by": "anna", "reason": format!("{EMAIL} asked, {CARD}"), "dry_run": false,
    }));
    let ordered = order.send().await.expect("answers").text().await.expect("text");
    let mut shown = vec![ordered];
    let paths = ["/v1/dead-letters", "/v1/dead-letters/1", "/v1/dead-letters/2", "/v1/dead-letters/3"];
    for path in paths.into_iter().chain(["/v1/dead-letters/audit"]) {
        shown.push(operate(path).await);
    }
    for text in &shown {
        for secret in [EMAIL, CARD, "gold-77", "1111 1111"] {
            assert!(!text.contains(secret), "{secret} came back in {text}");
        }
    }
    let masked: Json = serde_json::from_str(&shown[2]).expect("JSON");
    assert_eq!(masked["masked"], true);
    assert_eq!(
        masked["body"],
        r#"{"source":"shop","data":{"customer_email":"(masked)","loyalty":"(masked)","note":"pays with (masked)","n":1.10}}"#
    );
    let whole: Json = serde_json::from_str(&operate("/v1/dead-letters/1?unmasked=true").await).expect("JSON");
    assert_eq!((&whole["masked"], &whole["body"], &whole["event_id"]), (&json!(false), &json!(body), &json!(EMAIL)));
    let audit: Json = serde_json::from_str(&operate("/v1/dead-letters/audit?kind=unmask").await).expect("JSON");
    let looked = &audit["actions"][0];
    assert_eq!((&looked["letter"], &looked["key"], &looked["state"]), (&json!(1), &json!("anna"), &json!("done")));
    running.stop().await;
}
