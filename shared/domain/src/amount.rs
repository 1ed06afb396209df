//! Exact decimal numbers for money and quantities.

mod error;
mod number;
mod share;
#[cfg(test)]
mod tests;

use std::{fmt, iter::Sum, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use error::AmountError;
use number::WrittenNumber;

/// Decimal digits after the point that an [`Amount`] keeps.
const SCALE: u32 = 12;
const UNIT: i128 = 10_i128.pow(SCALE);
/// What is added to a total stays below 10^15, so that the sum of more of them
/// than any log can hold (10^11) fits into an `i128` of units.
const LIMIT: i128 = 1_000_000_000_000_000 * UNIT;

/// An exact decimal with twelve fractional digits.
///
/// Addition is integer addition: associative and commutative, so that totals
/// do not depend on the order in which partitions are merged. Written as a
/// string in JSON, because a JSON number is a binary float in most readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, JsonSchema)]
#[schemars(
    with = "String",
    inline,
    description = "Exact, in plain decimal notation.",
    extend("pattern" = r"^-?[0-9]+\.[0-9]{2,12}$", "examples" = ["39.98", "-0.001"])
)]
pub struct Amount(i128);

/// A factor of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor<'t> {
    /// As a person or a program has written it: it may have been a binary float.
    Written(&'t str),
    /// An amount, of which every digit counts.
    Exact(Amount),
}

/// An amount that was read or multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAmount {
    /// The amount, half to even where it had to be rounded.
    pub amount: Amount,
    /// It had more than twelve digits after the point.
    pub rounded: bool,
}

impl Amount {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// `value` millionths.
    pub const fn from_micros(value: i128) -> Self {
        Self(value * (UNIT / 1_000_000))
    }

    /// A whole number.
    pub const fn from_int(value: i64) -> Self {
        Self(value as i128 * UNIT)
    }

    /// The value in millionths, rounded half to even.
    pub const fn micros(self) -> i128 {
        number::divide(self.0, UNIT / 1_000_000).0
    }

    /// Reads a number as JSON or a person writes it (`-12.50`, `1e3`, ` .5`).
    ///
    /// A number of 15 significant digits or more that is next to one of six
    /// decimals is what a binary float made of that one (`0.30000000000000004`),
    /// and is read as it. What has more than twelve decimals is rounded to
    /// twelve, half to even, and `rounded` says so.
    pub fn read(text: &str) -> Result<ReadAmount, AmountError> {
        match number::plain_units(text, SCALE) {
            Some(units) => Ok(ReadAmount { amount: Self(units), rounded: false }),
            None => Self::product([text]),
        }
    }

    /// The exact product of numbers, each as [`read`](Self::read) takes it.
    /// Only the product is rounded.
    pub fn product<'t>(factors: impl IntoIterator<Item = &'t str>) -> Result<ReadAmount, AmountError> {
        Self::product_of(factors.into_iter().map(Factor::Written))
    }

    /// The exact product of numbers that are written and of amounts. Only the
    /// product is rounded.
    pub fn product_of<'t>(factors: impl IntoIterator<Item = Factor<'t>>) -> Result<ReadAmount, AmountError> {
        let mut product = WrittenNumber::ONE;
        for factor in factors {
            product = product.times(match factor {
                Factor::Written(text) => text.parse()?,
                Factor::Exact(amount) => WrittenNumber::exact(amount.0, SCALE),
            });
        }
        let (units, rounded) = product.units(SCALE).ok_or(AmountError::TooLarge)?;
        if units.abs() >= LIMIT {
            return Err(AmountError::TooLarge);
        }
        Ok(ReadAmount { amount: Self(units), rounded })
    }

    /// Whether it is nothing.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// Its distance from zero.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Decimals that it is written with, without zeros at the end.
    pub const fn decimals(self) -> u32 {
        let (mut decimals, mut units) = (SCALE, self.0);
        while decimals > 0 && units % 10 == 0 {
            units /= 10;
            decimals -= 1;
        }
        decimals
    }

    /// The sum, or `None` on overflow (beyond 10^26).
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The value, where it is a whole number that an `i64` holds.
    pub fn whole(self) -> Option<i64> {
        if self.0 % UNIT == 0 { i64::try_from(self.0 / UNIT).ok() } else { None }
    }

    /// The nearest `f64`, for charts, ratios and conditions; never for totals.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / UNIT as f64
    }
}

impl std::ops::Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        // What is added is bounded (LIMIT), so a sum cannot reach the end in
        // the life of a log; saturating keeps even that from being a panic.
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::ops::Neg for Amount {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl std::ops::Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl std::ops::SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |a, b| a + b)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// What [`Amount::read`] reads, rounded or not.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::read(text).map(|read| read.amount)
    }
}

impl fmt::Display for Amount {
    /// Plain notation, at least two decimals, no trailing zeros beyond them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) =
            (self.0.unsigned_abs() / UNIT.unsigned_abs(), self.0.unsigned_abs() % UNIT.unsigned_abs());
        let digits = format!("{fraction:0width$}", width = SCALE as usize);
        let kept = digits.trim_end_matches('0').len().max(2);
        write!(f, "{sign}{whole}.{}", &digits[..kept])
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Totals may be larger than any single input, so this reads what
        // Display writes rather than applying the input limits.
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        parse_total(&text).ok_or_else(|| de::Error::custom("not an amount"))
    }
}

fn parse_total(text: &str) -> Option<Amount> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction.len() > SCALE as usize || !plain(whole) || !plain(fraction) {
        return None;
    }
    let fraction: i128 = format!("{fraction:0<width$}", width = SCALE as usize).parse().ok()?;
    let units = whole.parse::<i128>().ok()?.checked_mul(UNIT)?.checked_add(fraction)?;
    Some(Amount(if negative { -units } else { units }))
}
