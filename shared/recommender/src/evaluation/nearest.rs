//! The index, as a model of an evaluation.

use tidemill_domain::Partition;

use super::{
    baselines::Model,
    session_file::{ItemNumbers, Visit, Visited},
};
use crate::{
    answer::Query,
    index::Index,
    interaction::{Interaction, InteractionKind, Recent},
    settings::{RecommenderSettings, SettingsError},
};

/// An index that has learnt the training, and what items are called.
pub(crate) struct Nearest<'a> {
    index: Index,
    catalogue: &'a ItemNumbers,
}

impl<'a> Nearest<'a> {
    /// Learns all events by their time. The sessions are those of the file,
    /// whatever breaks they have, and nothing is too old to be kept.
    pub(crate) fn learn(
        train: &[Visit],
        catalogue: &'a ItemNumbers,
        settings: &RecommenderSettings,
    ) -> Result<Self, SettingsError> {
        let mut events: Vec<(Visited, usize)> = Vec::new();
        for (session, visit) in train.iter().enumerate() {
            events.extend(visit.events.iter().map(|&event| (event, session)));
        }
        events.sort_by_key(|(event, _)| event.at);
        let settings = RecommenderSettings {
            session_gap_seconds: 7 * 86_400,
            interactions_per_partition: u32::try_from(events.len()).unwrap_or(u32::MAX).clamp(1, 100_000_000),
            ..settings.clone()
        };
        let mut index = Index::new(settings)?;
        for (event, session) in events {
            index.learn(&Interaction {
                partition: Partition::new(0),
                visitor: &session.to_string(),
                item: catalogue.name(event.item),
                kind: InteractionKind::View,
                at: event.at,
            });
        }
        Ok(Self { index, catalogue })
    }
}

impl Model for Nearest<'_> {
    fn predict(&mut self, so_far: &[Visited], n: usize) -> Vec<u32> {
        let items: Vec<Recent> = so_far
            .iter()
            .map(|event| Recent {
                item: self.catalogue.name(event.item).to_owned(),
                kind: InteractionKind::View,
                at: event.at,
            })
            .collect();
        let Some(latest) = items.last() else { return Vec::new() };
        let query = Query { visitor: None, items: &items, at: latest.at, n };
        let recommended = self.index.recommend(&query, |_| true);
        recommended.iter().filter_map(|recommended| self.catalogue.find(&recommended.item)).collect()
    }
}
