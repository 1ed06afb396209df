//! The one rule about control characters.
//!
//! Control characters are those of Unicode's category Cc: U+0000 to U+001F and
//! U+007F to U+009F.
//!
//! | where | rule |
//! | --- | --- |
//! | names: ids, sources, types, keys; reference data; addresses of requests | none: the text is refused |
//! | text inside an event's data | any but U+0000: it is kept as it came |
//! | where such a text is shown on a line, in a log or a terminal | escaped |
//!
//! U+0000 has no place in a text: PostgreSQL cannot hold it, and C programs
//! end there. The others are legal in a note or a description, and are escaped
//! where they are shown.

use std::{borrow::Cow, fmt, fmt::Write, marker::PhantomData};

use serde::{Deserializer, de};

/// Whether a text holds a control character.
pub fn has_control(text: &str) -> bool {
    // Most texts are ASCII, where a look at the bytes tells.
    if text.is_ascii() {
        return text.bytes().any(|byte| byte.is_ascii_control());
    }
    text.chars().any(char::is_control)
}

/// Reads what is written as a text, without making a copy of the text first.
pub(crate) fn read<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    struct ParsedTextVisitor<P, T, E>(P, PhantomData<Result<T, E>>);

    impl<P: FnOnce(&str) -> Result<T, E>, T, E: fmt::Display> de::Visitor<'_> for ParsedTextVisitor<P, T, E> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<W: de::Error>(self, text: &str) -> Result<T, W> {
            (self.0)(text).map_err(W::custom)
        }
    }

    deserializer.deserialize_str(ParsedTextVisitor(parse, PhantomData))
}

/// A text whose control characters are written out, as JSON would: `\u0000`.
/// Two texts that differ still differ, unless one of them spells such an escape.
pub fn escape_control(text: &str) -> Cow<'_, str> {
    if !has_control(text) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c.is_control() {
            // Writing to a String does not fail.
            true => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_found_in_any_text() {
        for text in ["\0", "a\nb", "\u{7f}", "Zoë\u{85}", "\u{9f}"] {
            assert!(has_control(text), "{text:?}");
        }
        for text in ["", "plain", "Zoë", "\u{a0}", "\u{202e}", "\u{10ffff}", "😀"] {
            assert!(!has_control(text), "{text:?}");
        }
    }

    #[test]
    fn they_are_written_out_and_the_rest_stays() {
        assert_eq!(escape_control("plain Zoë 😀"), "plain Zoë 😀");
        assert_eq!(escape_control("a\0b\u{1b}[31m\u{85}"), "a\\u0000b\\u001b[31m\\u0085");
    }
}
