//! What a recommender must be better than.

use std::collections::HashMap;

use super::session_file::{ItemNumbers, Visit, Visited};

/// Something that predicts.
pub(crate) trait Model {
    /// The `n` items that are most likely to come next, most likely first.
    fn predict(&mut self, so_far: &[Visited], n: usize) -> Vec<u32>;
}

/// The items that occur most, for everybody; where that is equal by their ids.
pub(crate) struct Popularity(Vec<u32>);

impl Popularity {
    pub(crate) fn of(counts: &[u64], catalogue: &ItemNumbers) -> Self {
        let items = (0_u32..).zip(counts).filter(|(_, count)| **count > 0).map(|(item, _)| item);
        let mut items: Vec<u32> = items.collect();
        items.sort_by_key(|&item| (std::cmp::Reverse(counts[item as usize]), catalogue.name(item)));
        Self(items)
    }
}

impl Model for Popularity {
    fn predict(&mut self, _so_far: &[Visited], n: usize) -> Vec<u32> {
        self.0.iter().copied().take(n).collect()
    }
}

/// How two items belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// Item-kNN: the cosine between the sessions of the two, regularised as in
    /// session-rec: 20 is added to the sessions of each.
    Cosine,
    /// Association rules of size two: how many sessions have both.
    Rules,
}

/// The items that belong to the latest one, the most first; where that is equal by their ids.
pub(crate) struct PairedItems<'a> {
    pairing: Pairing,
    train: &'a [Visit],
    catalogue: &'a ItemNumbers,
    /// The sessions of each item, each once.
    sessions: Vec<Vec<u32>>,
    /// What belongs to an item that was asked for.
    known: HashMap<u32, Vec<u32>>,
}

impl<'a> PairedItems<'a> {
    pub(crate) fn of(pairing: Pairing, train: &'a [Visit], catalogue: &'a ItemNumbers) -> Self {
        let mut sessions: Vec<Vec<u32>> = vec![Vec::new(); catalogue.len()];
        for (number, visit) in (0_u32..).zip(train) {
            for event in &visit.events {
                let of_item = &mut sessions[event.item as usize];
                if of_item.last() != Some(&number) {
                    of_item.push(number);
                }
            }
        }
        Self { pairing, train, catalogue, sessions, known: HashMap::new() }
    }

    fn belonging(&self, item: u32, n: usize) -> Vec<u32> {
        let mut both: HashMap<u32, u64> = HashMap::new();
        for &session in &self.sessions[item as usize] {
            let mut others: Vec<u32> = self.train[session as usize].events.iter().map(|event| event.item).collect();
            others.sort_unstable();
            others.dedup();
            others.into_iter().filter(|&other| other != item).for_each(|other| *both.entry(other).or_default() += 1);
        }
        let with = |item: u32| self.sessions[item as usize].len() as f64 + 20.0;
        let score = |other: u32, both: u64| match self.pairing {
            Pairing::Rules => both as f64,
            Pairing::Cosine => both as f64 / (with(item) * with(other)).sqrt(),
        };
        let mut scored: Vec<(f64, u32)> = both.into_iter().map(|(other, both)| (score(other, both), other)).collect();
        let name = |item: u32| self.catalogue.name(item);
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| name(a.1).cmp(name(b.1))));
        scored.into_iter().take(n).map(|(_, item)| item).collect()
    }
}

impl Model for PairedItems<'_> {
    fn predict(&mut self, so_far: &[Visited], n: usize) -> Vec<u32> {
        let Some(latest) = so_far.last() else { return Vec::new() };
        if let Some(known) = self.known.get(&latest.item) {
            return known.clone();
        }
        let belonging = self.belonging(latest.item, n);
        self.known.insert(latest.item, belonging.clone());
        belonging
    }
}
