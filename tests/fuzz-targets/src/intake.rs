//! What strangers send to ingestion.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use serde_json::Value;
use tidemill_domain::{EventId, EventType, SourceName};
use tidemill_events::EventRef;
use tidemill_ingestion::fuzzing::{self, Refusal, Validated};

use crate::input;

/// Arrays and objects in each other, as the service has it by default.
const DEPTH: usize = 64;
/// Bytes that a body may inflate to.
const INFLATED: usize = 64 << 10;

/// A JSON text is refused, or reads back as the same value once it is written;
/// and nothing is called malformed that another reader of JSON accepts.
pub(crate) fn json(text: &[u8]) {
    let lax = serde_json::from_slice::<Value>(text);
    match fuzzing::parse(text, DEPTH) {
        Ok(value) => {
            assert!(lax.is_ok(), "accepted, but it is no JSON");
            assert!(depth(&value) <= DEPTH, "nested too deeply");
            assert_eq!(fuzzing::parse(value.to_string().as_bytes(), DEPTH), Ok(value));
        }
        Err(("malformed_json", 400)) => assert!(lax.is_err(), "called malformed, but it is JSON"),
        Err(("duplicate_key" | "null_character" | "too_deep" | "imprecise_number", 400)) => {}
        Err(other) => panic!("refused as {other:?}"),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// A body never inflates beyond the limit, and the limit changes nothing else:
/// at the body's own size it comes out whole, below it is refused. The first
/// byte names the encoding.
pub(crate) fn inflate(input: &[u8]) {
    let Some((encoding, body)) = input.split_first() else { return };
    let encoding = match encoding {
        b'g' => "gzip",
        b'z' => "zstd",
        b'l' => "lz4",
        _ => "identity",
    };
    let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(encoding))]);
    let body = Bytes::copy_from_slice(body);
    let inflate = |limit| fuzzing::inflate(&headers, body.clone(), limit);
    match inflate(INFLATED) {
        Ok(whole) => {
            assert!(whole.len() <= INFLATED, "inflates to {} bytes", whole.len());
            assert_eq!(inflate(whole.len()).as_ref(), Ok(&whole));
            if let Some(less) = whole.len().checked_sub(1) {
                assert_eq!(inflate(less), Err(("inflated_too_large", 413)));
            }
        }
        Err(("malformed_encoding", 400) | ("inflated_too_large", 413)) => {}
        Err(other) => panic!("refused as {other:?}"),
    }
}

/// Any request gets an answer that is its sender's; and the line of an accepted
/// event is an event, which is accepted as the same line.
pub(crate) fn validate(input: &[u8]) {
    let Some(request) = input::request(input) else { return };
    let header = |(name, value): (&str, &str)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers.0.into_iter().filter_map(header) {
        headers.append(name, value);
    }
    is_an_answer(fuzzing::validate_request(request.first, &headers, request.body));
}

pub(crate) fn is_an_answer(answer: Result<Validated, Refusal>) {
    match answer {
        Ok(validated) => {
            validated.rejected.into_iter().for_each(is_the_senders);
            validated.lines.iter().for_each(|line| is_an_event(line));
        }
        Err(refusal) => is_the_senders(refusal),
    }
}

fn is_the_senders((code, status): Refusal) {
    assert!((400..500).contains(&status), "{code} is answered {status}");
}

fn is_an_event(line: &[u8]) {
    let event: EventRef<'_> = serde_json::from_slice(line).expect("a line of the log is an event");
    assert!(event.id.parse::<EventId>().is_ok(), "id {:?}", event.id);
    assert!(event.source.parse::<SourceName>().is_ok(), "source {:?}", event.source);
    assert!(event.kind.parse::<EventType>().is_ok(), "type {:?}", event.kind);
    let headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"))]);
    if event.redriven.is_some() {
        // Only redriving gives that attribute.
        return;
    }
    if event.source.starts_with("tidemill/") {
        // Only what the suite measures itself has such a source.
        return;
    }
    let again =
        fuzzing::validate_request("/v1/events", &headers, Bytes::copy_from_slice(line)).map(|j| (j.lines, j.rejected));
    assert_eq!(again, Ok((vec![line.to_vec()], Vec::new())), "{}", line.escape_ascii());
}
