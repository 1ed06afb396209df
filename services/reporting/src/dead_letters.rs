//! Dead letters: listed from the store, their bodies read from the stream.

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_events::DeadLetter;
use utoipa::ToSchema;

/// Characters of a reason that are kept.
const REASON: usize = 2000;
/// Bytes of a body that are shown.
const BODY: usize = 4096;

/// A dead letter, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Letter {
    /// Its sequence in the stream of dead letters.
    pub sequence: u64,
    /// Who gave the event up.
    pub service: String,
    /// The stable code of the reason.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// JSON Pointer to what is wrong.
    pub pointer: Option<String>,
    /// The event's source, as it claims.
    pub source: Option<String>,
    /// The event's id.
    pub event_id: Option<String>,
    /// When it first failed.
    #[schema(value_type = String, format = DateTime)]
    pub failed_at: Timestamp,
    /// The event's trace.
    pub trace_id: Option<String>,
    /// The body as text, at most 4 KiB of it; `null` once the stream has
    /// forgotten it, or while the stream is away.
    #[serde(default)]
    pub body: Option<String>,
}

impl Letter {
    /// Without the body.
    pub fn new(sequence: u64, letter: &DeadLetter) -> Self {
        Self {
            sequence,
            service: letter.service.clone(),
            code: letter.code.clone(),
            reason: letter.reason.chars().take(REASON).collect(),
            pointer: letter.pointer.clone(),
            source: Some(letter.source.clone()),
            event_id: letter.event_id.clone(),
            failed_at: letter.first_failed_at,
            trace_id: letter.trace.map(|trace| trace.trace_id_hex()),
            body: None,
        }
    }
}

/// A body as text, as much of it as is shown. What is no UTF-8 becomes U+FFFD.
pub fn excerpt(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&body[..body.len().min(BODY)]).into_owned();
    // A character that the cut went through says nothing of the body.
    if body.len() > BODY && text.ends_with('\u{fffd}') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_ends_between_characters() {
        assert_eq!(excerpt("ab".as_bytes()), "ab");
        assert_eq!(excerpt(b"a\xff"), "a\u{fffd}");
        let long = format!("{}{}", "x".repeat(BODY - 1), "\u{1f600}");
        assert_eq!(excerpt(long.as_bytes()), "x".repeat(BODY - 1));
    }
}
