//! What is in demand, whoever asks.

use std::collections::HashSet;

use tidemill_domain::Timestamp;

use crate::{
    answer::Charted,
    index::Index,
    items::{KnownItem, TREND_PARTS},
    ranking::{Ranked, best},
};

/// How far back trends look: what is left then is less than a millionth.
const HALF_LIVES: i64 = 20;

/// The items of the charts, found in parts: nobody who learns has to wait while all items
/// are looked at.
#[derive(Debug)]
pub struct ChartParts {
    n: usize,
    now: Timestamp,
    /// The place of the next item.
    next: usize,
    popular: Vec<Charted>,
    trending: Vec<Charted>,
}

impl ChartParts {
    /// Of `n` items each, as of `now`.
    #[must_use]
    pub const fn new(n: usize, now: Timestamp) -> Self {
        Self { n, now, next: 0, popular: Vec::new(), trending: Vec::new() }
    }

    /// What is popular, and what is trending, once all items were looked at.
    #[must_use]
    pub fn end(self) -> (Vec<Charted>, Vec<Charted>) {
        (first(self.popular, self.n), first(self.trending, self.n))
    }
}

/// The first `n` of several parts. An item that went and came back meanwhile is in two.
fn first(mut parts: Vec<Charted>, n: usize) -> Vec<Charted> {
    parts.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.item.cmp(&b.item)));
    let mut seen = HashSet::new();
    parts.retain(|charted| seen.len() < n && seen.insert(charted.item.clone()));
    parts
}

impl Index {
    /// Looks at the next `items` items for charts; says whether there are more.
    pub fn chart_on(&self, parts: &mut ChartParts, items: usize) -> bool {
        let places = parts.next..parts.next.saturating_add(items);
        let decayed = self.decayed(parts.now);
        let of = || self.items.within(places.clone());
        parts.popular.extend(charted(of(), |item| item.weight as f64, parts.n, |_| true));
        parts.trending.extend(charted(of(), decayed, parts.n, |_| true));
        parts.next = places.end;
        parts.next < self.items.places()
    }

    /// The items with the greatest weight of interactions among all that are
    /// kept. A session counts once for each of its items. It looks at every
    /// item: a caller that is asked often keeps the answer for a second.
    #[must_use]
    pub fn popular(&self, n: usize, admits: impl FnMut(&str) -> bool) -> Vec<Charted> {
        charted(self.items.iter(), |item| item.weight as f64, n, admits)
    }

    /// The same, but an interaction counts half after `trend_half_life_hours`.
    /// What is later than `now` counts as now, and what is 20 half-lives
    /// ago no more. It looks at every item as well.
    #[must_use]
    pub fn trending(&self, now: Timestamp, n: usize, admits: impl FnMut(&str) -> bool) -> Vec<Charted> {
        charted(self.items.iter(), self.decayed(now), n, admits)
    }

    /// What the weights of an item come to at a time.
    fn decayed(&self, now: Timestamp) -> impl Fn(&KnownItem) -> f64 {
        let current = self.items.part(now.millis());
        let left = |age: i64| self.halving.left(age as f64, TREND_PARTS as f64);
        let left: Vec<f64> = (0..TREND_PARTS * HALF_LIVES).map(left).collect();
        move |item| {
            // The oldest first: the order is part of the sum.
            item.trend
                .iter()
                .filter_map(|&(part, weight)| {
                    let age = usize::try_from(current.saturating_sub(part)).unwrap_or_default();
                    Some(weight as f64 * left.get(age)?)
                })
                .sum()
        }
    }
}

fn charted<'i>(
    items: impl Iterator<Item = &'i KnownItem>,
    score: impl Fn(&KnownItem) -> f64,
    n: usize,
    admits: impl FnMut(&str) -> bool,
) -> Vec<Charted> {
    let ranked = items.map(|item| Ranked { score: score(item), item: &item.name, more: item });
    let charted = |Ranked { score, item, more }: Ranked<'_, &KnownItem>| {
        let sessions = u32::try_from(more.sessions.len()).unwrap_or(u32::MAX);
        Charted { item: item.to_owned(), score, sessions }
    };
    best(ranked, n, admits).into_iter().map(charted).collect()
}
