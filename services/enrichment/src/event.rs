//! One event of the log, as far as it is needed here.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, Visitor},
};
use serde_json::value::RawValue;
use tidemill_domain::Timestamp;

/// An event of the log: what enrichment uses of it, borrowed from the line. A line that
/// `tidemill_events::EventRef` takes for an event is one here too, and no other.
#[derive(Debug, Deserialize)]
pub(crate) struct LogEvent<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Cow<'a, str>,
    pub(crate) time: Timestamp,
    #[serde(borrow, default)]
    pub(crate) subject: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) traceparent: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) clientip: Option<JsonText<'a>>,
    /// Whether it belongs to a history.
    #[serde(default, rename = "backfill", deserialize_with = "is_text")]
    pub(crate) is_history: bool,
    /// Whether ingestion left an attribute out.
    #[serde(default, rename = "unread", deserialize_with = "is_text")]
    pub(crate) is_partly_unread: bool,
    /// The payload.
    #[serde(borrow, default)]
    pub(crate) data: Option<&'a RawValue>,
    /// What enrichment adds: in the log, no event has it.
    #[serde(default)]
    pub(crate) enriched: Option<IgnoredAny>,
    #[serde(borrow, default, rename = "partitionkey")]
    _partition_key: Option<JsonText<'a>>,
    #[serde(default, rename = "redriven", deserialize_with = "is_text")]
    _is_redriven: bool,
}

/// A text that is borrowed where it has no escapes. Within an `Option`, serde borrows a
/// `Cow` never.
#[derive(Debug, Deserialize)]
pub(crate) struct JsonText<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl<'a> LogEvent<'a> {
    /// The subject, borrowed from the line where that can be.
    pub(crate) fn subject_text(&self) -> Option<Cow<'a, str>> {
        self.subject.as_ref().map(|JsonText(text)| text.clone())
    }

    /// The sender's address.
    pub(crate) fn client_address(&self) -> Option<&str> {
        self.clientip.as_ref().map(|JsonText(text)| &**text)
    }

    /// W3C trace context.
    pub(crate) fn trace_context(&self) -> Option<&str> {
        self.traceparent.as_ref().map(|JsonText(text)| &**text)
    }
}

/// Whether it is a text. A flag, a whole number or null is none, as a sender may have it
/// who used the name before it had a meaning.
fn is_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct TextVisitor;

    impl Visitor<'_> for TextVisitor {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an attribute")
        }

        fn visit_str<E>(self, _: &str) -> Result<bool, E> {
            Ok(true)
        }

        fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }
    }

    deserializer.deserialize_any(TextVisitor)
}
