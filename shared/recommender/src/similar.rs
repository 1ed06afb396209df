//! Items that the same sessions have.

use crate::{
    answer::Recommendation,
    index::Index,
    ranking::{Ranked, best},
    scratch::AnswerScratch,
};

impl Index {
    /// The items that are in the same sessions as `item`, by the cosine between
    /// the two: sessions with both, by the root of the product of the sessions
    /// with each. Only the latest `sessions_per_item` sessions are looked at.
    #[must_use]
    pub fn similar(&self, item: &str, n: usize, admits: impl FnMut(&str) -> bool) -> Vec<Recommendation> {
        let Some((number, known)) = self.items.find(item).and_then(|number| Some((number, self.items.get(number)?)))
        else {
            return Vec::new();
        };
        let latest = known.sessions.values().rev().take(self.settings.sessions_per_item as usize);
        let looked_at = latest.clone().count() as f64;
        let ranked: Vec<Ranked<'_, u32>> = AnswerScratch::with(|AnswerScratch { counts: both, .. }| {
            for session in latest.filter_map(|&slot| self.session(slot)) {
                for other in session.items.iter().filter(|other| other.item != number) {
                    *both.entry(other.item).or_default() += 1;
                }
            }
            let ranked = both.iter().filter_map(|(&other, &both)| {
                let other = self.items.get(other)?;
                let cosine = f64::from(both) / (looked_at * other.sessions.len() as f64).sqrt();
                Some(Ranked { score: cosine, item: &other.name, more: both })
            });
            ranked.collect()
        });
        best(ranked.into_iter(), n, admits).into_iter().map(Recommendation::from).collect()
    }
}
