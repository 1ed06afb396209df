//! Recommendations for a session.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::{
    answer::{Query, Recommendation},
    arithmetic::{log2_ratio, power},
    index::Index,
    neighbours::Neighbour,
    ranking::{Ranked, best},
};

/// What the neighbours say of an item.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    score: f64,
    neighbours: u32,
}

impl Index {
    /// What continues a session: the items of the sessions that are nearest to it.
    ///
    /// Its latest item is never among them; earlier ones may be, so that
    /// whoever goes back finds them. `admits` says which items may be named.
    #[must_use]
    pub fn recommend(&self, query: &Query<'_>, mut admits: impl FnMut(&str) -> bool) -> Vec<Recommendation> {
        let Some(latest) = query.items.last() else { return Vec::new() };
        let said = self.said(&self.neighbours(query));
        // What the session has may be said more of, or less.
        let returning = self.settings.returning * self.sessions.returns();
        let own: HashSet<u32, RandomState> =
            query.items.iter().filter_map(|recent| self.items.find(&recent.item)).collect();
        let factor = |item| if own.contains(&item) { returning } else { 1.0 };
        self.best(said, factor, query.n, |item| item != latest.item && admits(item))
    }

    /// What neighbours say, item by item. They are heard in their order: sums of
    /// floating-point numbers depend on it.
    fn said(&self, neighbours: &[Neighbour]) -> HashMap<u32, Said, RandomState> {
        let mut said: HashMap<u32, Said, RandomState> = HashMap::default();
        for neighbour in neighbours {
            let Some(session) = self.session(neighbour.slot) else { continue };
            let common = session.items.iter().position(|item| item.item == neighbour.common).unwrap_or_default();
            for (place, item) in session.items.iter().enumerate() {
                let distance = place.abs_diff(common) as f64;
                let near = self.halving.left(distance, self.settings.distance_half_life);
                let weight = f64::from(self.settings.weights.of(item.kind));
                let of_item = said.entry(item.item).or_default();
                of_item.score += neighbour.similarity * near * weight;
                of_item.neighbours += 1;
            }
        }
        said
    }

    /// The items of which most is said, rare ones preferred.
    fn best(
        &self,
        said: HashMap<u32, Said, RandomState>,
        factor: impl Fn(u32) -> f64,
        n: usize,
        admits: impl FnMut(&str) -> bool,
    ) -> Vec<Recommendation> {
        let all = self.sessions.len() as u64;
        let ranked = said.into_iter().filter_map(|(number, said)| {
            let item = self.items.get(number)?;
            let of_item = item.sessions.len() as u64;
            let rarity = power(log2_ratio(all + of_item, of_item), self.settings.rarity);
            let score = said.score * rarity * factor(number);
            Some(Ranked { score, item: &item.name, more: said.neighbours })
        });
        best(ranked, n, admits).into_iter().map(Recommendation::from).collect()
    }
}
