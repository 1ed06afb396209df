//! What each type of message says of itself: stream and subject, headers and
//! body. It is for readers in other languages.
//!
//! `docs/asyncapi.yaml` and `docs/reference/messages.md` are made of it. A
//! message that is encoded otherwise fails the tests here.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::{
    bodies::{self, BodyList},
    codec::{Encoded, JSON, NDJSON, OCTETS, name},
    message::Message,
    topology::StreamName,
    trace,
};

/// A message that says of what it consists.
pub trait Described: Message {
    /// What it says.
    const CONTRACT: Contract;
}

/// What a type of message says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Contract {
    /// The type's name.
    pub name: &'static str,
    /// The stream that it goes to, and nothing else does.
    pub stream: StreamName,
    /// The version of its format.
    pub version: u32,
    /// What one is, in a few words.
    pub title: &'static str,
    /// What a reader of the stream has to know, and who writes it.
    pub about: &'static str,
    /// What a reader does, as an order.
    pub reading: &'static str,
    /// What a writer does that is no service of the suite, if there may be one.
    pub writing: Option<&'static str>,
    /// The forms of its message id, with what varies in angle brackets.
    pub ids: &'static [&'static str],
    /// Headers of its own; [`headers`](Self::headers) has all of them.
    pub(crate) own_headers: &'static [Header],
    /// What its body is.
    pub body: BodyKind,
}

/// A header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// How its value is written.
    pub form: Form,
    /// Whether every message has it.
    pub is_always_there: bool,
    /// What it says, in one sentence.
    pub about: &'static str,
}

/// How a header's value is written. NATS headers are lines of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A number without a sign.
    Number,
    /// Numbers with commas between them.
    Numbers,
    /// Milliseconds since 1970, before it with a sign.
    Millis,
    /// RFC 3339 in UTC.
    Time,
    /// A UUID.
    Uuid,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Event types with commas between them.
    Types,
    /// A word of ours, as it is.
    Word,
    /// The name of a stream.
    Stream,
    /// Any text, as a JSON string in ASCII.
    Text,
    /// A JSON array in ASCII.
    Array,
    /// A JSON object in ASCII.
    Object,
    /// W3C trace context.
    TraceParent,
    /// A message id: one of these, with what varies in angle brackets.
    MessageId(&'static [&'static str]),
    /// The version of a message's format.
    Version(u32),
}

/// What a body is.
#[derive(Debug, Clone, Copy)]
pub enum BodyKind {
    /// One JSON object.
    Object(fn(&mut SchemaGenerator) -> Schema),
    /// One JSON object a line.
    Lines(fn(&mut SchemaGenerator) -> Schema),
    /// The body of one event, described here, or a list of several.
    Bodies(&'static str),
}

impl Contract {
    /// All headers, as they are documented.
    pub fn headers(&self) -> Vec<Header> {
        let id = Header::always(name::MESSAGE_ID, Form::MessageId(self.ids), "Names the message; a copy has the same.");
        let version = Header::always(
            name::VERSION,
            Form::Version(self.version),
            "Version of the message's format; a reader refuses others.",
        );
        let content = Header::always(name::CONTENT_TYPE, Form::OneOf(self.body.content_types()), "What the body is.");
        let encoding =
            Header::sometimes(name::CONTENT_ENCODING, Form::OneOf(&["lz4"]), "There where the body is compressed.");
        let own = self.own_headers.iter().copied();
        [id, version].into_iter().chain(own).chain([content, encoding]).collect()
    }

    /// All headers as the JSON Schema of an object.
    pub fn headers_schema(&self) -> Value {
        let headers = self.headers();
        let required: Vec<&str> = headers.iter().filter(|header| header.is_always_there).map(|h| h.name).collect();
        let properties: Map<String, Value> =
            headers.into_iter().map(|header| (header.name.into(), header.schema())).collect();
        json!({ "type": "object", "required": required, "properties": properties })
    }

    /// How an encoded message breaks the contract, if it does.
    pub fn breach(&self, encoded: &Encoded) -> Option<String> {
        let headers = self.headers();
        let names = encoded.headers.iter().map(|(name, _)| *name).chain([name::MESSAGE_ID]).collect::<Vec<_>>();
        let unknown = names.iter().find(|name| headers.iter().all(|header| header.name != **name));
        let missing = headers.iter().find(|header| header.is_always_there && !names.contains(&header.name));
        let address = self.stream.address();
        let fits = |(of_subject, of_address): (&str, &str)| of_address.starts_with('{') || of_subject == of_address;
        let is_there = encoded.subject.split('.').count() == address.split('.').count()
            && encoded.subject.split('.').zip(address.split('.')).all(fits);
        match (unknown, missing) {
            (Some(name), _) => Some(format!("{}: the header {name} is not described", self.name)),
            (_, Some(header)) => Some(format!("{}: the header {} is missing", self.name, header.name)),
            _ if !is_there => Some(format!("{}: {} is not of the form {address}", self.name, encoded.subject)),
            _ => None,
        }
    }
}

impl Header {
    /// One that every message has.
    pub(crate) const fn always(name: &'static str, form: Form, about: &'static str) -> Self {
        Self { name, form, is_always_there: true, about }
    }

    /// One that some messages have.
    pub(crate) const fn sometimes(name: &'static str, form: Form, about: &'static str) -> Self {
        Self { name, form, is_always_there: false, about }
    }

    /// The JSON Schema of its value.
    pub(crate) fn schema(&self) -> Value {
        let mut schema = json!({ "type": "string" });
        match self.form {
            Form::Number => schema["pattern"] = json!("^[0-9]+$"),
            Form::Numbers => schema["pattern"] = json!("^[0-9]+(,[0-9]+)*$"),
            Form::Millis => schema["pattern"] = json!("^-?[0-9]+$"),
            Form::Time => schema["format"] = json!("date-time"),
            Form::Uuid => schema["format"] = json!("uuid"),
            Form::OneOf([only]) => schema["const"] = json!(only),
            Form::OneOf(values) => schema["enum"] = json!(values),
            Form::Types => schema["pattern"] = json!("^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$"),
            Form::Word => {}
            Form::Stream => schema["enum"] = json!(StreamName::ALL.map(StreamName::as_str)),
            Form::Text => schema["pattern"] = json!(r#"^"[ -~]*"$"#),
            Form::Array => schema["pattern"] = json!(r"^\[[ -~]*\]$"),
            Form::Object => schema["pattern"] = json!(r"^\{[ -~]*\}$"),
            Form::TraceParent => schema["pattern"] = json!(trace::PATTERN),
            Form::MessageId(ids) => schema["pattern"] = json!(pattern_of(ids)),
            Form::Version(version) => schema["const"] = json!(version.to_string()),
        }
        schema["description"] = match self.form {
            Form::MessageId(ids) => json!(format!("{} Its form is `{}`.", self.about, ids.join("` or `"))),
            _ => json!(self.about),
        };
        schema
    }
}

/// A regular expression for what has one of these forms.
fn pattern_of(forms: &[&str]) -> String {
    let of = |form: &&str| {
        let mut pattern = String::from("^");
        let mut rest = *form;
        while let Some((plain, (_, behind))) = rest.split_once('<').and_then(|(a, b)| Some((a, b.split_once('>')?))) {
            pattern.push_str(plain);
            pattern.push_str(".+");
            rest = behind;
        }
        pattern + rest + "$"
    };
    forms.iter().map(of).collect::<Vec<_>>().join("|")
}

impl BodyKind {
    /// The content types that it may have.
    pub const fn content_types(self) -> &'static [&'static str] {
        match self {
            Self::Object(_) => &[JSON],
            Self::Lines(_) => &[NDJSON],
            Self::Bodies(_) => &[OCTETS, bodies::CONTENT_TYPE],
        }
    }

    /// The JSON Schema of the body, or of each of its lines.
    pub fn schema(self, generator: &mut SchemaGenerator) -> Schema {
        match self {
            Self::Object(of) | Self::Lines(of) => of(generator),
            Self::Bodies(about) => {
                let list = generator.subschema_for::<BodyList>();
                json_schema!({ "oneOf": [{ "type": "string", "format": "binary", "description": about }, list] })
            }
        }
    }
}

/// Headers that several messages have.
pub(crate) mod header {
    use super::{Form, Header, name};

    pub(crate) const PARTITION: Header =
        Header::always(name::PARTITION, Form::Number, "Index of the partition that all of it belongs to.");
    pub(crate) const COUNT: Header = Header::always(name::COUNT, Form::Number, "Number of events.");
    pub(crate) const INGESTED_AT: Header =
        Header::always(name::INGESTED_AT, Form::Millis, "When ingestion took the batch in: the log's clock.");
    pub(crate) const RAW_SEQ: Header =
        Header::always(name::RAW_SEQ, Form::Number, "Sequence in `RAW` of the batch that it was made of.");
    pub(crate) const TRACEPARENT: Header =
        Header::sometimes(name::TRACEPARENT, Form::TraceParent, "W3C trace context, where it is traced.");
}

#[cfg(test)]
mod tests;
