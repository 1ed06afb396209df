//! What is popular.

use std::collections::HashMap;

use tidemill_domain::Timestamp;
use tidemill_recommender::Charted;

use super::state::ModelState;

/// Items of a chart at most.
const MOST: usize = 5_000;

/// Items by their popularity, all in all and lately.
#[derive(Debug)]
pub(crate) struct Charts {
    popular: Vec<Charted>,
    trending: Vec<Charted>,
    /// Places in `popular`.
    by_category: HashMap<String, Vec<usize>>,
}

impl Charts {
    pub(super) fn of(state: &ModelState, now: Timestamp) -> Self {
        let popular = state.index.popular(MOST, |_| true);
        let trending = state.index.trending(state.log_time(now), MOST, |_| true);
        let mut by_category: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, charted) in popular.iter().enumerate() {
            if let Some(item) = state.items.get(&charted.item) {
                by_category.entry(item.category.clone()).or_default().push(place);
            }
        }
        Self { popular, trending, by_category }
    }

    /// The most popular first.
    pub(crate) fn popular(&self) -> &[Charted] {
        &self.popular
    }

    /// What is popular lately.
    pub(crate) fn trending(&self) -> &[Charted] {
        &self.trending
    }

    /// What is popular in a category.
    pub(crate) fn of_category(&self, category: &str) -> impl Iterator<Item = &Charted> {
        self.by_category.get(category).into_iter().flatten().filter_map(|place| self.popular.get(*place))
    }
}
