//! Powers and logarithms from additions, multiplications, divisions and square
//! roots alone. IEEE 754 defines these to the last bit; those of a C library
//! differ from one to the next, and scores would with them.

/// Steps of a halving.
const STEPS: usize = 32;

/// 2^-x, in steps of 1/32, for x >= 0.
#[derive(Debug, Clone)]
pub(crate) struct Halving([f64; STEPS]);

impl Halving {
    pub(crate) fn new() -> Self {
        let step = (0..STEPS.trailing_zeros()).fold(0.5_f64, |root, _| root.sqrt());
        let mut table = [1.0; STEPS];
        for at in 1..STEPS {
            table[at] = table[at - 1] * step;
        }
        Self(table)
    }

    /// What is left of 1 after `age`, if half is left after `half_life`; all if that is 0.
    pub(crate) fn left(&self, age: f64, half_life: f64) -> f64 {
        if half_life == 0.0 || age <= 0.0 {
            return 1.0;
        }
        let steps = age / half_life * STEPS as f64;
        if steps >= 1000.0 * STEPS as f64 {
            return 0.0;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 32,000")]
        let steps = steps as usize;
        self.0[steps % STEPS] * f64::from_bits((1023 - (steps / STEPS) as u64) << 52)
    }
}

/// The logarithm of `whole / part` to the base 2, for `whole >= part > 0`.
pub(crate) fn log2_ratio(whole: u64, part: u64) -> f64 {
    let bits = (whole as f64 / part as f64).to_bits();
    let exponent = (bits >> 52) as f64 - 1023.0;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    // log2(x) = 2 / ln(2) * artanh((x - 1) / (x + 1)), of which the series is cut at 1e-10.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = (0..10).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    exponent + 2.0 * std::f64::consts::LOG2_E * t * series
}

/// `x` to the power `p` for `x >= 0` and `0 <= p <= 4`, with `p` in steps of 1/4.
pub(crate) fn power(x: f64, p: f64) -> f64 {
    let root = x.sqrt().sqrt();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 16")]
    let times = (p * 4.0).round() as u32;
    (0..times).fold(1.0, |product, _| product * root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_near_the_true_functions() {
        let halving = Halving::new();
        for n in 0..2000_u32 {
            let x = f64::from(n) / 32.0;
            assert!((halving.left(x * 7.0, 7.0) / 2.0_f64.powf(-x) - 1.0).abs() < 1e-3 || x > 1000.0, "{x}");
            let ratio = log2_ratio(u64::from(n) + 7, 7);
            assert!((ratio - (f64::from(n + 7) / 7.0).log2()).abs() < 1e-9, "{n}");
            for p in [0.0, 0.5, 1.0, 1.75, 4.0] {
                assert!((power(x, p) - x.powf(p)).abs() <= 1e-9 * x.powf(p).max(1.0), "{x} to {p}");
            }
        }
        assert_eq!((halving.left(5.0, 0.0), halving.left(-1.0, 2.0), halving.left(1e9, 1.0)), (1.0, 1.0, 0.0));
    }
}
