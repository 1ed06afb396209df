//! Dead letters on their way back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;

use crate::{
    bodies::{self, Body},
    codec::{DecodeError, Encoded, HeaderSource, ascii_json, check_version, inflate, name, optional},
    contract::{BodyKind, Contract, Described, Form, Header, header},
    message::Message,
    topology::{self, StreamName},
    trace::TraceParent,
};

/// A dead letter's event, or events, as they were or mended, to be validated once
/// more. They take the way of every event: through ingestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// Unique name of the request; a repetition of its publish repeats it.
    pub id: uuid::Uuid,
    /// The letter's sequence in `DLQ`.
    pub letter: u64,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The letter's source, for an event that names none.
    pub source: String,
    /// The letter's event id, where it has one.
    pub event_id: Option<String>,
    /// When the letter failed first: the time of an event that names none.
    pub first_failed_at: Timestamp,
    /// The letter's trace.
    pub trace: Option<TraceParent>,
    /// Whether the body lists those of several events.
    pub several: bool,
    /// The event: the letter's body, or the mended one.
    pub body: Bytes,
}

impl Redrive {
    /// The bodies of its events, in an order that a repetition repeats.
    pub fn bodies(&self) -> Result<Vec<Body>, DecodeError> {
        if self.several { bodies::decode(&self.body) } else { Ok(vec![Body { count: 1, bytes: self.body.clone() }]) }
    }
}

/// What of a request travels in one header.
#[derive(Serialize, Deserialize)]
struct RedriveHeader {
    id: uuid::Uuid,
    letter: u64,
    by: String,
    at: Timestamp,
    source: String,
    event_id: Option<String>,
    first_failed_at: Timestamp,
}

impl Message for Redrive {
    const STREAM: StreamName = StreamName::Redrive;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let Self { id, letter, at, first_failed_at, .. } = *self;
        let (by, source, event_id) = (self.by.clone(), self.source.clone(), self.event_id.clone());
        let request = RedriveHeader { id, letter, by, at, source, event_id, first_failed_at };
        Ok(Encoded::new(topology::REDRIVE.into(), format!("redrive-{id}"))
            .header(name::VERSION, Self::VERSION)
            .header(name::ORDER, ascii_json(&request)?)
            .header_opt(name::TRACEPARENT, self.trace)
            .body(bodies::content_type(self.several), self.body.clone()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        let header = headers.get(name::ORDER).ok_or(DecodeError::Header(name::ORDER))?;
        let RedriveHeader { id, letter, by, at, source, event_id, first_failed_at } = serde_json::from_str(header)?;
        let trace = optional(headers, name::TRACEPARENT).unwrap_or_default();
        let several = headers.get(name::CONTENT_TYPE) == Some(bodies::CONTENT_TYPE);
        let body = inflate(headers, payload)?;
        Ok(Self { id, letter, by, at, source, event_id, first_failed_at, trace, several, body })
    }
}

impl Described for Redrive {
    const CONTRACT: Contract = Contract {
        name: "Redrive",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "A request to send a dead event again",
        about: "Requests to validate a dead letter's event once more, as it was or mended. Written by reporting, when an \
                operator asks.",
        reading: "Validate dead letters once more",
        writing: None,
        ids: &["redrive-<id>"],
        own_headers: &[
            Header::always(
                name::ORDER,
                Form::Object,
                "`id` (UUID of the request), `letter` (sequence in `DLQ`), `by`, `at`, and of the letter `source`, \
                 `event_id` and `first_failed_at`.",
            ),
            header::TRACEPARENT,
        ],
        body: BodyKind::Bodies("The event as one item of a request, as it was or mended."),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_redrive_comes_back(
            by in any::<String>(), id in proptest::option::of(any::<String>()),
            body in proptest::collection::vec(any::<u8>(), 0..9000), several in any::<bool>(),
        ) {
            let redrive = Redrive {
                id: uuid::Uuid::from_u128(5), letter: 9, by, at: Timestamp::EPOCH, source: "shop".into(), event_id: id,
                first_failed_at: Timestamp::EPOCH, trace: TraceParent::new(7, 9, true), several, body: body.into(),
            };
            let encoded = redrive.encode().expect("encodes");
            prop_assert!(encoded.headers.iter().all(|(_, v)| v.bytes().all(|b| matches!(b, b' '..=b'~'))));
            prop_assert_eq!(Redrive::CONTRACT.breach(&encoded), None);
            prop_assert_eq!(Redrive::decode(&encoded, encoded.payload.clone()).expect("decodes"), redrive);
        }
    }
}
