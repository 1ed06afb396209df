//! `tidemill check` against running all-in-ones.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};

use serde_json::json;
use tidemill::suite::{Options, Suite};
use tidemill_testkit::{tempdir, try_eventually};

use crate::terminal::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_seen_through_the_whole_chain_or_it_is_said_where_it_is_not() {
    tidemill_service::install_crypto();
    let (folder, another) = (tempdir(), tempdir());
    let start = async |folder: &std::path::Path| {
        Suite::start(&Options { folder: folder.to_owned(), ..Options::default() }).await.expect("starts")
    };
    let (suite, stranger) = (start(folder.path()).await, start(another.path()).await);
    let terminal = Terminal { url: String::new() };
    let ingestion = format!("--ingestion-url=http://{}", suite.ingestion);
    let former = format!("--url=http://{}", suite.ingestion);
    let reporting = format!("--reporting-url=http://{}", suite.reporting);
    let (code, told) = terminal.says(&["check", &ingestion, &reporting]).await;
    assert!(code == Some(0) && told.contains("The suite works."), "{told}");
    // Once more in the same minute, or the next: it is counted all the same.
    // The former name of the option does as well.
    let (code, told) = terminal.json(&["check", &former, &reporting, "--json"], None).await;
    assert_eq!((code, &told["metric"]), (Some(0), &json!("tidemill_check")), "{told}");
    assert!(told["checks"].as_u64() >= Some(1) && told["trace"].as_str().map(str::len) == Some(32), "{told}");
    // Where reporting is may be said by the environment.
    let told_by_environment = Terminal { url: format!("http://{}", suite.reporting) };
    let (code, told) = told_by_environment.says(&["check", &ingestion]).await;
    assert!(code == Some(0) && told.contains("The suite works."), "{told}");
    let client = tidemill::client::Client::of_reporting(
        format!("http://{}", suite.reporting).parse().expect("an address"),
        None,
    );
    let metrics: serde_json::Value = client.get("/v1/metrics").await.expect("metrics");
    for metric in metrics["metrics"].as_array().into_iter().flatten() {
        let name = metric["name"].as_str().expect("a name");
        let totals: serde_json::Value = client.get(&format!("/v1/metrics/{name}/totals")).await.expect("totals");
        let rows = &totals["rows"];
        let expected = json!(if name == "tidemill_check" { json!(3) } else { serde_json::Value::Null });
        assert_eq!(rows[0]["values"]["checks"], expected, "{totals}");
        assert!(name == "tidemill_check" || rows == &json!([]), "no figure of the shop holds a check: {totals}");
    }

    let elsewhere = format!("--reporting-url=http://{}", stranger.reporting);
    // A service of the other suite may still be waiting for its share of the work, and say so.
    try_eventually("the other suite is ready, and knows of no order", Duration::from_secs(60), async || {
        let (code, told) = terminal.says(&["check", &ingestion, &elsewhere, "--timeout=2"]).await;
        let is_so = code == Some(1) && told.contains("not counted after 2 s; every service says");
        if is_so { Ok(()) } else { Err(told) }
    })
    .await;
    let swapped = format!("--ingestion-url=http://{}", suite.reporting);
    let ingestion_as_reporting = format!("--reporting-url=http://{}", suite.ingestion);
    let page = strangers_page();
    let stranger_url = format!("--reporting-url={page}");
    for (arguments, expected, hint) in [
        (vec!["check", "--url=http://127.0.0.1:1", "--reporting-url=http://127.0.0.1:1", "--timeout=1"], 4, "refused"),
        (vec!["check", "--url=mailto:a"], 1, "names no host"),
        (vec!["check", &swapped, &reporting], 1, "reporting is at http://"),
        (vec!["check", &swapped, &reporting], 1, "and not ingestion; say where ingestion is, by --ingestion-url"),
        (vec!["check", &ingestion, &ingestion_as_reporting], 1, "ingestion is at http://"),
        (vec!["books", &ingestion_as_reporting], 1, "and not reporting; say where reporting is, by --reporting-url"),
        (vec!["dlq", "list", &former], 1, "ingestion is at http://"),
        (vec!["dlq", "redrive", "--all", "--yes", &former], 1, "ingestion is at http://"),
        (vec!["books", &stranger_url], 1, "no service of Tidemill"),
    ] {
        let (code, told) = terminal.says(&arguments).await;
        assert!(code == Some(expected) && told.contains(hint), "{arguments:?}: {told}");
    }
    assert!(suite.stop().await && stranger.stop().await, "they drain");
}

#[tokio::test]
async fn who_does_not_answer_is_named_and_soon_given_up() {
    let nobody = Terminal { url: "http://127.0.0.1:1".into() };
    // No --timeout: it is not for the two minutes that a start may take.
    let (code, told) = nobody.says(&["check", "--ingestion-url", "http://127.0.0.1:2"]).await;
    assert_eq!(code, Some(4), "{told}");
    let asked = "http://127.0.0.1:1/v1/books?source=tidemill-check";
    let waits = "does not answer yet, and is asked for up to 10 s (--timeout): connection refused";
    assert!(told.contains(&format!("{asked} {waits}")) && !told.contains("7080"), "{told}");
    assert!(told.contains(&format!("{asked} does not answer: connection refused")), "{told}");
    let (code, told) = Terminal { url: "nowhere".into() }.says(&["check"]).await;
    assert!(code == Some(1) && told.contains("TIDEMILL_URL: \"nowhere\" is no address"), "{told}");
}

/// The address of a server that answers everything with a page, as Jaeger's does.
fn strangers_page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).expect("a request");
                request.extend(byte);
            }
            let page = "<!doctype html>";
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", page.len());
            client.write_all((head + page).as_bytes()).expect("an answer");
        }
    });
    format!("http://{address}")
}
