//! What is in demand, whoever asks.

use std::{cmp::Ordering, collections::HashSet, sync::Arc};

use foldhash::fast::RandomState;
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
    now: Timestamp,
    /// The place of the next item.
    next: usize,
    all: ChartPair<Leaders>,
    /// By the number of the group.
    groups: Vec<ChartPair<Leaders>>,
    /// Items of a chart of a group.
    of_group: usize,
}

/// In which charts an item may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartPlace {
    /// In none.
    Nowhere,
    /// In that of all items.
    Everywhere,
    /// In that one, and in that of a group. Groups are numbered from 0 on.
    Group(usize),
}

/// What is popular, and what is trending.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartPair<T = Vec<Charted>> {
    /// The greatest weight first.
    pub popular: T,
    /// The greatest decayed weight first.
    pub trending: T,
}

impl ChartParts {
    /// Of `n` items each, and of `of_group` items for each group, as of `now`.
    #[must_use]
    pub fn new(n: usize, of_group: usize, now: Timestamp) -> Self {
        Self { now, next: 0, all: ChartPair::of(n), groups: Vec::new(), of_group }
    }

    /// The charts of all items, and those of each group by its number, once all items were
    /// looked at.
    #[must_use]
    pub fn end(self) -> (ChartPair, Vec<ChartPair>) {
        (self.all.end(), self.groups.into_iter().map(ChartPair::end).collect())
    }

    fn look_at(&mut self, item: &KnownItem, place: ChartPlace, decayed: impl Fn(&KnownItem) -> f64) {
        if place != ChartPlace::Nowhere {
            self.all.look_at(item, &decayed);
        }
        if let ChartPlace::Group(group) = place {
            if group >= self.groups.len() {
                self.groups.resize_with(group + 1, || ChartPair::of(self.of_group));
            }
            self.groups[group].look_at(item, &decayed);
        }
    }
}

impl ChartPair<Leaders> {
    const fn of(n: usize) -> Self {
        Self { popular: Leaders::new(n), trending: Leaders::new(n) }
    }

    fn look_at(&mut self, item: &KnownItem, decayed: impl Fn(&KnownItem) -> f64) {
        let weight = item.weight as f64;
        self.popular.look_at(item, weight);
        // Nothing grows as it decays, and most items need not be read for it.
        if weight >= self.trending.least {
            self.trending.look_at(item, decayed(item));
        }
    }

    fn end(self) -> ChartPair {
        ChartPair { popular: self.popular.end(), trending: self.trending.end() }
    }
}

/// An item that may be in a chart.
#[derive(Debug)]
struct Leader {
    score: f64,
    item: Arc<str>,
    sessions: u32,
}

impl Leader {
    /// The higher score first, and where that is equal the lower id.
    fn rank(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then_with(|| self.item.cmp(&other.item))
    }
}

/// The first `n` of all items that were looked at so far, and some of the others. Most
/// items have no chance, which their score alone says.
#[derive(Debug)]
struct Leaders {
    n: usize,
    kept: Vec<Leader>,
    /// The score of the last of `n` that were found.
    least: f64,
}

impl Leaders {
    const fn new(n: usize) -> Self {
        Self { n, kept: Vec::new(), least: 0.0 }
    }

    fn look_at(&mut self, item: &KnownItem, score: f64) {
        if score <= 0.0 || score < self.least || self.n == 0 {
            return;
        }
        let sessions = u32::try_from(item.sessions.len()).unwrap_or(u32::MAX);
        self.kept.push(Leader { score, item: Arc::clone(&item.name), sessions });
        if self.kept.len() >= self.n.saturating_mul(2) {
            self.keep_first();
        }
    }

    /// Drops what is behind the first `n`.
    fn keep_first(&mut self) {
        if self.kept.len() > self.n {
            let (_, last, _) = self.kept.select_nth_unstable_by(self.n - 1, Leader::rank);
            self.least = last.score;
            self.kept.truncate(self.n);
        }
    }

    /// In their order. An item that went and came back meanwhile was looked at twice.
    fn end(mut self) -> Vec<Charted> {
        self.kept.sort_unstable_by(Leader::rank);
        let mut seen: HashSet<Arc<str>, RandomState> = HashSet::default();
        let first = self.kept.into_iter().filter(|leader| seen.insert(Arc::clone(&leader.item))).take(self.n);
        first.map(|Leader { score, item, sessions }| Charted { item, score, sessions }).collect()
    }
}

impl Index {
    /// Looks at the next `items` items for charts; says whether there are more. `place` says
    /// in which charts an item may be, by its number and its id: a number has one id for as
    /// long as the item is there, and then may get another one.
    pub fn chart_on(
        &self,
        parts: &mut ChartParts,
        items: usize,
        mut place: impl FnMut(usize, &Arc<str>) -> ChartPlace,
    ) -> bool {
        let places = parts.next..parts.next.saturating_add(items);
        let decayed = self.decayed(parts.now);
        for (number, item) in self.items.within(places.clone()) {
            parts.look_at(item, place(number, &item.name), &decayed);
        }
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
    let charted = |Ranked { score, more, .. }: Ranked<'_, &KnownItem>| {
        let sessions = u32::try_from(more.sessions.len()).unwrap_or(u32::MAX);
        Charted { item: Arc::clone(&more.name), score, sessions }
    };
    best(ranked, n, admits).into_iter().map(charted).collect()
}
