//! What is recommended: what the index says, as the rules allow it, and what fills it
//! up.

mod list;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use tidemill_domain::Timestamp;
use tidemill_events::ItemFacts;
use tidemill_recommender::{BoughtTogether, Charted, Continuation, InteractionKind, Query, Recent, Recommendation};

pub(crate) use self::list::{ListWanted, Recommended, VisitAsked, Why};
use self::{list::CANDIDATES, selection::Selection};
use crate::{
    learning::VisitorId,
    model::{Charts, ModelState},
    rules::{FallbackKind, RecommendationRules, VisitStrategy},
};

/// Items of a visit that say which categories it is about.
const LATEST: usize = 10;

/// What answers are made of.
pub(crate) struct Sources<'a> {
    pub(crate) state: &'a ModelState,
    pub(crate) rules: &'a RecommendationRules,
    pub(crate) charts: &'a Charts,
    pub(crate) now: Timestamp,
}

impl Sources<'_> {
    /// What continues a visit. What is in its cart or was ordered in it is left out.
    pub(crate) fn for_visit(&self, asked: &VisitAsked, mut wanted: ListWanted) -> Vec<Recommended> {
        let visit = self.visit(asked);
        let taken = visit.iter().filter(|recent| recent.kind != InteractionKind::View);
        wanted.without.extend(taken.map(|recent| recent.item.clone()));
        wanted.without.extend(visit.last().map(|recent| recent.item.clone()));
        let visitor = asked.customer.or(asked.session).map(VisitorId::text);
        let query =
            Query { visitor: visitor.as_deref(), items: &visit, at: self.state.log_time(self.now), n: CANDIDATES };
        let mut selection = Selection::new(self.state, self.rules, wanted);
        match self.rules.strategy {
            VisitStrategy::Visits => {
                selection.offer_in_order(self.state.index.continuations(&query).map(of_visits));
            }
            VisitStrategy::Popular => self.offer_popular(&mut selection),
            VisitStrategy::Trending => self.offer_trending(&mut selection),
        }
        self.fill(selection, visit.iter().rev().take(LATEST).map(|recent| &*recent.item))
    }

    /// What is like an item.
    pub(crate) fn similar(&self, item: &str, mut wanted: ListWanted) -> Vec<Recommended> {
        wanted.without.insert(item.to_owned());
        let mut selection = Selection::new(self.state, self.rules, wanted);
        let found = self.state.index.similar(item, CANDIDATES, |item| selection.admits(item));
        let similar = |found: Recommendation| {
            let Recommendation { item, score, neighbours: visits } = found;
            (item, score, Why::Similar { visits })
        };
        selection.offer(found.into_iter().map(similar));
        self.fill(selection, std::iter::once(item))
    }

    /// What is bought together with an item.
    pub(crate) fn bought_together(&self, item: &str, wanted: ListWanted) -> Vec<Recommended> {
        let mut selection = Selection::new(self.state, self.rules, wanted);
        let found = self.state.index.bought_together(item, CANDIDATES, |item| selection.admits(item));
        let together = |found: BoughtTogether| {
            let BoughtTogether { item, support, confidence, lift } = found;
            (item, lift, Why::Together { baskets: support, confidence, lift })
        };
        selection.offer(found.into_iter().map(together));
        selection.end()
    }

    /// What is popular.
    pub(crate) fn popular(&self, wanted: ListWanted) -> Vec<Recommended> {
        let mut selection = Selection::new(self.state, self.rules, wanted);
        self.offer_popular(&mut selection);
        selection.end()
    }

    /// What is popular lately.
    pub(crate) fn trending(&self, wanted: ListWanted) -> Vec<Recommended> {
        let mut selection = Selection::new(self.state, self.rules, wanted);
        self.offer_trending(&mut selection);
        selection.end()
    }

    /// The visit, as the caller and the index know it: each item once, the latest last.
    fn visit(&self, asked: &VisitAsked) -> Vec<Recent> {
        let known: Vec<String> = [asked.customer, asked.session].into_iter().flatten().map(VisitorId::text).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let visit = self.state.index.recent(&known, self.now);
        // What the caller names is what the visitor looks at now.
        let at = self.state.log_time(self.now);
        let named = asked.items.iter().map(|item| Recent { item: item.clone(), kind: InteractionKind::View, at });
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut latest_first: Vec<Recent> = Vec::new();
        for recent in visit.into_iter().chain(named).rev() {
            match places.get(&recent.item) {
                Some(&place) => latest_first[place].kind = latest_first[place].kind.max(recent.kind),
                None => {
                    places.insert(recent.item.clone(), latest_first.len());
                    latest_first.push(recent);
                }
            }
        }
        latest_first.reverse();
        latest_first
    }

    /// Fills a selection up by the fallbacks, and ends it.
    fn fill<'i>(&self, mut selection: Selection<'_>, about: impl Iterator<Item = &'i str>) -> Vec<Recommended> {
        let mut categories = Vec::new();
        let mut seen = BTreeSet::new();
        for category in about.filter_map(|item| self.state.items.get(item)).map(|item| &*item.category) {
            // Products of which it is not known have nothing in common.
            if category != ItemFacts::UNKNOWN_CATEGORY && seen.insert(category) {
                categories.push(category);
            }
        }
        for fallback in &self.rules.fallbacks {
            match fallback {
                FallbackKind::Category => {
                    let why = |charted: &Charted| Why::Category { visits: charted.sessions };
                    for category in &categories {
                        self.offer_charted(&mut selection, self.charts.popular(Some(category)), why);
                    }
                }
                FallbackKind::Popular => self.offer_popular(&mut selection),
            }
        }
        selection.end()
    }

    /// Of one category what is popular in it, which may be far behind in the whole.
    fn offer_popular(&self, selection: &mut Selection<'_>) {
        let why = |charted: &Charted| Why::Popular { visits: charted.sessions };
        let category = selection.category();
        self.offer_charted(selection, self.charts.popular(category.as_deref()), why);
    }

    fn offer_trending(&self, selection: &mut Selection<'_>) {
        let trending = |charted: &Charted| Why::Trending { visits: charted.sessions };
        let category = selection.category();
        self.offer_charted(selection, self.charts.trending(category.as_deref()), trending);
    }

    fn offer_charted(&self, selection: &mut Selection<'_>, charted: &[Charted], why: impl Fn(&Charted) -> Why) {
        selection.offer_in_order(charted.iter().map(|charted| (&*charted.item, charted.score, why(charted))));
    }
}

fn of_visits(next: Continuation<'_>) -> (&str, f64, Why) {
    let Continuation { item, score, neighbours: visits } = next;
    (item, score, Why::Visits { visits })
}
