//! A number as it is written, before it is fitted into an amount.

use std::str::FromStr;

use num_bigint::BigInt;

use super::error::AmountError;

/// The longest text of a number. The exact value of a binary float near 1 has
/// 55 characters.
const MAX_TEXT: usize = 64;
/// The smallest number of 15 digits. A decimal of fewer comes back from a binary
/// float as it was; one of so many may be a float that was written out.
const FLOAT_DIGITS: i128 = 100_000_000_000_000;
/// Bytes of a number that is read at once: of fewer digits than a float has.
const PLAIN_DIGITS: usize = 14;
/// Decimals that are meant: a number of no more is taken as it is written,
/// however many digits it has in all.
const PLAIN_DECIMALS: i32 = 6;
/// Noise is at most 10^-10, where prices were subtracted from each other,
const SUBTRACTION_DECIMALS: i32 = 10;
/// or this part of the number.
const FLOAT_PRECISION: i128 = 1_000_000_000_000_000;
/// The most digits before the point.
const MAX_WHOLE: i32 = 15;
/// Digits of a number that are kept: 15 before the point, twelve behind it, and
/// some to round by.
const MAX_DIGITS: usize = 30;

/// `digits / 10^scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenNumber {
    digits: Digits,
    scale: i32,
}

/// Digits of one number fit a machine's integer; those of a product of several
/// may not.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Digits {
    Few(i128),
    Many(BigInt),
}

impl WrittenNumber {
    pub(super) const ONE: Self = Self { digits: Digits::Few(1), scale: 0 };

    /// `units / 10^scale`.
    pub(super) fn exact(units: i128, scale: u32) -> Self {
        Self { digits: Digits::Few(units), scale: i32::try_from(scale).unwrap_or(i32::MAX) }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let digits = match (self.digits, other.digits) {
            (Digits::Few(a), Digits::Few(b)) => match a.checked_mul(b) {
                Some(product) => Digits::Few(product),
                None => Digits::Many(BigInt::from(a) * b),
            },
            (a, b) => Digits::Many(a.big() * b.big()),
        };
        Self { digits, scale: self.scale + other.scale }
    }

    /// The value in units of `10^-scale`, half to even, and whether anything
    /// was rounded off; `None` where it does not fit.
    pub(super) fn units(&self, scale: u32) -> Option<(i128, bool)> {
        let shift = i32::try_from(scale).ok()? - self.scale;
        match &self.digits {
            Digits::Few(0) => Some((0, false)),
            Digits::Few(digits) if shift >= 0 => {
                digits.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?).map(|units| (units, false))
            }
            Digits::Few(digits) => match 10_i128.checked_pow(shift.unsigned_abs()) {
                Some(unit) => Some(divide(*digits, unit)),
                // No digit is left: `digits` is below half of so large a unit.
                None => Some((0, true)),
            },
            Digits::Many(digits) => {
                let power = |by: i32| BigInt::from(10).pow(by.unsigned_abs());
                if shift >= 0 {
                    return i128::try_from(digits * power(shift)).ok().map(|units| (units, false));
                }
                let unit = power(shift);
                let (mut quotient, rest) = (digits / &unit, digits % &unit);
                let rounded = rest.sign() != num_bigint::Sign::NoSign;
                let twice = (rest.magnitude() * 2_u32).cmp(unit.magnitude());
                if twice.is_gt() || (twice.is_eq() && quotient.bit(0)) {
                    quotient += if rest.sign() == num_bigint::Sign::Minus { -1 } else { 1 };
                }
                i128::try_from(quotient).ok().map(|units| (units, rounded))
            }
        }
    }
}

impl Digits {
    fn big(self) -> BigInt {
        match self {
            Self::Few(digits) => digits.into(),
            Self::Many(digits) => digits,
        }
    }
}

/// `value / unit`, half to even, and whether anything was rounded off.
pub(super) const fn divide(value: i128, unit: i128) -> (i128, bool) {
    let (quotient, rest) = (value / unit, value % unit);
    // Compared without doubling, which could overflow.
    let (part, others) = (rest.unsigned_abs(), unit.unsigned_abs() - rest.unsigned_abs());
    let up = part > others || (part == others && quotient % 2 != 0);
    (if up { quotient + value.signum() } else { quotient }, rest != 0)
}

impl FromStr for WrittenNumber {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        if text.len() > MAX_TEXT {
            return Err(AmountError::Malformed);
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AmountError::Malformed);
        }
        let scale = i32::try_from(fraction.len()).map_err(|_| AmountError::Malformed)? - exponent;
        let significant = digits.trim_start_matches('0');
        let kept = significant.trim_end_matches('0');
        let dropped = significant.len() - kept.len();
        let scale = scale - i32::try_from(dropped).map_err(|_| AmountError::Malformed)?;
        let number = without_noise(text, kept, scale)?;
        Ok(if negative { number.negated() } else { number })
    }
}

/// A number of few digits and no exponent, as most are written, in units of
/// `10^-scale`; `None` of any other text.
pub(super) fn plain_units(text: &str, scale: u32) -> Option<i128> {
    let (is_negative, plain) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // The point and so few digits that no float was written out.
    if plain.is_empty() || plain.len() > PLAIN_DIGITS {
        return None;
    }
    let (mut digits, mut decimals) = (0_i64, None);
    for byte in plain.bytes() {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + i64::from(byte - b'0');
                decimals = decimals.map(|decimals| decimals + 1);
            }
            b'.' if decimals.is_none() => decimals = Some(0),
            _ => return None,
        }
    }
    if plain == "." {
        return None;
    }
    let units = i128::from(digits) * 10_i128.pow(scale.checked_sub(decimals.unwrap_or_default())?);
    Some(if is_negative { -units } else { units })
}

/// An exponent beyond a thousand is as good as a thousand: the number is too
/// large, or nothing.
fn exponent_of(text: &str) -> Result<i32, AmountError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AmountError::Malformed);
    }
    let exponent = digits.parse().unwrap_or(1000).min(1000);
    Ok(if negative { -exponent } else { exponent })
}

/// `digits` has neither leading nor trailing zeros.
fn without_noise(text: &str, digits: &str, scale: i32) -> Result<WrittenNumber, AmountError> {
    if digits.is_empty() {
        return Ok(WrittenNumber { digits: Digits::Few(0), scale: 0 });
    }
    if length(digits)? - scale > MAX_WHOLE {
        return Err(AmountError::TooLarge);
    }
    let (digits, scale) = leading(digits, scale)?;
    let written = WrittenNumber { digits: Digits::Few(digits), scale };
    if digits < FLOAT_DIGITS || scale <= PLAIN_DECIMALS {
        return Ok(written);
    }
    match (meant(digits, scale), widened(text)) {
        (Some(meant), _) => Ok(meant),
        (None, Some(shortest)) => shortest.parse(),
        (None, None) => Ok(written),
    }
}

fn length(digits: &str) -> Result<i32, AmountError> {
    i32::try_from(digits.len()).map_err(|_| AmountError::Malformed)
}

/// The first digits as a number: many enough to be rounded as all of them are.
fn leading(digits: &str, scale: i32) -> Result<(i128, i32), AmountError> {
    let (kept, rest) = digits.split_at(digits.len().min(MAX_DIGITS));
    let kept: i128 = kept.parse().map_err(|_| AmountError::Malformed)?;
    // What is dropped makes the number more than a half or a whole.
    let more = i128::from(!rest.is_empty() && kept % 5 == 0);
    Ok((kept + more, scale - length(rest)?))
}

/// The shortest text of a float of 32 bits that was written as one of 64.
fn widened(text: &str) -> Option<String> {
    let double: f64 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "whether anything is lost is what is asked")]
    let single = double as f32;
    (f64::from(single).to_bits() == double.to_bits()).then(|| single.abs().to_string())
}

/// The number of six decimals that a float was meant to be, where no more than
/// noise is beyond them.
fn meant(digits: i128, scale: i32) -> Option<WrittenNumber> {
    let power = |exponent: i32| 10_i128.checked_pow(u32::try_from(exponent).unwrap_or(0));
    let (rounded, moved) = match power(scale - PLAIN_DECIMALS) {
        Some(unit) => {
            let (rounded, _) = divide(digits, unit);
            (rounded, (digits - rounded * unit).abs())
        }
        None => (0, digits),
    };
    let by_subtraction = power(scale - SUBTRACTION_DECIMALS).unwrap_or(i128::MAX);
    let noise = by_subtraction.max(digits / FLOAT_PRECISION);
    (moved <= noise).then_some(WrittenNumber { digits: Digits::Few(rounded), scale: PLAIN_DECIMALS })
}

impl WrittenNumber {
    fn negated(self) -> Self {
        let digits = match self.digits {
            Digits::Few(digits) => Digits::Few(-digits),
            Digits::Many(digits) => Digits::Many(-digits),
        };
        Self { digits, ..self }
    }
}
