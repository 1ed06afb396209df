//! Items, each with a number, and the sessions that have it.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use foldhash::fast::RandomState;

use crate::{
    interaction::InteractionKind,
    sessions::{Moment, SessionItem},
    settings::Weights,
};

/// Parts of a half-life that interactions are counted in for trends.
pub(crate) const TREND_PARTS: i64 = 4;

/// What is known of an item.
#[derive(Debug, Clone)]
pub(crate) struct KnownItem {
    pub(crate) name: Arc<str>,
    /// The slots of its sessions, by when they last had to do with it.
    pub(crate) sessions: BTreeMap<Moment, u32>,
    /// In how many of these it was ordered.
    pub(crate) baskets: u32,
    /// The weights of its interactions.
    pub(crate) weight: u64,
    /// These by time: the part since 1970, and the weight. The oldest first.
    pub(crate) trend: Vec<(i64, u64)>,
}

/// All items.
#[derive(Debug, Clone)]
pub(crate) struct Items {
    numbers: HashMap<Arc<str>, u32, RandomState>,
    slots: Vec<Option<KnownItem>>,
    free: Vec<u32>,
    weights: Weights,
    part_millis: i64,
    entries: usize,
}

impl Items {
    pub(crate) fn new(weights: Weights, trend_half_life_hours: u32) -> Self {
        Self {
            numbers: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            weights,
            part_millis: i64::from(trend_half_life_hours) * 3_600_000 / TREND_PARTS,
            entries: 0,
        }
    }

    /// The number of an item; it gets one if it has none.
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let name: Arc<str> = name.into();
        let item =
            KnownItem { name: Arc::clone(&name), sessions: BTreeMap::new(), baskets: 0, weight: 0, trend: Vec::new() };
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("an item takes more than a byte of memory")
        });
        self.slots[number as usize] = Some(item);
        self.numbers.insert(name, number);
        number
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&KnownItem> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// The id of an item that a session has.
    pub(crate) fn name(&self, number: u32) -> &str {
        self.get(number).map_or("", |item| &item.name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &KnownItem> {
        self.slots.iter().flatten()
    }

    /// Those whose numbers are within a range, with these.
    pub(crate) fn within(&self, numbers: Range<usize>) -> impl Iterator<Item = (usize, &KnownItem)> {
        let end = numbers.end.min(self.slots.len());
        let begin = numbers.start.min(end);
        (begin..).zip(&self.slots[begin..end]).filter_map(|(number, item)| Some((number, item.as_ref()?)))
    }

    /// The number behind the last one that an item can have now.
    pub(crate) const fn places(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// In which part a time is.
    pub(crate) const fn part(&self, at: i64) -> i64 {
        at.div_euclid(self.part_millis)
    }

    /// Notes that a session has an item.
    pub(crate) fn add(&mut self, moment: Moment, what: &SessionItem, slot: u32) {
        let (part, weight) = (self.part(what.at), u64::from(self.weights.of(what.kind)));
        let Some(item) = self.slots[what.item as usize].as_mut() else { return };
        item.sessions.insert(moment, slot);
        item.baskets += u32::from(what.kind == InteractionKind::Order);
        item.weight += weight;
        // Nearly always it is the last part.
        match item.trend.binary_search_by_key(&part, |(part, _)| *part) {
            Ok(place) => item.trend[place].1 += weight,
            Err(place) => item.trend.insert(place, (part, weight)),
        }
        self.entries += 1;
    }

    /// Notes that a session has an item no more. One without sessions goes.
    pub(crate) fn remove(&mut self, moment: Moment, what: &SessionItem) {
        let (part, weight) = (self.part(what.at), u64::from(self.weights.of(what.kind)));
        let Some(item) = self.slots[what.item as usize].as_mut() else { return };
        item.sessions.remove(&moment);
        item.baskets -= u32::from(what.kind == InteractionKind::Order);
        item.weight -= weight;
        if let Ok(place) = item.trend.binary_search_by_key(&part, |(part, _)| *part) {
            item.trend[place].1 -= weight;
            if item.trend[place].1 == 0 {
                item.trend.remove(place);
            }
        }
        self.entries -= 1;
    }

    /// Lets an item go that no session has.
    pub(crate) fn tidy(&mut self, number: u32) {
        if self.get(number).is_some_and(|item| item.sessions.is_empty())
            && let Some(item) = self.slots[number as usize].take()
        {
            self.numbers.remove(&item.name);
            self.free.push(number);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        // A B-tree that grows at its end is a bit more than half full.
        let entry = (size_of::<Moment>() + size_of::<u32>()) * 2;
        let item = size_of::<Option<KnownItem>>() + 32;
        // Most items are of a few parts of a half-life.
        let trends = self.len() * 4 * size_of::<(i64, u64)>();
        self.entries * entry
            + trends
            + self.slots.capacity() * item
            + self.numbers.capacity() * (size_of::<(Arc<str>, u32)>() + 1)
    }
}
