//! The nearest sessions.
//!
//! The family is that of kNN over sessions: V-SKNN and STAN as in Ludewig and
//! Jannach 2018 ("Evaluation of session-based recommendation algorithms") and
//! Garg et al. 2019 ("Sequence and time aware neighborhood for session-based
//! recommendations"); the search by item and recency is that of VMIS-kNN, Kersbergen et
//! al. 2022 ("Serenade: low-latency session-based recommendation in e-commerce
//! at scale").

use std::cmp::Reverse;

use crate::{
    answer::Query,
    index::Index,
    scratch::{AnswerScratch, Neighbour},
};

/// An item of the query: its number, and how much it counts.
struct Wanted {
    item: u32,
    weight: f64,
}

impl Index {
    /// The `neighbours` sessions that are nearest to the query, of the `sample`
    /// most recent ones, nearest first: into those of `scratch`.
    pub(crate) fn neighbours(&self, query: &Query<'_>, scratch: &mut AnswerScratch) {
        let settings = &self.settings;
        self.candidates(&self.wanted(query), query, scratch);
        let found = &mut scratch.neighbours;
        let sample = settings.sample as usize;
        if found.len() > sample {
            found.select_nth_unstable_by_key(sample - 1, |candidate| Reverse(candidate.newest));
            found.truncate(sample);
        }
        let half_life = settings.neighbour_half_life_hours * 3_600_000.0;
        for candidate in found.iter_mut() {
            if let Some(session) = self.session(candidate.slot) {
                let age = query.at.millis().saturating_sub(session.end) as f64;
                candidate.similarity *= self.halving.left(age, half_life);
            }
        }
        found.sort_unstable_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| b.newest.cmp(&a.newest)));
        found.truncate(settings.neighbours as usize);
    }

    /// The latest items of the query, the latest first, each once.
    fn wanted(&self, query: &Query<'_>) -> Vec<Wanted> {
        let mut wanted: Vec<(&str, f64)> = Vec::new();
        for recent in query.items.iter().rev() {
            if wanted.len() == self.settings.query_items as usize {
                break;
            }
            if wanted.iter().all(|(item, _)| *item != recent.item) {
                let position = self.halving.left(wanted.len() as f64, self.settings.position_half_life);
                wanted.push((&recent.item, position * f64::from(self.settings.weights.of(recent.kind))));
            }
        }
        let number = |(item, weight): (&str, f64)| Some(Wanted { item: self.items.find(item)?, weight });
        wanted.into_iter().filter_map(number).collect()
    }

    /// The sessions with one of these items, without those of the visitor's own visit.
    fn candidates(&self, wanted: &[Wanted], query: &Query<'_>, scratch: &mut AnswerScratch) {
        let mut own = query.visitor.map(|visitor| self.going_on(&[visitor], query.at)).unwrap_or_default();
        own.sort_unstable();
        let AnswerScratch { neighbours: found, places, .. } = scratch;
        for Wanted { item, weight } in wanted {
            let Some(known) = self.items.get(*item) else { continue };
            let others = known.sessions.iter().rev().filter(|(_, slot)| own.binary_search(slot).is_err());
            for (&newest, &slot) in others.take(self.settings.sessions_per_item as usize) {
                let place = *places.entry(slot).or_insert_with(|| {
                    found.push(Neighbour { slot, similarity: 0.0, common: *item, newest });
                    found.len() - 1
                });
                found[place].similarity += weight;
                found[place].newest = found[place].newest.max(newest);
            }
        }
    }
}
