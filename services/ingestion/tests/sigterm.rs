//! The real binary, stopped while a request is on its way.

mod support;

use std::{collections::BTreeSet, process::Stdio};

use serde_json::Value;
use support::{DEADLINE, view};
use tidemill_testkit::{TestNats, eventually};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

#[tokio::test]
async fn sigterm_answers_what_was_taken_in_and_ends_in_order() {
    let nats = TestNats::start().await;
    let mut process = Command::new(env!("CARGO_BIN_EXE_tidemill-ingestion"))
        .env("TIDEMILL_HTTP__LISTEN", "127.0.0.1:0")
        .env("TIDEMILL_NATS__URL", nats.url())
        .env("TIDEMILL_AUTH__WRITE", "shop key-of-the-shop-1,app key-of-the-app-02")
        .env("TIDEMILL_TELEMETRY__LOG_FORMAT", "json")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut log = BufReader::new(process.stderr.take().expect("a pipe")).lines();
    let mut said = async |message: &str| loop {
        let line = log.next_line().await.expect("reads").expect("the process runs");
        let line: Value = serde_json::from_str(&line).expect("logs are JSON");
        if line["message"] == message {
            return line;
        }
    };
    let listening = timeout(DEADLINE, said("listening")).await.expect("listens");
    let address = listening["address"].as_str().expect("an address").to_owned();
    timeout(DEADLINE, said("serving")).await.expect("serves");

    // A request is let in, and has sent half of its body when the signal comes.
    let body = view("half-way").to_string();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Write-Key: key-of-the-app-02\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut request = TcpStream::connect(&address).await.expect("connects");
    request.write_all(head.as_bytes()).await.expect("writes");
    let mut begun = [0; 25];
    request.read_exact(&mut begun).await.expect("it is let in");
    assert!(begun.starts_with(b"HTTP/1.1 100 Continue"));
    request.write_all(&body.as_bytes()[..10]).await.expect("writes");

    let pid = process.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill").success());
    eventually("nobody else is let in", DEADLINE, || async { TcpStream::connect(&address).await.err() }).await;
    request.write_all(&body.as_bytes()[10..]).await.expect("writes");
    let mut response = String::new();
    timeout(DEADLINE, request.read_to_string(&mut response)).await.expect("in time").expect("reads");
    assert!(response.starts_with("HTTP/1.1 202 "), "{response}");

    let status = timeout(DEADLINE, process.wait()).await.expect("ends").expect("a status");
    assert_eq!(status.code(), Some(0));
    let stored = support::log(&nats).await;
    let ids: BTreeSet<&str> = stored.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["half-way"]));
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_ends_the_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemill-ingestion"))
        .env("TIDEMILL_LIMITS__DEPHT", "3")
        .output()
        .await
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("depht") && said.contains("depth"), "{said}");
}
