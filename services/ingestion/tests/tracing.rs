//! Trace context from the request into the log. A test crate of its own: a
//! process has one tracer.

mod support;

use serde_json::Value;
use support::{Service, answer, view};
use tidemill_events::{RawBatch, TraceParent};
use tidemill_service::{TelemetryConfig, telemetry::Telemetry};

fn trace_of(event: &Value) -> TraceParent {
    event["traceparent"].as_str().expect("a trace").parse().expect("valid")
}

#[tokio::test]
async fn each_sampled_event_has_its_own_span_in_the_right_trace() {
    let config = TelemetryConfig {
        // Nobody listens there: contexts are made all the same.
        otlp_endpoint: Some("http://127.0.0.1:9".into()),
        sample_ratio: 0.0,
        log: "off".into(),
        ..TelemetryConfig::default()
    };
    let _telemetry = Telemetry::init(&config, &["ingestion"]).expect("a tracer");
    let service = Service::start().await;
    let callers = TraceParent::new(0xca11e4, 1, true).expect("not zero");
    let events_own = TraceParent::new(0xe7e27, 2, true).expect("not zero");
    let mut with_own = view("own");
    with_own["traceparent"] = events_own.to_string().into();
    let lines = format!("{}\n{with_own}", view("inherited"));
    let request = service.post("/v1/events").header("traceparent", callers.to_string());
    answer(request.header("content-type", "application/x-ndjson").body(lines)).await.accepted(2);

    let log = service.log().await;
    let (inherited, own) = (trace_of(&log[0]), trace_of(&log[1]));
    assert_eq!((inherited.trace_id(), own.trace_id()), (callers.trace_id(), events_own.trace_id()));
    assert!(inherited.is_sampled() && own.is_sampled());
    assert!(inherited.span_id() != callers.span_id() && own.span_id() != events_own.span_id());
    let batches: Vec<RawBatch> = support::stored(&service.nats).await;
    let batch = batches[0].trace.expect("the batch's span");
    assert_eq!(batch.trace_id(), callers.trace_id());
    assert!(batch.span_id() != inherited.span_id());

    // Not sampled: what came stays, and nothing is added.
    let mut unsampled = view("unsampled");
    unsampled["traceparent"] = events_own.unsampled().to_string().into();
    let lines = format!("{unsampled}\n{}", view("bare"));
    let request = service.post("/v1/events").header("traceparent", callers.unsampled().to_string());
    answer(request.header("content-type", "application/x-ndjson").body(lines)).await.accepted(2);
    service.send("application/json", view("nobody asked").to_string()).await.accepted(1);
    let log = service.log().await;
    assert_eq!(log[2], unsampled);
    assert_eq!(&log[3..], [view("bare"), view("nobody asked")]);
    service.stop().await;
}
