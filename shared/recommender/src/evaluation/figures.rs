//! The figures of a model.

use std::collections::HashSet;

/// Sums over cases.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    cases: u64,
    hits: u64,
    reciprocals: f64,
    gains: f64,
    popularity: f64,
    recommended: HashSet<u32>,
}

/// How good a model is, over all cases, at a cut-off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelFigures {
    /// Hit rate: the share of cases in which the item was among those recommended.
    pub hit_rate: f64,
    /// Mean reciprocal rank: 1 if it was always the first of them.
    pub reciprocal_rank: f64,
    /// Normalised discounted cumulative gain, with one relevant item: 1/log2(rank + 1).
    pub gain: f64,
    /// The share of the training's items that were recommended at all.
    pub coverage: f64,
    /// Popularity bias: how often a recommended item occurs in the training,
    /// relative to the most frequent one, on average.
    pub popularity: f64,
}

impl Tally {
    /// Counts a case. `popularity` is the mean over what was recommended.
    pub(crate) fn add(&mut self, recommended: &[u32], actual: u32, popularity: f64) {
        self.cases += 1;
        self.popularity += popularity;
        self.recommended.extend(recommended);
        if let Some(place) = recommended.iter().position(|&item| item == actual) {
            let rank = (place + 1) as f64;
            self.hits += 1;
            self.reciprocals += 1.0 / rank;
            self.gains += 1.0 / (rank + 1.0).log2();
        }
    }

    /// The figures, of a training with so many items.
    pub(crate) fn figures(&self, items: usize) -> ModelFigures {
        let cases = self.cases.max(1) as f64;
        ModelFigures {
            hit_rate: self.hits as f64 / cases,
            reciprocal_rank: self.reciprocals / cases,
            gain: self.gains / cases,
            coverage: self.recommended.len() as f64 / items.max(1) as f64,
            popularity: self.popularity / cases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_their_definitions() {
        let mut tally = Tally::default();
        tally.add(&[7, 8, 9], 7, 0.5);
        tally.add(&[7, 8, 9], 9, 0.1);
        tally.add(&[], 3, 0.0);
        tally.add(&[1], 2, 1.0);
        let figures = tally.figures(8);
        let expected = ModelFigures {
            hit_rate: 0.5,
            reciprocal_rank: (1.0 + 1.0 / 3.0) / 4.0,
            gain: (1.0 + 0.5) / 4.0,
            coverage: 0.5,
            popularity: 0.4,
        };
        assert_eq!(figures, expected);
    }
}
