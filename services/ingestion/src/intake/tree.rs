//! An event's JSON as a tree that borrows: every value stands there as it is spelt.
//!
//! It is read in one pass, without a text or a map of its own, by a reader that is
//! as strict as `parse` is, and gives up where `parse` has something to say: only
//! there are errors made. So what it reads, `parse` reads as the same.

mod node;
mod reader;

use std::borrow::Cow;

use serde_json::Value;

pub(super) use self::node::JsonKind;
use self::node::Node;

/// The values of one JSON text. It is used for one text after the other, so that
/// their memory is taken once.
#[derive(Debug, Default)]
pub(crate) struct Tree<'t> {
    /// In the order of the text: a value, and behind it what is in it.
    nodes: Vec<Node<'t>>,
}

/// A value in a tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonRef<'j> {
    nodes: &'j [Node<'j>],
    at: usize,
}

/// A JSON text that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadText<'j> {
    pub(super) json: JsonRef<'j>,
    /// Whether blanks stand between its parts.
    pub(super) has_blanks: bool,
}

impl<'t> Tree<'t> {
    /// Reads one JSON text, of at most `depth` nested arrays and objects; `None`
    /// where `parse` is to decide.
    pub(super) fn read(&mut self, text: &'t [u8], depth: usize) -> Option<ReadText<'_>> {
        let text = std::str::from_utf8(text).ok()?;
        let has_blanks = reader::read(text, depth, &mut self.nodes)?;
        Some(ReadText { json: JsonRef { nodes: &self.nodes, at: 0 }, has_blanks })
    }
}

impl<'j> JsonRef<'j> {
    fn node(self) -> &'j Node<'j> {
        &self.nodes[self.at]
    }

    pub(super) fn kind(self) -> JsonKind {
        self.node().kind
    }

    /// The name of a member.
    pub(super) fn key(self) -> &'j str {
        self.node().key
    }

    /// The value as it is spelt.
    pub(super) fn raw(self) -> &'j str {
        self.node().raw
    }

    /// What is directly in it: the members of an object, the items of an array.
    pub(super) fn parts(self) -> impl Iterator<Item = Self> {
        let Self { nodes, at } = self;
        let end = self.node().end;
        let mut next = at + 1;
        std::iter::from_fn(move || {
            let at = (next < end).then_some(next)?;
            next = nodes[at].end;
            Some(Self { nodes, at })
        })
    }

    /// A member of an object.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        if self.kind() != JsonKind::Object {
            return None;
        }
        self.parts().find(|member| member.key() == key)
    }

    /// A text that is spelt as it is.
    pub(super) fn plain_text(self) -> Option<&'j str> {
        let raw = self.raw();
        (self.kind() == JsonKind::Text).then(|| &raw[1..raw.len() - 1])
    }

    /// A text.
    pub(super) fn text(self) -> Option<Cow<'j, str>> {
        match self.kind() {
            JsonKind::EscapedText => serde_json::from_str(self.raw()).ok().map(Cow::Owned),
            _ => self.plain_text().map(Cow::Borrowed),
        }
    }

    /// The same as a value of its own, with what is in it.
    pub(super) fn to_value(self) -> Value {
        // Its text was read before, so it is read once more.
        serde_json::from_str(self.raw()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
