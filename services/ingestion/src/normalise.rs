//! From an envelope to an event: every attribute in its type, what is missing
//! filled in, what came kept.

use std::{net::IpAddr, str::FromStr};

use serde::Serialize;
use serde_json::{Map, Value};
use tidemill_domain::{EventId, EventType, IdError, SourceName, Timestamp};
use tidemill_events::TraceParent;
use tidemill_service::FieldError;

use crate::{
    error::{Error, clip},
    formats::Envelope,
};

/// Members that later stages add to an event: a sender has no say in them.
const RESERVED: [&str; 1] = ["enriched"];
/// Wrong places that are told of one event.
const MAX_ERRORS: usize = 20;
/// The longest name of an extension, in bytes.
const MAX_NAME: usize = 64;

/// A valid CloudEvent. Serialised, it is a line of a batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Event {
    specversion: SpecVersion,
    pub(crate) id: EventId,
    pub(crate) source: SourceName,
    #[serde(rename = "type")]
    pub(crate) kind: EventType,
    pub(crate) time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<TraceParent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clientip: Option<IpAddr>,
    #[serde(flatten)]
    extensions: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

/// What an event gets where it says nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults<F> {
    /// Its time: when it came.
    pub(crate) now: Timestamp,
    /// A new id, as text.
    pub(crate) new_id: F,
    /// The address that it came from, where that is its sender's.
    pub(crate) clientip: Option<IpAddr>,
}

impl Event {
    /// The key of its partition: `partitionkey`, else `subject`, else `source`.
    pub(crate) fn partition_key(&self) -> &str {
        self.partitionkey.as_ref().or(self.subject.as_ref()).map_or(self.source.as_str(), |key| &key.0)
    }

    /// The content type of its data, where it is said.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.extensions.get("datacontenttype").and_then(Value::as_str)
    }
}

/// Checks every attribute of an envelope; what is wrong is told at once, up to
/// a bound.
pub(crate) fn normalise(envelope: Envelope, defaults: &Defaults<impl Fn() -> String>) -> Result<Event, Error> {
    let mut attributes = Attributes { left: envelope.attributes, errors: Vec::new() };
    let specversion = attributes.take("specversion");
    let id = attributes.take("id");
    let source = attributes.require("source");
    let kind = attributes.require("type");
    let time = attributes.take("time");
    let subject = attributes.take("subject");
    let partitionkey = attributes.take("partitionkey");
    let clientip = attributes.take("clientip");
    // The W3C has a receiver go on without a trace context that it cannot read.
    let traceparent = attributes.left.shift_remove("traceparent");
    let extensions = attributes.extensions();
    match (source, kind, attributes.errors.is_empty()) {
        (Some(source), Some(kind), true) => Ok(Event {
            specversion: specversion.unwrap_or(SpecVersion),
            id: id.map_or_else(|| (defaults.new_id)().parse(), Ok).map_err(|_| Error::Internal)?,
            source,
            kind,
            time: time.unwrap_or(defaults.now),
            subject,
            partitionkey,
            traceparent: traceparent.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok()),
            clientip: clientip.or(defaults.clientip),
            extensions,
            data: envelope.data,
        }),
        _ => Err(Error::InvalidEvent(attributes.errors)),
    }
}

struct Attributes {
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Attributes {
    fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        if self.errors.len() == MAX_ERRORS {
            return;
        }
        self.errors.push(FieldError { pointer: format!("/{}", clip(name)), detail: detail.into() });
    }

    /// An attribute in its type. In JSON, null is the same as absent.
    fn take<T: Attribute>(&mut self, name: &str) -> Option<T> {
        match self.left.shift_remove(name)? {
            Value::Null => None,
            Value::String(text) => match T::read(&text) {
                Ok(value) => Some(value),
                Err(detail) => {
                    self.wrong(name, detail);
                    None
                }
            },
            _ => {
                self.wrong(name, "must be a string");
                None
            }
        }
    }

    fn require<T: Attribute>(&mut self, name: &str) -> Option<T> {
        let known = self.errors.len();
        let value = self.take(name);
        if value.is_none() && self.errors.len() == known {
            self.wrong(name, "is required");
        }
        value
    }

    /// What is left, if it is what CloudEvents allows an extension to be.
    fn extensions(&mut self) -> Map<String, Value> {
        let mut extensions = std::mem::take(&mut self.left);
        extensions.retain(|_, value| !value.is_null());
        for (name, value) in &extensions {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || (b == b'_' && name == "data_base64");
            if RESERVED.contains(&name.as_str()) {
                self.wrong(name, "is written by Tidemill alone");
            } else if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
                self.wrong(name, format!("is no attribute name: {MAX_NAME} lower-case letters and digits at most"));
            } else if !(value.is_string() || value.is_boolean() || value.is_i64()) {
                self.wrong(name, "must be a string, a boolean or an integer; what is more belongs into data");
            }
        }
        extensions
    }
}

/// A text that is an attribute's value, or why it is none.
trait Attribute: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

impl<T: FromStr<Err: std::fmt::Display>> Attribute for T {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: T::Err| format!("{e}"))
    }
}

/// `1.0`, the one version that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SpecVersion;

impl FromStr for SpecVersion {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "1.0" { Ok(Self) } else { Err("must be 1.0") }
    }
}

impl Serialize for SpecVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("1.0")
    }
}

/// What decides an event's partition, and what later stages keep state by:
/// as bounded as an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct Key(String);

impl FromStr for Key {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse::<EventId>().map(|_| Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(attributes: Value) -> Result<Event, Error> {
        let Value::Object(attributes) = attributes else { panic!("an object") };
        let defaults =
            Defaults { now: Timestamp::EPOCH, new_id: || "new".into(), clientip: Some([192, 0, 2, 1].into()) };
        normalise(Envelope { attributes, data: Some(json!({"n": 1.50})) }, &defaults)
    }

    fn line(attributes: Value) -> String {
        serde_json::to_string(&event(attributes).expect("valid")).expect("serialises")
    }

    #[test]
    fn what_is_missing_is_filled_in() {
        assert_eq!(
            line(json!({"source": "shop", "type": "a.b", "time": null})),
            r#"{"specversion":"1.0","id":"new","source":"shop","type":"a.b","time":"1970-01-01T00:00:00Z","clientip":"192.0.2.1","data":{"n":1.5}}"#
        );
    }

    #[test]
    fn what_came_is_kept() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let written = line(json!({
            "specversion": "1.0", "id": "1", "source": "shop", "type": "a.b", "time": "2100-02-03T04:05:06.789+01:00",
            "subject": "c-1", "partitionkey": "p", "traceparent": trace, "clientip": "2001:db8::1",
            "datacontenttype": "application/json", "tenant": "x", "priority": 3, "test": true,
        }));
        let expected = json!({
            "specversion": "1.0", "id": "1", "source": "shop", "type": "a.b", "time": "2100-02-03T03:05:06.789Z",
            "subject": "c-1", "partitionkey": "p", "traceparent": trace, "clientip": "2001:db8::1",
            "datacontenttype": "application/json", "tenant": "x", "priority": 3, "test": true, "data": {"n": 1.5},
        });
        assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), expected);
    }

    #[test]
    fn a_partition_key_is_the_nearest_that_is_given() {
        let key = |more: Value| {
            let mut attributes = json!({"source": "shop", "type": "a"});
            attributes.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            event(attributes).expect("valid").partition_key().to_owned()
        };
        assert_eq!(key(json!({})), "shop");
        assert_eq!(key(json!({"subject": "c"})), "c");
        assert_eq!(key(json!({"subject": "c", "partitionkey": "p"})), "p");
    }

    #[test]
    fn an_unreadable_trace_is_left_out() {
        for unreadable in [json!("00-0"), json!(3)] {
            let event = event(json!({"source": "shop", "type": "a", "traceparent": unreadable})).expect("valid");
            assert_eq!(event.traceparent, None);
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let wrong = event(json!({
            "specversion": "0.3", "id": 7, "type": "a b", "time": "yesterday", "subject": "",
            "clientip": "here", "userId": "x", "enriched": {}, "nested": {}, "float": 1.5,
        }));
        let Err(Error::InvalidEvent(errors)) = wrong else { panic!("{wrong:?}") };
        let pointers: Vec<&str> = errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/specversion",
                "/id",
                "/source",
                "/type",
                "/time",
                "/subject",
                "/clientip",
                "/userId",
                "/enriched",
                "/nested",
                "/float"
            ]
        );
        assert_eq!(errors[1].detail, "must be a string");
        assert_eq!(errors[2].detail, "is required");
    }
}
