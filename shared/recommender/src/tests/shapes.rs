//! Generated logs and settings.

use proptest::prelude::*;
use tidemill_domain::{Partition, Timestamp};

use crate::{Index, Interaction, InteractionKind, Query, Recent, Recommendation, RecommenderSettings, Weights};

const VISITORS: [&str; 6] = ["anna", "ben", "clara", "dmitri", "eva", "fatima"];
const ITEMS: [&str; 9] = ["bow", "capo", "drum", "guitar", "horn", "pick", "stand", "strings", "tuner"];
const KINDS: [InteractionKind; 3] = [InteractionKind::View, InteractionKind::Cart, InteractionKind::Order];

/// What one event is learnt as.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) partition: Partition,
    pub(super) visitor: &'static str,
    pub(super) kind: InteractionKind,
    pub(super) at: Timestamp,
    /// Of an order, one or more.
    pub(super) items: Vec<&'static str>,
}

impl Done {
    /// Its interactions.
    pub(super) fn each(&self) -> impl Iterator<Item = Interaction<'static>> {
        let &Self { partition, visitor, kind, at, .. } = self;
        self.items.iter().map(move |item| Interaction { partition, visitor, item, kind, at })
    }

    pub(super) fn learn(&self, index: &mut Index) {
        match self.kind {
            InteractionKind::Order => {
                index.learn_order(self.partition, self.visitor, self.at, self.items.iter().copied());
            }
            InteractionKind::View | InteractionKind::Cart => self.each().for_each(|one| index.learn(&one)),
        }
    }

    pub(super) fn pass(&self, index: &mut Index) {
        self.each().for_each(|one| index.pass(one.partition));
    }
}

pub(super) fn logs() -> impl Strategy<Value = Vec<Done>> {
    // Most steps are within the gap, some are longer, and some go back.
    let step = prop_oneof![8 => 0..60_000_i64, 1 => 600_000..4_000_000_i64, 1 => -900_000..0_i64];
    let lines = prop::sample::subsequence(ITEMS.to_vec(), 1..5).prop_shuffle();
    let one = (0..3_u16, 0..VISITORS.len(), lines, 0..KINDS.len(), step);
    prop::collection::vec(one, 0..120).prop_map(|drawn| {
        let mut at = 1_700_000_000_000_i64;
        let mut done = |(partition, visitor, mut items, kind, step): (_, usize, Vec<_>, usize, i64)| {
            at += step;
            let kind = KINDS[kind];
            if kind != InteractionKind::Order {
                items.truncate(1);
            }
            let at = Timestamp::saturating_from_millis(at);
            Done { partition: Partition::new(partition), visitor: VISITORS[visitor], kind, at, items }
        };
        drawn.into_iter().map(&mut done).collect()
    })
}

pub(super) fn settings() -> impl Strategy<Value = RecommenderSettings> {
    (2..6_u32, 1..4_u32, 1..60_u32, 1..5_u32, (1..9_u32, 1..12_u32, 1..8_u32), 0..3_u32).prop_map(
        |(items_per_session, sessions_per_visitor, window, query_items, (per_item, sample, neighbours), view)| {
            RecommenderSettings {
                session_gap_seconds: 600,
                items_per_session,
                sessions_per_visitor,
                interactions_per_partition: window,
                query_items,
                sessions_per_item: per_item,
                sample,
                neighbours,
                neighbour_half_life_hours: 1.0,
                weights: Weights { view, ..Weights::default() },
                minimum_support: 1,
                ..RecommenderSettings::default()
            }
        },
    )
}

pub(super) fn built(settings: &RecommenderSettings, log: &[Done]) -> Index {
    let mut index = Index::new(settings.clone()).expect("valid settings");
    log.iter().for_each(|done| done.learn(&mut index));
    index
}

/// A query for each visitor's current session, and one of a stranger's.
pub(super) fn ask(
    index: &Index,
    mut answer: impl FnMut(&Query<'_>) -> Vec<Recommendation>,
) -> Vec<Vec<Recommendation>> {
    let at = Timestamp::saturating_from_millis(1_700_003_600_000);
    // Before all of them: so that whoever did anything has a visit.
    let begin = Timestamp::saturating_from_millis(1_600_000_000_000);
    let mut answers = Vec::new();
    for visitor in VISITORS {
        for at in [begin, at] {
            let items = index.recent(&[visitor], at);
            answers.push(answer(&Query { visitor: Some(visitor), items: &items, at, n: 5 }));
        }
        let items = index.recent(&[visitor], begin);
        answers.push(answer(&Query { visitor: None, items: &items, at, n: 20 }));
    }
    let items = ["nothing", "strings", "pick", "strings"].map(|item| Recent {
        item: item.to_owned(),
        kind: InteractionKind::View,
        at,
    });
    answers.push(answer(&Query { visitor: None, items: &items, at, n: 20 }));
    answers
}

/// All that an index can be asked.
pub(super) fn all_answers(index: &Index) -> String {
    let now = Timestamp::saturating_from_millis(1_700_009_000_000);
    let recommended = ask(index, |query| index.recommend(query, |_| true));
    let by_item = ITEMS.map(|item| (index.similar(item, 9, |_| true), index.bought_together(item, 9, |_| true)));
    let charts = (index.popular(9, |_| true), index.trending(now, 9, |_| true));
    let counts = (index.session_count(), index.item_count(), index.visitor_count());
    format!("{recommended:?} {by_item:?} {charts:?} {counts:?}")
}
