//! How messages become headers and bytes, whatever carries them.

use std::{io::Read, str::FromStr};
use tidemill_domain::Code;

use bytes::Bytes;

/// Payloads from this size on are compressed, if that makes them smaller.
const COMPRESS_FROM: usize = 4 * 1024;
/// No message of ours inflates beyond this (batches end at 256 KiB).
const MAX_INFLATED: u64 = 4 * 1024 * 1024;

pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const JSON: &str = "application/json";
pub(crate) const OCTETS: &str = "application/octet-stream";

/// A message ready to be published.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Where to.
    pub subject: String,
    /// What a retry repeats, so that the server drops the copy.
    pub message_id: String,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body, compressed where `Content-Encoding` says so.
    pub payload: Bytes,
}

impl Encoded {
    pub(crate) fn new(subject: String, message_id: String) -> Self {
        Self { subject, message_id, headers: Vec::new(), payload: Bytes::new() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn header_opt(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// A body that is not compressed: it goes nowhere.
    pub(crate) fn plain_body(mut self, content_type: &'static str, payload: Bytes) -> Self {
        self.payload = payload;
        self.header(name::CONTENT_TYPE, content_type)
    }

    pub(crate) fn body(mut self, content_type: &'static str, payload: Bytes) -> Self {
        self = self.header(name::CONTENT_TYPE, content_type);
        if payload.len() >= COMPRESS_FROM {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(payload.len() / 3));
            let compressed = std::io::Write::write_all(&mut encoder, &payload)
                .ok()
                .and_then(|()| encoder.finish().ok())
                .filter(|compressed| compressed.len() < payload.len());
            if let Some(compressed) = compressed {
                self.payload = compressed.into();
                return self.header(name::CONTENT_ENCODING, "lz4");
            }
        }
        self.payload = payload;
        self
    }
}

/// Where a received message's headers can be looked up.
pub trait HeaderSource {
    /// The value of a header.
    fn get(&self, name: &str) -> Option<&str>;
}

impl HeaderSource for Encoded {
    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

/// Why a message could not be read. It will not become readable by a retry.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A header is absent or malformed.
    #[error("header {0} is missing or malformed")]
    Header(&'static str),
    /// The message is of a version that this build does not know.
    #[error("message version {0} is not supported")]
    Version(String),
    /// The body is compressed in an unknown way, truncated or too large.
    #[error("the body cannot be decompressed: {0}")]
    Encoding(String),
    /// The body is not what the message's type says.
    #[error("the body is malformed: {0}")]
    Body(#[from] serde_json::Error),
}

impl DecodeError {
    /// Stable code, the same in every service.
    pub const fn code(&self) -> Code {
        match self {
            Self::Version(_) => Code::UnsupportedVersion,
            Self::Header(_) | Self::Encoding(_) | Self::Body(_) => Code::MalformedMessage,
        }
    }
}

/// Header names.
pub(crate) mod name {
    pub(crate) const VERSION: &str = "Tm-Version";
    pub(crate) const PARTITION: &str = "Tm-Partition";
    pub(crate) const BATCH_ID: &str = "Tm-Batch-Id";
    pub(crate) const COUNT: &str = "Tm-Count";
    pub(crate) const TYPES: &str = "Tm-Types";
    pub(crate) const SOURCES: &str = "Tm-Sources";
    pub(crate) const INGESTED_AT: &str = "Tm-Ingested-At";
    pub(crate) const ORDER: &str = "Tm-Redrive-Order";
    pub(crate) const MEASURED_BY: &str = "Tm-Measured-By";
    pub(crate) const EVENT_ID: &str = "Tm-Event-Id";
    pub(crate) const REDRIVEN: &str = "Tm-Redriven";
    pub(crate) const RAW_SEQ: &str = "Tm-Raw-Seq";
    pub(crate) const RAW_PREV: &str = "Tm-Raw-Prev";
    pub(crate) const REMADE: &str = "Tm-Remade";
    pub(crate) const REFDATA: &str = "Tm-Refdata-Version";
    pub(crate) const TRACEPARENT: &str = "traceparent";
    pub(crate) const CONTENT_TYPE: &str = "Content-Type";
    pub(crate) const CONTENT_ENCODING: &str = "Content-Encoding";
    pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";
    pub(crate) const DLQ_ID: &str = "Tm-Dlq-Id";
    pub(crate) const DLQ_REASON: &str = "Tm-Dlq-Reason";
    pub(crate) const DLQ_CODE: &str = "Tm-Dlq-Code";
    pub(crate) const DLQ_POINTER: &str = "Tm-Dlq-Pointer";
    pub(crate) const DLQ_SERVICE: &str = "Tm-Dlq-Service";
    pub(crate) const DLQ_VERSION: &str = "Tm-Dlq-Version";
    pub(crate) const DLQ_STREAM: &str = "Tm-Dlq-Stream";
    pub(crate) const DLQ_SEQ: &str = "Tm-Dlq-Seq";
    pub(crate) const DLQ_DELIVERIES: &str = "Tm-Dlq-Deliveries";
    pub(crate) const DLQ_FIRST_FAILED_AT: &str = "Tm-Dlq-First-Failed-At";
    pub(crate) const DLQ_SOURCE: &str = "Tm-Dlq-Source";
    pub(crate) const DLQ_EVENT_ID: &str = "Tm-Dlq-Event-Id";
    pub(crate) const DLQ_COUNT: &str = "Tm-Dlq-Count";
    pub(crate) const DLQ_KEPT: &str = "Tm-Dlq-Kept";
    pub(crate) const DLQ_REDRIVEN_FROM: &str = "Tm-Dlq-Redriven-From";
    pub(crate) const DLQ_PERSONAL: &str = "Tm-Dlq-Personal";
}

pub(crate) fn required<T: FromStr>(headers: &impl HeaderSource, name: &'static str) -> Result<T, DecodeError> {
    optional(headers, name)?.ok_or(DecodeError::Header(name))
}

pub(crate) fn optional<T: FromStr>(headers: &impl HeaderSource, name: &'static str) -> Result<Option<T>, DecodeError> {
    headers.get(name).map(|text| text.parse().map_err(|_| DecodeError::Header(name))).transpose()
}

pub(crate) fn check_version(headers: &impl HeaderSource, known: u32) -> Result<(), DecodeError> {
    let version: String = required(headers, name::VERSION)?;
    if version == known.to_string() { Ok(()) } else { Err(DecodeError::Version(version)) }
}

/// The body, inflated where it is compressed.
pub(crate) fn inflate(headers: &impl HeaderSource, payload: Bytes) -> Result<Bytes, DecodeError> {
    match headers.get(name::CONTENT_ENCODING) {
        None => Ok(payload),
        Some("lz4") => {
            let mut inflated = Vec::with_capacity(payload.len() * 3);
            lz4_flex::frame::FrameDecoder::new(payload.as_ref())
                .take(MAX_INFLATED + 1)
                .read_to_end(&mut inflated)
                .map_err(|e| DecodeError::Encoding(e.to_string()))?;
            if inflated.len() as u64 > MAX_INFLATED {
                return Err(DecodeError::Encoding(format!("larger than {MAX_INFLATED} bytes")));
            }
            Ok(inflated.into())
        }
        Some(other) => Err(DecodeError::Encoding(format!("unknown encoding {other}"))),
    }
}

/// JSON in ASCII: NATS headers are lines, so text from outside is escaped.
pub(crate) fn ascii_json(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let mut ascii = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match char::from_u32(u32::from(unit)).filter(|c| matches!(c, ' '..='~')) {
            Some(plain) => ascii.push(plain),
            None => ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    Ok(ascii)
}
