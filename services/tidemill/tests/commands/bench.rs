//! `tidemill bench` against a running all-in-one.

use serde_json::Value;
use tidemill::suite::{Options, Suite};
use tidemill_testkit::tempdir;

use crate::terminal::Terminal;

/// The exit code, what a person is told, and the last line.
async fn bench(arguments: &[&str]) -> (Option<i32>, String, Value) {
    let (code, told) = Terminal { url: String::new() }.says(&[&["bench"], arguments].concat()).await;
    let last = told.lines().rfind(|line| line.starts_with('{')).unwrap_or_default();
    let json = serde_json::from_str(last).unwrap_or_default();
    (code, told, json)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_counted_exactly_and_what_it_took_is_told() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let suite =
        Suite::start(&Options { folder: folder.path().to_owned(), ..Options::default() }).await.expect("starts");
    let ingestion = format!("--url=http://{}", suite.ingestion);
    let reporting = format!("--reporting-url=http://{}", suite.reporting);

    // As fast as it takes. The last request is a small one.
    let begin = "--begin=2026-03-01T23:55:00Z";
    let load = [&*ingestion, &reporting, "--events=3210", "--batch=250", "--per-minute=500", begin];
    let (code, told, last) = bench(&load).await;
    assert_eq!(code, Some(0), "{told}");
    for (name, expected) in [("sent", 3210), ("counted", 3210), ("late", 0), ("duplicate", 0), ("different", 0)] {
        assert_eq!(last[name], expected, "{name}: {told}");
    }
    assert_eq!((&last["balanced"], &last["equals_truth"]), (&Value::Bool(true), &Value::Bool(true)), "{told}");
    let measures: Vec<&str> = last["measures"].as_array().expect("measures").iter().flat_map(Value::as_str).collect();
    assert_eq!(measures, ["customers", "invoices", "lines", "net", "quantity", "sales"]);
    assert!(last["cells"].as_u64() > Some(12), "two days of a dozen countries: {told}");
    assert!(last["events_per_s"].as_f64() > Some(0.0) && last["acknowledged_per_s"].as_f64() > Some(0.0), "{told}");
    assert_eq!((&last["rate"], &last["visible_ms"]), (&Value::Null, &Value::Null), "{told}");

    // What is there already could not be told from what is sent.
    let (code, told, _) = bench(&load).await;
    assert!(code == Some(1) && told.contains("take another time by --begin"), "{told}");

    // Where reporting is may be said by the environment.
    let environment = Terminal { url: format!("http://{}", suite.reporting) };
    let few = ["bench", &*ingestion, "--events=2000", "--per-minute=500", "--begin=2026-03-03T00:00:00Z"];
    let (code, told) = environment.says(&few).await;
    assert!(code == Some(0) && told.contains(" of 2 requests\n"), "{told}");

    // At a rate, with probes that are watched.
    let shop = ["--shape=shop", "--rate=400", "--duration=3", "--batch=40", "--connections=16"];
    let (code, told, last) = bench(&[&[&*ingestion, &reporting], &shop[..]].concat()).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        (&last["sent"], &last["counted"], &last["metric"]),
        (&1200.into(), &1200.into(), &"order_metrics".into())
    );
    // A probe every four events. Those that the stream had not shown at the end are not in.
    let probes = last["visible_ms"]["count"].as_u64();
    assert!(probes > Some(100) && probes <= Some(300), "{told}");
    for quantiles in [&last["visible_ms"], &last["accepted_ms"]] {
        let [p50, p95, p99, p999, max] =
            ["p50", "p95", "p99", "p999", "max"].map(|name| quantiles[name].as_f64().expect("a number"));
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 <= p999 && p999 <= max, "{told}");
    }
    assert!(
        last["visible_ms"]["p50"].as_f64() > last["accepted_ms"]["p50"].as_f64(),
        "on disk before it is seen: {told}"
    );
    assert!(told.contains("windows and groups are right"), "{told}");
    assert!(suite.stop().await, "it drains");
}

#[tokio::test]
async fn what_cannot_be_measured_is_said() {
    for (arguments, expected, hint) in [
        (vec!["--url=http://127.0.0.1:1", "--reporting-url=http://127.0.0.1:1", "--duration=5"], 2, "--rate"),
        (vec!["--batch=0"], 2, "--batch"),
        (vec!["--shape=zoo"], 2, "invoice-lines"),
        (vec!["--catalogue=/dev/null/x"], 1, "/dev/null/x"),
    ] {
        let (code, told, _) = bench(&arguments).await;
        assert!(code == Some(expected) && told.contains(hint), "{arguments:?}: {told}");
    }
    let folder = tempdir();
    let file = folder.path().join("products.csv");
    let (code, told, _) = bench(&["--products=3", &format!("--catalogue={}", file.display())]).await;
    assert_eq!(code, Some(0), "{told}");
    let text = std::fs::read_to_string(&file).expect("text");
    assert_eq!(text, "id,category\nP-0,Books\nP-1,Games\nP-2,Garden\n");
    let (code, told, _) = bench(&["--events=1500", &format!("--write={}", file.display())]).await;
    assert_eq!((code, std::fs::read_to_string(&file).expect("text").lines().count()), (Some(0), 1500), "{told}");
}
