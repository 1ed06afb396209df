//! The rules in their plainest form: every answer looks at everything.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use tidemill_domain::Partition;

use super::shapes::Done;
use crate::{
    Interaction, InteractionKind, Query, Recommendation, RecommenderSettings,
    arithmetic::{Halving, log2_ratio, power},
};

/// An interaction that stays, with those with the same item of the same session before it.
#[derive(Debug, Clone)]
pub(super) struct PlainItem {
    pub(super) item: String,
    pub(super) kind: InteractionKind,
    pub(super) times: u16,
    pub(super) at: i64,
    pub(super) ordinal: u64,
}

#[derive(Debug, Clone)]
pub(super) struct PlainSession {
    pub(super) partition: Partition,
    pub(super) visitor: String,
    pub(super) end: i64,
    pub(super) items: Vec<PlainItem>,
    /// Which order of the log it is, if it is one.
    order: Option<usize>,
}

type When = (i64, Partition, u64);

/// The sessions, oldest first in each partition.
#[derive(Debug)]
pub(super) struct Reference {
    settings: RecommenderSettings,
    pub(super) sessions: Vec<PlainSession>,
    counts: BTreeMap<Partition, u64>,
}

impl Reference {
    pub(super) fn of(settings: &RecommenderSettings, log: &[Done]) -> Self {
        let mut reference = Self { settings: settings.clone(), sessions: Vec::new(), counts: BTreeMap::new() };
        for (place, done) in log.iter().enumerate() {
            let order = (done.kind == InteractionKind::Order).then_some(place);
            done.each().for_each(|interaction| reference.learn(&interaction, order));
        }
        reference
    }

    fn learn(&mut self, new: &Interaction<'_>, order: Option<usize>) {
        let count = self.counts.entry(new.partition).or_default();
        let ordinal = *count;
        *count += 1;
        let first = count.saturating_sub(u64::from(self.settings.interactions_per_partition));
        for session in self.sessions.iter_mut().filter(|session| session.partition == new.partition) {
            session.items.retain(|item| item.ordinal >= first);
        }
        self.sessions.retain(|session| !session.items.is_empty());
        let at = new.at.millis();
        let gap = u64::from(self.settings.session_gap_seconds) * 1000;
        let own = |session: &&mut PlainSession| {
            let is_of_visitor = session.partition == new.partition && session.visitor == new.visitor;
            is_of_visitor && session.order == order
        };
        let is_near = |session: &&mut PlainSession| order.is_some() || session.end.abs_diff(at) <= gap;
        let latest = self.sessions.iter_mut().rfind(own).filter(is_near);
        let mut put = PlainItem { item: new.item.to_owned(), kind: new.kind, times: 1, at, ordinal };
        if let Some(session) = latest {
            session.end = session.end.max(at);
            if let Some(place) = session.items.iter().position(|item| item.item == new.item) {
                let before = session.items.remove(place);
                put.kind = put.kind.max(before.kind);
                put.times += before.times;
            }
            session.items.push(put);
            if session.items.len() > self.settings.items_per_session as usize {
                session.items.remove(0);
            }
            return;
        }
        let items = vec![put];
        let session = PlainSession { partition: new.partition, visitor: new.visitor.to_owned(), end: at, items, order };
        self.sessions.push(session);
        let own = |session: &PlainSession| session.partition == new.partition && session.visitor == new.visitor;
        if self.sessions.iter().filter(|session| own(session)).count() > self.settings.sessions_per_visitor as usize
            && let Some(oldest) = self.sessions.iter().position(own)
        {
            self.sessions.remove(oldest);
        }
    }

    /// When a session last had to do with an item, if ever.
    fn when(session: &PlainSession, item: &str) -> Option<When> {
        let found = session.items.iter().find(|other| other.item == item)?;
        Some((found.at, session.partition, found.ordinal))
    }

    /// The sessions of the query's visitor that go on: more and more, for as long as one
    /// is near enough to those that are known to.
    fn going_on(&self, query: &Query<'_>) -> BTreeSet<usize> {
        let gap = i64::from(self.settings.session_gap_seconds) * 1000;
        let own = |session: &PlainSession| Some(&*session.visitor) == query.visitor;
        let own: Vec<usize> = (0..self.sessions.len()).filter(|&place| own(&self.sessions[place])).collect();
        let mut going_on = BTreeSet::new();
        loop {
            let items = going_on.iter().flat_map(|&place: &usize| &self.sessions[place].items);
            let begin = items.map(|item| item.at).chain([query.at.millis()]).min().expect("now is one of them");
            let before = going_on.len();
            going_on.extend(own.iter().copied().filter(|&place| self.sessions[place].end >= begin - gap));
            if going_on.len() == before {
                return going_on;
            }
        }
    }

    fn wanted(&self, query: &Query<'_>) -> Vec<(String, f64)> {
        let mut wanted: Vec<(String, f64)> = Vec::new();
        for recent in query.items.iter().rev() {
            if wanted.iter().any(|(item, _)| *item == recent.item) {
                continue;
            }
            let position = Halving::new().left(wanted.len() as f64, self.settings.position_half_life);
            wanted.push((recent.item.clone(), position * f64::from(self.settings.weights.of(recent.kind))));
        }
        wanted.truncate(self.settings.query_items as usize);
        wanted
    }

    /// The neighbours: which session, how similar, and the latest common item.
    pub(super) fn neighbours(&self, query: &Query<'_>) -> Vec<(usize, f64, String)> {
        let mut found: BTreeMap<usize, (When, f64, String)> = BTreeMap::new();
        let own = self.going_on(query);
        for (item, weight) in self.wanted(query) {
            let others = (0..self.sessions.len()).filter(|place| !own.contains(place));
            let mut with: Vec<(When, usize)> =
                others.filter_map(|place| Some((Self::when(&self.sessions[place], &item)?, place))).collect();
            with.sort_by(|a, b| b.cmp(a));
            with.truncate(self.settings.sessions_per_item as usize);
            for (when, place) in with {
                let entry = found.entry(place).or_insert_with(|| (when, 0.0, item.clone()));
                *entry = (entry.0.max(when), entry.1 + weight, entry.2.clone());
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|candidate| Reverse(candidate.1.0));
        found.truncate(self.settings.sample as usize);
        let half_life = self.settings.neighbour_half_life_hours * 3_600_000.0;
        for (place, (_, similarity, _)) in &mut found {
            let age = query.at.millis() - self.sessions[*place].end;
            *similarity *= Halving::new().left(age as f64, half_life);
        }
        found.sort_by(|a, b| b.1.1.total_cmp(&a.1.1).then_with(|| b.1.0.cmp(&a.1.0)));
        found.truncate(self.settings.neighbours as usize);
        found.into_iter().map(|(place, (_, similarity, common))| (place, similarity, common)).collect()
    }

    pub(super) fn recommend(&self, query: &Query<'_>) -> Vec<Recommendation> {
        let Some(latest) = query.items.last() else { return Vec::new() };
        let mut said: BTreeMap<&str, (f64, u32)> = BTreeMap::new();
        for (place, similarity, common) in self.neighbours(query) {
            let items = &self.sessions[place].items;
            let common = items.iter().position(|item| item.item == common).expect("it is common");
            for (at, item) in items.iter().enumerate() {
                let near = Halving::new().left(at.abs_diff(common) as f64, self.settings.distance_half_life);
                let of_item = said.entry(&item.item).or_default();
                of_item.0 += similarity * near * f64::from(self.settings.weights.of(item.kind));
                of_item.1 += 1;
            }
        }
        let items = || self.sessions.iter().flat_map(|session| &session.items);
        let interactions: u64 = items().map(|item| u64::from(item.times)).sum();
        let returns = (interactions - items().count() as u64) as f64 / items().count().max(1) as f64;
        let mut scored: Vec<Recommendation> = said
            .into_iter()
            .map(|(item, (score, neighbours))| {
                let all = self.sessions.len() as u64;
                let with = items().filter(|other| other.item == item).count() as u64;
                let own = query.items.iter().any(|recent| recent.item == item);
                let again = if own { self.settings.returning * returns } else { 1.0 };
                let rarity = power(log2_ratio(all + with, with), self.settings.rarity);
                Recommendation { item: item.to_owned(), score: score * rarity * again, neighbours }
            })
            .filter(|recommended| recommended.score > 0.0 && recommended.item != latest.item)
            .collect();
        scored.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.item.cmp(&b.item)));
        scored.truncate(query.n);
        scored
    }
}
