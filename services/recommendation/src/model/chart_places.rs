//! In which charts each item is.

use std::{collections::HashMap, sync::Arc};

use tidemill_recommender::ChartPlace;

use super::known_items::KnownItems;
use crate::rules::RecommendationRules;

/// Categories, emptied ones among them, that are numbered until all begin anew.
const MOST_CATEGORIES: usize = 10_000;

/// In which charts each item is, as it was found last. Events tell the same of a product
/// nearly always, and to look up all of them for each chart took a quarter of the service's
/// time.
#[derive(Debug, Default)]
pub(super) struct ChartPlaces {
    /// By the number of the item. Who has its id has that item: the number may have been
    /// given to another one.
    of_items: Vec<Option<(Arc<str>, ChartPlace)>>,
    /// How often what is known of products had changed by then.
    changes: u64,
    /// Categories by their numbers, and these.
    categories: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, usize>,
}

impl ChartPlaces {
    /// Before the first item of new charts.
    pub(super) fn begin(&mut self) {
        if self.categories.len() > MOST_CATEGORIES {
            *self = Self::default();
        }
    }

    /// Forgets what was found, if something else is known of a product since.
    pub(super) fn keep_up(&mut self, items: &KnownItems) {
        if self.changes != items.changes() {
            self.of_items.clear();
            self.changes = items.changes();
        }
    }

    /// In which charts an item is.
    pub(super) fn of(
        &mut self,
        number: usize,
        id: &Arc<str>,
        items: &KnownItems,
        rules: &RecommendationRules,
    ) -> ChartPlace {
        if let Some(Some((known, place))) = self.of_items.get(number)
            && Arc::ptr_eq(known, id)
        {
            return *place;
        }
        let known = items.get(id);
        let place = match known.map(|known| &*known.category) {
            _ if !rules.admit(known) => ChartPlace::Nowhere,
            None | Some("") => ChartPlace::Everywhere,
            Some(category) => ChartPlace::Group(self.number(category)),
        };
        // What is not known yet changes nothing when it is.
        if known.is_some() {
            if number >= self.of_items.len() {
                self.of_items.resize(number + 1, None);
            }
            self.of_items[number] = Some((Arc::clone(id), place));
        }
        place
    }

    /// The categories in the order of their numbers.
    pub(super) fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.iter().map(|category| &**category)
    }

    fn number(&mut self, category: &str) -> usize {
        if let Some(&number) = self.numbers.get(category) {
            return number;
        }
        let (number, category): (usize, Arc<str>) = (self.categories.len(), category.into());
        self.categories.push(Arc::clone(&category));
        self.numbers.insert(category, number);
        number
    }
}
