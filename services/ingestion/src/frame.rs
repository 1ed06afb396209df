//! The frame of a body that holds several events: where each begins and ends,
//! counted while it is read. A body of a few kilobytes can inflate to millions
//! of events; nobody pays for more of them than a request may hold.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, clip};

/// What the reader says where there are too many; nobody sees it.
const TOO_MANY: &str = "too many";

/// The items of a JSON array.
pub(crate) fn array(body: &[u8], limit: usize) -> Result<Vec<&[u8]>, Error> {
    read(body, limit, |items, json| items.deserialize(json))
}

/// The items of `batch` in a JSON object, as Segment sends them.
pub(crate) fn batch(body: &[u8], limit: usize) -> Result<Vec<&[u8]>, Error> {
    read(body, limit, |items, json| json.deserialize_map(Batch(items)))
}

/// The lines that are not blank.
pub(crate) fn lines(body: &[u8], limit: usize) -> Result<Vec<&[u8]>, Error> {
    let lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let lines: Vec<&[u8]> = lines.take(limit + 1).collect();
    if lines.len() > limit { Err(Error::TooManyEvents { limit }) } else { Ok(lines) }
}

type Json<'de> = serde_json::Deserializer<serde_json::de::StrRead<'de>>;

fn read<'de>(
    body: &'de [u8],
    limit: usize,
    frame: impl FnOnce(Items<'_>, &mut Json<'de>) -> Result<Vec<&'de [u8]>, serde_json::Error>,
) -> Result<Vec<&'de [u8]>, Error> {
    let text = std::str::from_utf8(body).map_err(|e| Error::MalformedBody(format!("not UTF-8: {e}")))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let mut too_many = false;
    let items = frame(Items { limit, too_many: &mut too_many }, &mut json).and_then(|items| json.end().map(|()| items));
    match items {
        _ if too_many => Err(Error::TooManyEvents { limit }),
        items => items.map_err(|e| Error::MalformedBody(clip(&e.to_string()))),
    }
}

/// Reads an array, and gives up at the first item too many.
struct Items<'f> {
    limit: usize,
    too_many: &'f mut bool,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<&'de [u8]>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
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

/// Reads the object around `batch`; its other members do not matter.
struct Batch<'f>(Items<'f>);

impl<'de> Visitor<'de> for Batch<'_> {
    type Value = Vec<&'de [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a batch of calls")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Items { limit, too_many } = self.0;
        let mut batch = None;
        // As they are spelled: a key may be as long as the body, and is not copied.
        while let Some(key) = members.next_key::<&RawValue>()? {
            if key.get() != r#""batch""# {
                members.next_value::<IgnoredAny>()?;
            } else if batch.is_some() {
                return Err(A::Error::duplicate_field("batch"));
            } else {
                batch = Some(members.next_value_seed(Items { limit, too_many: &mut *too_many })?);
            }
        }
        batch.ok_or_else(|| A::Error::missing_field("batch"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_stops_at_the_first_one_too_many() {
        type Split = fn(&[u8], usize) -> Result<Vec<&[u8]>, Error>;
        let split: [Split; 3] = [array, batch, lines];
        // What follows is broken, and nobody looks at it.
        for (split, body) in
            split.into_iter().zip(["[1,2,3,4,!", r#"{"x":[1,1,1,1],"batch":[1,2,3,4,!"#, "1\n\n2\n3\n4\n\u{0}"])
        {
            assert_eq!(split(body.as_bytes(), 3), Err(Error::TooManyEvents { limit: 3 }), "{body}");
        }
        for (split, body) in split.into_iter().zip(["[1,2,3]", r#"{"batch":[1,2,3],"sentAt":{}}"#, "1\n2\r\n 3"]) {
            assert_eq!(split(body.as_bytes(), 3), Ok(vec![&b"1"[..], b"2", b"3"]), "{body}");
        }
    }
}
