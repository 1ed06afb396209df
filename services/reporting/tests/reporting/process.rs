//! The real program: it starts, serves, and ends in order.

use std::process::Stdio;

use crate::shop::{DEADLINE, Shop, batch};
use serde_json::Value as Json;
use tidemill_testkit::try_eventually;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

async fn address(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let address = loop {
        let line = lines.next_line().await.expect("reads").expect("it says where it listens");
        let log: Json = serde_json::from_str(&line).expect("a line of JSON");
        if log["message"] == "listening" {
            break log["address"].as_str().expect("an address").to_owned();
        }
    };
    // A full pipe would stop the program.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    address
}

#[tokio::test]
async fn sigterm_ends_it_in_order() {
    let shop = Shop::open().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidemill-reporting"))
        .env("TIDEMILL_HTTP__LISTEN", "127.0.0.1:0")
        .env("TIDEMILL_NATS__URL", shop.nats.url())
        .env("TIDEMILL_AUTH__OPEN", "true")
        .env("TIDEMILL_STORE__URL", format!("sqlite://{}/r.db", shop.folder.path().display()))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let address = address(&mut child).await;
    shop.bus.publish(&batch(1, 0, 3)).await.expect("stored");
    let client = reqwest::Client::new();
    try_eventually("it is ready", DEADLINE, async || {
        let answer = client.get(format!("http://{address}/readyz")).send().await.map_err(|e| e.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
    })
    .await;
    // Who is ready serves.
    let page = client.get(format!("http://{address}/")).send().await.expect("answers");
    assert!(page.status().is_success());
    try_eventually("the batch is in the books", DEADLINE, async || {
        let answer = client.get(format!("http://{address}/v1/books")).send().await.map_err(|e| e.to_string())?;
        let books: Json = answer.json().await.map_err(|e| e.to_string())?;
        if books["totals"]["accepted"] == 3 { Ok(()) } else { Err(books.to_string()) }
    })
    .await;
    // An open stream must not keep it from ending.
    let mut stream = client.get(format!("http://{address}/v1/stream")).send().await.expect("the stream");
    let pid = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill").success());
    let status = timeout(DEADLINE, child.wait()).await.expect("in time").expect("ends");
    assert!(status.success(), "{status}");
    while stream.chunk().await.expect("ends properly").is_some() {}
}

#[tokio::test]
async fn a_wrong_configuration_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemill-reporting"))
        .env("TIDEMILL_HTTP__LISTEN", "127.0.0.1:0")
        .env("TIDEMILL_LIMITS__POINT", "3")
        .output()
        .await
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("point"), "{told}");
}
