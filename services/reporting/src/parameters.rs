//! Parameters of an address, read into the struct that describes them too.
//!
//! All fields of such a struct are optional. A name that comes more than once
//! gives a list all its values; for anything else it is an error, since one of
//! the values would be ignored.

use std::{cell::Cell, fmt, str::FromStr};

use serde::{
    Deserializer,
    de::{DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor, value::SeqDeserializer},
    forward_to_deserialize_any,
};
use tidemill_service::FieldError;

#[cfg(test)]
mod tests;

/// Parameters as they came, in order.
pub(crate) type ParameterPairs = Vec<(String, String)>;

/// Reads what `T` declares. Any other parameter goes to `other` with the names
/// that are declared; it answers what is wrong with it. All errors are told at
/// once, in the order of the address, and what is wrong is left out.
pub(crate) fn read<T: DeserializeOwned + Default>(
    pairs: &[(String, String)],
    mut other: impl FnMut(&str, &str, &[&str]) -> Result<(), String>,
) -> (T, Vec<FieldError>) {
    let (mut right, mut errors) = (ParameterPairs::new(), Vec::new());
    let declared = declared::<T>();
    for pair in pairs {
        let (name, value) = pair;
        let checked = match declared.contains(&name.as_str()) {
            // Each on its own, so that one that is wrong hides no other.
            true => {
                T::deserialize(&ParameterSet::new(std::slice::from_ref(pair))).map(drop).map_err(|Refused(why)| why)
            }
            false => other(name, value, declared),
        };
        match checked {
            Ok(()) => right.push(pair.clone()),
            Err(why) => errors.push(wrong(name, why)),
        }
    }
    for name in declared {
        let given: ParameterPairs = right.iter().filter(|(known, _)| known == name).cloned().collect();
        if let Err(Refused(why)) = T::deserialize(&ParameterSet::new(&given)) {
            errors.push(wrong(name, why));
            right.retain(|(known, _)| known != name);
        }
    }
    (T::deserialize(&ParameterSet::new(&right)).unwrap_or_default(), errors)
}

/// Refuses what is not declared.
pub(crate) fn unknown(_: &str, _: &str, declared: &[&str]) -> Result<(), String> {
    let declared = if declared.is_empty() { "none".into() } else { declared.join(", ") };
    Err(format!("is not known; there are {declared}"))
}

/// A parameter is wrong.
pub(crate) fn wrong(name: &str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")), detail: detail.into() }
}

fn declared<T: DeserializeOwned>() -> &'static [&'static str] {
    let empty = ParameterSet::new(&[]);
    // What a struct asks for is told before anything is read.
    let _ = T::deserialize(&empty);
    empty.declared.get()
}

/// Why a value is refused.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl serde::de::Error for Refused {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(match expected {
            [rest @ .., last] if !rest.is_empty() => format!("must be {} or {last}", rest.join(", ")),
            _ => format!("must be {}", expected.concat()),
        })
    }
}

/// The parameters of an address; they are a struct, and nothing else.
struct ParameterSet<'de> {
    pairs: &'de [(String, String)],
    declared: Cell<&'static [&'static str]>,
}

impl<'de> ParameterSet<'de> {
    fn new(pairs: &'de [(String, String)]) -> Self {
        Self { pairs, declared: Cell::new(&[]) }
    }
}

impl<'de> Deserializer<'de> for &ParameterSet<'de> {
    type Error = Refused;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        declared: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.declared.set(declared);
        visitor.visit_map(GivenParameters { pairs: self.pairs, left: declared, name: "" })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused("parameters are read into a struct".into()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The declared parameters that are given.
struct GivenParameters<'de> {
    pairs: &'de [(String, String)],
    left: &'static [&'static str],
    name: &'static str,
}

impl<'de> MapAccess<'de> for GivenParameters<'de> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        while let [name, left @ ..] = self.left {
            (self.left, self.name) = (left, name);
            if self.pairs.iter().any(|(known, _)| known == name) {
                return seed.deserialize((*name).into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(ParameterValues { pairs: self.pairs, name: self.name })
    }
}

/// The values of one parameter.
struct ParameterValues<'de> {
    pairs: &'de [(String, String)],
    name: &'static str,
}

impl<'de> ParameterValues<'de> {
    fn all(&self) -> impl Iterator<Item = &'de str> {
        let name = self.name;
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn one(&self) -> Result<&'de str, Refused> {
        let mut all = self.all();
        let one = all.next().unwrap_or_default();
        if all.next().is_some() { Err(Refused("is given more than once".into())) } else { Ok(one) }
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&self) -> Result<T, Refused> {
        self.one()?.parse().map_err(|error: T::Err| Refused(error.to_string()))
    }
}

impl<'de> Deserializer<'de> for ParameterValues<'de> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_borrowed_str(self.one()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_seq(SeqDeserializer::new(self.all()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.one()?.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_bool(self.parsed()?)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u16(self.parsed()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u64(self.parsed()?)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map
        struct identifier ignored_any
    }
}
