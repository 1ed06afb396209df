//! `tidemill choose`, and a suite of what it chooses.

use std::time::Duration;

use serde_json::Value;
use tidemill_testkit::{tempdir, try_eventually};

use crate::{terminal::Terminal, up::Running};

#[tokio::test]
async fn an_answer_has_the_pattern_the_reasons_and_the_commands() {
    let terminal = Terminal { url: String::new() };
    let asked = ["choose", "--latency", "hours", "--team", "2", "--json"];
    let (code, told) = terminal.json(&asked, None).await;
    assert_eq!((code, told["pattern"].as_str()), (Some(0), Some("medallion")), "{told}");
    assert!(told["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()), "{told}");
    assert_eq!(told["anti_patterns"][0]["name"], "real-time-that-nobody-watches", "{told}");
    assert!(told["helm"].as_str().is_some_and(|helm| helm.contains("profiles/medallion.yaml")), "{told}");
    assert_eq!(told["answers"]["events"], 1_000_000);

    let (code, told) = terminal.says(&["choose", "--latency", "sub-second", "--team", "8"]).await;
    assert!(code == Some(0) && told.starts_with("Pattern   kappa: "), "{told}");
    assert!(told.contains("\n  tidemill up --profile kappa --data DATA\n"), "{told}");
}

#[tokio::test]
async fn what_is_wrong_or_missing_is_told_with_what_is_possible() {
    let terminal = Terminal { url: String::new() };
    for (arguments, wanted) in [
        (vec!["--latency", "soon", "--team", "2"], "[possible values: sub-second, seconds, minutes, hours]"),
        (vec!["--latency", "seconds"], "--team PEOPLE"),
        (vec!["--team", "2"], "--latency sub-second|seconds|minutes|hours"),
        (vec!["--latency", "seconds", "--team", "0"], "0 is not in 1..=10000"),
        (vec!["--latency", "seconds", "--team", "2", "--events", "many"], "write it as 250000, 250k, 20M or 1G"),
    ] {
        let line: Vec<&str> = ["choose"].into_iter().chain(arguments).collect();
        let (code, told) = terminal.says(&line).await;
        assert!(code == Some(2) && told.contains(wanted), "{line:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_runs_its_services_and_goes_over_into_another() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let start = |profile: &str| {
        let ports = ["--port", "0", "--reporting-port", "0", "--jaeger-port", "0", "--data", "data"];
        Running::start(folder.path(), &[&["--profile", profile], &ports[..]].concat(), &[])
    };
    let http = reqwest::Client::new();
    let suite = start("kappa");
    assert!(!suite.tells("Recommended") && !suite.tells("Lake"), "it has neither");
    let event = r#"{"type":"product.viewed","source":"shop","id":"1","data":{"product_id":"novel"}}"#;
    let answer = http.post(suite.says("Events")).header("content-type", "application/json").body(event).send().await;
    assert_eq!(answer.expect("an answer").status(), 202);
    let counted = async |reporting: &str| {
        try_eventually("the event is counted", Duration::from_secs(30), async || -> Result<(), String> {
            let answer = http.get(format!("{reporting}/v1/books")).send().await.map_err(|e| e.to_string())?;
            let books: Value = answer.json().await.map_err(|e| e.to_string())?;
            let is_counted = books["balanced"] == true && books["totals"]["counted"] == 1;
            if is_counted { Ok(()) } else { Err(books.to_string()) }
        })
        .await;
    };
    counted(suite.says("Dashboard")).await;
    assert_eq!(suite.stop(), Some(0));

    // Every service but the lake.
    let suite = Running::start(
        folder.path(),
        &["--port", "0", "--reporting-port", "0", "--jaeger-port", "0", "--data", "data"],
        &[],
    );
    assert!(suite.tells("Recommended"));
    counted(suite.says("Dashboard")).await;
    assert_eq!(suite.stop(), Some(0));
}
