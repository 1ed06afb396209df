//! The members that a schema knows. One that it does not know is allowed, and yet
//! often a known one that is misspelt: who sends it is told. So is who sends a known
//! one of which nothing can be made.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read_as::ReadAs;
use crate::{
    error::clip,
    intake::tree::{JsonKind, JsonRef},
};

#[cfg(test)]
mod tests;

/// Schemas within each other that are looked into.
const MAX_DEPTH: usize = 12;
/// Members that enrichment looks for in events of every type (`shop.yaml`).
const EVERYWHERE: [&str; 3] = ["billing_country", "country", CURRENCY];
const CURRENCY: &str = "currency";
/// Characters of a value that are told.
const MAX_VALUE: usize = 40;

/// What its sender is told of a member.
#[derive(Debug)]
pub(crate) enum MemberRemark<'a> {
    /// It is none of these.
    Unknown(&'a BTreeMap<String, KnownMembers>),
    /// It is known, and holds what is not read.
    Unread(UnreadMember),
}

/// A member that is read as something, and cannot be.
#[derive(Debug)]
pub(crate) struct UnreadMember {
    read_as: ReadAs,
    value: Value,
}

/// Data in which members are looked for: as a value, or as the tree of a text.
pub(crate) trait EventData<'d>: Copy {
    /// The members of an object.
    fn members(self) -> impl Iterator<Item = (&'d str, Self)>;
    /// The items of an array.
    fn items(self) -> impl Iterator<Item = Self>;
    /// The same as a value of its own.
    fn to_value(self) -> Value;
}

impl<'d> EventData<'d> for &'d Value {
    fn members(self) -> impl Iterator<Item = (&'d str, Self)> {
        self.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    fn items(self) -> impl Iterator<Item = Self> {
        self.as_array().into_iter().flatten()
    }

    fn to_value(self) -> Value {
        self.clone()
    }
}

impl<'d> EventData<'d> for JsonRef<'d> {
    fn members(self) -> impl Iterator<Item = (&'d str, Self)> {
        self.parts().filter(move |_| self.kind() == JsonKind::Object).map(|member| (member.key(), member))
    }

    fn items(self) -> impl Iterator<Item = Self> {
        self.parts().filter(move |_| self.kind() == JsonKind::Array)
    }

    fn to_value(self) -> Value {
        JsonRef::to_value(self)
    }
}

impl MemberRemark<'_> {
    /// The same in words, for the sender of an event of this type.
    pub(crate) fn detail(&self, kind: &str) -> String {
        match self {
            Self::Unknown(known) => {
                let known: Vec<_> = known.keys().map(String::as_str).collect();
                format!("the schema of {kind} does not know this member; it knows {}", clip(&known.join(", ")))
            }
            Self::Unread(UnreadMember { read_as, value }) => {
                let whole = value.to_string();
                let value: String = whole.chars().take(MAX_VALUE).collect();
                let more = if value.len() < whole.len() { "…" } else { "" };
                format!("{value}{more} {}", read_as.outcome())
            }
        }
    }
}

/// What a schema says of the members of a value.
#[derive(Debug, Default)]
pub(crate) struct KnownMembers {
    members: BTreeMap<String, Self>,
    /// Of a list's items.
    items: Option<Box<Self>>,
    /// Whether it says that others may be there too.
    is_open: bool,
    /// What the value is read as, where it is not refused for what it is.
    read_as: Option<ReadAs>,
}

impl KnownMembers {
    /// The members of an event's data.
    pub(super) fn of(schema: &Value) -> Self {
        let mut known = Self::default();
        known.read(schema, schema, MAX_DEPTH);
        if !known.members.is_empty() {
            for name in EVERYWHERE {
                let member = known.members.entry(name.into()).or_default();
                if name == CURRENCY {
                    member.read_as = Some(ReadAs::Currency);
                }
            }
        }
        known
    }

    fn read(&mut self, root: &Value, schema: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            self.is_open = true;
            return;
        };
        if let Some(target) = schema["$ref"].as_str() {
            match target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
                Some(target) => self.read(root, target, depth),
                None => self.is_open = true,
            }
        }
        self.read_as = self.read_as.or_else(|| ReadAs::of(schema));
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            self.members.entry(name.clone()).or_default().read(root, member, depth);
        }
        let others = ["additionalProperties", "unevaluatedProperties", "patternProperties"];
        self.is_open |= others.iter().any(|key| schema.get(key).is_some_and(|said| *said != Value::Bool(false)));
        for items in schema.get("items").into_iter().chain(schema["prefixItems"].as_array().into_iter().flatten()) {
            self.items.get_or_insert_default().read(root, items, depth);
        }
        for part in ["allOf", "anyOf", "oneOf"] {
            schema[part].as_array().into_iter().flatten().for_each(|part| self.read(root, part, depth));
        }
        for part in ["if", "then", "else"] {
            if let Some(part) = schema.get(part) {
                self.read(root, part, depth);
            }
        }
    }

    /// Tells of each member that is not known, or not read, and where it is, until
    /// `tell` answers that it wants no more. A level of which the schema names no
    /// member may have any.
    pub(super) fn remark<'d>(
        &self,
        value: impl EventData<'d>,
        at: &mut String,
        tell: &mut impl FnMut(&str, &MemberRemark<'_>) -> bool,
    ) -> bool {
        if let Some(read_as) = self.read_as {
            let value = value.to_value();
            if read_as.is_unreadable(&value) {
                return tell(at, &MemberRemark::Unread(UnreadMember { read_as, value }));
            }
        }
        let length = at.len();
        if !self.members.is_empty() {
            for (name, value) in value.members() {
                let known = self.members.get(name);
                if known.is_none_or(Self::is_any) && (known.is_some() || self.is_open) {
                    continue;
                }
                at.push('/');
                match name.contains(['~', '/']) {
                    true => at.push_str(&name.replace('~', "~0").replace('/', "~1")),
                    false => at.push_str(name),
                }
                let goes_on = match known {
                    Some(known) => known.remark(value, at, tell),
                    None => tell(at, &MemberRemark::Unknown(&self.members)),
                };
                at.truncate(length);
                if !goes_on {
                    return false;
                }
            }
        }
        let Some(known) = self.items.as_ref().filter(|items| !items.is_any()) else { return true };
        for (place, value) in value.items().enumerate() {
            at.push('/');
            at.push_str(&place.to_string());
            let goes_on = known.remark(value, at, tell);
            at.truncate(length);
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Whether it has nothing to say of a value, whatever that is.
    fn is_any(&self) -> bool {
        self.read_as.is_none() && self.members.is_empty() && self.items.is_none()
    }
}
