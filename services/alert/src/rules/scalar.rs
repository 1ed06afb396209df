//! Values that are parsed while the YAML reader still stands on them: that is
//! how it knows the line of what is refused.

use std::fmt;

use serde::{Deserializer, de};
use tidemill_definitions::Condition;

/// Reads a text and parses it.
pub(super) fn scalar<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct TextVisitor<F>(F);
    impl<T, F: FnOnce(&str) -> Result<T, String>> de::Visitor<'_> for TextVisitor<F> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(TextVisitor(parse))
}

pub(super) fn condition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
    scalar(deserializer, Condition::compile)
}
