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
    tree::{Json, Kind, ReadText},
};

/// Bytes that are added to an event at most: each attribute once, escaped.
pub(super) const MOST_ADDED: usize = 1024;

/// An event of the JSON format whose attributes are what the log is to have.
#[derive(Debug)]
pub(super) struct VerbatimEvent<'j> {
    text: ReadText<'j>,
    pub(super) id: Option<&'j str>,
    pub(super) source: &'j str,
    pub(super) kind: &'j str,
    pub(super) data: Option<Json<'j>>,
    pub(super) traceparent: Option<TraceParent>,
    time: Option<&'j str>,
    subject: Option<&'j str>,
    partitionkey: Option<&'j str>,
    has: OtherAttributes,
    /// What ingestion says of it.
    additions: Additions<'j>,
}

/// Which of the attributes it has that are only completed.
#[derive(Debug, Default)]
struct OtherAttributes {
    specversion: bool,
    clientip: bool,
    backfill: bool,
}

impl<'j> VerbatimEvent<'j> {
    /// `None` where the event is to be written anew, or refused.
    pub(super) fn of(text: ReadText<'j>) -> Option<Self> {
        let mut event = Self {
            text,
            id: None,
            source: "",
            kind: "",
            data: None,
            traceparent: None,
            time: None,
            subject: None,
            partitionkey: None,
            has: OtherAttributes::default(),
            additions: Additions::default(),
        };
        if text.json.kind() != Kind::Object {
            return None;
        }
        for member in text.json.parts() {
            event.read(member)?;
        }
        // Both are required.
        (!event.source.is_empty() && !event.kind.is_empty()).then_some(event)
    }

    fn read(&mut self, member: Json<'j>) -> Option<()> {
        match (member.key(), member.kind()) {
            ("data", _) => self.data = Some(member),
            ("data_base64", _) => return None,
            // The same as absent.
            (_, Kind::Null) => {}
            (name, Kind::Text) => return self.read_text(name, member.plain_text()?),
            (name, Kind::EscapedText | Kind::Bool(_) | Kind::Integer) => {
                return (is_extension(name) && !is_known(name)).then_some(());
            }
            (_, Kind::Fraction | Kind::Array | Kind::Object) => return None,
        }
        Some(())
    }

    fn read_text(&mut self, name: &str, text: &'j str) -> Option<()> {
        match name {
            "specversion" => self.has.specversion = (text == "1.0").then_some(true)?,
            "id" => self.id = EventId::check(text).ok().map(|()| Some(text))?,
            "source" => self.source = SourceName::check(text).ok().map(|()| text)?,
            "type" => self.kind = EventType::check(text).ok().map(|()| text)?,
            "time" => self.read_time(text)?,
            "subject" => self.subject = EventId::check(text).ok().map(|()| Some(text))?,
            "partitionkey" => self.partitionkey = EventId::check(text).ok().map(|()| Some(text))?,
            "backfill" => self.has.backfill = BackfillName::check(text).ok().map(|()| true)?,
            "clientip" => {
                let address = client_address::read(text)?;
                self.has.clientip = (address.to_string() == text).then_some(true)?;
            }
            "traceparent" => self.traceparent = Some(text.parse().ok()?),
            "datacontenttype" => return is_json(Some(text)).then_some(()),
            _ => return (is_extension(name) && !is_known(name)).then_some(()),
        }
        Some(())
    }

    fn read_time(&mut self, text: &'j str) -> Option<()> {
        self.time = Some(text);
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
        let id = match self.id {
            Some(id) => Cow::Borrowed(id),
            None => {
                let id = (defaults.new_id)();
                self.additions.put("id", id.clone());
                Cow::Owned(id)
            }
        };
        if self.time.is_none() {
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
        let own = self.partitionkey;
        let Some(text) = decided else {
            return Cow::Borrowed(own.or(self.subject).unwrap_or(self.source));
        };
        let key = match text {
            Cow::Borrowed(text) => partition_key_of(text),
            Cow::Owned(text) => Cow::Owned(partition_key_of(&text).into_owned()),
        };
        if own != Some(&*key) {
            self.additions.put("partitionkey", key.clone());
        }
        key
    }

    /// Gives it the trace that it is in from here on.
    pub(super) fn traced(&mut self, traceparent: Option<TraceParent>) {
        let written = self.text.json.get("traceparent").and_then(Json::plain_text);
        if let Some(text) = traceparent.map(|trace| trace.to_string()).filter(|text| written != Some(text)) {
            self.additions.put("traceparent", text);
        }
    }

    /// Writes its line, without an end.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.additions.write(self.text, out);
    }
}

/// Attributes that mean something to ingestion: these are texts without escapes, or
/// are written anew.
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
