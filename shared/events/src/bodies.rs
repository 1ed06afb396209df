//! The bodies of several events in one dead letter: a JSON array with an
//! object for each distinct body, in the order of their first events.
//!
//! `text` is the body as a string; `base64` instead, where it is no UTF-8 or
//! is shorter so. `count` says how many events had this body, where that is
//! more than one: `[{"text":"{}","count":3},{"base64":"/w=="}]`.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, OCTETS};

/// The content type of such a list.
pub const CONTENT_TYPE: &str = "application/vnd.tidemill.bodies+json";

/// A body, and how many events had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// At least 1.
    pub count: u64,
    /// As it was received.
    pub bytes: Bytes,
}

/// A distinct body of several events.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Body", extend("oneOf" = [{ "required": ["text"] }, { "required": ["base64"] }]))]
struct Item<'b> {
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    text: Option<std::borrow::Cow<'b, str>>,
    /// The body, where it is no UTF-8 or is shorter so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    base64: Option<String>,
    /// How many events had it; without it, one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1))]
    count: u64,
}

/// A list, as it is documented: the bodies of several events, each distinct one
/// once, in the order of their first events.
#[derive(JsonSchema)]
#[schemars(
    with = "Vec<Item<'static>>",
    rename = "Bodies",
    description = "The distinct bodies of several events, in the order of their first events."
)]
pub(crate) struct BodyList;

const fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_one(count: &u64) -> bool {
    *count == 1
}

impl Body {
    /// Bytes that it takes in a list, at most.
    pub fn listed_len(&self) -> usize {
        const FRAME: usize = r#"{"base64":"","count":18446744073709551615},"#.len();
        let base64 = base64_len(&self.bytes);
        FRAME + self.as_text().map_or(base64, |text| escaped_len(text).min(base64))
    }

    fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    fn item(&self) -> Item<'_> {
        match self.as_text().filter(|text| escaped_len(text) <= base64_len(&self.bytes)) {
            Some(text) => Item { text: Some(text.into()), base64: None, count: self.count },
            None => Item { text: None, base64: Some(STANDARD.encode(&self.bytes)), count: self.count },
        }
    }
}

/// Bodies as a list.
pub fn encode(bodies: &[Body]) -> Result<Bytes, serde_json::Error> {
    let items: Vec<Item<'_>> = bodies.iter().map(Body::item).collect();
    serde_json::to_vec(&items).map(Bytes::from)
}

/// Reads what [`encode`] wrote, or a person.
pub fn decode(list: &[u8]) -> Result<Vec<Body>, DecodeError> {
    let items: Vec<Item<'_>> = serde_json::from_slice(list)?;
    items.into_iter().map(Item::into_body).collect()
}

impl Item<'_> {
    fn into_body(self) -> Result<Body, DecodeError> {
        let malformed = |reason: &str| DecodeError::Encoding(reason.into());
        let bytes = match (self.text, self.base64) {
            (Some(text), None) => Bytes::from(text.into_owned()),
            (None, Some(base64)) => STANDARD.decode(base64).map_err(|_| malformed("base64 is none"))?.into(),
            (Some(_), Some(_)) | (None, None) => return Err(malformed("a body has either text or base64")),
        };
        match self.count {
            0 => Err(malformed("a body's count is 0")),
            count => Ok(Body { count, bytes }),
        }
    }
}

fn base64_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}

/// The length of a text as JSON writes it, without the quotes.
fn escaped_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

/// The content type of one body, or of a list of several.
pub(crate) const fn content_type(several: bool) -> &'static str {
    if several { CONTENT_TYPE } else { OCTETS }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn any_body() -> impl Strategy<Value = Body> {
        let bytes = prop_oneof![any::<String>().prop_map(String::into_bytes), vec(any::<u8>(), 0..100)];
        (1u64.., bytes).prop_map(|(count, bytes)| Body { count, bytes: bytes.into() })
    }

    proptest! {
        #[test]
        fn any_bodies_come_back_and_take_no_more_than_they_say(bodies in vec(any_body(), 0..20)) {
            let list = encode(&bodies).expect("encodes");
            prop_assert!(list.len() <= 2 + bodies.iter().map(Body::listed_len).sum::<usize>());
            prop_assert_eq!(decode(&list).expect("decodes"), bodies);
        }
    }

    #[test]
    fn a_list_is_readable() {
        let body = |count, bytes: &'static [u8]| Body { count, bytes: Bytes::from_static(bytes) };
        let list = encode(&[body(3, b"{\"a\":1}"), body(1, b"\xff"), body(1, b"\0\0\0")]).expect("encodes");
        assert_eq!(list, r#"[{"text":"{\"a\":1}","count":3},{"base64":"/w=="},{"base64":"AAAA"}]"#);
        let either = "a body has either text or base64";
        for (wrong, reason) in [
            (r#"[{}]"#, either),
            (r#"[{"text":"a","base64":""}]"#, either),
            (r#"[{"base64":"?"}]"#, "base64 is none"),
            (r#"[{"text":"a","count":0}]"#, "a body's count is 0"),
        ] {
            let error = decode(wrong.as_bytes()).expect_err(wrong).to_string();
            assert_eq!(error, format!("the body cannot be decompressed: {reason}"), "{wrong}");
        }
        assert!(matches!(decode(b"{}"), Err(DecodeError::Body(_))), "no list");
    }
}
