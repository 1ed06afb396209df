//! Predictions of the clicks of a batch, before it is learnt.

use std::collections::HashMap;

use tidemill_domain::Timestamp;
use tidemill_recommender::{InteractionKind, Query, Recent};

use crate::{
    learning::{LearntBatch, LearntEvent, LearntKind, VisitorId},
    model::LearntModel,
};

/// Items of a prediction.
pub(super) const CUTOFF: usize = 20;
/// A whole one.
pub(super) const MICROS: u64 = 1_000_000;

/// Sums over predictions, as `tidemill recommend evaluate` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cases {
    pub(crate) cases: u64,
    /// Those in which the item was among the predicted ones.
    pub(crate) hits: u64,
    /// Of 1 / rank, in millionths, each rounded down.
    pub(crate) reciprocal_micros: u64,
}

impl Cases {
    /// Predicts each view of a batch from its visit so far. The index knows nothing of the
    /// batch yet; the visit has what came before in it too.
    ///
    /// What happened longer before its intake than a visit may pause is history: nobody was
    /// there to be recommended anything. `wants` is asked once for each prediction. Each is a
    /// turn of its own: who learns another partition waits for one, and not for all.
    pub(super) fn of(
        model: &LearntModel,
        batch: &LearntBatch,
        share: f64,
        mut wants: impl FnMut(&LearntEvent) -> bool,
    ) -> Self {
        let mut all = Self::default();
        let mut before: HashMap<VisitorId, Vec<Recent>> = HashMap::new();
        let gap = i64::from(model.read().index.settings().session_gap_seconds) * 1000;
        for event in &batch.events {
            let Some((visitor, kind)) = event.visitor().zip(event.kind.interest()) else { continue };
            let is_live = event.at.millis() >= batch.ingested_at.millis().saturating_sub(gap);
            // An order is no part of a visit.
            if kind == InteractionKind::Order || !is_live || !is_sampled(visitor, share) {
                continue;
            }
            let known = || model.read().index.recent(&[&visitor.text()], event.at);
            let visit = before.entry(visitor).or_insert_with(known);
            if visit.last().is_some_and(|latest| event.at.millis() - latest.at.millis() > gap) {
                visit.clear();
            }
            for item in &event.items {
                if event.kind == LearntKind::View && !visit.is_empty() && wants(event) {
                    all.add(rank(model, visitor, visit, event.at, &item.id));
                }
                let known = visit.iter().position(|recent| recent.item == item.id);
                let kind = known.map_or(kind, |place| visit.remove(place).kind.max(kind));
                visit.push(Recent { item: item.id.clone(), kind, at: event.at });
            }
        }
        all
    }

    /// Counts a case, by the place of its item among those that were predicted.
    fn add(&mut self, rank: Option<u64>) {
        self.cases += 1;
        if let Some(rank) = rank {
            self.hits += 1;
            self.reciprocal_micros += MICROS / rank;
        }
    }

    /// Adds those of another batch.
    pub(super) fn merge(&mut self, other: Self) {
        self.cases += other.cases;
        self.hits += other.hits;
        self.reciprocal_micros += other.reciprocal_micros;
    }
}

/// Which place an item has among those that are predicted, from 1.
fn rank(model: &LearntModel, visitor: VisitorId, visit: &[Recent], at: Timestamp, item: &str) -> Option<u64> {
    let visitor = visitor.text();
    let query = Query { visitor: Some(&visitor), items: visit, at, n: CUTOFF };
    let predicted = model.read().index.recommend(&query, |_| true);
    predicted.iter().position(|predicted| predicted.item == item).map(|place| place as u64 + 1)
}

/// The same visitors on every replica: a visit is evaluated as a whole, or not at all.
fn is_sampled(visitor: VisitorId, share: f64) -> bool {
    let number = visitor.0[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number as f64 <= share * u64::MAX as f64
}
