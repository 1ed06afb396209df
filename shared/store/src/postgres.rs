//! Arrays as PostgreSQL reads them from a text.

use std::fmt::Write as _;

use crate::values::SqlValue;

/// The text of an array: `{1,NULL,2}` (PostgreSQL's manual, "Arrays", "Array
/// Input and Output Syntax"). sqlx's `Any` binds no arrays, but texts.
pub(crate) struct ArrayText {
    kind: &'static str,
    text: String,
}

impl ArrayText {
    /// An empty one, of values like this one.
    pub(crate) fn of(value: &SqlValue) -> Self {
        let kind = match value {
            SqlValue::Int(_) => "BIGINT[]",
            SqlValue::Text(_) => "TEXT[]",
            SqlValue::Bytes(_) => "BYTEA[]",
        };
        Self { kind, text: String::new() }
    }

    /// The type of the array in SQL.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn push(&mut self, value: &SqlValue) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        match value {
            SqlValue::Int(Some(number)) => {
                // To write to a string does not fail.
                let _ = write!(self.text, "{number}");
            }
            SqlValue::Text(Some(text)) => self.push_quoted(text),
            SqlValue::Bytes(Some(bytes)) => self.push_hex(bytes),
            SqlValue::Int(None) | SqlValue::Text(None) | SqlValue::Bytes(None) => self.text.push_str("NULL"),
        }
    }

    /// The text of all; none are left.
    pub(crate) fn take(&mut self) -> SqlValue {
        let mut text = std::mem::take(&mut self.text);
        text.push_str(if text.is_empty() { "{}" } else { "}" });
        SqlValue::Text(Some(text))
    }

    fn push_quoted(&mut self, text: &str) {
        self.text.push('"');
        let mut rest = text;
        while let Some(at) = rest.find(['"', '\\']) {
            self.text.push_str(&rest[..at]);
            self.text.push('\\');
            self.text.push_str(&rest[at..=at]);
            rest = &rest[at + 1..];
        }
        self.text.push_str(rest);
        self.text.push('"');
    }

    fn push_hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.text.push_str(r#""\\x"#);
        for byte in bytes {
            self.text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            self.text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        self.text.push('"');
    }
}
