//! Keys that are there twice. Of two, YAML readers take the last, or tell where what holds
//! them begins: a shop would work with half of what it wrote, or look for it in a long list.

use std::{cell::RefCell, collections::BTreeSet, fmt};

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// The line of the first key that its mapping has already, and what is wrong with it. What
/// is no YAML is no matter of this.
pub(crate) fn repeated_key(text: &str) -> Option<(usize, String)> {
    let found = RefCell::new(None);
    let error = AnyValue(&found).deserialize(yaml_serde::Deserializer::from_str(text)).err()?;
    let line = error.location()?.line();
    found.into_inner().map(|key| (line, format!("the key `{key}` is there twice")))
}

/// Any value, whose mappings have each key once.
#[derive(Clone, Copy)]
struct AnyValue<'f>(&'f RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for AnyValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while map.next_key_seed(NewKey { seen: &mut seen, found: self.0 })?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, value) = tagged.variant::<IgnoredAny>()?;
        value.newtype_variant_seed(self)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<(), E> {
        Ok(())
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key. An error within it is told with its own place.
struct NewKey<'s, 'f> {
    seen: &'s mut BTreeSet<String>,
    /// One that was there before.
    found: &'f RefCell<Option<String>>,
}

impl NewKey<'_, '_> {
    fn note<E: Error>(self, key: &dyn fmt::Display) -> Result<(), E> {
        let key = key.to_string();
        if !self.seen.contains(&key) {
            self.seen.insert(key);
            return Ok(());
        }
        self.found.replace(Some(key));
        Err(E::custom("a key is there twice"))
    }
}

impl<'de> DeserializeSeed<'de> for NewKey<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NewKey<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        self.note(&key)
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<(), E> {
        self.note(&key)
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<(), E> {
        self.note(&key)
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<(), E> {
        self.note(&key)
    }

    fn visit_f64<E: Error>(self, key: f64) -> Result<(), E> {
        self.note(&key)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.note(&"null")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_named_with_its_line() {
        for (text, line, key) in [
            ("exclude: []\nboost: []\n# exclude: []\nexclude:\n  - {category: A}\n", 4, "exclude"),
            ("kinds:\n  view: [a]\n  order: [b]\n  view: [c]\n", 4, "view"),
            ("list:\n  - name: a\n    share: 1\n  - name: b\n    share: 2\n    \"name\": c\n", 6, "name"),
            ("flow: {a: 1, b: {c: 1,\n  c: 2}}\n", 2, "c"),
            ("a: |\n  b: 1\n  b: 2\nc: 1\nc: 2\n", 5, "c"),
            ("1: a\n2: b\n1: c\n", 3, "1"),
        ] {
            let told = format!("the key `{key}` is there twice");
            assert_eq!(repeated_key(text), Some((line, told)), "{text}");
        }
        for text in
            ["", "a: 1\nb: {a: 1}\nc: [{a: 1}, {a: 2}]\n", "a: {", "just a text", "[a, a]", "a: ~\nb: 1.5\nc: yes\n"]
        {
            assert_eq!(repeated_key(text), None, "{text}");
        }
    }
}
