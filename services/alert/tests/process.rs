//! The real binary: it comes up, does its work, and ends in order on SIGTERM.

mod common;

use std::{process::Stdio, time::Duration};

use common::{DEADLINE, Fixture, batch, fraud};
use tidemill_testkit::eventually;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

fn binary(config: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill-alert"));
    command
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Reads the log until the service says where it listens, and on from then,
/// so that it never waits for a reader.
async fn address_of(child: &mut Child) -> String {
    tidemill_service::install_crypto();
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

#[tokio::test]
async fn sigterm_ends_it_in_order_and_loses_nothing() {
    let fixture = Fixture::new().await;
    let config = fixture.folder.path().join("alert.toml");
    std::fs::write(&config, fixture.toml("")).expect("written");
    let mut child = binary(&config).spawn().expect("the binary starts");
    let address = address_of(&mut child).await;
    eventually("ready", DEADLINE, || async {
        let answer = reqwest::get(format!("http://{address}/readyz")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    fixture.slack.fail_next(u32::MAX);
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    eventually("recorded", DEADLINE, || async {
        let answer = reqwest::get(format!("http://{address}/v1/alerts")).await.ok()?;
        let body: serde_json::Value = answer.json().await.ok()?;
        (body["alerts"].as_array()?.len() == 1).then_some(())
    })
    .await;
    assert!(terminate(&mut child).await.success());

    fixture.slack.fail_next(0);
    let mut child = binary(&config).spawn().expect("the binary starts again");
    address_of(&mut child).await;
    fixture.messages(1).await;
    assert!(terminate(&mut child).await.success());
    assert_eq!(fixture.slack.messages().len(), 1);
}

#[tokio::test]
async fn it_ends_in_order_even_while_it_waits_for_nats() {
    let folder = tidemill_testkit::tempdir();
    let config = folder.path().join("alert.toml");
    std::fs::write(&config, common::toml("nats://127.0.0.1:1", folder.path(), None, "")).expect("written");
    let mut child = binary(&config).spawn().expect("the binary starts");
    let address = address_of(&mut child).await;
    let answer = reqwest::get(format!("http://{address}/readyz")).await.expect("it answers at once");
    assert_eq!(answer.status().as_u16(), 503);
    terminate(&mut child).await;
}

#[tokio::test]
async fn a_wrong_rule_is_refused_with_file_and_line() {
    let fixture = Fixture::new().await;
    let rules = fixture.folder.path().join("rules");
    std::fs::create_dir(&rules).expect("made");
    std::fs::write(rules.join("bad.yaml"), "rule: X\non: metric\nseverity: loud\n").expect("written");
    let config = fixture.folder.path().join("alert.toml");
    std::fs::write(&config, fixture.toml(&format!("[rules]\nfolder = {:?}\n", rules))).expect("written");
    let output = timeout(DEADLINE, binary(&config).output()).await.expect("in time").expect("it ran");
    assert!(!output.status.success());
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("bad.yaml:3: "), "{log}");
}
