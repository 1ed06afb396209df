//! Visitors who are forgotten, and up to when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidemill_domain::Timestamp;

use super::event::{LearntEvent, VisitorId};

/// Visitors of whom no event is learnt that was taken in up to a moment: of each, the
/// moments of all erasures.
#[derive(Debug, Default)]
pub(crate) struct ErasedVisitors(HashMap<VisitorId, BTreeSet<Timestamp>>);

/// Why a visit is to be forgotten: an event of a forgotten customer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VisitTie {
    pub(crate) customer: VisitorId,
    /// The moment of the customer's erasure.
    pub(crate) until: Timestamp,
}

impl ErasedVisitors {
    /// Whether nobody is forgotten.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes an erasure in.
    pub(crate) fn note(&mut self, visitor: VisitorId, until: Timestamp) {
        self.0.entry(visitor).or_default().insert(until);
    }

    /// The moment of the first erasure by which an event of the visitor is forgotten that
    /// was taken in at this time, if it is.
    pub(crate) fn until(&self, visitor: VisitorId, ingested_at: Timestamp) -> Option<Timestamp> {
        self.0.get(&visitor)?.range(ingested_at..).next().copied()
    }

    /// Visits that events of this time of intake tie to a customer who is forgotten by
    /// then, and that are not forgotten for as long themselves. The first erasure counts
    /// that covers the event: it is the one that would have found the visit, had the event
    /// come before it.
    pub(crate) fn tied(&self, ingested_at: Timestamp, events: &[LearntEvent]) -> BTreeMap<VisitorId, VisitTie> {
        let mut tied: BTreeMap<VisitorId, VisitTie> = BTreeMap::new();
        if self.0.is_empty() {
            return tied;
        }
        for event in events {
            let (Some(customer), Some(visit)) = (event.customer, event.session) else { continue };
            let Some(until) = self.until(customer, ingested_at) else { continue };
            if self.until(visit, until).is_none() {
                let tie = tied.entry(visit).or_insert(VisitTie { customer, until });
                if tie.until < until {
                    *tie = VisitTie { customer, until };
                }
            }
        }
        tied
    }

    /// Drops erasures of before then.
    pub(crate) fn drop_before(&mut self, before: Timestamp) {
        self.0.retain(|_, moments| {
            *moments = moments.split_off(&before);
            !moments.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{learning::LearntKind, testing::event};

    fn at(millis: i64) -> Timestamp {
        Timestamp::saturating_from_millis(millis)
    }

    /// Who is forgotten up to when, by the name of a customer.
    fn erased(erasures: &[(VisitorId, i64)]) -> ErasedVisitors {
        let mut erased = ErasedVisitors::default();
        erasures.iter().for_each(|(visitor, until)| erased.note(*visitor, at(*until)));
        erased
    }

    #[test]
    fn the_first_erasure_behind_an_event_is_the_one_that_forgets_it() {
        let c = VisitorId::customer("c");
        let mut erased = erased(&[(c, 20), (c, 10)]);
        let found = [10, 11, 20, 21].map(|millis| erased.until(c, at(millis)));
        assert_eq!(found, [Some(at(10)), Some(at(20)), Some(at(20)), None]);
        assert_eq!(erased.until(VisitorId::session("c"), at(1)), None, "a visit is no customer");
        erased.drop_before(at(11));
        assert_eq!(erased.until(c, at(1)), Some(at(20)));
        erased.drop_before(at(21));
        assert!(erased.0.is_empty());
    }

    #[test]
    fn a_visit_is_tied_to_who_is_forgotten_unless_it_is_forgotten_itself() {
        let (c, visit) = (VisitorId::customer("c"), VisitorId::session("v"));
        let tie = LearntEvent { session: Some(visit), ..event(LearntKind::View, "c", 5, &[]) };
        let other = LearntEvent { session: Some(visit), ..event(LearntKind::View, "other", 5, &[]) };
        let tied = |erasures: &[(VisitorId, i64)], ingested_at| {
            let tied = erased(erasures).tied(at(ingested_at), &[other.clone(), tie.clone()]);
            tied.into_iter().map(|(visit, tie)| (visit, tie.customer, tie.until)).collect::<Vec<_>>()
        };
        assert_eq!(tied(&[(c, 10), (c, 20)], 10), [(visit, c, at(10))]);
        assert!(tied(&[(c, 10)], 11).is_empty(), "it is an event of somebody new");
        assert!(tied(&[(c, 10), (visit, 10)], 9).is_empty());
        assert_eq!(tied(&[(c, 10), (visit, 9)], 9), [(visit, c, at(10))], "it is not forgotten for as long");
        assert!(tied(&[(c, 10), (c, 20), (visit, 12)], 9).is_empty(), "the first one would have found it");
    }
}
