//! What a tree is made of.

/// One value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'t> {
    /// Its name, where it is a member.
    pub(super) key: &'t str,
    pub(super) kind: JsonKind,
    /// All of it, as it is spelt.
    pub(super) raw: &'t str,
    /// The place behind what is in it.
    pub(super) end: usize,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::intake) enum JsonKind {
    Null,
    Bool(bool),
    /// A whole number, of at most 18 digits.
    Integer,
    /// A number with a point, whose digits an `f64` keeps.
    Fraction,
    /// A text that is spelt as it is.
    Text,
    /// A text with escapes.
    EscapedText,
    Array,
    Object,
}
