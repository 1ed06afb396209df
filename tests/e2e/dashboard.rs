//! The dashboard in a real browser.

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tidemill_testkit::skipped;
use tidemill_tests::{
    TestSuite,
    browser::{node_with_browser, on_path},
    now, order,
};
use tokio::process::Command;

async fn passes(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().await.expect("node starts");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", told(&output.stdout), told(&output.stderr));
}

/// Two orders of books and games: one of 50.00 with 5.00 off, of which 9.00 are
/// given back; and one of 10.00 that is cancelled.
fn baskets() -> [String; 4] {
    let event = |id: &str, kind: &str, data: Value| {
        json!({"type": kind, "source": "test-shop", "id": id, "time": now(), "subject": "c-2", "data": data})
            .to_string()
    };
    let item = |product: &str, quantity: u32, price: &str| json!({"product_id": product, "quantity": quantity, "unit_price": price});
    let both = json!([item("novel", 1, "20.00"), item("chess", 1, "30.00")]);
    let gone = json!([item("novel", 1, "8.00"), item("chess", 2, "1.00")]);
    [
        event("both", "order.placed", json!({"order_id": "o-both", "items": both, "discount": "5.00"})),
        event("gone", "order.placed", json!({"order_id": "o-gone", "items": gone})),
        event("back", "order.refunded", json!({"order_id": "o-both", "amount": "9.00"})),
        event("stop", "order.cancelled", json!({"order_id": "o-gone"})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_exact_numbers_and_sees_them_change() {
    let Some(node) = node_with_browser("a_person_sees_exact_numbers_and_sees_them_change") else { return };
    let suite = TestSuite::start().await;
    for (n, (product, quantity, price)) in
        [("novel", 2, "10.01"), ("chess", 1, "49.90"), ("novel", 1, "0.03"), ("chess", 501, "20.00")].iter().enumerate()
    {
        let (status, answer) =
            suite.post("application/json", order(&format!("{n}"), "c-1", product, *quantity, price)).await;
        assert_eq!(status, 202, "{answer}");
    }
    for body in baskets() {
        let (status, answer) = suite.post("application/json", body).await;
        assert_eq!(status, 202, "{answer}");
    }
    let repeated = order("again", "c-2", "chess", 1, "1.00");
    for _ in 0..2 {
        suite.post("application/json", repeated.clone()).await;
    }
    assert_eq!(suite.post("application/json", r#"{"type":"no.such.type","source":"s","data":{}}"#).await.0, 422);
    suite.balanced(11).await;
    let folder = tidemill_testkit::tempdir();
    let live = folder.path().join("live.json");
    std::fs::write(&live, order("live", "c-2", "novel", 1, "5.55")).expect("writes");
    let root = tidemill_testkit::crate_folder();
    let picture = |name: &str| {
        std::env::var_os("TIDEMILL_PICTURES").map_or_else(|| folder.path().to_owned(), PathBuf::from).join(name)
    };
    let mut command = Command::new(node);
    command
        .arg(root.join("browser/dashboard.mjs"))
        .args(["--url", &format!("http://{}", suite.suite.reporting)])
        .args(["--expect-net", "10126.95", "--expect-orders", "7", "--expect-alerts", "1", "--every-span"])
        .args(["--live-post", &format!("http://{}/v1/events", suite.suite.ingestion)])
        .arg(&live)
        .arg("--screenshot")
        .arg(picture("dashboard-test.png"));
    passes(command).await;
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_with_a_key_that_reads() {
    let Some(node) = node_with_browser("a_person_logs_in_with_a_key_that_reads") else { return };
    let suite = TestSuite::guarded().await;
    let (status, answer) = suite.post("application/json", order("1", "c-1", "novel", 2, "10.01")).await;
    assert_eq!(status, 202, "{answer}");
    suite.balanced(1).await;
    let mut command = Command::new(node);
    command
        .arg(tidemill_testkit::crate_folder().join("browser/dashboard.mjs"))
        .args(["--url", &format!("http://{}", suite.suite.reporting)])
        .args(["--login-key", suite.keys.read.as_deref().expect("a key")])
        .args(["--expect-net", "20.02", "--expect-orders", "1", "--expect-alerts", "0"]);
    passes(command).await;
    suite.stop().await;
}

#[tokio::test]
async fn the_page_stands_what_a_server_may_do() {
    let Some(node) = node_with_browser("the_page_stands_what_a_server_may_do") else { return };
    for file in ["page.test.mjs", "products.test.mjs", "snippet.test.mjs"] {
        let mut command = Command::new(&node);
        command.arg("--test").arg(tidemill_testkit::crate_folder().join("browser").join(file));
        passes(command).await;
    }
}

/// The products page asks where it comes from, with the session of the dashboard.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_has_recommendations_under_its_own_address() {
    let suite = TestSuite::guarded().await;
    for n in 0..3 {
        let (status, answer) =
            suite.post("application/json", order(&format!("{n}"), &format!("c-{n}"), "novel", 1, "10.00")).await;
        assert_eq!(status, 202, "{answer}");
    }
    suite.balanced(3).await;
    let url = |path: &str| format!("http://{}{path}", suite.suite.reporting);
    let popular = || suite.http.get(url("/v1/recommendations/popular"));
    assert_eq!(popular().send().await.expect("answers").status(), 401);
    let login = suite.http.post(url("/v1/session")).json(&json!({"key": suite.keys.read.as_deref().expect("a key")}));
    let login = login.send().await.expect("answers");
    let cookie = login.headers()["set-cookie"].to_str().expect("text").split(';').next().unwrap_or_default().to_owned();
    tidemill_testkit::eventually("it is learnt", std::time::Duration::from_secs(30), async || {
        let answer = popular().header("cookie", &cookie).send().await.expect("answers");
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.expect("JSON");
        (answer["items"][0]["item"] == "novel").then_some(())
    })
    .await;
    let page = suite.http.get(url("/products")).send().await.expect("answers");
    assert_eq!(
        (page.status().as_u16(), &page.headers()["content-type"]),
        (200, &"text/html; charset=utf-8".parse().expect("a header"))
    );
    let profile = suite.http.get(url("/v1/profiles/c-1")).header("cookie", &cookie).send().await.expect("answers");
    assert_eq!(profile.status(), 404, "profiles are no part of the dashboard");
    suite.stop().await;
}

#[tokio::test]
async fn the_pages_own_tests_pass() {
    let Some(node) = on_path("node") else {
        return skipped("the_pages_own_tests_pass", "node is not installed; `make test` does");
    };
    let browser = tidemill_testkit::crate_folder().join("browser");
    let output = Command::new(node)
        .arg("--test")
        .arg(browser.join("money.test.mjs"))
        .arg(browser.join("model.test.mjs"))
        .arg(browser.join("counted.test.mjs"))
        .output()
        .await
        .expect("node starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
