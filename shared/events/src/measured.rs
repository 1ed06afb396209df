//! Events that the suite's own services tell.

use bytes::Bytes;
use schemars::SchemaGenerator;
use serde::Serialize;
use tidemill_domain::Timestamp;

use crate::{
    codec::{DecodeError, Encoded, HeaderSource, JSON, ascii_json, check_version, inflate, name, required},
    contract::{BodyKind, Contract, Described, Form, Header},
    event::Event,
    message::Message,
    topology::{self, StreamName},
};

/// What the sources of the suite's own events begin with.
const OWN_SOURCES: &str = "tidemill/";

/// Whether a source is one of the suite's own, which no event that is posted may claim.
pub fn is_own_source(source: &str) -> bool {
    source.starts_with(OWN_SOURCES)
}

/// An event that a service of the suite tells, to be validated and taken into the log like
/// one that was posted.
///
/// Its id is a function of what it covers. So who tells it twice, after a crash or beside
/// another replica, has told it once: the second is a duplicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredEvent {
    /// Who tells it.
    pub service: String,
    /// The event's id.
    pub id: String,
    /// The event, in CloudEvents' JSON format.
    pub body: Bytes,
}

#[derive(Serialize)]
struct OwnEvent<'a, D> {
    specversion: &'a str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'a str,
    time: Timestamp,
    data: &'a D,
}

impl MeasuredEvent {
    /// One of this service, type and time. Its source is `tidemill/<service>`.
    pub fn new(
        service: &str,
        id: &str,
        kind: &str,
        time: Timestamp,
        data: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let source = format!("{OWN_SOURCES}{service}");
        let event = OwnEvent { specversion: "1.0", id, source, kind, time, data };
        Ok(Self { service: service.into(), id: id.into(), body: serde_json::to_vec(&event)?.into() })
    }

    /// Its source.
    pub fn source(&self) -> String {
        format!("{OWN_SOURCES}{}", self.service)
    }
}

impl Message for MeasuredEvent {
    const STREAM: StreamName = StreamName::Measured;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let (service, id) = (ascii_json(&self.service)?, ascii_json(&self.id)?);
        let message_id = format!("measured-{}-{}", service.trim_matches('"'), id.trim_matches('"'));
        Ok(Encoded::new(topology::measured(&self.service), message_id)
            .header(name::VERSION, Self::VERSION)
            .header(name::MEASURED_BY, service)
            .header(name::EVENT_ID, id)
            .body(JSON, self.body.clone()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        let text =
            |name| -> Result<String, DecodeError> { Ok(serde_json::from_str(&required::<String>(headers, name)?)?) };
        let (service, id) = (text(name::MEASURED_BY)?, text(name::EVENT_ID)?);
        Ok(Self { service, id, body: inflate(headers, payload)? })
    }
}

impl Described for MeasuredEvent {
    const CONTRACT: Contract = Contract {
        name: "MeasuredEvent",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "An event that a service of the suite tells",
        about: "Events that the suite's own services tell: what they measure, for metrics and rules. Their source is \
                `tidemill/<service>`, which no event that is posted may claim. Ingestion validates them like posted \
                ones, and writes them to `RAW`.",
        reading: "Take in what services tell",
        writing: None,
        ids: &["measured-<service>-<event id>"],
        own_headers: &[
            Header::always(name::MEASURED_BY, Form::Text, "The service that tells it."),
            Header::always(name::EVENT_ID, Form::Text, "The event's id: a function of what it covers."),
        ],
        body: BodyKind::Object(SchemaGenerator::subschema_for::<Event>),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_measured_event_comes_back(
            service in any::<String>(), id in any::<String>(), body in proptest::collection::vec(any::<u8>(), 0..9000),
        ) {
            let event = MeasuredEvent { service, id, body: body.into() };
            let encoded = event.encode().expect("encodes");
            prop_assert!(encoded.headers.iter().all(|(_, v)| v.bytes().all(|b| matches!(b, b' '..=b'~'))));
            prop_assert_eq!(MeasuredEvent::CONTRACT.breach(&encoded), None);
            prop_assert_eq!(MeasuredEvent::decode(&encoded, encoded.payload.clone()).expect("decodes"), event);
        }
    }
}
