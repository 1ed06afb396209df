//! Proportions, and how sure they are.
//!
//! Newcombe, R. G. (1998): Two-sided confidence intervals for the single proportion:
//! comparison of seven methods. Statistics in Medicine 17, 857-872, method 3; and: Interval
//! estimation for the difference between independent proportions: comparison of eleven
//! methods. Ibid., 873-890, method 10.

use serde::Serialize;
use utoipa::ToSchema;

/// The quantile of the normal distribution at 0.975: two-sided, 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// So many of so many: one at least, and no more than all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Proportion {
    some: f64,
    all: f64,
}

/// In which a figure lies with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(crate) struct ProportionInterval {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Proportion {
    /// `None` where there are none, or fewer in all than some.
    pub(super) fn new(some: u64, all: u64) -> Option<Self> {
        (all > 0 && some <= all).then_some(Self { some: some as f64, all: all as f64 })
    }

    pub(super) fn value(self) -> f64 {
        self.some / self.all
    }

    /// Wilson's score interval.
    pub(super) fn interval(self) -> ProportionInterval {
        let (share, square) = (self.value(), Z * Z);
        let whole = 1.0 + square / self.all;
        let middle = (share + square / (2.0 * self.all)) / whole;
        let variance = share * (1.0 - share) / self.all + square / (4.0 * self.all * self.all);
        let half = Z / whole * variance.sqrt();
        // Of none and of all the bounds are exact, which rounding would miss.
        let low = if self.some <= 0.0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if self.some >= self.all { 1.0 } else { (middle + half).min(1.0) };
        ProportionInterval { low, high }
    }

    /// Newcombe's interval of this less the other, made of the two score intervals.
    pub(super) fn difference_interval(self, other: Self) -> ProportionInterval {
        let (own, its) = (self.interval(), other.interval());
        let difference = self.value() - other.value();
        let below = (self.value() - own.low).hypot(its.high - other.value());
        let above = (own.high - self.value()).hypot(other.value() - its.low);
        ProportionInterval { low: difference - below, high: difference + above }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(some: u64, all: u64) -> Proportion {
        Proportion::new(some, all).expect("a proportion")
    }

    fn rounded(interval: ProportionInterval) -> (f64, f64) {
        let round = |figure: f64| (figure * 10_000.0).round() / 10_000.0;
        (round(interval.low), round(interval.high))
    }

    /// Table I of the first paper.
    #[test]
    fn intervals_are_the_published_ones() {
        for (some, all, published) in [
            (81, 263, (0.2553, 0.3662)),
            (15, 148, (0.0624, 0.1605)),
            (0, 20, (0.0, 0.1611)),
            (1, 29, (0.0061, 0.1718)),
        ] {
            assert_eq!(rounded(of(some, all).interval()), published, "{some} of {all}");
        }
    }

    /// Table II of the second one.
    #[test]
    fn intervals_of_differences_are_the_published_ones() {
        for (own, other, published) in [
            ((56, 70), (48, 80), (0.0524, 0.3339)),
            ((9, 10), (3, 10), (0.1705, 0.8090)),
            ((6, 7), (2, 7), (0.0582, 0.8062)),
            ((5, 56), (0, 29), (-0.0381, 0.1926)),
            ((0, 10), (0, 20), (-0.1611, 0.2775)),
            ((0, 10), (0, 10), (-0.2775, 0.2775)),
            ((10, 10), (0, 20), (0.6791, 1.0)),
            ((10, 10), (0, 10), (0.6075, 1.0)),
        ] {
            let interval = of(own.0, own.1).difference_interval(of(other.0, other.1));
            assert_eq!(rounded(interval), published, "{own:?} less {other:?}");
        }
    }

    #[test]
    fn bounds_of_none_and_of_all_are_exact() {
        for all in 1..2_000 {
            assert_eq!((of(0, all).interval().low, of(all, all).interval().high), (0.0, 1.0), "{all}");
        }
    }

    #[test]
    fn what_is_no_proportion_is_none() {
        assert_eq!((Proportion::new(0, 0), Proportion::new(2, 1)), (None, None));
    }

    proptest! {
        #[test]
        fn a_figure_lies_in_its_interval(all in 1_u64..1_000_000, some in 0_u64..1_000_000, b_all in 1_u64..10_000, b in 0_u64..10_000) {
            let (one, two) = (of(some.min(all), all), of(b.min(b_all), b_all));
            let ProportionInterval { low, high } = one.interval();
            prop_assert!(0.0 <= low && low <= one.value() + 1e-12 && one.value() <= high + 1e-12 && high <= 1.0);
            let (there, back) = (one.difference_interval(two), two.difference_interval(one));
            prop_assert!((there.low + back.high).abs() < 1e-12 && (there.high + back.low).abs() < 1e-12);
            prop_assert!(there.low >= -1.0 - 1e-12 && there.high <= 1.0 + 1e-12);
        }
    }
}
