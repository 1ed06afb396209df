//! An event's data.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// An event's data, one level deep: members stay text, so that a number keeps
/// its exact spelling.
#[derive(Debug, Default)]
pub struct Data<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Data<'a> {
    /// Reads a JSON object; anything else has no members.
    pub fn of(raw: Option<&'a RawValue>) -> Self {
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The member with this name.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    /// The member at the end of a path.
    pub(crate) fn at(&self, path: &[String]) -> Option<&'a RawValue> {
        let (first, rest) = path.split_first()?;
        let mut value = self.get(first)?;
        for name in rest {
            value = Data::of(Some(value)).get(name)?;
        }
        Some(value)
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
                    members.push((name, value));
                }
                Ok(Data(members))
            }
        }
        deserializer.deserialize_map(DataVisitor)
    }
}

/// A JSON value as plain text: a string without its quotes, a number or
/// boolean as it is written; `None` for null, objects and arrays.
pub(crate) fn plain(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'"' => {
            #[derive(Deserialize)]
            struct PlainText<'t>(#[serde(borrow)] Cow<'t, str>);
            serde_json::from_str(raw.get()).ok().map(|PlainText(text)| text)
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.get().into()),
    }
}
