//! What is popular.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tidemill_domain::Timestamp;
use tidemill_recommender::{ChartParts, Charted};

use super::state::ModelState;

/// Items of a chart at most.
const MOST: usize = 5_000;
/// Items that are looked at before whoever learns has a turn.
const PART: usize = 4_096;
/// How old charts are that whoever asks has made anew.
pub(super) const TOO_OLD: Duration = Duration::from_secs(1);
/// For how long charts are made anew that nobody asks for any more.
const WANTED_FOR: Duration = Duration::from_secs(10);

/// Items by their popularity, all in all and lately.
#[derive(Debug)]
pub(crate) struct Charts {
    popular: Vec<Charted>,
    trending: Vec<Charted>,
    /// Places in `popular`.
    by_category: HashMap<String, Vec<usize>>,
}

/// The charts as they were made last.
#[derive(Debug, Default)]
pub(super) struct KeptCharts {
    kept: Mutex<Option<(Instant, Arc<Charts>)>>,
    asked: Mutex<Option<Instant>>,
    /// Held by who makes new ones.
    making: Mutex<()>,
}

impl KeptCharts {
    /// The ones that are kept, unless they are too old; else new ones.
    pub(super) fn get(&self, state: &RwLock<ModelState>, now: Timestamp) -> Arc<Charts> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        match self.younger_than(TOO_OLD) {
            Some(charts) => charts,
            None => self.make(state, now, TOO_OLD),
        }
    }

    /// New ones, where somebody has asked for any lately.
    pub(super) fn renew(&self, state: &RwLock<ModelState>, now: Timestamp) {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| asked.elapsed() < WANTED_FOR) {
            self.make(state, now, Duration::ZERO);
        }
    }

    /// Drops them: they tell of somebody who is forgotten.
    pub(super) fn drop_kept(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<Charts>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(made, _)| made.elapsed() < age).map(|(_, charts)| charts.clone())
    }

    /// Makes new ones, unless somebody else has made some that are so young.
    fn make(&self, state: &RwLock<ModelState>, now: Timestamp, young: Duration) -> Arc<Charts> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(charts) = self.younger_than(young) {
            return charts;
        }
        loop {
            let (made, forgotten, charts) = Charts::of(state, now);
            let charts = Arc::new(charts);
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // Who was forgotten meanwhile may be in a part that was looked at before. Later
            // ones drop what is kept here.
            if state.read().unwrap_or_else(PoisonError::into_inner).forgotten() == forgotten {
                *kept = Some((made, charts.clone()));
                return charts;
            }
        }
    }
}

impl Charts {
    /// Looks at all items, in parts; says when it began, and how many were forgotten
    /// by then.
    fn of(state: &RwLock<ModelState>, now: Timestamp) -> (Instant, u64, Self) {
        let (made, read) = (Instant::now(), || state.read().unwrap_or_else(PoisonError::into_inner));
        let (forgotten, mut parts) = {
            let state = read();
            (state.forgotten(), ChartParts::new(MOST, state.log_time(now)))
        };
        while read().index.chart_on(&mut parts, PART) {}
        let (popular, trending) = parts.end();
        let mut by_category: HashMap<String, Vec<usize>> = HashMap::new();
        let state = read();
        for (place, charted) in popular.iter().enumerate() {
            let Some(category) = state.items.get(&charted.item).map(|item| &item.category) else { continue };
            match by_category.get_mut(category) {
                Some(places) => places.push(place),
                None => drop(by_category.insert(category.clone(), vec![place])),
            }
        }
        (made, forgotten, Self { popular, trending, by_category })
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
