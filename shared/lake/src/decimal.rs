//! Exact decimals of a column.

use tidemill_domain::Amount;

/// An exact decimal of so many digits in all and behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LakeDecimal<const PRECISION: u8, const SCALE: u8>(i128);

/// An amount: every [`Amount`] fits.
pub type Money = LakeDecimal<38, 12>;

/// A rate of a currency.
pub type Rate = LakeDecimal<38, 18>;

impl<const PRECISION: u8, const SCALE: u8> LakeDecimal<PRECISION, SCALE> {
    /// The number in units of its last digit.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// Reads plain decimal notation, as `-12.5`; `None` where it is something else
    /// or has more digits than fit, so that nothing is ever rounded.
    pub fn read(text: &str) -> Option<Self> {
        decimal_units(text, PRECISION, SCALE).map(Self)
    }
}

/// Reads plain decimal notation, as `-12.5`, in units of the last of `scale` digits behind the
/// point; `None` where it is something else or has more digits than fit.
pub fn decimal_units(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let part = part.trim_end_matches('0');
    let scale = usize::from(scale);
    if whole.is_empty() || part.len() > scale || whole.len() + scale > usize::from(precision) {
        return None;
    }
    if !whole.bytes().chain(part.bytes()).all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    format!("{whole}{part:0<scale$}").parse().ok().map(|units: i128| sign * units)
}

impl From<Amount> for Money {
    fn from(amount: Amount) -> Self {
        Self(amount.units())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_keeps_all_its_digits_or_is_none() {
        let units = |text| Rate::read(text).map(Rate::units);
        assert_eq!(units("1.25"), Some(1_250_000_000_000_000_000));
        assert_eq!(units("-0.000000000000000001"), Some(-1));
        assert_eq!(units("0.0000000000000000010"), Some(1), "zeros at the end say nothing");
        for wrong in ["", "-", ".5", "1e3", "0.0000000000000000001", "1234567890123456789012", "1.-5", "+1", "½"] {
            assert_eq!(units(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_reads_as_it_is_written(micros in -1_000_000_000_000_000_i128..1_000_000_000_000_000) {
            let amount = Amount::from_micros(micros);
            prop_assert_eq!(Money::read(&amount.to_string()), Some(amount.into()));
        }
    }
}
