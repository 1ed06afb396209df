//! What was missing, as a set.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use crate::{borrowed::BorrowedText, event::QualityFlag};

/// The flags of an event. One that this release does not know is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QualityFlags(u16);

impl QualityFlags {
    /// Whether this one is among them.
    pub const fn has(self, flag: QualityFlag) -> bool {
        self.0 & bit(flag) != 0
    }

    fn add(&mut self, name: &str) {
        let flag = QualityFlag::ALL.into_iter().find(|flag| flag.as_str() == name);
        self.0 |= flag.map_or(0, bit);
    }
}

const fn bit(flag: QualityFlag) -> u16 {
    1 << flag as u16
}

impl FromIterator<QualityFlag> for QualityFlags {
    fn from_iter<F: IntoIterator<Item = QualityFlag>>(flags: F) -> Self {
        Self(flags.into_iter().fold(0, |set, flag| set | bit(flag)))
    }
}

impl<'de> Deserialize<'de> for QualityFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagsVisitor;
        impl<'de> Visitor<'de> for FlagsVisitor {
            type Value = QualityFlags;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut names: S) -> Result<QualityFlags, S::Error> {
                let mut flags = QualityFlags::default();
                while let Some(BorrowedText(name)) = names.next_element()? {
                    flags.add(&name);
                }
                Ok(flags)
            }
        }
        deserializer.deserialize_seq(FlagsVisitor)
    }
}
