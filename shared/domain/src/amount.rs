//! Exact decimal numbers for money and quantities.

use std::{fmt, iter::Sum, str::FromStr};

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Decimal digits after the point that an [`Amount`] keeps.
const SCALE: u32 = 6;
const UNIT: i128 = 1_000_000;
/// Inputs stay below 10^15, so that a product of two of them, and the sum of
/// more products than any log can hold, fit into an `i128` of millionths.
const MAX_INPUT: i128 = 1_000_000_000_000_000 * UNIT;
/// Significant digits from which on a number is a binary float that was written
/// out: a decimal with fewer comes back from one as it was.
const FLOAT_DIGITS: usize = 15;
/// How far noise moves a number: 10^-10, where prices were subtracted, and 10^-15
/// of the number.
const NOISE: (Decimal, Decimal) = (Decimal::from_parts(1, 0, 0, false, 10), Decimal::from_parts(1, 0, 0, false, 15));

/// An exact decimal with six fractional digits, held in millionths.
///
/// Addition is integer addition: associative and commutative, so that totals
/// do not depend on the order in which partitions are merged. Written as a
/// string in JSON, because a JSON number is a binary float in most readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, JsonSchema)]
#[schemars(
    with = "String",
    inline,
    description = "Exact, in plain decimal notation.",
    extend("pattern" = r"^-?[0-9]+\.[0-9]{2,6}$", "examples" = ["39.98", "-0.001"])
)]
pub struct Amount(i128);

/// Why a text is not an [`Amount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("not a decimal number")]
    Malformed,
    /// More than six significant digits after the point.
    #[error("more than {SCALE} decimal places")]
    TooPrecise,
    /// Beyond plus or minus 10^15.
    #[error("beyond plus or minus 10^15")]
    TooLarge,
}

impl Amount {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// `value` millionths.
    pub const fn from_micros(value: i128) -> Self {
        Self(value)
    }

    /// A whole number.
    pub const fn from_int(value: i64) -> Self {
        Self(value as i128 * UNIT)
    }

    /// The value in millionths.
    pub const fn micros(self) -> i128 {
        self.0
    }

    /// The product, or `None` where it needs more than six decimals or does
    /// not fit. Nothing is ever rounded.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let product = self.0.checked_mul(other.0)?;
        (product % UNIT == 0).then_some(Self(product / UNIT))
    }

    /// The sum, or `None` on overflow (beyond 10^32).
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The nearest `f64`, for charts, ratios and conditions; never for totals.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / UNIT as f64
    }
}

impl std::ops::Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        // Inputs are bounded (MAX_INPUT), so a sum cannot reach the limit in
        // the life of a log; saturating keeps even that from being a panic.
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |a, b| a + b)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// Reads JSON's number grammar (`-12.50`, `1e3`), exactly. What a binary float
    /// has made of an amount (`0.30000000000000004`) is read as that amount.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.len() > 64 {
            return Err(AmountError::TooLarge);
        }
        let decimal = match exact(text) {
            Err(AmountError::TooPrecise) => without_noise(text).ok_or(AmountError::TooPrecise)?,
            decimal => decimal?,
        };
        let micros =
            decimal.mantissa().checked_mul(10_i128.pow(SCALE - decimal.scale())).ok_or(AmountError::TooLarge)?;
        if micros.abs() >= MAX_INPUT {
            return Err(AmountError::TooLarge);
        }
        Ok(Self(micros))
    }
}

/// The decimal that a text spells, of at most six places.
fn exact(text: &str) -> Result<Decimal, AmountError> {
    let decimal =
        if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { Decimal::from_str_exact(text) };
    let decimal = decimal.map_err(|e| match e {
        rust_decimal::Error::ExceedsMaximumPossibleValue | rust_decimal::Error::LessThanMinimumPossibleValue => {
            AmountError::TooLarge
        }
        rust_decimal::Error::Underflow | rust_decimal::Error::ScaleExceedsMaximumPrecision(_) => {
            AmountError::TooPrecise
        }
        _ => AmountError::Malformed,
    })?;
    let decimal = decimal.normalize();
    if decimal.scale() > SCALE { Err(AmountError::TooPrecise) } else { Ok(decimal) }
}

/// The decimal of six places that a binary float was meant to be. `None` where a
/// text has too few digits to be a float's, or where more than noise is beyond
/// the sixth place.
fn without_noise(text: &str) -> Option<Decimal> {
    let mantissa = text.split(['e', 'E']).next()?.trim_start_matches(['-', '+', '0', '.']);
    if mantissa.bytes().filter(u8::is_ascii_digit).count() < FLOAT_DIGITS {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "whether it is truncated is what is asked")]
    let single = value as f32;
    // A float of 32 bits that was widened: the noise is in its last 29 bits.
    let decimal = match f64::from(single).to_bits() == value.to_bits() {
        true => single.to_string().parse().ok()?,
        false => Decimal::from_f64_retain(value)?,
    };
    let rounded = decimal.round_dp(SCALE);
    let noise = NOISE.0.max(decimal.abs().checked_mul(NOISE.1)?);
    ((decimal - rounded).abs() <= noise).then(|| rounded.normalize())
}

impl fmt::Display for Amount {
    /// Plain notation, at least two decimals, no trailing zeros beyond them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) =
            (self.0.unsigned_abs() / UNIT.unsigned_abs(), self.0.unsigned_abs() % UNIT.unsigned_abs());
        let digits = format!("{fraction:06}");
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
    let fraction_micros: i128 = format!("{fraction:0<6}").parse().ok()?;
    let micros = whole.parse::<i128>().ok()?.checked_mul(UNIT)?.checked_add(fraction_micros)?;
    Some(Amount(if negative { -micros } else { micros }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_json_spelling_exactly() {
        for (text, micros) in [
            ("0", 0),
            ("-0.0", 0),
            ("2.55", 2_550_000),
            ("0.001", 1_000),
            ("-80995", -80_995_000_000),
            ("1e3", 1_000_000_000),
            ("1.5E-3", 1_500),
            ("12.500000000", 12_500_000),
        ] {
            assert_eq!(text.parse::<Amount>(), Ok(Amount(micros)), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        assert_eq!("1e-7".parse::<Amount>(), Err(AmountError::TooPrecise));
        assert_eq!("0.0000001".parse::<Amount>(), Err(AmountError::TooPrecise));
        assert_eq!("1e15".parse::<Amount>(), Err(AmountError::TooLarge));
        for text in ["", "NaN", "1,5", "--1", "0x10", "1.2.3"] {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::Malformed), "{text}");
        }
        assert!(matches!("1e400".parse::<Amount>(), Err(AmountError::TooLarge | AmountError::TooPrecise)));
        assert_eq!("9".repeat(100).parse::<Amount>(), Err(AmountError::TooLarge));
    }

    #[test]
    fn what_floats_have_made_of_an_amount_is_that_amount() {
        for (text, amount) in [
            ("0.30000000000000004", "0.30"),
            ("29.949999999999999", "29.95"),
            ("0.7999999999999999", "0.80"),
            ("0.09999999999999432", "0.10"),
            ("-434.99999999999994", "-435.00"),
            ("5.551115123125783e-17", "0.00"),
            ("1.0000000000000001e-5", "0.00001"),
            ("12345678.900000001", "12345678.90"),
            ("0.1000000000000000055511151231257827021181583404541015625", "0.10"),
            // A float of 32 bits, widened.
            ("29.950000762939453", "29.95"),
        ] {
            assert_eq!(text.parse::<Amount>().map(|read| read.to_string()).as_deref(), Ok(amount), "{text}");
        }
        for text in ["33.333333333333336", "0.1234567", "0.10000000001", "1.234567890123456e-7", "0.0000152587890625"] {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::TooPrecise), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_price_that_was_computed_with_is_still_a_price(cents in -1_000_000_000i64..1_000_000_000, n in 1i32..1000) {
            let price = cents as f64 / 100.0;
            let computed = price * f64::from(n) / f64::from(n) + 0.1 - 0.1;
            let exact = Amount(i128::from(cents) * 10_000);
            for text in [computed.to_string(), format!("{computed:.16e}"), serde_json::json!(computed).to_string()] {
                prop_assert_eq!(text.parse::<Amount>(), Ok(exact), "{}", text);
            }
        }

        #[test]
        fn what_is_written_is_read_back(micros in any::<i64>()) {
            let amount = Amount(i128::from(micros) * 1_000_003);
            let json = serde_json::to_string(&amount).expect("amounts serialise");
            prop_assert_eq!(serde_json::from_str::<Amount>(&json).expect("and read back"), amount);
        }

        #[test]
        fn a_product_is_exact_or_nothing(quantity in -100_000i64..100_000, milli in 0i64..10_000_000) {
            let price = Amount(i128::from(milli) * 1_000);
            let product = Amount::from_int(quantity).checked_mul(price).expect("three decimals fit");
            prop_assert_eq!(product.micros(), i128::from(quantity) * i128::from(milli) * 1_000);
        }
    }
}
