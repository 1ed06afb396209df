//! The frame of a body that holds several events: where each begins and ends,
//! counted while it is read. A body of a few kilobytes can inflate to millions
//! of events; nobody pays for more of them than a request may hold.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, clip};

/// What the reader says where there are too many; nobody sees it.
const TOO_MANY: &str = "too many";

/// The byte order mark of UTF-8. Programs on Windows begin a file with it, and
/// JSON has no place for it: a reader may pass over it (RFC 8259, 8.1).
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A text without the mark that it may begin with.
pub(crate) fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The items of a JSON array.
pub(crate) fn array(body: &[u8], limit: usize) -> Result<Vec<&[u8]>, Error> {
    read(body, limit, |items, json| items.deserialize(json))
}

/// The items of `batch` in a JSON object, and its `sentAt`, as Segment sends
/// them.
pub(crate) fn batch(body: &[u8], limit: usize) -> Result<(Vec<&[u8]>, Option<&RawValue>), Error> {
    read(body, limit, |items, json| json.deserialize_map(BatchVisitor(items)))
}

/// The lines that are not blank. Each may begin with a mark: files are put
/// together as they are.
pub(crate) fn lines(body: &[u8], limit: usize) -> Result<Vec<&[u8]>, Error> {
    let (mut lines, mut start) = (Vec::new(), 0);
    for end in memchr::memchr_iter(b'\n', body).chain([body.len()]) {
        let line = unmarked(body[start..end].trim_ascii()).trim_ascii();
        start = end + 1;
        if line.is_empty() {
            continue;
        }
        if lines.len() == limit {
            return Err(Error::TooManyEvents { limit });
        }
        lines.push(line);
    }
    Ok(lines)
}

type Json<'de> = serde_json::Deserializer<serde_json::de::StrRead<'de>>;

fn read<'de, T>(
    body: &'de [u8],
    limit: usize,
    frame: impl FnOnce(ItemsVisitor<'_>, &mut Json<'de>) -> Result<T, serde_json::Error>,
) -> Result<T, Error> {
    let text = std::str::from_utf8(body).map_err(|e| Error::MalformedBody(format!("not UTF-8: {e}")))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let mut too_many = false;
    let items =
        frame(ItemsVisitor { limit, too_many: &mut too_many }, &mut json).and_then(|items| json.end().map(|()| items));
    match items {
        _ if too_many => Err(Error::TooManyEvents { limit }),
        items => items.map_err(|e| Error::MalformedBody(clip(&e.to_string()))),
    }
}

/// Reads an array, and gives up at the first item too many.
struct ItemsVisitor<'f> {
    limit: usize,
    too_many: &'f mut bool,
}

impl<'de> DeserializeSeed<'de> for ItemsVisitor<'_> {
    type Value = Vec<&'de [u8]>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ItemsVisitor<'_> {
    type Value = Vec<&'de [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = items.next_element::<&RawValue>()? {
            if texts.len() == self.limit {
                *self.too_many = true;
                return Err(A::Error::custom(TOO_MANY));
            }
            texts.push(item.get().as_bytes());
        }
        Ok(texts)
    }
}

/// Reads the object around `batch`. Of its other members only `sentAt` matters,
/// the first one.
struct BatchVisitor<'f>(ItemsVisitor<'f>);

impl<'de> Visitor<'de> for BatchVisitor<'_> {
    type Value = (Vec<&'de [u8]>, Option<&'de RawValue>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a batch of calls")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let ItemsVisitor { limit, too_many } = self.0;
        let (mut batch, mut sent_at) = (None, None);
        // As they are spelled: a key may be as long as the body, and is not copied.
        while let Some(key) = members.next_key::<&RawValue>()? {
            if key.get() == r#""sentAt""# {
                let value = members.next_value()?;
                sent_at.get_or_insert(value);
            } else if key.get() != r#""batch""# {
                members.next_value::<IgnoredAny>()?;
            } else if batch.is_some() {
                return Err(A::Error::duplicate_field("batch"));
            } else {
                batch = Some(members.next_value_seed(ItemsVisitor { limit, too_many: &mut *too_many })?);
            }
        }
        Ok((batch.ok_or_else(|| A::Error::missing_field("batch"))?, sent_at))
    }
}

#[cfg(test)]
mod tests;
