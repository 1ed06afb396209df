//! Runs a replay: as many partitions at once as there are, until it has caught up, or for
//! as long as the generation is wanted.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use tidemill_aggregation::replay::{
    GenerationProgress, GenerationRecord, GenerationStore, ReplayedAggregation, WantedState,
};
use tidemill_bus::Bus;
use tidemill_domain::{GenerationName, Partition};
use tidemill_enrichment::replay::ReplayedEnrichment;
use tidemill_service::{Context, StartError};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    bronze::{BronzeReader, LakePatience},
    error::ReplayError,
    partition::ReplayShared,
    phase::{LOOK, ReplayEnd, ReplayRun, ReplayTold, ReplayUntil},
    place::ReadPlace,
    plan::{ReplayPlan, ReplayRequest},
    rate::RateLimit,
    settings::ReplaySettings,
};

/// How long what was spawned may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// A replay into a generation.
pub struct Replay {
    name: GenerationName,
    settings: ReplaySettings,
    store: GenerationStore,
    bus: Bus,
    bronze: Option<Arc<BronzeReader>>,
    context: Context,
}

/// The stores of a generation: their configurations.
pub(super) struct GenerationParts {
    pub(super) enrichment: tidemill_store::Config,
    pub(super) aggregation: tidemill_store::Config,
}

pub(super) async fn parts(
    stores: &tidemill_store::Config,
    name: &GenerationName,
) -> Result<GenerationParts, StartError> {
    let part = async |of: &str| stores.part(&format!("generation_{name}_{of}")).await.map_err(StartError::new);
    Ok(GenerationParts { enrichment: part("enrichment").await?, aggregation: part("aggregation").await? })
}

/// The store of a generation that was begun, for who asks how it is or says what it is to
/// do.
///
/// # Errors
/// It cannot be opened, or is of no generation of this name.
pub async fn generation(
    stores: &tidemill_store::Config,
    name: &GenerationName,
) -> Result<(GenerationStore, GenerationRecord), ReplayError> {
    let parts = parts(stores, name).await?;
    // A name that is mistyped makes no file.
    if parts.aggregation.url.strip_prefix("sqlite://").is_some_and(|file| !Path::new(file).exists()) {
        return Err(ReplayError::Unknown { name: name.clone() });
    }
    let store = GenerationStore::open(&parts.aggregation, &Context::new("replay")).await?;
    let record = store.record().await?.filter(|record| record.name == *name);
    record.map(|record| (store, record)).ok_or_else(|| ReplayError::Unknown { name: name.clone() })
}

impl Replay {
    /// Opens a generation's store, and connects to the log.
    ///
    /// # Errors
    /// A store cannot be opened, or NATS is not there.
    pub async fn open(settings: ReplaySettings, name: GenerationName) -> Result<Self, ReplayError> {
        let context = Context::new("replay");
        let bus = Bus::connect(&settings.aggregation.nats, &format!("tidemill-replay-{name}")).await?;
        bus.ensure_topology().await?;
        let parts = parts(&settings.stores, &name).await?;
        let store = GenerationStore::open(&parts.aggregation, &context).await?;
        let bronze = settings.lake.clone().map(|lake| Arc::new(BronzeReader::new(lake)));
        Ok(Self { name, settings, store, bus, bronze, context })
    }

    /// What it would do. A lake that does not answer now is waited for.
    ///
    /// # Errors
    /// The log has no such beginning, a definition is wrong, or the lake was waited for in vain.
    pub async fn plan(
        &self,
        request: &ReplayRequest<'_>,
        rate: u64,
        patience: LakePatience<'_>,
    ) -> Result<ReplayPlan, ReplayError> {
        let bronze = self.bronze.as_deref().map(|bronze| (bronze, patience));
        ReplayPlan::make((&self.bus, bronze), &self.settings, request, rate).await
    }

    /// The generation, if it was begun.
    ///
    /// # Errors
    /// The store is away.
    pub async fn record(&self) -> Result<Option<GenerationRecord>, ReplayError> {
        Ok(self.store.record().await?)
    }

    /// Begins the generation as planned; one that was begun before goes on.
    ///
    /// # Errors
    /// The store is away.
    pub async fn begin(&self, plan: &ReplayPlan, rate: u64) -> Result<(), ReplayError> {
        let partitions: Vec<Partition> = self.bus.partitions().all().collect();
        let parts = parts(&self.settings.stores, &self.name).await?;
        if plan.behind > 0 {
            // Before the generation is known, so that no run finds it without.
            let enrichment = self.enrichment(&parts, None).await?;
            enrichment.begin_behind(&partitions, plan.behind).await?;
            self.store.begin_behind(&partitions, plan.behind, plan.begins_at).await?;
        }
        let progress = GenerationProgress { read_to: plan.behind, ..GenerationProgress::default() };
        let (name, inputs, rules) = (self.name.clone(), plan.inputs.clone(), plan.rule_files.clone());
        let wanted = WantedState::Running;
        Ok(self.store.begin(&GenerationRecord { name, inputs, rules, wanted, rate, progress }).await?)
    }

    async fn enrichment(
        &self,
        parts: &GenerationParts,
        record: Option<&GenerationRecord>,
    ) -> Result<ReplayedEnrichment, StartError> {
        let (live, not_before) = (&self.settings.enrichment, record.and_then(|of| of.inputs.reference.not_before()));
        ReplayedEnrichment::open(live, &parts.enrichment, not_before, self.bus.clone(), self.context.clone()).await
    }

    /// Replays the generation, which was begun. `tell` hears how far it is. It may end at
    /// any await: another run goes on where the stores are.
    ///
    /// # Errors
    /// The log has forgotten what comes next, or a partition cannot go on.
    pub async fn run(
        &self,
        until: &ReplayUntil,
        partitions: &[Partition],
        stop: &CancellationToken,
        mut tell: impl FnMut(&ReplayTold),
    ) -> Result<ReplayEnd, ReplayError> {
        let record = self.record().await?.ok_or_else(|| ReplayError::Unknown { name: self.name.clone() })?;
        let shared = Arc::new(self.shared(&record).await?);
        let begun = Instant::now();
        let ended = loop {
            let record = self.record().await?.ok_or_else(|| ReplayError::Unknown { name: self.name.clone() })?;
            match record.wanted {
                _ if stop.is_cancelled() => break Ok(ReplayEnd::Stopped),
                WantedState::Cancelled => break Ok(ReplayEnd::Cancelled),
                WantedState::Paused => {
                    tell(&ReplayTold { is_paused: true, ..ReplayTold::default() });
                    // Who asks is to know that somebody is there.
                    let progress =
                        GenerationProgress { at: Some(self.context.clock.now()), has_ended: false, ..record.progress };
                    self.store.tell_progress(&progress).await?;
                    tokio::select! {
                        () = sleep(LOOK) => {}
                        () = stop.cancelled() => {}
                    }
                }
                WantedState::Running => {
                    let Self { store, context, .. } = self;
                    let run = ReplayRun { context, store, shared: &shared, until, begun };
                    match run.while_wanted(record.progress, partitions, stop, &mut tell).await {
                        Ok(None) => {}
                        Ok(Some(end)) => break Ok(end),
                        Err(error) => break Err(error),
                    }
                }
            }
        };
        // Who asks learns it sooner than by silence.
        if let Ok(Some(record)) = self.record().await {
            let progress = GenerationProgress { has_ended: true, ..record.progress };
            if let Err(error) = self.store.tell_progress(&progress).await {
                tracing::debug!(%error, "it is not written down that this run has ended");
            }
        }
        self.context.shutdown.cancel();
        self.context.drained(DRAIN).await;
        ended
    }

    async fn shared(&self, record: &GenerationRecord) -> Result<ReplayShared, ReplayError> {
        let parts = parts(&self.settings.stores, &self.name).await?;
        let (live, bus) = (&self.settings.aggregation, self.bus.clone());
        let GenerationProgress { reached, whole_to, .. } = &record.progress;
        let known = whole_to.iter().filter_map(|(of, whole_to)| Some((*of, (*whole_to, *reached.get(of)?))));
        let known: BTreeMap<Partition, (u64, u64)> = known.collect();
        let place = |partition: Partition| {
            let place = ReadPlace::default();
            let (whole_to, stored) = known.get(&partition).copied().unwrap_or_default();
            place.begin(stored, whole_to);
            (partition, Arc::new(place))
        };
        Ok(ReplayShared {
            bronze: self.bronze.clone(),
            places: bus.partitions().all().map(place).collect(),
            known,
            name: self.name.clone(),
            enrichment: self.enrichment(&parts, Some(record)).await?,
            aggregation: ReplayedAggregation::new(live, &self.store, record, bus.clone(), &self.context)?,
            rate: RateLimit::new(record.rate),
            idle_after: Duration::from_secs(live.windows.idle_after_seconds.into()),
            reached: Mutex::new(record.progress.reached.clone()),
            begun: Instant::now(),
            events: AtomicU64::new(0),
            troubles: Mutex::default(),
            bus,
        })
    }

    /// The partitions of the log.
    pub fn partitions(&self) -> Vec<Partition> {
        self.bus.partitions().all().collect()
    }
}
