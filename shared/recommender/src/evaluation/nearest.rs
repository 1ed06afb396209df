//! The index, as a model of an evaluation.

use std::collections::VecDeque;

use tidemill_domain::Partition;

use super::{
    baselines::Model,
    session_file::{ItemNumbers, Visit, Visited},
};
use crate::{
    answer::Query,
    index::Index,
    interaction::{Interaction, InteractionKind, Recent},
    settings::{RecommenderSettings, SettingsError},
};

/// Events of a session that are looked back at, the latest.
const MOST_EVENTS: usize = 5_000;

/// An index that has learnt the training, and what items are called.
pub(crate) struct Nearest<'a> {
    index: Index,
    catalogue: &'a ItemNumbers,
    /// The session that was predicted last, and how many events it had: most often the
    /// next one is the same with one more.
    items: VecDeque<Recent>,
    seen: usize,
}

impl<'a> Nearest<'a> {
    /// Learns all events by their time; those at the same time by session. The sessions are those of the file,
    /// whatever breaks they have, and nothing is too old to be kept.
    pub(crate) fn learn(
        train: &[Visit],
        catalogue: &'a ItemNumbers,
        settings: &RecommenderSettings,
    ) -> Result<Self, SettingsError> {
        let mut events: Vec<(Visited, usize)> = Vec::new();
        for (session, visit) in train.iter().enumerate() {
            events.extend(visit.events.iter().map(|&event| (event, session)));
        }
        events.sort_by_key(|(event, _)| event.at);
        let settings = RecommenderSettings {
            session_gap_seconds: 7 * 86_400,
            interactions_per_partition: u32::try_from(events.len()).unwrap_or(u32::MAX).clamp(1, 100_000_000),
            ..settings.clone()
        };
        let mut index = Index::new(settings)?;
        for (event, session) in events {
            index.learn(&Interaction {
                partition: Partition::new(0),
                visitor: &session.to_string(),
                item: catalogue.name(event.item),
                kind: InteractionKind::View,
                at: event.at,
            });
        }
        Ok(Self { index, catalogue, items: VecDeque::new(), seen: 0 })
    }

    /// Takes in what is new of a session.
    fn follow(&mut self, so_far: &[Visited]) {
        let is_next = self.seen > 0 && so_far.len() == self.seen + 1;
        let new = if is_next { self.seen } else { so_far.len().saturating_sub(MOST_EVENTS) };
        if !is_next {
            self.items.clear();
        }
        for event in &so_far[new..] {
            if self.items.len() == MOST_EVENTS {
                self.items.pop_front();
            }
            let item = self.catalogue.name(event.item).to_owned();
            self.items.push_back(Recent { item, kind: InteractionKind::View, at: event.at });
        }
        self.seen = so_far.len();
    }
}

impl Model for Nearest<'_> {
    fn predict(&mut self, so_far: &[Visited], n: usize) -> Vec<u32> {
        self.follow(so_far);
        let items = &*self.items.make_contiguous();
        let Some(latest) = items.last() else { return Vec::new() };
        let query = Query { visitor: None, items, at: latest.at, n };
        let recommended = self.index.recommend(&query, |_| true);
        recommended.iter().filter_map(|recommended| self.catalogue.find(&recommended.item)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tidemill_domain::Timestamp;

    use super::*;

    /// Whoever is asked in turn answers as whoever is asked anew.
    #[test]
    fn a_session_that_goes_on_is_the_same_as_one_that_is_told_at_once() {
        let mut catalogue = ItemNumbers::default();
        let visit = |catalogue: &mut ItemNumbers, items: &[usize]| Visit {
            events: (0..)
                .zip(items)
                .map(|(n, item)| Visited {
                    item: catalogue.number(&format!("item-{item}")),
                    at: Timestamp::saturating_from_millis(n * 1_000),
                })
                .collect(),
        };
        let train: Vec<Visit> = (0..40).map(|n| visit(&mut catalogue, &[n % 7, n % 5, n % 3])).collect();
        let long: Vec<usize> = (0..MOST_EVENTS + 40).map(|n| n * n % 7).collect();
        let test = [visit(&mut catalogue, &long), visit(&mut catalogue, &[1, 2, 3, 1])];
        let learn = || Nearest::learn(&train, &catalogue, &RecommenderSettings::default()).expect("settings");
        let (mut one, steps) = (learn(), [1, 2, 3, 50, MOST_EVENTS, MOST_EVENTS + 1, MOST_EVENTS + 39]);
        for visit in &test {
            for next in 1..visit.events.len() {
                let so_far = &visit.events[..next];
                let found = one.predict(so_far, 5);
                if steps.contains(&next) {
                    assert_eq!(found, learn().predict(so_far, 5), "{next}");
                }
            }
        }
    }
}
