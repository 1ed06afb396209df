//! The types of a batch's events.

use std::{collections::BTreeSet, convert::Infallible, fmt, str::FromStr};

/// More are not named: nearly any reader looks for one of so many.
const MAX_TYPES: usize = 16;
/// Bytes of a type; one that ingestion takes is no longer.
const MAX_TYPE_BYTES: usize = 100;

/// The types of the events of a batch, all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypes(BTreeSet<String>);

impl EventTypes {
    /// The types among these. `None` where there are none or too many to name, or where
    /// one is no type.
    pub fn of<'e>(types: impl Iterator<Item = &'e str>) -> Option<Self> {
        let mut all = BTreeSet::<String>::new();
        // Neighbours are mostly of one type.
        let mut last = "";
        for name in types {
            if name == last || all.contains(name) {
                continue;
            }
            if !is_type(name) || all.len() == MAX_TYPES {
                return None;
            }
            all.insert(name.to_owned());
            last = name;
        }
        (!all.is_empty()).then_some(Self(all))
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Whether it can stand in a header, with commas beside it.
fn is_type(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= MAX_TYPE_BYTES && name.bytes().all(is_plain)
}

impl fmt::Display for EventTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "," })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl FromStr for EventTypes {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_named_once_and_come_back() {
        let types = EventTypes::of(["b.2", "a", "b.2", "a", "c-d_e"].into_iter()).expect("are named");
        assert_eq!(types.to_string(), "a,b.2,c-d_e");
        assert_eq!(types.to_string().parse(), Ok(types));
    }

    #[test]
    fn where_one_cannot_be_named_none_is() {
        let many: Vec<String> = (0..=MAX_TYPES).map(|n| n.to_string()).collect();
        let all = || many.iter().map(String::as_str);
        assert!(EventTypes::of(all().take(MAX_TYPES)).is_some());
        assert_eq!(EventTypes::of(all()), None);
        for wrong in ["", "a,b", "a b", "ä", &"x".repeat(MAX_TYPE_BYTES + 1)] {
            assert_eq!(EventTypes::of(["a", wrong].into_iter()), None, "{wrong}");
        }
        assert_eq!(EventTypes::of(std::iter::empty()), None);
    }
}
