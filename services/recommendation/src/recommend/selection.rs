//! Chooses from what is offered.

use std::collections::{HashMap, HashSet};

use super::list::{CANDIDATES, ListWanted, Recommended, Why};
use crate::{model::ModelState, rules::RecommendationRules};

/// The items of an answer so far. What is offered first goes first.
pub(super) struct Selection<'a> {
    state: &'a ModelState,
    rules: &'a RecommendationRules,
    wanted: ListWanted,
    chosen: Vec<Recommended>,
    of_category: HashMap<String, usize>,
    /// What would have been too much of a category.
    left_over: Vec<Recommended>,
    seen: HashSet<String>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(state: &'a ModelState, rules: &'a RecommendationRules, wanted: ListWanted) -> Self {
        Self {
            state,
            rules,
            wanted,
            chosen: Vec::new(),
            of_category: HashMap::new(),
            left_over: Vec::new(),
            seen: HashSet::new(),
        }
    }

    /// The category that is asked for.
    pub(super) fn category(&self) -> Option<String> {
        self.wanted.category.clone()
    }

    pub(super) fn is_full(&self) -> bool {
        self.chosen.len() >= self.wanted.n
    }

    /// Whether an item may be in the answer.
    pub(super) fn admits(&self, item: &str) -> bool {
        let known = self.state.items.get(item);
        let is_of_category = |category: &String| known.is_some_and(|known| known.category == *category);
        !self.wanted.without.contains(item)
            && !self.seen.contains(item)
            && self.wanted.category.as_ref().is_none_or(is_of_category)
            && self.rules.admit(known)
    }

    /// Takes items of one kind, the ones with the highest scores first, of which it admits
    /// some. Rules that prefer some choose from the first of these, others look at no more
    /// than the answer needs.
    pub(super) fn offer_in_order<'i>(&mut self, mut offered: impl Iterator<Item = (&'i str, f64, Why)>) {
        if self.is_full() {
            return;
        }
        if self.rules.reorder() {
            let admitted: Vec<_> = offered.filter(|(item, ..)| self.admits(item)).take(CANDIDATES).collect();
            return self.offer(admitted.into_iter().map(|(item, score, why)| (item.to_owned(), score, why)));
        }
        let mut left = CANDIDATES;
        while left > 0
            && !self.is_full()
            && let Some((item, score, why)) = offered.next()
        {
            if self.admits(item) {
                left -= 1;
                self.seen.insert(item.to_owned());
                let category = self.state.items.get(item).map(|known| known.category.clone());
                self.choose(Recommended { item: item.to_owned(), category, score, why });
            }
        }
    }

    /// Takes items of one kind that are admitted, the ones with the highest scores
    /// first, once what the rules prefer is preferred.
    pub(super) fn offer(&mut self, offered: impl Iterator<Item = (String, f64, Why)>) {
        let mut offered: Vec<Recommended> = offered
            .map(|(item, score, why)| {
                let known = self.state.items.get(&item);
                let score = score * self.rules.factor(known);
                Recommended { category: known.map(|known| known.category.clone()), item, score, why }
            })
            .collect();
        offered.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.item.cmp(&b.item)));
        for recommended in offered {
            if self.is_full() {
                return;
            }
            if self.seen.insert(recommended.item.clone()) {
                self.choose(recommended);
            }
        }
    }

    /// Who asks for one category wants all of it.
    fn choose(&mut self, recommended: Recommended) {
        let most = self.rules.most_of_a_category.filter(|_| self.wanted.category.is_none());
        if let (Some(most), Some(category)) = (most, &recommended.category) {
            let count = self.of_category.entry(category.clone()).or_default();
            if *count >= most.get() {
                return self.left_over.push(recommended);
            }
            *count += 1;
        }
        self.chosen.push(recommended);
    }

    /// The answer: what is left over of a category follows where nothing else is left.
    pub(super) fn end(self) -> Vec<Recommended> {
        let mut chosen = self.chosen;
        chosen.extend(self.left_over);
        chosen.truncate(self.wanted.n);
        chosen
    }
}
