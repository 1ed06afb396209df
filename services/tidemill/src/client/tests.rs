use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A reporting that answers once, with these links.
async fn reporting(links: &'static str) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut request = [0; 4096];
        assert!(client.read(&mut request).await.expect("a request") > 0);
        let body = format!(r#"{{"links": {{{links}}}}}"#);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        client.write_all((head + &body).as_bytes()).await.expect("an answer");
    });
    url
}

#[tokio::test]
async fn who_refuses_every_connection_is_given_up_sooner_than_who_answers() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url: Url = format!("http://{free}").parse().expect("a URL");
    let client = Client::of_reporting(url.clone(), None)
        .with_patience(Duration::from_secs(600))
        .with_patience_with_refusal(Duration::from_millis(300));
    let refused = client.books().await.expect_err("nobody listens").to_string();
    assert!(refused.contains("does not answer: connection refused"), "{refused}");
    let trouble = client.trouble().expect("nobody answered");
    assert!(trouble.url.as_str().starts_with(url.as_str()), "{trouble:?}");
    assert!(trouble.reason.starts_with("connection refused"), "{trouble:?}");
    assert_eq!(trouble.patience, Duration::from_millis(300));
}

#[tokio::test]
async fn a_reporting_of_another_suite_is_not_taken_for_ours() {
    let confirm = async |links, is_strict| {
        let ingestion = "http://localhost:7070".parse().expect("a URL");
        let guessed = Client::of_suite(ingestion, None, &Keys::default()).expect("a client");
        let client = Client { reporting: reporting(links).await, ..guessed };
        client.confirm_reporting(is_strict).await.map_err(|error| error.to_string())
    };
    assert_eq!(confirm(r#""ingestion": "http://127.0.0.1:7070""#, true).await, Ok(()));
    assert_eq!(confirm("", false).await, Ok(()));
    let told = confirm("", true).await.expect_err("nobody knows");
    assert!(told.contains("does not say of which suite") && told.contains("--reporting-url"), "{told}");
    let told = confirm(r#""ingestion": "http://127.0.0.1:9070""#, false).await.expect_err("of another");
    assert!(told.contains("of another suite, that of http://127.0.0.1:9070/"), "{told}");
}
