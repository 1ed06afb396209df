//! From an envelope to an event: every attribute in its type, what is missing
//! filled in, what came kept.

use std::{borrow::Cow, net::IpAddr, str::FromStr};

use serde::Serialize;
use serde_json::{Map, Number, Value};
use tidemill_domain::{BackfillName, EventId, EventType, IdError, SourceName, Timestamp};
use tidemill_events::TraceParent;
use tidemill_service::FieldError;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::{client_address, envelope::Envelope, sender_clock};
use crate::error::{Error, clip};

/// The attribute that says when an event was sent. It is used here, and is no
/// part of the event in the log: once its time is right, it would be put right
/// again.
pub(super) const SENT_AT: &str = "sentat";
/// The attribute that keeps the time of a wrong clock, beside the right one.
const DEVICE_TIME: &str = "devicetime";
/// The attribute that names what was left out of an event, because it could not
/// be read and the event means as much without it.
const UNREAD: &str = "unread";
/// Attributes that may come as numbers: what identifies something often is one.
const NUMBERS: [&str; 4] = ["id", "source", "subject", "partitionkey"];
/// Members that Tidemill adds to an event: a sender has no say in them.
pub(super) const RESERVED: [&str; 2] = ["enriched", "redriven"];
/// Wrong places that are told of one event.
const MAX_ERRORS: usize = 20;
/// The longest name of an extension, in bytes.
const MAX_NAME: usize = 64;

/// A valid CloudEvent. Serialised, it is a line of a batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct NormalisedEvent {
    specversion: SpecVersion,
    pub(crate) id: EventId,
    pub(crate) source: SourceName,
    #[serde(rename = "type")]
    pub(crate) kind: EventType,
    pub(crate) time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<PartitionKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<PartitionKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<TraceParent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clientip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backfill: Option<BackfillName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redriven: Option<Uuid>,
    #[serde(flatten)]
    extensions: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

/// What an event gets where it says nothing.
#[derive(Debug, Clone)]
pub(crate) struct Defaults<F> {
    /// Its time: when it came.
    pub(crate) now: Timestamp,
    /// A new id, as text.
    pub(crate) new_id: F,
    /// The sender's address, if `sender.clientip` allows to take it from the
    /// connection or a header.
    pub(crate) clientip: Option<IpAddr>,
    /// The history that its request belongs to.
    pub(crate) backfill: Option<BackfillName>,
    /// The request that sends it again, if it was in a dead letter.
    pub(crate) redriven: Option<Uuid>,
}

impl NormalisedEvent {
    /// The key of its partition: `partitionkey`, else `subject`, else `source`.
    pub(crate) fn partition_key(&self) -> &str {
        self.partitionkey.as_ref().or(self.subject.as_ref()).map_or(self.source.as_str(), |key| &key.0)
    }

    /// Gives it the key of its partition, whatever its sender gave: what belongs
    /// together lies together. See [`partition_key_of`].
    pub(super) fn partition_by(&mut self, text: &str) {
        self.partitionkey = Some(PartitionKey(partition_key_of(text).into_owned()));
    }

    /// The content type of its data, where it is said.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.extensions.get("datacontenttype").and_then(Value::as_str)
    }
}

/// The partition key that a text makes: a text that can be no attribute decides by its
/// hash.
pub(super) fn partition_key_of(text: &str) -> Cow<'_, str> {
    match EventId::check(text) {
        Ok(()) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(format!("{:032x}", xxh3_128(text.as_bytes()))),
    }
}

/// Whether a text may be the name of an extension.
pub(super) fn is_extension(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}

/// Checks every attribute of an envelope; what is wrong is told at once, up to
/// a bound.
pub(crate) fn normalise(
    envelope: Envelope,
    defaults: &Defaults<impl Fn() -> String>,
) -> Result<NormalisedEvent, Error> {
    let mut attributes = AttributeReader { left: envelope.attributes, errors: Vec::new() };
    let specversion = attributes.take("specversion");
    let id = attributes.take("id");
    let source = attributes.require("source");
    let kind = attributes.require("type");
    let time = attributes.take("time");
    let subject = attributes.take("subject");
    let partitionkey = attributes.take("partitionkey");
    let backfill = attributes.take("backfill");
    let clientip = attributes.client_address();
    // Nothing depends on it but the time: what cannot be read says nothing.
    let sent_at = attributes.left.shift_remove(SENT_AT);
    let sent_at = sent_at.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
    let (time, device_time) = settled(time, sent_at, defaults.now);
    // The W3C has a receiver go on without a trace context that it cannot read.
    let traceparent = attributes.left.shift_remove("traceparent");
    let mut extensions = attributes.extensions();
    if clientip == ClientAddress::Unread {
        extensions.insert(UNREAD.into(), "clientip".into());
    }
    if let Some(told) = device_time {
        extensions.insert(DEVICE_TIME.into(), told.to_string().into());
    }
    match (source, kind, attributes.errors.is_empty()) {
        (Some(source), Some(kind), true) => Ok(NormalisedEvent {
            specversion: specversion.unwrap_or(SpecVersion),
            id: id.map_or_else(|| (defaults.new_id)().parse(), Ok).map_err(|_| Error::Internal)?,
            source,
            kind,
            time,
            subject,
            partitionkey,
            traceparent: traceparent.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok()),
            clientip: clientip.known().or(defaults.clientip),
            backfill: backfill.or_else(|| defaults.backfill.clone()),
            redriven: defaults.redriven,
            extensions,
            data: envelope.data,
        }),
        _ => Err(Error::InvalidEvent(attributes.errors)),
    }
}

/// The time of an event by our clock, and the one that its sender told, where
/// that is another.
fn settled(told: Option<Timestamp>, sent_at: Option<Timestamp>, now: Timestamp) -> (Timestamp, Option<Timestamp>) {
    let Some(told) = told else { return (now, None) };
    match sent_at.and_then(|sent_at| sender_clock::corrected(told, sent_at, now)) {
        Some(time) => (time, Some(told)),
        None => (told, None),
    }
}

struct AttributeReader {
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl AttributeReader {
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
            Value::String(text) => self.read(name, &text),
            Value::Number(number) if may_be_number(name, &number) => self.read(name, &number.to_string()),
            _ => {
                self.wrong(name, "must be a string");
                None
            }
        }
    }

    fn read<T: Attribute>(&mut self, name: &str, text: &str) -> Option<T> {
        T::read(text).map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// Where the event came from, as its sender has it.
    fn client_address(&mut self) -> ClientAddress {
        match self.left.shift_remove("clientip") {
            None | Some(Value::Null) => ClientAddress::Unsaid,
            Some(Value::String(text)) if text.is_empty() => ClientAddress::Unsaid,
            Some(Value::String(text)) => {
                client_address::read(&text).map_or(ClientAddress::Unread, ClientAddress::Known)
            }
            Some(_) => ClientAddress::Unread,
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
            if RESERVED.contains(&name.as_str()) {
                self.wrong(name, "is written by Tidemill alone");
            } else if !is_extension(name) && name != "data_base64" {
                self.wrong(name, format!("is no attribute name: {MAX_NAME} lower-case letters and digits at most"));
            } else if !(value.is_string() || value.is_boolean() || value.is_i64()) {
                self.wrong(name, "must be a string, a boolean or an integer; what is more belongs into data");
            }
        }
        extensions
    }
}

/// Whole numbers alone: of others nobody knows how they were spelt. But `1.0` is
/// a version.
fn may_be_number(name: &str, number: &Number) -> bool {
    match number.is_f64() {
        true => name == "specversion",
        false => NUMBERS.contains(&name),
    }
}

/// What an event says of the address that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientAddress {
    Unsaid,
    Known(IpAddr),
    /// It cannot be read. That costs the event its place on a map at most.
    Unread,
}

impl ClientAddress {
    fn known(self) -> Option<IpAddr> {
        match self {
            Self::Known(address) => Some(address),
            Self::Unsaid | Self::Unread => None,
        }
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
struct PartitionKey(String);

impl FromStr for PartitionKey {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        EventId::check(text).map(|()| Self(text.into()))
    }
}

#[cfg(test)]
mod tests;
