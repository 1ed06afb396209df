//! Recommendations for a session.

use crate::{
    answer::{Continuation, Query, Recommendation},
    arithmetic::{log2_ratio, power},
    index::Index,
    ranking::{Ranked, in_order},
    scratch::AnswerScratch,
};

impl Index {
    /// What continues a session: the items of the sessions that are nearest to it.
    ///
    /// Its latest item is never among them; earlier ones may be, so that
    /// whoever goes back finds them. `admits` says which items may be named.
    #[must_use]
    pub fn recommend(&self, query: &Query<'_>, mut admits: impl FnMut(&str) -> bool) -> Vec<Recommendation> {
        let admitted = self.continuations(query).filter(|next| admits(next.item));
        admitted.take(query.n).map(Recommendation::from).collect()
    }

    /// The same one after the other, without an end at `query.n`: the highest score first,
    /// and where that is equal the lower id.
    pub fn continuations<'i>(&'i self, query: &Query<'i>) -> impl Iterator<Item = Continuation<'i>> {
        // What the session has may be said more of, or less.
        let returning = self.settings.returning * self.sessions.returns();
        let mut own: Vec<u32> = query.items.iter().filter_map(|recent| self.items.find(&recent.item)).collect();
        own.sort_unstable();
        let ranked = AnswerScratch::with(|scratch| {
            self.neighbours(query, scratch);
            self.hear(scratch);
            self.ranked(scratch, |item| if own.binary_search(&item).is_ok() { returning } else { 1.0 })
        });
        let latest = query.items.last().map(|latest| &*latest.item);
        in_order(ranked)
            .filter(move |ranked| Some(ranked.item) != latest)
            .map(|Ranked { score, item, more }| Continuation { item, score, neighbours: more })
    }

    /// What neighbours say, item by item. They are heard in their order: sums of
    /// floating-point numbers depend on it.
    fn hear(&self, scratch: &mut AnswerScratch) {
        let AnswerScratch { neighbours, said, .. } = scratch;
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
    }

    /// What is said of items, with rare ones preferred; in no order.
    fn ranked(&self, scratch: &AnswerScratch, factor: impl Fn(u32) -> f64) -> Vec<Ranked<'_, u32>> {
        let all = self.sessions.len() as u64;
        let mut ranked = Vec::with_capacity(scratch.said.len());
        ranked.extend(scratch.said.iter().filter_map(|(&number, said)| {
            let item = self.items.get(number)?;
            let of_item = item.sessions.len() as u64;
            let rarity = power(log2_ratio(all + of_item, of_item), self.settings.rarity);
            let score = said.score * rarity * factor(number);
            (score > 0.0).then_some(Ranked { score, item: &item.name, more: said.neighbours })
        }));
        ranked
    }
}
