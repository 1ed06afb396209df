//! What comes evenly, and in no order that shows.

use rand::{Rng, rngs::StdRng};

/// Points of 0 to 1 that lie as evenly as can be, however many are taken: each lies an
/// irrational step behind the one before (Weyl's sequence; the steps are those of
/// M. Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences", 2018). A
/// category so takes in about as much every minute, as one of a large shop does.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    /// In parts of 2^32.
    at: u32,
    step: u32,
}

impl Spread {
    /// The steps of one dimension, and of two that go together.
    pub(super) const ONE: u32 = 2_654_435_769;
    pub(super) const TWO: [u32; 2] = [3_242_174_889, 2_447_445_414];

    pub(super) fn new(step: u32, rng: &mut StdRng) -> Self {
        Self { at: rng.random(), step }
    }

    /// The next point.
    pub(super) fn share(&mut self) -> f64 {
        self.at = self.at.wrapping_add(self.step);
        f64::from(self.at) / 4_294_967_296.0
    }

    /// The next point, as one of `n` places.
    pub(super) fn place(&mut self, n: usize) -> usize {
        self.at = self.at.wrapping_add(self.step);
        // Both factors are below 2^32, so the product's upper half is below `n`.
        usize::try_from((u64::from(self.at) * n as u64) >> 32).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_place_comes_about_as_often_also_among_few() {
        for seed in 0..20 {
            let mut spread = Spread::new(Spread::ONE, &mut StdRng::seed_from_u64(seed));
            let mut counts = [0_u32; 5];
            for _ in 0..50 {
                counts[spread.place(5)] += 1;
            }
            assert!(counts.iter().all(|count| (8..=12).contains(count)), "{counts:?}");
            assert!((0..1_000).all(|_| (0.0..1.0).contains(&spread.share())));
        }
    }
}
