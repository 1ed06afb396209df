//! Dead letters.

use bytes::Bytes;
use tidemill_domain::{SourceName, Timestamp};

use crate::{
    bodies::{self, Body},
    codec::{DecodeError, Encoded, HeaderSource, ascii_json, check_version, inflate, name, optional, required},
    contract::{BodyKind, Contract, Described, Form, Header, header},
    message::Message,
    topology::{self, StreamName},
    trace::TraceParent,
};

/// An event that will never be counted as it is, with all that is needed to
/// see why, mend it and send it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Unique name; a retry of its publish repeats it.
    pub id: String,
    /// Who gave it up.
    pub service: String,
    /// The release that did.
    pub release: String,
    /// Stable code of the reason.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// JSON Pointer to what is wrong, where there is one.
    pub pointer: Option<String>,
    /// The stream it came from, where it came from one.
    pub stream: Option<String>,
    /// Its sequence there.
    pub sequence: Option<u64>,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it first failed.
    pub first_failed_at: Timestamp,
    /// The event's source: as it claims, or who sent it where it claims none.
    pub source: String,
    /// The event's id, where it has one.
    pub event_id: Option<String>,
    /// The letter (its sequence in `DLQ`) whose event was sent again and failed
    /// once more; `None` for an event that failed the first time.
    pub redriven_from: Option<u64>,
    /// The event's trace.
    pub trace: Option<TraceParent>,
    /// Names of the body's members that schemas mark as personal, beyond those
    /// that are personal anywhere.
    pub personal: Vec<String>,
    /// Which events it stands for. Of several, id and trace above are those of
    /// the first.
    pub events: Events,
    /// The body as it was received; of several events a list of bodies, see
    /// [`bodies`](Self::bodies).
    pub body: Bytes,
}

/// Which events a dead letter stands for, and what it keeps of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Events {
    /// One, whose body is the letter's.
    #[default]
    One,
    /// So many that failed alike; the letter's body lists theirs.
    Several(u64),
    /// So many of which nothing is kept: they are counted.
    Counted(u64),
}

impl Events {
    /// How many there are.
    pub const fn count(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Several(count) | Self::Counted(count) => count,
        }
    }

    /// Whether their bodies are kept, and so can be sent again.
    pub const fn are_kept(self) -> bool {
        !matches!(self, Self::Counted(_))
    }

    fn read(headers: &impl HeaderSource) -> Result<Self, DecodeError> {
        // More than any request has: what says more was not written by a service.
        let count: Option<u32> = optional(headers, name::DLQ_COUNT)?;
        let Some(count) = count.map(u64::from) else { return Ok(Self::One) };
        let kept: bool = optional(headers, name::DLQ_KEPT)?.unwrap_or(true);
        Ok(if kept { Self::Several(count) } else { Self::Counted(count) })
    }
}

impl DeadLetter {
    /// Bytes of its body that a stage's letter keeps: with its headers it has to
    /// fit a message.
    pub const MOST_BODY: usize = 256 << 10;

    /// One of which nothing is known but who gave it up, and why.
    pub fn new(service: &str, id: String, code: &str, reason: String) -> Self {
        Self {
            id,
            service: service.into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: code.into(),
            reason,
            pointer: None,
            stream: None,
            sequence: None,
            deliveries: 1,
            first_failed_at: Timestamp::EPOCH,
            source: SourceName::UNKNOWN.into(),
            event_id: None,
            redriven_from: None,
            trace: None,
            personal: Vec::new(),
            events: Events::One,
            body: Bytes::new(),
        }
    }

    /// The same with a body, of which it keeps as much as fits.
    #[must_use]
    pub fn about(self, body: Bytes) -> Self {
        Self { body: body.slice(..body.len().min(Self::MOST_BODY)), ..self }
    }

    /// The bodies of its events, each with how many events had it; none where
    /// nothing is kept.
    pub fn bodies(&self) -> Result<Vec<Body>, DecodeError> {
        match self.events {
            Events::One => Ok(vec![Body { count: 1, bytes: self.body.clone() }]),
            Events::Several(_) => bodies::decode(&self.body),
            Events::Counted(_) => Ok(Vec::new()),
        }
    }
}

impl Message for DeadLetter {
    const STREAM: StreamName = StreamName::Dlq;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        // A letter that only counts may stand for one of the same name that was
        // just deleted: the server must not drop it as a copy.
        let message_id = format!("dlq-{}{}", self.id, if self.events.are_kept() { "" } else { "-counted" });
        Ok(Encoded::new(topology::dlq(&self.service, &self.code), message_id)
            .header(name::VERSION, Self::VERSION)
            .header(name::DLQ_ID, ascii_json(&self.id)?)
            .header(name::DLQ_SERVICE, &self.service)
            .header(name::DLQ_VERSION, &self.release)
            .header(name::DLQ_CODE, &self.code)
            .header(name::DLQ_REASON, ascii_json(&self.reason)?)
            .header_opt(name::DLQ_POINTER, self.pointer.as_ref().map(ascii_json).transpose()?)
            .header_opt(name::DLQ_STREAM, self.stream.as_ref())
            .header_opt(name::DLQ_SEQ, self.sequence)
            .header(name::DLQ_DELIVERIES, self.deliveries)
            .header(name::DLQ_FIRST_FAILED_AT, self.first_failed_at)
            .header(name::DLQ_SOURCE, ascii_json(&self.source)?)
            .header_opt(name::DLQ_EVENT_ID, self.event_id.as_ref().map(ascii_json).transpose()?)
            .header_opt(name::DLQ_REDRIVEN_FROM, self.redriven_from)
            .header_opt(name::DLQ_COUNT, (self.events != Events::One).then(|| self.events.count()))
            .header_opt(name::DLQ_KEPT, (!self.events.are_kept()).then_some(false))
            .header_opt(
                name::DLQ_PERSONAL,
                (!self.personal.is_empty()).then(|| ascii_json(&self.personal)).transpose()?,
            )
            .header_opt(name::TRACEPARENT, self.trace)
            .body(bodies::content_type(matches!(self.events, Events::Several(_))), self.body.clone()))
    }

    /// Reads a dead letter; with a headers-only consumer `body` is empty.
    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        let text = |name| -> Result<Option<String>, DecodeError> {
            Ok(headers.get(name).map(serde_json::from_str).transpose()?)
        };
        let payload = if payload.is_empty() { payload } else { inflate(headers, payload)? };
        Ok(Self {
            id: text(name::DLQ_ID)?.ok_or(DecodeError::Header(name::DLQ_ID))?,
            service: required(headers, name::DLQ_SERVICE)?,
            release: required(headers, name::DLQ_VERSION)?,
            code: required(headers, name::DLQ_CODE)?,
            reason: text(name::DLQ_REASON)?.unwrap_or_default(),
            pointer: text(name::DLQ_POINTER)?,
            stream: optional(headers, name::DLQ_STREAM)?,
            sequence: optional(headers, name::DLQ_SEQ)?,
            deliveries: required(headers, name::DLQ_DELIVERIES)?,
            first_failed_at: required(headers, name::DLQ_FIRST_FAILED_AT)?,
            source: text(name::DLQ_SOURCE)?.ok_or(DecodeError::Header(name::DLQ_SOURCE))?,
            event_id: text(name::DLQ_EVENT_ID)?,
            redriven_from: optional(headers, name::DLQ_REDRIVEN_FROM)?,
            events: Events::read(headers)?,
            personal: headers.get(name::DLQ_PERSONAL).map(serde_json::from_str).transpose()?.unwrap_or_default(),
            trace: optional(headers, name::TRACEPARENT).unwrap_or_default(),
            body: payload,
        })
    }
}

impl Described for DeadLetter {
    const CONTRACT: Contract = Contract {
        name: "DeadLetter",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "One dead event, or several of a request that failed alike",
        about: "Events and messages that were given up, with the reason. Every service writes to it. Dead letters of \
                ingestion, enrichment and aggregation are outcomes in the books. Events of one request that failed \
                alike are one letter: then `Tm-Dlq-Count` says how many they are, and the body lists theirs; with \
                `Tm-Dlq-Kept: false` nothing of them is kept, and the body is empty.",
        reading: "Follow dead letters",
        writing: Some("Give up what can never be read, before the original is terminated."),
        ids: &["dlq-<id>", "dlq-<id>-counted"],
        own_headers: &[
            Header::always(name::DLQ_ID, Form::Text, "Unique name; a retry repeats it."),
            Header::always(name::DLQ_SERVICE, Form::Word, "Who gave it up."),
            Header::always(name::DLQ_VERSION, Form::Word, "The release that did."),
            Header::always(name::DLQ_CODE, Form::Word, "Stable code of the reason."),
            Header::always(name::DLQ_REASON, Form::Text, "The reason in words."),
            Header::sometimes(name::DLQ_POINTER, Form::Text, "JSON Pointer to what is wrong."),
            Header::sometimes(name::DLQ_STREAM, Form::Stream, "The stream that it came from."),
            Header::sometimes(name::DLQ_SEQ, Form::Number, "Its sequence there."),
            Header::always(name::DLQ_DELIVERIES, Form::Number, "How often it was delivered."),
            Header::always(name::DLQ_FIRST_FAILED_AT, Form::Time, "When it first failed."),
            Header::always(name::DLQ_SOURCE, Form::Text, "The source that the event claims, or who sent it."),
            Header::sometimes(name::DLQ_EVENT_ID, Form::Text, "The event's id, where it has one."),
            Header::sometimes(
                name::DLQ_REDRIVEN_FROM,
                Form::Number,
                "The letter (its sequence in `DLQ`) whose event was sent again and failed once more.",
            ),
            Header::sometimes(name::DLQ_COUNT, Form::Number, "How many events it stands for; without it, one."),
            Header::sometimes(
                name::DLQ_KEPT,
                Form::OneOf(&["false"]),
                "Nothing is kept of the events; they are counted.",
            ),
            Header::sometimes(
                name::DLQ_PERSONAL,
                Form::Array,
                "Names of the body's members that schemas mark as personal, beyond those that are personal in any shop.",
            ),
            header::TRACEPARENT,
        ],
        body: BodyKind::Bodies("The body as it was received, perhaps cut."),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace() -> Option<TraceParent> {
        TraceParent::new(7, 9, true)
    }

    proptest! {
        #[test]
        fn a_dead_letter_keeps_any_text_and_any_body(
            reason in any::<String>(), source in any::<String>(), id in proptest::option::of(any::<String>()),
            body in proptest::collection::vec(any::<u8>(), 0..9000),
            events in prop_oneof![Just(Events::One), any::<u32>().prop_map(|n| Events::Several(n.into())), any::<u32>().prop_map(|n| Events::Counted(n.into()))],
        ) {
            let letter = DeadLetter {
                id: "x-1".into(), service: "ingestion".into(), release: "0.1.0".into(), code: "schema_violation".into(),
                reason, pointer: Some("/data/\u{e9}".into()), stream: Some("RAW".into()), sequence: Some(3),
                deliveries: 1, first_failed_at: Timestamp::EPOCH, source, event_id: id, redriven_from: Some(2),
                personal: vec!["loyaltyno".into(), "\u{e9}".into()], trace: trace(), events, body: body.into(),
            };
            let encoded = letter.encode().expect("encodes");
            prop_assert!(encoded.headers.iter().all(|(_, v)| v.bytes().all(|b| matches!(b, b' '..=b'~'))));
            prop_assert_eq!(DeadLetter::CONTRACT.breach(&encoded), None);
            prop_assert_eq!(DeadLetter::decode(&encoded, encoded.payload.clone()).expect("decodes"), letter);
        }
    }

    /// One that counts for more events than there can be would unbalance the
    /// books for ever.
    #[test]
    fn an_absurd_count_is_no_letter() {
        let letter = DeadLetter {
            events: Events::Several(1 << 40),
            ..DeadLetter::new("ingestion", "x".into(), "c", String::new())
        };
        let encoded = letter.encode().expect("encodes");
        let error = DeadLetter::decode(&encoded, Bytes::new()).expect_err("absurd").to_string();
        assert_eq!(error, "header Tm-Dlq-Count is missing or malformed");
    }
}
