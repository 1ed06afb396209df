//! A slow reader slows the front before anything that it has not read is forgotten.

mod support;

use std::time::Duration;

use reqwest::{StatusCode, header::RETRY_AFTER};
use support::{DEADLINE, Service, view};
use tidemill_bus::Bus;
use tidemill_domain::Partition;
use tidemill_events::Durable;
use tidemill_testkit::eventually;

/// One event, sent again and again until the service answers otherwise than before.
async fn answers(service: &Service, expected: StatusCode) -> support::Answer {
    eventually(&format!("answer {expected}"), DEADLINE, || async {
        let answer = service.send("application/cloudevents+json", view("one").to_string()).await;
        (answer.status == expected).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn senders_wait_while_a_reader_is_behind_and_go_on_when_it_is_not() {
    let service = Service::with(|config| {
        config.nats.partitions = 1;
        config.limits.backlog_bytes = Some(3_000);
    })
    .await;
    let config = tidemill_bus::Config { url: service.nats.url(), partitions: 1, ..tidemill_bus::Config::default() };
    let bus = Bus::connect(&config, "test").await.expect("connects");
    // Without a reader there is nobody to wait for: the log is there for that.
    for _ in 0..20 {
        service.send("application/cloudevents+json", view("one").to_string()).await.accepted(1);
    }
    let reader = Durable::Enrichment(Partition::new(0));
    let mut enrichment = bus.subscribe(reader).await.expect("subscribes");

    let refused = answers(&service, StatusCode::TOO_MANY_REQUESTS).await;
    refused.problem(429, "backlog");
    assert!(refused.headers.contains_key(RETRY_AFTER), "{refused:?}");
    let metrics = service.metrics().await;
    assert!(metrics.contains("tidemill_ingestion_refusals_total{code=\"backlog\"}"), "{metrics}");
    let waiting = "tidemill_ingestion_backlog_bytes{stream=\"RAW\"} ";
    assert!(metrics.lines().any(|line| line.strip_prefix(waiting).is_some_and(|bytes| bytes != "0")), "{metrics}");

    // What was refused is nowhere; what was accepted is all there.
    let stored = service.log().await.len();
    let mut read = 0;
    while read < stored {
        let chunk = tokio::time::timeout(Duration::from_secs(10), enrichment.next_chunk(256)).await;
        let chunk = chunk.expect("the reader gets all").expect("and no error");
        read += chunk.len();
        chunk.last().expect("a message").ack().await.expect("acknowledges");
    }
    answers(&service, StatusCode::ACCEPTED).await.accepted(1);
    service.stop().await;
}
