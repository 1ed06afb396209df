//! The forms in which events come: what is one event of a body, and how it
//! reads as a CloudEvent.
//!
//! CloudEvents 1.0.2 defines the JSON event format, its batch format and the
//! HTTP binding's binary mode; plain JSON, NDJSON and Segment's calls are
//! ours.

use axum::http::{HeaderMap, HeaderName, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use percent_encoding::percent_decode;
use serde_json::{Map, Value};
use tidemill_domain::SourceName;

use crate::{
    error::{Error, clip},
    frame,
    parse::parse,
    segment,
};

/// Which address a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v1/events`
    Events,
    /// `/v1/track`
    Track,
    /// `/v1/batch`
    Batch,
}

/// The form of a body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Format {
    /// One CloudEvent.
    Event,
    /// An array of them.
    Array,
    /// One, or an array: the first character tells.
    EventOrArray,
    /// One a line.
    Lines,
    /// Attributes in headers, data in the body.
    Binary(Map<String, Value>),
    /// One Segment call.
    Track,
    /// Segment calls in `batch`.
    TrackBatch,
}

/// The events of a body, each as it stands there.
#[derive(Debug, PartialEq)]
pub(crate) struct Items<'a> {
    pub(crate) texts: Vec<&'a [u8]>,
    /// Whether the form holds one event, whose verdict is the answer.
    pub(crate) single: bool,
}

/// An event whose attributes are not looked at yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) attributes: Map<String, Value>,
    pub(crate) data: Option<Value>,
}

impl Format {
    /// By the request's address and headers.
    pub(crate) fn of(route: Route, headers: &HeaderMap) -> Result<Self, Error> {
        let content_type = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let media = content_type.as_deref().map(media_type).transpose()?.unwrap_or_default();
        let unsupported = |wanted: &str| {
            let given = if media.is_empty() { "no content type".into() } else { clip(&media) };
            Err(Error::UnsupportedMediaType(format!("{given} is not {wanted}")))
        };
        match (route, media.as_str()) {
            // Segment's browser library says text/plain, to save a preflight.
            (Route::Track, "application/json" | "text/plain") => Ok(Self::Track),
            (Route::Batch, "application/json" | "text/plain") => Ok(Self::TrackBatch),
            (Route::Track | Route::Batch, _) => unsupported("application/json"),
            (Route::Events, "application/cloudevents+json") => Ok(Self::Event),
            (Route::Events, "application/cloudevents-batch+json") => Ok(Self::Array),
            (Route::Events, _) if headers.contains_key("ce-type") || headers.contains_key("ce-specversion") => {
                binary_attributes(headers, content_type.as_deref()).map(Self::Binary)
            }
            (Route::Events, "application/json") => Ok(Self::EventOrArray),
            (Route::Events, "application/x-ndjson" | "application/ndjson" | "application/jsonl") => Ok(Self::Lines),
            (Route::Events, _) => unsupported(
                "application/cloudevents+json, application/cloudevents-batch+json, application/x-ndjson \
                 or application/json, nor has the request ce- headers",
            ),
        }
    }

    /// Finds the events of a body, at most `limit`, without looking into them:
    /// what is wrong with one is no other's concern. It stops at the first one
    /// too many, whatever follows.
    pub(crate) fn split<'a>(&self, body: &'a [u8], limit: usize) -> Result<Items<'a>, Error> {
        let content = body.trim_ascii();
        if content.is_empty() && !matches!(self, Self::Binary(_)) {
            return Err(Error::MalformedBody("the body is empty".into()));
        }
        let many = |texts| Ok(Items { texts, single: false });
        match self {
            Self::Event | Self::Track | Self::Binary(_) => Ok(Items { texts: vec![body], single: true }),
            Self::EventOrArray if content[0] != b'[' => Ok(Items { texts: vec![content], single: true }),
            Self::EventOrArray | Self::Array => many(frame::array(content, limit)?),
            Self::Lines => many(frame::lines(body, limit)?),
            Self::TrackBatch => many(frame::batch(content, limit)?),
        }
    }

    /// Reads one of them.
    pub(crate) fn read(&self, text: &[u8], depth: usize) -> Result<Envelope, Error> {
        match self {
            Self::Binary(attributes) => binary(attributes.clone(), text, depth),
            Self::Track | Self::TrackBatch => segment::read(object(text, depth)?),
            Self::Event | Self::Array | Self::EventOrArray | Self::Lines => structured(object(text, depth)?, depth),
        }
    }

    /// The event as it was received, for a dead letter. In binary mode that is
    /// headers and body: both go into one event in the JSON format. At most
    /// `limit` bytes of the body are kept.
    pub(crate) fn original(&self, body: &Bytes, text: &[u8], limit: usize) -> Bytes {
        let text = &text[..text.len().min(limit)];
        let Self::Binary(attributes) = self else { return body.slice_ref(text) };
        let mut event = attributes.clone();
        if !text.is_empty() {
            event.insert("data_base64".into(), STANDARD.encode(text).into());
        }
        Value::Object(event).to_string().into()
    }
}

/// Reads the event of a dead letter. The letter does not say in which form it
/// came, the event does: what has no CloudEvent's members and some of a Segment
/// call's is one. `source` is for an event that names none, unless it is
/// nobody's. What Tidemill has added to the event goes.
pub(crate) fn dead_letter(text: &[u8], depth: usize, source: &str) -> Result<Envelope, Error> {
    let mut attributes = object(text, depth)?;
    let has = |name: &&str| attributes.contains_key(*name);
    if !["specversion", "source"].iter().any(has) && ["event", "messageId", "anonymousId"].iter().any(has) {
        return segment::read(attributes);
    }
    attributes.shift_remove("enriched");
    if !attributes.contains_key("source") && source != SourceName::UNKNOWN {
        attributes.insert("source".into(), source.into());
    }
    structured(attributes, depth)
}

/// A content type without its parameters. JSON is UTF-8 and nothing else
/// (RFC 8259), whatever a parameter says.
fn media_type(content_type: &str) -> Result<String, Error> {
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    for parameter in parts {
        if let Some(charset) = parameter.strip_prefix("charset=")
            && !matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii")
        {
            return Err(Error::UnsupportedMediaType(format!("charset {} is not utf-8", clip(charset))));
        }
    }
    Ok(media)
}

fn object(text: &[u8], depth: usize) -> Result<Map<String, Value>, Error> {
    match parse(text, depth)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::invalid("", "must be a JSON object")),
    }
}

/// The JSON event format: `data` is JSON, `data_base64` is bytes. Bytes that
/// are said to be JSON are read, so that they meet their schema.
fn structured(mut attributes: Map<String, Value>, depth: usize) -> Result<Envelope, Error> {
    let data = attributes.shift_remove("data");
    let data = match (data, attributes.get("data_base64")) {
        (data, None) => data,
        (Some(_), Some(_)) => return Err(Error::invalid("/data_base64", "must not stand beside data")),
        (None, Some(_)) if !is_json(attributes.get("datacontenttype").and_then(Value::as_str)) => None,
        (None, Some(base64)) => {
            let wrong = || Error::invalid("/data_base64", "must be base64");
            let bytes = STANDARD.decode(base64.as_str().ok_or_else(wrong)?).map_err(|_| wrong())?;
            let data = parse(&bytes, within_event(depth)).map_err(|e| e.within("/data_base64"))?;
            attributes.shift_remove("data_base64");
            Some(data)
        }
    };
    Ok(Envelope { attributes, data })
}

/// Levels that are left to data that comes on its own: in the log it is a
/// member of its event, which is as deep however it was sent.
fn within_event(depth: usize) -> usize {
    depth.saturating_sub(1)
}

/// CloudEvents: without a content type, data is JSON.
pub(crate) fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.ends_with("/json") || media.ends_with("+json")
}

/// The `ce-` headers (HTTP binding, 3.1.3): names as they are, values
/// percent-decoded.
fn binary_attributes(headers: &HeaderMap, content_type: Option<&str>) -> Result<Map<String, Value>, Error> {
    let mut attributes = Map::new();
    let named = |name: &HeaderName| name.as_str().strip_prefix("ce-").map(str::to_owned);
    for (name, value) in headers.iter().filter_map(|(name, value)| Some((named(name)?, value))) {
        let pointer = format!("/{}", clip(&name));
        let text = percent_decode(value.as_bytes()).decode_utf8().map_err(|_| Error::invalid(&pointer, "not UTF-8"))?;
        if attributes.insert(name, text.into()).is_some() {
            return Err(Error::invalid(pointer, "occurs twice"));
        }
    }
    for name in ["data", "data_base64", "datacontenttype"] {
        if attributes.contains_key(name) {
            return Err(Error::invalid(format!("/{name}"), "has no ce- header"));
        }
    }
    if let Some(content_type) = content_type {
        attributes.insert("datacontenttype".into(), content_type.into());
    }
    Ok(attributes)
}

fn binary(mut attributes: Map<String, Value>, body: &[u8], depth: usize) -> Result<Envelope, Error> {
    let content_type = attributes.get("datacontenttype").and_then(Value::as_str);
    let data = if body.is_empty() {
        None
    } else if is_json(content_type) {
        Some(parse(body, within_event(depth)).map_err(|e| e.within("/data"))?)
    } else {
        attributes.insert("data_base64".into(), STANDARD.encode(body).into());
        None
    };
    Ok(Envelope { attributes, data })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let parse =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().expect("ascii"));
        pairs.iter().map(parse).collect()
    }

    fn form(route: Route, content_type: &str) -> Result<Format, Error> {
        Format::of(route, &headers(&[("content-type", content_type)]))
    }

    #[test]
    fn a_content_type_names_a_form() {
        assert_eq!(form(Route::Events, "application/cloudevents+json; charset=UTF-8"), Ok(Format::Event));
        assert_eq!(form(Route::Events, "application/CloudEvents-batch+json"), Ok(Format::Array));
        assert_eq!(form(Route::Events, "application/x-ndjson"), Ok(Format::Lines));
        assert_eq!(form(Route::Events, "application/json"), Ok(Format::EventOrArray));
        assert_eq!(form(Route::Track, "text/plain;charset=UTF-8"), Ok(Format::Track));
        assert_eq!(form(Route::Batch, "application/json"), Ok(Format::TrackBatch));
        for (route, wrong) in [
            (Route::Events, "text/plain"),
            (Route::Events, ""),
            (Route::Events, "application/json; charset=utf-16"),
            (Route::Track, "application/x-ndjson"),
        ] {
            assert_eq!(form(route, wrong).expect_err(wrong).code(), "unsupported_media_type");
        }
        assert!(Format::of(Route::Events, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_body_is_split_without_looking_into_its_events() {
        let texts = |format: Format, body: &'static str| -> Vec<&'static str> {
            let items = format.split(body.as_bytes(), 3).expect(body);
            items.texts.into_iter().map(|text| std::str::from_utf8(text).expect("UTF-8")).collect()
        };
        assert_eq!(
            texts(Format::Array, r#" [ {"a": 1,"a":2} ,"\ud800", 1e999 ]"#),
            [r#"{"a": 1,"a":2}"#, r#""\ud800""#, "1e999"]
        );
        assert_eq!(texts(Format::EventOrArray, "[]"), Vec::<&str>::new());
        assert_eq!(texts(Format::EventOrArray, " {\n"), ["{"]);
        assert_eq!(texts(Format::Lines, "\n{}\r\n \n{\n[]"), ["{}", "{", "[]"]);
        assert_eq!(texts(Format::TrackBatch, r#"{"sentAt":1,"batch":[{},3]}"#), ["{}", "3"]);
        let deep = format!("[{}{}]", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(Format::Array.split(deep.as_bytes(), 1).expect("framed").texts.len(), 1);
    }

    #[test]
    fn a_broken_frame_is_the_bodys_fault() {
        for (format, body) in [
            (Format::Array, "[{},"),
            (Format::Array, "{}"),
            (Format::EventOrArray, "[NaN]"),
            (Format::EventOrArray, ""),
            (Format::Lines, " \n"),
            (Format::TrackBatch, "{}"),
            (Format::TrackBatch, r#"{"batch":[],"batch":[]}"#),
        ] {
            assert_eq!(format.split(body.as_bytes(), 9).expect_err(body).code(), "malformed_body", "{body}");
        }
        assert_eq!(Format::Array.split(b"[\"\xff\"]", 9).expect_err("not UTF-8").code(), "malformed_body");
    }

    #[test]
    fn binary_mode_has_its_attributes_in_headers() {
        let sent = headers(&[
            ("ce-specversion", "1.0"),
            ("ce-subject", "Zo%C3%AB%20%22x%22"),
            ("content-type", "application/json"),
        ]);
        let format = Format::of(Route::Events, &sent).expect("binary");
        let envelope = format.read(br#"{"n":1}"#, 64).expect("valid");
        assert_eq!(
            Value::from(envelope.attributes),
            json!({"specversion": "1.0", "subject": "Zo\u{eb} \"x\"", "datacontenttype": "application/json"})
        );
        assert_eq!(envelope.data, Some(json!({"n": 1})));
        assert_eq!(format.read(b"", 64).expect("no data").data, None);
        assert_eq!(format.read(br#"{"n":1,"n":2}"#, 64).expect_err("twice").pointer(), Some("/data/n"));

        for wrong in [("ce-subject", "%ff"), ("ce-data", "x")] {
            let sent = headers(&[("ce-type", "a"), wrong]);
            assert_eq!(Format::of(Route::Events, &sent).expect_err(wrong.1).code(), "invalid_event");
        }
        let other = headers(&[("ce-type", "a"), ("content-type", "image/png")]);
        let envelope = Format::of(Route::Events, &other).and_then(|format| format.read(&[0xff], 64)).expect("bytes");
        assert_eq!(envelope.attributes["data_base64"], "/w==");
    }

    #[test]
    fn an_event_is_as_deep_however_it_was_sent() {
        let data = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let base64 = |levels| format!(r#"{{"data_base64":"{}"}}"#, STANDARD.encode(data(levels)));
        let binary = Format::Binary(Map::new());
        for (format, text) in
            [(&Format::Event, format!(r#"{{"data":{}}}"#, data(63))), (&Format::Event, base64(63)), (&binary, data(63))]
        {
            assert!(format.read(text.as_bytes(), 64).is_ok(), "{text}");
        }
        for (format, text) in
            [(&Format::Event, format!(r#"{{"data":{}}}"#, data(64))), (&Format::Event, base64(64)), (&binary, data(64))]
        {
            assert_eq!(format.read(text.as_bytes(), 64).expect_err(&text).code(), "too_deep", "{text}");
        }
    }

    #[test]
    fn base64_that_is_json_is_read() {
        let read = |text: &str| Format::Event.read(text.as_bytes(), 64);
        assert_eq!(read(r#"{"data_base64":"eyJuIjoxfQ=="}"#).expect("JSON").data, Some(json!({"n": 1})));
        let kept = read(r#"{"datacontenttype":"image/png","data_base64":"/w=="}"#).expect("bytes");
        assert_eq!((kept.data, &kept.attributes["data_base64"]), (None, &json!("/w==")));
        for wrong in [r#"{"data_base64":"?"}"#, r#"{"data_base64":3}"#, r#"{"data":1,"data_base64":"MQ=="}"#, "[]"] {
            assert_eq!(read(wrong).expect_err(wrong).code(), "invalid_event");
        }
    }
}
