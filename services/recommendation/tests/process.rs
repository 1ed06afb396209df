//! The real binary: it comes up, does its work, and ends in order on SIGTERM.

mod common;

use std::{process::Stdio, time::Duration};

use common::{DEADLINE, Shop, view};
use tidemill_testkit::eventually;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

fn binary(config: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill-recommendation"));
    command
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Reads the log until the service says where it listens, and on from then, so that it
/// never waits for a reader.
async fn address_of(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.take().expect("a log")).lines();
    let address = timeout(DEADLINE, async {
        while let Some(line) = lines.next_line().await.expect("the log can be read") {
            let entry: serde_json::Value = serde_json::from_str(&line).expect("a log line is JSON");
            if let Some(address) = entry["address"].as_str() {
                return address.to_owned();
            }
        }
        panic!("the service ended before it listened");
    });
    let address = address.await.expect("in time");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    address
}

async fn terminate(child: &mut Child) -> std::process::ExitStatus {
    let pid = child.id().expect("it runs").to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
    assert!(asked.success());
    timeout(Duration::from_secs(25), child.wait()).await.expect("it ends in time").expect("it has a status")
}

async fn popular(address: &str) -> Option<String> {
    let answer = reqwest::get(format!("http://{address}/v1/recommendations/popular")).await.ok()?;
    let body: serde_json::Value = answer.json().await.ok()?;
    Some(body["items"][0]["item"].as_str()?.to_owned())
}

#[tokio::test]
async fn sigterm_ends_it_in_order_and_loses_nothing() {
    let mut shop = Shop::open().await;
    let config = shop.folder.path().join("recommendation.toml");
    std::fs::write(&config, shop.toml(&shop.sqlite(), "")).expect("written");
    let mut child = binary(&config).spawn().expect("the binary starts");
    let address = address_of(&mut child).await;
    shop.publish(1, &[view("c1", "books-a")]).await;
    eventually("learnt", DEADLINE, async || popular(&address).await.filter(|item| item == "books-a")).await;
    assert!(terminate(&mut child).await.success());
    let mut child = binary(&config).spawn().expect("the binary starts again");
    let address = address_of(&mut child).await;
    eventually("known", DEADLINE, async || popular(&address).await.filter(|item| item == "books-a")).await;
    assert!(terminate(&mut child).await.success());
}

#[tokio::test]
async fn wrong_rules_are_refused_with_file_and_line() {
    let shop = Shop::open().await;
    let rules = shop.folder.path().join("bad.yaml");
    std::fs::write(&rules, "exclude:\n  - {category: A}\n  - {attribute: a}\n").expect("written");
    let config = shop.folder.path().join("recommendation.toml");
    let more = format!("rules.file = {rules:?}\n");
    std::fs::write(&config, shop.toml(&shop.sqlite(), &more)).expect("written");
    let output = timeout(DEADLINE, binary(&config).output()).await.expect("in time").expect("it ran");
    assert!(!output.status.success());
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("bad.yaml:3: "), "{log}");
}
