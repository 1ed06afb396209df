//! An event's data.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::scan;

/// An event's data, one level deep: members stay text, so that a number keeps
/// its exact spelling.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Data<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Data<'a> {
    /// Reads a JSON object; anything else has no members.
    pub fn of(raw: Option<&'a RawValue>) -> Self {
        Self::of_member(raw.map(RawValue::get))
    }

    /// The same of a member's text.
    pub fn of_member(text: Option<&'a str>) -> Self {
        let Some(text) = text else { return Self::default() };
        let mut members = Vec::with_capacity(8);
        match scan::members(text, |name, value| members.push((name.into(), value))) {
            Some(()) => Self(members),
            None => Self::of_any_form(text),
        }
    }

    /// Names may have escapes in them.
    fn of_any_form(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The member with this name, as it is written.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// The member that counts for a condition, where several have this name.
    pub(crate) fn last(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    /// The member at the end of a path.
    pub fn at(&self, path: &[String]) -> Option<&'a str> {
        let (first, rest) = path.split_first()?;
        let mut value = self.get(first)?;
        for name in rest {
            value = Data::of_member(Some(value)).get(name)?;
        }
        Some(value)
    }
}

impl<'a> Data<'a> {
    /// The text or number at the end of a path, as plain text.
    pub fn text_at(&self, path: &[String]) -> Option<Cow<'a, str>> {
        self.at(path).and_then(plain)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DataVisitor;
        impl<'de> Visitor<'de> for DataVisitor {
            type Value = Data<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Data<'de>, M::Error> {
                #[derive(Deserialize)]
                struct MemberName<'k>(#[serde(borrow)] Cow<'k, str>);
                let mut members = Vec::with_capacity(8);
                while let Some((MemberName(name), value)) = map.next_entry::<MemberName<'de>, &'de RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Data(members))
            }
        }
        deserializer.deserialize_map(DataVisitor)
    }
}

/// A JSON value as plain text: a string without its quotes, a number or
/// boolean as it is written; `None` for null, objects and arrays.
pub(crate) fn plain(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => match scan::unescaped(json) {
            Some(text) => Some(text.into()),
            None => {
                #[derive(Deserialize)]
                struct PlainText<'t>(#[serde(borrow)] Cow<'t, str>);
                serde_json::from_str(json).ok().map(|PlainText(text)| text)
            }
        },
        b'{' | b'[' | b'n' => None,
        _ => Some(json.into()),
    }
}
