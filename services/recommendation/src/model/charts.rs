//! What is popular.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tidemill_domain::Timestamp;
use tidemill_recommender::{ChartPair, ChartParts, Charted};

use super::{chart_places::ChartPlaces, state::ModelState};
use crate::rules::{RecommendationRules, RulesInUse, ShopRules};

/// Items of a chart at most.
pub(super) const MOST: usize = 5_000;
/// The same of a category: an answer has 100, and a visit may have as many that are left out.
const MOST_OF_A_CATEGORY: usize = 500;
/// Items that are looked at before whoever learns has a turn.
const PART: usize = 4_096;
/// How old charts are that whoever asks has made anew.
pub(super) const TOO_OLD: Duration = Duration::from_secs(1);
/// For how long charts are made anew that nobody asks for any more.
const WANTED_FOR: Duration = Duration::from_secs(10);

/// Items by their popularity, all in all and lately, without what the rules exclude.
#[derive(Debug)]
pub(crate) struct Charts {
    all: ChartPair,
    by_category: HashMap<String, ChartPair>,
}

/// The charts as they were made last.
#[derive(Debug, Default)]
pub(super) struct KeptCharts {
    /// What they exclude is in no chart.
    pub(super) rules: RulesInUse,
    kept: Mutex<Option<MadeCharts>>,
    asked: Mutex<Option<Instant>>,
    /// Held by who makes new ones.
    making: Mutex<ChartsMaking>,
}

/// Charts, and by which rules they were made when.
#[derive(Debug)]
struct MadeCharts {
    at: Instant,
    rules: Arc<ShopRules>,
    charts: Arc<Charts>,
}

/// In which charts items are by some rules.
#[derive(Debug, Default)]
struct ChartsMaking {
    rules: Arc<ShopRules>,
    places: ChartPlaces,
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

    /// Those that are kept, if they are of the rules in use, and no older.
    fn younger_than(&self, age: Duration) -> Option<Arc<Charts>> {
        let rules = self.rules.current();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let young = kept.as_ref().filter(|kept| kept.at.elapsed() < age && Arc::ptr_eq(&kept.rules, &rules));
        young.map(|kept| kept.charts.clone())
    }

    /// Makes new ones, unless somebody else has made some that are so young.
    fn make(&self, state: &RwLock<ModelState>, now: Timestamp, young: Duration) -> Arc<Charts> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(charts) = self.younger_than(young) {
            return charts;
        }
        loop {
            let rules = self.rules.current();
            if !Arc::ptr_eq(&making.rules, &rules) {
                *making = ChartsMaking { rules: rules.clone(), places: ChartPlaces::default() };
            }
            let (at, forgotten, charts) = Charts::make(state, &rules.standard, &mut making.places, now);
            let charts = Arc::new(charts);
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // Who was forgotten meanwhile may be in a part that was looked at before. Later
            // ones drop what is kept here.
            if state.read().unwrap_or_else(PoisonError::into_inner).forgotten() == forgotten {
                *kept = Some(MadeCharts { at, rules, charts: charts.clone() });
                return charts;
            }
        }
    }
}

impl Charts {
    /// Looks at all items, in parts; says when it began, and how many were forgotten
    /// by then.
    pub(super) fn make(
        state: &RwLock<ModelState>,
        rules: &RecommendationRules,
        places: &mut ChartPlaces,
        now: Timestamp,
    ) -> (Instant, u64, Self) {
        let (made, read) = (Instant::now(), || state.read().unwrap_or_else(PoisonError::into_inner));
        let (forgotten, mut parts) = {
            let state = read();
            (state.forgotten(), ChartParts::new(MOST, MOST_OF_A_CATEGORY, state.log_time(now)))
        };
        places.begin();
        loop {
            let state = read();
            places.keep_up(&state.items);
            let place = |number: usize, id: &Arc<str>| places.of(number, id, &state.items, rules);
            if !state.index.chart_on(&mut parts, PART, place) {
                break;
            }
        }
        let (all, of_categories) = parts.end();
        let by_category = places.categories().zip(of_categories).map(|(name, charts)| (name.to_owned(), charts));
        (made, forgotten, Self { all, by_category: by_category.collect() })
    }

    /// The most popular first; of a category, where one is named.
    pub(crate) fn popular(&self, category: Option<&str>) -> &[Charted] {
        self.of(category).map_or(&[], |charts| &charts.popular)
    }

    /// What is popular lately, likewise.
    pub(crate) fn trending(&self, category: Option<&str>) -> &[Charted] {
        self.of(category).map_or(&[], |charts| &charts.trending)
    }

    fn of(&self, category: Option<&str>) -> Option<&ChartPair> {
        category.map_or(Some(&self.all), |category| self.by_category.get(category))
    }
}
