//! The formats in which events come: what is one event of a body, and how it
//! reads as a CloudEvent.
//!
//! CloudEvents 1.0.2 defines the JSON event format, its batch format and the
//! HTTP binding's binary mode; plain JSON, NDJSON and Segment's calls are
//! ours.

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value};
use tidemill_domain::{SourceName, Timestamp};

use super::{
    binary,
    envelope::{self, Envelope, is_json},
    frame,
    normalise::RESERVED,
    parse::parse,
    route::{Route, Takes},
    segment, written_key,
};
use crate::error::{Error, clip};

/// The format of a body.
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
    /// One Segment call: of this kind, where it does not say itself.
    Call(&'static str),
    /// Segment calls in `batch`.
    Calls,
}

/// The events of a body, each as it stands there.
#[derive(Debug, PartialEq)]
pub(crate) struct SplitBody<'a> {
    pub(crate) texts: Vec<&'a [u8]>,
    /// Whether the format holds one event, whose verdict is the answer.
    pub(crate) single: bool,
    /// When all of them were sent, by their sender's clock.
    pub(crate) sent_at: Option<Timestamp>,
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
        match (route.takes, media.as_str()) {
            // Segment's browser library says text/plain, to save a preflight.
            (Takes::Call(kind), "application/json" | "text/plain") => Ok(Self::Call(kind)),
            (Takes::Calls, "application/json" | "text/plain") => Ok(Self::Calls),
            (Takes::Call(_) | Takes::Calls, _) => unsupported("application/json or text/plain"),
            (Takes::Events, "application/cloudevents+json") => Ok(Self::Event),
            (Takes::Events, "application/cloudevents-batch+json") => Ok(Self::Array),
            (Takes::Events, _) if headers.contains_key("ce-type") || headers.contains_key("ce-specversion") => {
                binary::attributes(headers, content_type.as_deref()).map(Self::Binary)
            }
            // A page's beacon says text/plain whatever it sends.
            (Takes::Events, "application/json" | "text/plain") => Ok(Self::EventOrArray),
            (Takes::Events, "application/x-ndjson" | "application/ndjson" | "application/jsonl") => Ok(Self::Lines),
            (Takes::Events, _) => unsupported(
                "application/cloudevents+json, application/cloudevents-batch+json, application/x-ndjson, \
                 application/json or text/plain, nor has the request ce- headers",
            ),
        }
    }

    /// Finds the events of a body, at most `limit`, without looking into them:
    /// what is wrong with one is no other's concern. It stops at the first one
    /// too many, whatever follows.
    pub(crate) fn split<'a>(&self, body: &'a [u8], limit: usize) -> Result<SplitBody<'a>, Error> {
        // In binary mode the body is data, of any type.
        let body = if matches!(self, Self::Binary(_)) { body } else { frame::unmarked(body) };
        let content = body.trim_ascii();
        if content.is_empty() && !matches!(self, Self::Binary(_)) {
            return Err(Error::MalformedBody("the body is empty".into()));
        }
        let one = |text| Ok(SplitBody { texts: vec![text], single: true, sent_at: None });
        let many = |texts| Ok(SplitBody { texts, single: false, sent_at: None });
        match self {
            Self::Event | Self::Call(_) | Self::Binary(_) => one(body),
            Self::EventOrArray if content[0] != b'[' => one(content),
            Self::EventOrArray | Self::Array => many(frame::array(content, limit)?),
            Self::Lines => many(frame::lines(body, limit)?),
            Self::Calls => {
                let (texts, sent_at) = frame::batch(content, limit)?;
                let sent_at = sent_at.and_then(|raw| serde_json::from_str(raw.get()).ok());
                Ok(SplitBody { texts, single: false, sent_at })
            }
        }
    }

    /// Whether its events are CloudEvents' JSON format.
    pub(crate) const fn is_structured(&self) -> bool {
        matches!(self, Self::Event | Self::Array | Self::EventOrArray | Self::Lines)
    }

    /// Reads one of them.
    pub(crate) fn read(&self, text: &[u8], depth: usize) -> Result<Envelope, Error> {
        match self {
            Self::Binary(attributes) => binary::read(attributes.clone(), text, depth),
            Self::Call(kind) => segment::read(object(text, depth)?, kind),
            Self::Calls => segment::read(object(text, depth)?, segment::TRACK),
            Self::Event | Self::Array | Self::EventOrArray | Self::Lines => structured(object(text, depth)?, depth),
        }
    }

    /// An error about an event, with its places named as its text has them.
    pub(crate) fn as_sent(&self, text: &[u8], error: Error) -> Error {
        match self {
            Self::Call(kind) => segment::as_sent(text, kind, error),
            Self::Calls => segment::as_sent(text, segment::TRACK, error),
            Self::Event | Self::Array | Self::EventOrArray | Self::Lines | Self::Binary(_) => error,
        }
    }

    /// The event for a dead letter, where its text is not all that is said of it.
    /// In binary mode that is headers and body: both go into one event in the JSON
    /// format, with at most `limit` bytes of the body. Of a call it is what its
    /// address and its batch say.
    pub(crate) fn whole(&self, text: &[u8], sent_at: Option<Timestamp>, limit: usize) -> Option<String> {
        match self {
            Self::Binary(attributes) => {
                let mut event = attributes.clone();
                if !text.is_empty() {
                    event.insert("data_base64".into(), STANDARD.encode(&text[..text.len().min(limit)]).into());
                }
                Some(Value::Object(event).to_string())
            }
            Self::Call(segment::TRACK) => None,
            Self::Call(kind) => segment::with_member(text, "type", kind),
            Self::Calls => segment::with_member(text, "sentAt", &sent_at?.to_string()),
            Self::Event | Self::Array | Self::EventOrArray | Self::Lines => None,
        }
    }
}

impl Format {
    /// An event as a dead letter may keep it, where that is another text: of a call
    /// without the key that it brings.
    pub(crate) fn without_key(&self, text: &[u8]) -> Option<Bytes> {
        match self {
            Self::Call(_) | Self::Calls => written_key::emptied(text).map(Bytes::from),
            Self::Event | Self::Array | Self::EventOrArray | Self::Lines | Self::Binary(_) => None,
        }
    }
}

/// The format of the event of a dead letter. The letter does not say in which it
/// came, so its members decide: some of a Segment call's and none of a
/// CloudEvent's make it a call.
pub(crate) fn of_letter(text: &[u8]) -> Format {
    let members: Map<String, Value> = serde_json::from_slice(text).unwrap_or_default();
    let has = |name: &&str| members.contains_key(*name);
    match !["specversion", "source"].iter().any(has) && segment::MARKS.iter().any(has) {
        true => Format::Call(segment::TRACK),
        false => Format::Event,
    }
}

/// Reads the event of a dead letter in its format. `source` is for an event that
/// names none, unless it stands for nobody. What Tidemill adds to events is removed.
pub(crate) fn read_again(format: &Format, text: &[u8], depth: usize, source: &str) -> Result<Envelope, Error> {
    if *format != Format::Event {
        return format.read(text, depth);
    }
    let mut attributes = object(text, depth)?;
    RESERVED.iter().for_each(|name| drop(attributes.shift_remove(*name)));
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
    // As of every attribute, null says nothing.
    if attributes.get("data_base64").is_some_and(Value::is_null) {
        attributes.shift_remove("data_base64");
    }
    let data = match (data, attributes.get("data_base64")) {
        (data, None) => data,
        (Some(_), Some(_)) => return Err(Error::invalid("/data_base64", "must not stand beside data")),
        (None, Some(_)) if !is_json(attributes.get("datacontenttype").and_then(Value::as_str)) => None,
        (None, Some(base64)) => {
            let wrong = || Error::invalid("/data_base64", "must be base64");
            let bytes = STANDARD.decode(base64.as_str().ok_or_else(wrong)?).map_err(|_| wrong())?;
            let data =
                parse(frame::unmarked(&bytes), envelope::within_event(depth)).map_err(|e| e.within("/data_base64"))?;
            attributes.shift_remove("data_base64");
            Some(data)
        }
    };
    Ok(Envelope { attributes, data })
}

#[cfg(test)]
mod tests;
