//! Events that go to the log in their sender's own words: what they say is what the log
//! is to have, and what ingestion adds comes behind it.
//!
//! An event of which more than that is to be made is none of these, and neither is one
//! with a fault: both are written anew, or refused, by the way over an `Envelope`. What
//! is left out or replaced here are whole members. Blanks between the parts are left
//! out too, so that a line is one line, and `"type":"…"` stands in it like this.

mod line;

use std::borrow::Cow;

use tidemill_domain::{BackfillName, EventId, EventType, SourceName, Timestamp};
use tidemill_events::TraceParent;

pub(super) use self::line::Additions;
use super::{
    client_address,
    envelope::is_json,
    normalise::{Defaults, RESERVED, SENT_AT, is_extension, partition_key_of},
    tree::{JsonKind, JsonRef, ReadText},
};

/// Bytes that are added to an event at most: each attribute once, escaped.
pub(super) const MOST_ADDED: usize = 1024;

/// An event of the JSON format whose attributes are what the log is to have.
#[derive(Debug)]
pub(super) struct VerbatimEvent<'j> {
    text: ReadText<'j>,
    pub(super) source: Cow<'j, str>,
    pub(super) kind: Cow<'j, str>,
    pub(super) data: Option<JsonRef<'j>>,
    pub(super) traceparent: Option<TraceParent>,
    id: Option<Cow<'j, str>>,
    subject: Option<Cow<'j, str>>,
    partitionkey: Option<Cow<'j, str>>,
    has: OtherAttributes,
    /// What ingestion says of it.
    additions: Additions<'j>,
}

/// Which of the attributes it has that are only completed.
#[derive(Debug, Default)]
struct OtherAttributes {
    specversion: bool,
    time: bool,
    clientip: bool,
    backfill: bool,
}

impl<'j> VerbatimEvent<'j> {
    /// `None` where the event is to be written anew, or refused.
    pub(super) fn of(text: ReadText<'j>) -> Option<Self> {
        let mut event = Self {
            text,
            id: None,
            source: Cow::Borrowed(""),
            kind: Cow::Borrowed(""),
            data: None,
            traceparent: None,
            subject: None,
            partitionkey: None,
            has: OtherAttributes::default(),
            additions: Additions::default(),
        };
        if text.json.kind() != JsonKind::Object {
            return None;
        }
        for member in text.json.parts() {
            event.read(member)?;
        }
        // Both are required.
        (!event.source.is_empty() && !event.kind.is_empty()).then_some(event)
    }

    fn read(&mut self, member: JsonRef<'j>) -> Option<()> {
        match (member.key(), member.kind()) {
            ("data", _) => self.data = Some(member),
            ("data_base64", _) => return None,
            // The same as absent.
            (_, JsonKind::Null) => {}
            (name, JsonKind::Text | JsonKind::EscapedText) if is_known(name) => {
                return self.read_known(name, as_we_write(member)?);
            }
            (name, JsonKind::Text | JsonKind::EscapedText | JsonKind::Bool(_) | JsonKind::Integer) => {
                return (is_extension(name) && !is_known(name)).then_some(());
            }
            (_, JsonKind::Fraction | JsonKind::Array | JsonKind::Object) => return None,
        }
        Some(())
    }

    fn read_known(&mut self, name: &str, text: Cow<'j, str>) -> Option<()> {
        match name {
            "specversion" => self.has.specversion = (text == "1.0").then_some(true)?,
            "id" => self.id = Some(identifier(text)?),
            "source" => self.source = SourceName::check(&text).ok().map(|()| text)?,
            "type" => self.kind = EventType::check(&text).ok().map(|()| text)?,
            "time" => self.read_time(&text)?,
            "subject" => self.subject = Some(identifier(text)?),
            "partitionkey" => self.partitionkey = Some(identifier(text)?),
            "backfill" => self.has.backfill = BackfillName::check(&text).ok().map(|()| true)?,
            "clientip" => {
                let address = client_address::read(&text)?;
                self.has.clientip = (address.to_string() == text).then_some(true)?;
            }
            "traceparent" => self.traceparent = Some(text.parse().ok()?),
            "datacontenttype" => return is_json(Some(&text)).then_some(()),
            // What is written by us alone, or decides what others are.
            _ => return None,
        }
        Some(())
    }

    fn read_time(&mut self, text: &str) -> Option<()> {
        self.has.time = true;
        if Timestamp::in_own_form(text).is_none() {
            let time: Timestamp = text.parse().ok()?;
            self.additions.put("time", time.to_string());
        }
        Some(())
    }

    /// Fills in what it does not say; answers its id.
    pub(super) fn complete(&mut self, defaults: &Defaults<impl Fn() -> String>) -> Cow<'j, str> {
        if !self.has.specversion {
            self.additions.put("specversion", "1.0");
        }
        let id = self.id.take().unwrap_or_else(|| {
            let id = (defaults.new_id)();
            self.additions.put("id", id.clone());
            Cow::Owned(id)
        });
        if !self.has.time {
            self.additions.put("time", defaults.now.to_string());
        }
        if let Some(address) = defaults.clientip.filter(|_| !self.has.clientip) {
            self.additions.put("clientip", address.to_string());
        }
        if let Some(name) = defaults.backfill.as_ref().filter(|_| !self.has.backfill) {
            self.additions.put("backfill", name.to_string());
        }
        id
    }

    /// Gives it the key of its partition, whatever its sender gave; answers the key that
    /// it has then.
    pub(super) fn partition_by(&mut self, decided: Option<Cow<'j, str>>) -> Cow<'j, str> {
        let Some(text) = decided else {
            let own = self.partitionkey.as_ref().or(self.subject.as_ref());
            return own.unwrap_or(&self.source).clone();
        };
        let hash = match partition_key_of(&text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(hash) => Some(hash),
        };
        let key = hash.map_or(text, Cow::Owned);
        if self.partitionkey.as_ref() != Some(&key) {
            self.additions.put("partitionkey", key.clone());
        }
        key
    }

    /// Gives it the trace that it is in from here on.
    pub(super) fn traced(&mut self, traceparent: Option<TraceParent>) {
        let written = self.text.json.get("traceparent").and_then(JsonRef::plain_text);
        if let Some(text) = traceparent.map(|trace| trace.to_string()).filter(|text| written != Some(text)) {
            self.additions.put("traceparent", text);
        }
    }

    /// Writes its line, without an end.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.additions.write(self.text, out);
    }
}

/// A text that is spelt as we write it: with escapes only where it needs them.
fn as_we_write<'j>(member: JsonRef<'j>) -> Option<Cow<'j, str>> {
    let text = member.text()?;
    let is_ours =
        member.kind() == JsonKind::Text || serde_json::to_string(&text).is_ok_and(|ours| ours == member.raw());
    is_ours.then_some(text)
}

fn identifier(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    EventId::check(&text).ok().map(|()| text)
}

/// Attributes that mean something to ingestion.
fn is_known(name: &str) -> bool {
    const KNOWN: [&str; 11] = [
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "subject",
        "partitionkey",
        "backfill",
        "clientip",
        "traceparent",
        "datacontenttype",
    ];
    KNOWN.contains(&name) || RESERVED.contains(&name) || name == SENT_AT
}

#[cfg(test)]
mod tests;
