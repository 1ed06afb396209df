//! Strict JSON: what two readers could understand differently is refused.
//!
//! Duplicate keys, lone surrogates, U+0000, numbers whose digits a reader would
//! lose and nesting beyond a limit are errors here, each with a JSON Pointer to
//! the place (RFC 7493 gives the reasons; `serde_json` accepts most of them).

use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{Error, clip};

/// Significant digits of the `f64` that has the most of them.
const FLOAT_DIGITS: usize = 767;

/// Reads one JSON text, of at most `depth` nested arrays and objects.
pub(crate) fn parse(text: &[u8], depth: usize) -> Result<Value, Error> {
    let malformed =
        |pointer: &str, detail: String| Error::MalformedJson { pointer: clip(pointer), detail: clip(&detail) };
    let text = std::str::from_utf8(text).map_err(|e| malformed("", format!("not UTF-8: {e}")))?;
    let mut reader = StrictReader { numbers: Numbers(text.as_bytes()), pointer: String::new(), depth, fault: None };
    let mut json = serde_json::Deserializer::from_str(text);
    reader
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|e| reader.fault.take().unwrap_or_else(|| malformed(&reader.pointer, plain(text, &e))))
}

/// What is wrong with a text, in words for who wrote it.
fn plain(text: &str, error: &serde_json::Error) -> String {
    let (told, place) = (error.to_string(), format!("at line {} column {}", error.line(), error.column()));
    if error.is_eof() {
        return format!("the text ends too early, {place}");
    }
    let whereabouts = match told.split(" at line ").next() {
        Some("expected ident") => "in a word that is none of true, false and null",
        Some("expected value") => "where a value must begin",
        Some("trailing characters") => "behind the end of the value",
        _ => return told,
    };
    let line = text.split('\n').nth(error.line().saturating_sub(1));
    let rest = line.and_then(|line| line.get(error.column().saturating_sub(1)..));
    match rest.and_then(|rest| rest.chars().next()) {
        Some(found) => format!("found {found:?} {place}, {whereabouts}"),
        None => told,
    }
}

/// Where the reader is. After an error, `pointer` stays at the place.
struct StrictReader<'t> {
    numbers: Numbers<'t>,
    pointer: String,
    /// Levels that may still be entered.
    depth: usize,
    fault: Option<Error>,
}

impl StrictReader<'_> {
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

impl<'de> DeserializeSeed<'de> for &mut StrictReader<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut StrictReader<'_> {
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

    /// A number that an `f64` changes would arrive as another number. One that an
    /// `f64` was written out as, however far, is that `f64`.
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        let text = self.numbers.next().unwrap_or_default();
        let number = text.parse().ok().and_then(|value| Some((value, Number::from_f64(value)?)));
        number
            .filter(|(value, number)| {
                significant(text).eq(significant(&number.to_string())) || is_written_out(text, *value)
            })
            .map(|(_, number)| Value::Number(number))
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

/// Whether a fraction is what its `f64` is, to as many digits as it has.
fn is_written_out(text: &str, value: f64) -> bool {
    let digits = significant(text).count();
    let is_fraction = text.contains('.') && (1..=FLOAT_DIGITS).contains(&digits);
    is_fraction && significant(text).eq(significant(&format!("{value:.*e}", digits - 1)))
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
mod tests;
