//! What is in demand, whoever asks.

use tidemill_domain::Timestamp;

use crate::{
    answer::Charted,
    index::Index,
    items::{KnownItem, TREND_PARTS},
    ranking::{Ranked, best},
};

/// How far back trends look: what is left then is less than a millionth.
const HALF_LIVES: i64 = 20;

impl Index {
    /// The items with the greatest weight of interactions among all that are
    /// kept. A session counts once for each of its items. It looks at every
    /// item: a caller that is asked often keeps the answer for a second.
    #[must_use]
    pub fn popular(&self, n: usize, admits: impl FnMut(&str) -> bool) -> Vec<Charted> {
        self.chart(n, |item| item.weight as f64, admits)
    }

    /// The same, but an interaction counts half after `trend_half_life_hours`.
    /// What is later than `now` counts as now, and what is 20 half-lives
    /// ago no more. It looks at every item as well.
    #[must_use]
    pub fn trending(&self, now: Timestamp, n: usize, admits: impl FnMut(&str) -> bool) -> Vec<Charted> {
        let current = self.items.part(now.millis());
        let left = |age: i64| self.halving.left(age as f64, TREND_PARTS as f64);
        let left: Vec<f64> = (0..TREND_PARTS * HALF_LIVES).map(left).collect();
        let decayed = |item: &KnownItem| {
            // The oldest first: the order is part of the sum.
            item.trend
                .iter()
                .filter_map(|&(part, weight)| {
                    let age = usize::try_from(current.saturating_sub(part)).unwrap_or_default();
                    Some(weight as f64 * left.get(age)?)
                })
                .sum()
        };
        self.chart(n, decayed, admits)
    }

    fn chart(&self, n: usize, score: impl Fn(&KnownItem) -> f64, admits: impl FnMut(&str) -> bool) -> Vec<Charted> {
        let ranked = self.items.iter().map(|item| Ranked { score: score(item), item: &item.name, more: item });
        let charted = |Ranked { score, item, more }: Ranked<'_, &KnownItem>| {
            let sessions = u32::try_from(more.sessions.len()).unwrap_or(u32::MAX);
            Charted { item: item.to_owned(), score, sessions }
        };
        best(ranked, n, admits).into_iter().map(charted).collect()
    }
}
