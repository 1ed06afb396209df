//! The line of an event that is in its sender's words.

use std::borrow::Cow;

use crate::intake::tree::{JsonKind, JsonRef, ReadText};

/// Attributes that ingestion gives an event, in place of those that it has by the same
/// name.
#[derive(Debug, Default)]
pub(in crate::intake) struct Additions<'j>(Vec<(&'static str, Cow<'j, str>)>);

impl<'j> Additions<'j> {
    pub(super) fn put(&mut self, name: &'static str, text: impl Into<Cow<'j, str>>) {
        self.0.push((name, text.into()));
    }

    pub(super) fn write(&self, text: ReadText<'_>, out: &mut Vec<u8>) {
        let ReadText { json: event, has_blanks } = text;
        if !has_blanks && event.parts().all(|member| self.keeps(member)) {
            let raw = event.raw().as_bytes();
            out.extend_from_slice(&raw[..raw.len() - 1]);
        } else {
            let mut before = b'{';
            for member in event.parts().filter(|member| self.keeps(*member)) {
                out.push(before);
                write_name(member.key(), out);
                match has_blanks {
                    true => without_blanks(member.raw(), out),
                    false => out.extend_from_slice(member.raw().as_bytes()),
                }
                before = b',';
            }
        }
        // Its source stays, so something stands before.
        for (name, text) in &self.0 {
            out.push(b',');
            write_name(name, out);
            write_text(text, out);
        }
        out.push(b'}');
    }

    /// An attribute that is null is the same as none; data may be null.
    fn keeps(&self, member: JsonRef<'_>) -> bool {
        let is_absent = member.kind() == JsonKind::Null && member.key() != "data";
        !is_absent && self.0.iter().all(|(name, _)| *name != member.key())
    }
}

/// A name without anything to escape.
fn write_name(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing a text to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// A value without the blanks between its parts.
fn without_blanks(raw: &str, out: &mut Vec<u8>) {
    let bytes = raw.as_bytes();
    let (mut from, mut at, mut is_text) = (0, 0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if is_text => at += 1,
            b'"' => is_text = !is_text,
            b' ' | b'\t' | b'\n' | b'\r' if !is_text => {
                out.extend_from_slice(&bytes[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    out.extend_from_slice(&bytes[from..]);
}
