//! Amounts that are shared out.

use num_bigint::BigInt;

use super::{Amount, SCALE, number::divide};

impl Amount {
    /// `self * part / whole`, half to even, to so many decimals; all of it where
    /// `whole` is zero. None of them is below zero.
    #[must_use]
    pub fn share(self, part: Self, whole: Self, decimals: u32) -> Self {
        if whole.0 == 0 {
            return self;
        }
        let unit = 10_i128.pow(SCALE - decimals.min(SCALE));
        let units = match (self.0.checked_mul(part.0), whole.0.checked_mul(unit)) {
            (Some(product), Some(divisor)) => divide(product, divisor).0,
            _ => large(self.0, part.0, whole.0, unit),
        };
        Self(units.saturating_mul(unit))
    }

    /// Shares it out by weights, each share to so many decimals where the weights
    /// have no more, and none larger than its weight. The shares add up to it, or to
    /// all weights, where these are less. Neither it nor a weight is below zero.
    pub fn shared_out(self, weights: &[Self], decimals: u32) -> Vec<Self> {
        let finest = weights.iter().map(|weight| weight.decimals()).chain([self.decimals()]).max();
        let decimals = decimals.max(finest.unwrap_or_default());
        let mut weight_left: Self = weights.iter().copied().sum();
        let mut left = self.min(weight_left);
        let share = |weight: &Self| {
            let others = weight_left - *weight;
            // What the others cannot take is this one's.
            let share = left.share(*weight, weight_left, decimals).min(*weight).max(left - others);
            left -= share;
            weight_left = others;
            share
        };
        weights.iter().map(share).collect()
    }
}

fn large(value: i128, part: i128, whole: i128, unit: i128) -> i128 {
    let (product, divisor) = (BigInt::from(value) * part, BigInt::from(whole) * unit);
    let (quotient, rest) = (&product / &divisor, &product % &divisor);
    let twice = (rest.magnitude() * 2_u32).cmp(divisor.magnitude());
    let is_up = twice.is_gt() || (twice.is_eq() && quotient.bit(0));
    i128::try_from(quotient).map_or(i128::MAX, |quotient| quotient.saturating_add(i128::from(is_up)))
}
