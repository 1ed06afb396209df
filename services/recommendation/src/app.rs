//! What all parts of the service work with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidemill_bus::Bus;
use tidemill_definitions::{CustomerSegments, version_of};
use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::RecommenderSettings;
use tidemill_service::{Breaker, Conditions, Context};
use tidemill_stage::LogPlace;

use crate::{
    config::{Config, KeptConfig},
    error::Error,
    known_erasures::KnownErasures,
    learning::LearntMembers,
    measure::LiveEvaluation,
    model::LearntModel,
    rules::RulesInUse,
    store::{Erasure, PartitionKeep, Store},
    telemetry::Telemetry,
};

/// Made once, when the service starts.
pub(crate) struct Recommender {
    pub(crate) context: Context,
    pub(crate) bus: Bus,
    pub(crate) nats: Breaker,
    pub(crate) store: Store,
    pub(crate) members: LearntMembers,
    pub(crate) rules: RulesInUse,
    /// Segments of customers by value.
    pub(crate) segments: CustomerSegments,
    pub(crate) model: LearntModel,
    pub(crate) erasures: KnownErasures,
    pub(crate) telemetry: Telemetry,
    pub(crate) evaluation: LiveEvaluation,
    pub(crate) kept: KeptConfig,
    /// Tells settings of learning from others: under which pages are written.
    pub(crate) settings: String,
    /// Why partitions cannot be kept.
    pub(crate) keepers: Conditions<Partition>,
    /// Why partitions cannot be learnt.
    pub(crate) learners: Conditions<Partition>,
    /// Which partitions miss batches.
    pub(crate) gaps: Conditions<Partition>,
    claims: Mutex<BTreeMap<Partition, PartitionKeep>>,
    /// Partitions of which stored pages are other than what was restored of them.
    unlike: Mutex<BTreeSet<Partition>>,
}

/// A partition that this replica keeps, for as long as this is not dropped.
pub(crate) struct HeldKeep {
    app: Arc<Recommender>,
    pub(crate) claim: PartitionKeep,
}

impl Drop for HeldKeep {
    fn drop(&mut self) {
        self.app.claims().remove(&self.claim.partition);
    }
}

impl Recommender {
    #[allow(clippy::too_many_arguments, reason = "each is made once, by the start")]
    pub(crate) fn new(
        context: Context,
        bus: Bus,
        store: Store,
        members: LearntMembers,
        rules: RulesInUse,
        segments: CustomerSegments,
        model: LearntModel,
        telemetry: Telemetry,
        config: &Config,
    ) -> Self {
        Self {
            nats: context.breaker("nats"),
            keepers: Conditions::new(&context.health, "partition"),
            learners: Conditions::new(&context.health, "learner"),
            gaps: Conditions::new(&context.health, "enriched_gap"),
            erasures: KnownErasures::new(),
            claims: Mutex::default(),
            unlike: Mutex::default(),
            settings: version_of(&learning_settings(&config.index)),
            evaluation: LiveEvaluation::new(config.measure.clone()),
            kept: config.kept.clone(),
            context,
            bus,
            store,
            members,
            rules,
            segments,
            model,
            telemetry,
        }
    }

    /// The present.
    pub(crate) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Takes in all that is stored. It may be repeated.
    pub(crate) async fn load(&self) -> Result<(), Error> {
        let mut erasures: Vec<Erasure> = Vec::new();
        for partition in self.bus.partitions().all() {
            // What is stored of it may be of after an erasure of which nobody knew a moment ago.
            let known = erasures.last().map_or(0, |erasure| erasure.number);
            let mut stored = self.store.load(partition, &self.settings, known).await?;
            self.model.erase(&stored.erasures);
            erasures.append(&mut stored.erasures);
            if !stored.is_as_stored || erasures.iter().any(|erasure| erasure.number > stored.erasure) {
                self.note_unlike(partition);
            }
            self.model.restore(partition, stored, &erasures)?;
            let mut last = String::new();
            loop {
                let items = self.store.items(partition, &last).await?;
                let Some(item) = items.last() else { break };
                last.clone_from(&item.id);
                self.model.know(items);
            }
        }
        Ok(())
    }

    /// The last batch of the log that is learnt, or was, of all partitions.
    pub(crate) fn reached(&self) -> LogPlace {
        let state = self.model.read();
        LogPlace::at(state.places.values().map(|place| place.raw_seq.max(place.anew_to)).max().unwrap_or_default())
    }

    /// Checks that the log is the one from which the store has learnt.
    pub(crate) async fn check_log(&self) -> Result<(), Error> {
        self.nats.call(self.reached().compare(&self.bus)).await?;
        Ok(())
    }

    /// Holds a claim: this replica writes the partition's pages.
    pub(crate) fn hold(self: &Arc<Self>, claim: PartitionKeep) -> HeldKeep {
        self.claims().insert(claim.partition, claim);
        HeldKeep { app: self.clone(), claim }
    }

    /// The partitions that this replica keeps.
    pub(crate) fn kept_partitions(&self) -> Vec<PartitionKeep> {
        self.claims().values().copied().collect()
    }

    /// Whether this replica keeps a partition.
    pub(crate) fn keeps(&self, partition: Partition) -> bool {
        self.claims().contains_key(&partition)
    }

    fn claims(&self) -> MutexGuard<'_, BTreeMap<Partition, PartitionKeep>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has changed is not all in which the stored pages are other than the index:
    /// all of them are to be written.
    pub(crate) fn note_unlike(&self, partition: Partition) {
        self.unlike().insert(partition);
    }

    /// Whether that was noted.
    pub(crate) fn is_unlike(&self, partition: Partition) -> bool {
        self.unlike().contains(&partition)
    }

    /// The same, and it is noted no longer.
    pub(crate) fn was_unlike(&self, partition: Partition) -> bool {
        self.unlike().remove(&partition)
    }

    fn unlike(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.unlike.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings that decide what is kept, and not how it is answered from.
fn learning_settings(settings: &RecommenderSettings) -> [u32; 4] {
    [
        settings.session_gap_seconds,
        settings.items_per_session,
        settings.sessions_per_visitor,
        settings.interactions_per_partition,
    ]
}
