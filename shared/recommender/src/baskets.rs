//! Baskets: what one order is of.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::{answer::BoughtTogether, index::Index, interaction::InteractionKind};

impl Index {
    /// The items that are ordered together with `item` more often than by
    /// chance, by lift, and where that is equal by support. An item must be in
    /// `minimum_support` baskets with it. Lift is P(a and b) / (P(a) P(b)) over all
    /// baskets; P(b | a) is that of the latest `sessions_per_item` of its baskets.
    #[must_use]
    pub fn bought_together(&self, item: &str, n: usize, mut admits: impl FnMut(&str) -> bool) -> Vec<BoughtTogether> {
        let Some((number, known)) = self.items.find(item).and_then(|number| Some((number, self.items.get(number)?)))
        else {
            return Vec::new();
        };
        let mut both: HashMap<u32, u32, RandomState> = HashMap::default();
        let mut baskets = 0_u32;
        let sessions = known.sessions.values().rev().filter_map(|&slot| self.session(slot));
        let ordered = sessions.filter(|session| {
            session.items.iter().any(|item| item.item == number && item.kind == InteractionKind::Order)
        });
        for session in ordered.take(self.settings.sessions_per_item as usize) {
            baskets += 1;
            for other in
                session.items.iter().filter(|other| other.item != number && other.kind == InteractionKind::Order)
            {
                *both.entry(other.item).or_default() += 1;
            }
        }
        both.retain(|_, support| *support >= self.settings.minimum_support);
        let all = self.sessions.baskets() as f64;
        let mut found: Vec<BoughtTogether> = both
            .into_iter()
            .filter_map(|(other, support)| {
                let other = self.items.get(other)?;
                let confidence = f64::from(support) / f64::from(baskets);
                let lift = confidence * all / f64::from(other.baskets);
                (lift > 1.0).then(|| BoughtTogether { item: other.name.as_ref().to_owned(), support, confidence, lift })
            })
            .collect();
        found.sort_unstable_by(|a, b| {
            b.lift.total_cmp(&a.lift).then_with(|| b.support.cmp(&a.support)).then_with(|| a.item.cmp(&b.item))
        });
        found.retain(|together| admits(&together.item));
        found.truncate(n);
        found
    }
}
