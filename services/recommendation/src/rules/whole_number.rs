//! Whole numbers of a rule: what is none is refused in the words of who writes rules.

use std::{fmt, num::NonZeroUsize};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// All shares of an experiment together.
pub(super) const WHOLE: u16 = 100;

/// Percents of a variant.
pub(super) struct VariantShare(pub(super) u16);

/// Of one category, no more than so many.
pub(super) struct MostOfCategory(pub(super) NonZeroUsize);

/// A whole number of at least one.
struct WholeNumber {
    most: u64,
}

impl Visitor<'_> for WholeNumber {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most {
            u64::MAX => f.write_str("a whole number of 1 or more"),
            most => write!(f, "a whole number from 1 to {most}"),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if (1..=self.most).contains(&number) {
            return Ok(number);
        }
        Err(E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for VariantShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = deserializer.deserialize_any(WholeNumber { most: u64::from(WHOLE) - 1 })?;
        Ok(Self(u16::try_from(share).unwrap_or(WHOLE)))
    }
}

impl<'de> Deserialize<'de> for MostOfCategory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let most = deserializer.deserialize_any(WholeNumber { most: u64::MAX })?;
        let most = usize::try_from(most).ok().and_then(NonZeroUsize::new);
        Ok(Self(most.unwrap_or(NonZeroUsize::MAX)))
    }
}
