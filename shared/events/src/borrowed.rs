//! Texts that are borrowed from the line that they stand in, where no escape keeps
//! them from it. serde borrows a text only where it is a member of its own, not in
//! an option or a list.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// A text in a line.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BorrowedText<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A text or null.
pub(crate) fn optional<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    Ok(Option::<BorrowedText<'a>>::deserialize(deserializer)?.map(|text| text.0))
}
