//! Strict JSON: what two readers could understand differently is refused.
//!
//! Duplicate keys, lone surrogates, U+0000, numbers whose digits a reader would
//! lose and nesting beyond a limit are errors here, each with a JSON Pointer to
//! the place (RFC 7493 gives the reasons; `serde_json` accepts most of them).

use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{Error, clip};

/// Reads one JSON text, of at most `depth` nested arrays and objects.
pub(crate) fn parse(text: &[u8], depth: usize) -> Result<Value, Error> {
    let malformed =
        |pointer: &str, detail: String| Error::MalformedJson { pointer: clip(pointer), detail: clip(&detail) };
    let text = std::str::from_utf8(text).map_err(|e| malformed("", format!("not UTF-8: {e}")))?;
    let mut reader = Reader { numbers: Numbers(text.as_bytes()), pointer: String::new(), depth, fault: None };
    let mut json = serde_json::Deserializer::from_str(text);
    reader
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|e| reader.fault.take().unwrap_or_else(|| malformed(&reader.pointer, e.to_string())))
}

/// Where the reader is. After an error, `pointer` stays at the place.
struct Reader<'t> {
    numbers: Numbers<'t>,
    pointer: String,
    /// Levels that may still be entered.
    depth: usize,
    fault: Option<Error>,
}

impl Reader<'_> {
    fn refuse<E: serde::de::Error>(&mut self, fault: impl FnOnce(String) -> Error) -> E {
        self.fault = Some(fault(clip(&self.pointer)));
        E::custom("refused")
    }

    /// U+0000 is JSON, and no text: see [`tidemill_domain::text`].
    fn check<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        match text.contains('\0') {
            true => Err(self.refuse(|pointer| Error::NullCharacter { pointer })),
            false => Ok(()),
        }
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        match self.depth.checked_sub(1) {
            Some(left) => self.depth = left,
            None => return Err(self.refuse(|pointer| Error::TooDeep { pointer })),
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth += 1;
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reader<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.numbers.next();
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.numbers.next();
        Ok(value.into())
    }

    /// A number that an `f64` changes would arrive as another number.
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        let text = self.numbers.next().unwrap_or_default();
        let number = text.parse().ok().and_then(Number::from_f64);
        number
            .filter(|number| significant(text).eq(significant(&number.to_string())))
            .map(Value::Number)
            .ok_or_else(|| self.refuse(|pointer| Error::ImpreciseNumber { pointer }))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.check(value)?;
        Ok(value.into())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.check(&value)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let parent = self.pointer.len();
        let mut array = Vec::new();
        loop {
            // Writing to a String does not fail.
            let _ = write!(self.pointer, "/{}", array.len());
            let Some(item) = items.next_element_seed(&mut *self)? else { break };
            array.push(item);
            self.pointer.truncate(parent);
        }
        self.pointer.truncate(parent);
        self.leave();
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.enter()?;
        let parent = self.pointer.len();
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            push(&mut self.pointer, &key);
            self.check(&key)?;
            let value = members.next_value_seed(&mut *self)?;
            if object.insert(key, value).is_some() {
                return Err(self.refuse(|pointer| Error::DuplicateKey { pointer }));
            }
            self.pointer.truncate(parent);
        }
        self.leave();
        Ok(object.into())
    }
}

/// Adds a reference token to a JSON Pointer (RFC 6901).
fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// A number's digits without leading and trailing zeros. Two spellings of
/// nearly the same number are equal when these are.
fn significant(number: &str) -> impl Iterator<Item = u8> {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let mantissa = mantissa.trim_start_matches(['-', '0', '.']);
    let kept = mantissa.bytes().rposition(|b| matches!(b, b'1'..=b'9')).map_or(0, |last| last + 1);
    mantissa.as_bytes()[..kept].iter().copied().filter(u8::is_ascii_digit)
}

/// The numbers of a JSON text as they are spelled, in order: the
/// deserialiser hands out their values alone.
struct Numbers<'t>(&'t [u8]);

impl<'t> Iterator for Numbers<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        loop {
            let start = self.0.iter().position(|b| matches!(b, b'"' | b'-' | b'0'..=b'9'))?;
            let found = &self.0[start..];
            if found[0] == b'"' {
                self.0 = &found[string_length(found)..];
                continue;
            }
            let in_number = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
            let end = found.iter().position(|b| !in_number(b)).unwrap_or(found.len());
            self.0 = &found[end..];
            return std::str::from_utf8(&found[..end]).ok();
        }
    }
}

/// The length of the JSON string that `text` begins with, quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let closing = text[1..].iter().position(|b| match b {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        b => *b == b'"',
    });
    closing.map_or(text.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> (&'static str, String) {
        let error = parse(text.as_bytes(), 64).expect_err(text);
        (error.code(), error.pointer().unwrap_or_default().to_owned())
    }

    #[test]
    fn reads_json_as_it_is() {
        let text = r#" {"a":[1,-2,3.50,1e3,true,null],"b\"1":{"~/":"é\ud83d\ude00 2"},"c":18446744073709551615} "#;
        let value = parse(text.as_bytes(), 64).expect("valid");
        let expected = json!({"a":[1,-2,3.5,1000.0,true,null],"b\"1":{"~/":"é😀 2"},"c":u64::MAX});
        assert_eq!(value, expected);
    }

    #[test]
    fn refuses_what_readers_disagree_on_and_says_where() {
        assert_eq!(refused(r#"{"a":{"b":1,"c":2,"b":1}}"#), ("duplicate_key", "/a/b".into()));
        assert_eq!(refused(r#"{"a":1,"\u0061":2}"#), ("duplicate_key", "/a".into()));
        assert_eq!(refused(r#"{"a":[0,"\ud800"]}"#), ("malformed_json", "/a/1".into()));
        assert_eq!(refused(r#"{"a":[0,"x\u0000y"]}"#), ("null_character", "/a/1".into()));
        assert_eq!(refused(r#"{"a":{"\u0000":1}}"#), ("null_character", "/a/\0".into()));
        assert_eq!(refused(r#"{"a/b":{"c~d":NaN}}"#), ("malformed_json", "/a~1b/c~0d".into()));
        assert_eq!(refused(r#"[Infinity]"#), ("malformed_json", "/0".into()));
        assert_eq!(refused(r#"{"a":1} {"a":1}"#), ("malformed_json", "".into()));
        assert_eq!(refused(r#"{"a":[1,2"#), ("malformed_json", "/a/2".into()));
        assert_eq!(refused("\u{feff}{}").0, "malformed_json");
        assert_eq!(parse(b"\"\xff\"", 64).expect_err("not UTF-8").code(), "malformed_json");
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(64).as_bytes(), 64).is_ok());
        assert_eq!(refused(&nested(65)), ("too_deep", "/0".repeat(64)));
        assert_eq!(refused(&nested(10_000)).0, "too_deep");
    }

    #[test]
    fn numbers_keep_their_value_or_are_refused() {
        for exact in ["0.1", "1.50", "-0.0", "1e3", "1E+20", "123456.789012", "0.30000000000000004", "1e-7", "100.00"] {
            assert!(parse(exact.as_bytes(), 1).is_ok(), "{exact}");
        }
        for changed in ["123456789012.123456", "0.10000000000000001", "18446744073709551616", "1.00000000000000000001"]
        {
            assert_eq!(refused(&format!(r#"{{"s":"-1\"","n":{changed}}}"#)), ("imprecise_number", "/n".into()));
        }
        assert_eq!(refused(r#"{"n":1e400}"#), ("malformed_json", "/n".into()));
    }

    /// Any text but one with U+0000.
    fn text() -> impl Strategy<Value = String> {
        any::<String>().prop_map(|text| text.replace('\0', "0"))
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(text(), inner, 0..6)
                    .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_json()) {
            let text = serde_json::to_vec_pretty(&value).expect("serialises");
            prop_assert_eq!(parse(&text, 64).expect("valid"), value);
        }

        #[test]
        fn it_accepts_no_more_than_serde_json_does(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            if parse(&text, 64).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&text).is_ok());
            }
        }
    }
}
