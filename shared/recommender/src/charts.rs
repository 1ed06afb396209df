//! What is in demand, whoever asks.

use tidemill_domain::Timestamp;

use crate::{
    answer::Charted,
    index::Index,
    items::{KnownItem, TREND_PARTS},
    ranking::{Ranked, best},
};

impl Index {
    /// The items with the greatest weight of interactions among all that are
    /// kept. A session counts once for each of its items. It looks at every
    /// item: a caller that is asked often keeps the answer for a second.
    #[must_use]
    pub fn popular(&self, n: usize, admits: impl FnMut(&str) -> bool) -> Vec<Charted> {
        self.chart(n, |item| item.weight as f64, admits)
    }

    /// The same, but an interaction counts half after `trend_half_life_hours`.
    /// What is later than `now` counts as now. It looks at every item as well.
    #[must_use]
    pub fn trending(&self, now: Timestamp, n: usize, admits: impl FnMut(&str) -> bool) -> Vec<Charted> {
        let current = self.items.part(now.millis());
        let decayed = |item: &KnownItem| {
            // The oldest first: the order is part of the sum.
            item.trend
                .iter()
                .map(|&(part, weight)| {
                    let age = current.saturating_sub(part) as f64;
                    weight as f64 * self.halving.left(age, TREND_PARTS as f64)
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
