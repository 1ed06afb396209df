//! The key that a Segment call brings in its body, as `writeKey`: found before the
//! call is looked at, and kept nowhere.

#[cfg(test)]
mod tests;

use std::{fmt, ops::Range};

use serde::{
    Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::frame;

/// The member.
const NAME: &[u8] = b"writeKey";
const BLANKS: &[u8] = b" \t\r\n";
/// Bytes of a key as it is spelled at most; no key is longer.
const LONGEST: usize = 1024;

/// The key of a body that is one JSON object. If it has two, nobody knows which is
/// meant.
pub(super) fn find(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(frame::unmarked(body)).ok()?;
    let mut json = serde_json::Deserializer::from_str(text);
    let key = json.deserialize_map(KeyVisitor).ok()?;
    json.end().ok()?;
    key
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut key = None;
        // As they are spelled: a name may be as long as the body, and is not copied.
        while let Some(name) = members.next_key::<&RawValue>()? {
            if name.get() != "\"writeKey\"" {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = members.next_value::<&RawValue>()?;
            if key.replace(value).is_some() {
                return Err(A::Error::duplicate_field("writeKey"));
            }
        }
        Ok(key.filter(|value| value.get().len() <= LONGEST).and_then(|value| serde_json::from_str(value.get()).ok()))
    }
}

/// A text with every `writeKey` of it emptied, wherever it stands and however broken
/// the text is; `None` where there is none.
pub(super) fn emptied(text: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let mut rest = text;
    while let Some(KeyPlace { key, instead }) = next_key(rest) {
        kept.extend_from_slice(&rest[..key.start]);
        kept.extend_from_slice(instead);
        rest = &rest[key.end..];
    }
    if rest.len() == text.len() {
        return None;
    }
    kept.extend_from_slice(rest);
    Some(kept)
}

/// A key in a text.
struct KeyPlace {
    key: Range<usize>,
    /// What is to stand in its place.
    instead: &'static [u8],
}

fn next_key(text: &[u8]) -> Option<KeyPlace> {
    let mut from = 0;
    loop {
        let name = from + text[from..].windows(NAME.len()).position(|window| window == NAME)?;
        from = name + NAME.len();
        let is_name = name.checked_sub(1).is_none_or(|before| b"\"'{,".contains(&text[before]));
        let found = value_start(text, from).filter(|_| is_name).and_then(|start| value(text, start));
        if let Some(found) = found.filter(|found| !found.key.is_empty()) {
            return Some(found);
        }
    }
}

/// Where a value begins, behind the quote that ends its name, and the colon. The quote
/// is escaped where the call is in a text.
fn value_start(text: &[u8], at: usize) -> Option<usize> {
    let behind = |at: usize, skipped: &[u8]| {
        text[at..].iter().position(|byte| !skipped.contains(byte)).map_or(text.len(), |more| at + more)
    };
    let colon = behind(behind(at, b"\\\"'"), BLANKS);
    (text.get(colon) == Some(&b':')).then(|| behind(colon + 1, BLANKS))
}

/// The value there: what is in its quotes, up to the end where none closes it, or all
/// up to the next sign that ends a value. An array or an object is no key.
fn value(text: &[u8], start: usize) -> Option<KeyPlace> {
    let (open, quote) = match text[start..] {
        [] | [b'{' | b'[', ..] => return None,
        [quote @ (b'"' | b'\''), ..] => (start + 1, quote),
        [b'\\', quote @ (b'"' | b'\''), ..] => (start + 2, quote),
        _ => {
            let ends = |byte: &u8| b",}]".contains(byte) || BLANKS.contains(byte);
            let end = text[start..].iter().position(ends).map_or(text.len(), |length| start + length);
            return Some(KeyPlace { key: start..end, instead: b"\"\"" });
        }
    };
    let is_escaped = open == start + 2;
    let mut at = open;
    while let Some(byte) = text.get(at).filter(|byte| **byte != quote) {
        match (byte, is_escaped) {
            (b'\\', true) => break,
            (b'\\', false) => at += 2,
            _ => at += 1,
        }
    }
    Some(KeyPlace { key: open..at.min(text.len()), instead: b"" })
}
