//! What is known of products.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::{
    learning::LearntItem,
    store::{KeptItem, StoredItem},
};

/// Products by id: of each what the last batch of the log told, whichever partition it
/// is in.
#[derive(Debug)]
pub(crate) struct KnownItems {
    items: HashMap<String, (u64, KeptItem), RandomState>,
    most: usize,
    changes: u64,
}

impl KnownItems {
    /// None yet, and no more than so many.
    pub(super) fn new(most: usize) -> Self {
        Self { items: HashMap::default(), most, changes: 0 }
    }

    /// What is known of a product.
    pub(crate) fn get(&self, id: &str) -> Option<&KeptItem> {
        self.items.get(id).map(|(_, item)| item)
    }

    /// How often something else became known of a product that was known, or one was forgotten.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn tell(&mut self, told: &LearntItem, raw_seq: u64) {
        // Whatever else is told of it counts more.
        let raw_seq = if told.is_told { raw_seq } else { 0 };
        match self.items.get_mut(&told.id) {
            Some((known, _)) if *known > raw_seq => {}
            Some((known, item)) => {
                *known = raw_seq;
                if item.category != told.category || item.attributes != told.attributes {
                    *item = KeptItem { category: told.category.clone(), attributes: told.attributes.clone() };
                    self.changes += 1;
                }
            }
            None => {
                let item = KeptItem { category: told.category.clone(), attributes: told.attributes.clone() };
                self.insert(told.id.clone(), raw_seq, item);
            }
        }
    }

    pub(super) fn know(&mut self, StoredItem { id, raw_seq, item }: StoredItem) {
        if self.items.get(&id).is_none_or(|(known, _)| *known < raw_seq) {
            self.insert(id, raw_seq, item);
        }
    }

    fn insert(&mut self, id: String, raw_seq: u64, item: KeptItem) {
        self.changes += u64::from(self.items.insert(id, (raw_seq, item)).is_some());
        if self.items.len() > self.most {
            // A quarter at once: they are looked through for the oldest ones.
            let mut ages: Vec<u64> = self.items.values().map(|(raw_seq, _)| *raw_seq).collect();
            let place = ages.len() / 4;
            let (_, oldest, _) = ages.select_nth_unstable(place);
            let oldest = *oldest;
            self.items.retain(|_, (raw_seq, _)| *raw_seq > oldest);
            self.changes += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{item, untold};

    #[test]
    fn an_event_that_tells_nothing_takes_nothing_back() {
        let mut known = KnownItems::new(100);
        known.tell(&untold("p"), 9);
        assert_eq!(known.get("p").map(|item| &*item.category), Some("Unknown"));
        known.tell(&item("p", "Books", &[("stock", "0")]), 5);
        known.tell(&untold("p"), 12);
        let item = known.get("p").expect("is known");
        assert_eq!((&*item.category, &*item.attributes["stock"]), ("Books", "0"));
    }

    #[test]
    fn the_last_batch_tells_and_the_oldest_go() {
        let mut known = KnownItems::new(100);
        known.tell(&item("p", "New", &[]), 9);
        known.tell(&item("p", "Old", &[]), 5);
        known.know(StoredItem { id: "p".into(), raw_seq: 7, item: KeptItem::default() });
        assert_eq!(known.get("p").map(|item| &*item.category), Some("New"));
        for n in 10..200 {
            known.tell(&item(&format!("p{n}"), "A", &[]), n);
        }
        assert!(known.items.len() <= 100 && known.get("p").is_none());
        assert!(known.get("p199").is_some());
    }
}
