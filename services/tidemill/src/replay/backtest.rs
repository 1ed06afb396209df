//! Rules tried out over the log: which alerts they raise, and which of these the live rules
//! have raised, too. Nobody is told: there is no outbox, and all that is written is in a
//! folder that goes with the backtest.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tidemill_aggregation::replay::{
    GenerationProgress, GenerationRecord, GenerationStore, ReplayedAggregation, WantedState,
};
use tidemill_alert::replay::{ReplayedRules, rules_of};
use tidemill_bus::Bus;
use tidemill_definitions::Metrics;
use tidemill_domain::{Clock as _, GenerationName, Partition, SystemClock};
use tidemill_enrichment::replay::ReplayedEnrichment;
use tidemill_events::{AlertState, AlertTransition, StreamName, topology};
use tidemill_service::{Context, StartError};
use tidemill_stage::StageFailure;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    bronze::{BronzeReader, LakePatience},
    compared_alerts::ComparedAlerts,
    error::ReplayError,
    in_order::LogInOrder,
    plan::{ReplayPlan, ReplayRequest, ReplayStart, file_texts},
    rehearsal::Rehearsal,
    run::parts,
    settings::{ReplaySettings, stores_at},
};

/// How often it is told how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// How long what was spawned may take to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Alerts at most: rules that raise more are wrong, and it ends there.
const MOST: usize = 100_000;

/// Rules tried out over the log.
pub struct Backtest {
    settings: ReplaySettings,
    bus: Bus,
    bronze: Option<Arc<BronzeReader>>,
    context: Context,
}

/// How far a backtest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BacktestTold {
    /// The sequence of the log that it has reached, and the one that it is to reach.
    pub done: u64,
    /// See `done`.
    pub of: u64,
    /// Events that were counted, and others.
    pub events: u64,
    /// Alerts that fired.
    pub alerts: usize,
    /// Why it waits, if it does.
    pub trouble: Option<String>,
}

/// What a backtest has found.
#[derive(Debug)]
pub struct BacktestFound {
    /// The sequences of the log behind which it began, and up to which it went.
    pub log: (u64, u64),
    /// Events that were counted, and others.
    pub events: u64,
    /// Whether it ended before the log did, since the rules raise too many alerts.
    pub is_cut: bool,
    /// The alerts, beside the live ones.
    pub alerts: ComparedAlerts,
}

impl Backtest {
    /// Connects to the log.
    ///
    /// # Errors
    /// NATS is not there.
    pub async fn open(settings: ReplaySettings) -> Result<Self, ReplayError> {
        let bus = Bus::connect(&settings.aggregation.nats, "tidemill-backtest").await?;
        bus.ensure_topology().await?;
        let bronze = settings.lake.clone().map(|lake| Arc::new(BronzeReader::new(lake)));
        Ok(Self { settings, bus, bronze, context: Context::new("backtest") })
    }

    /// What it would do. A lake that does not answer now is waited for.
    ///
    /// # Errors
    /// The log has no such beginning, a definition is wrong, or the lake was waited for in vain.
    pub async fn plan(
        &self,
        request: &ReplayRequest<'_>,
        patience: LakePatience<'_>,
    ) -> Result<ReplayPlan, ReplayError> {
        let bronze = self.bronze.as_deref().map(|bronze| (bronze, patience));
        ReplayPlan::make((&self.bus, bronze), &self.settings, request, 0).await
    }

    /// What it would do with what a generation is counted by.
    ///
    /// # Errors
    /// As [`Backtest::plan`].
    pub async fn plan_of(
        &self,
        record: &GenerationRecord,
        from: ReplayStart,
        patience: LakePatience<'_>,
    ) -> Result<ReplayPlan, ReplayError> {
        let bronze = self.bronze.as_deref().map(|bronze| (bronze, patience));
        ReplayPlan::of_record((&self.bus, bronze), &self.settings, record, from).await
    }

    /// Runs to the end of the log as it is now; `None` where it was stopped.
    ///
    /// # Errors
    /// The log has forgotten what comes next, or a store cannot be written.
    pub async fn run(
        &self,
        plan: &ReplayPlan,
        stop: &CancellationToken,
        tell: impl FnMut(&BacktestTold),
    ) -> Result<Option<BacktestFound>, ReplayError> {
        let folder = tempfile::Builder::new().prefix("tidemill-backtest").tempdir().map_err(StartError::new)?;
        let stores = stores_at(&format!("sqlite://{}", folder.path().display()));
        let run = self.rehearse(plan, &stores, tell);
        let found = stop.run_until_cancelled(run).await.transpose();
        self.context.shutdown.cancel();
        self.context.drained(DRAIN).await;
        found
    }

    async fn rehearse(
        &self,
        plan: &ReplayPlan,
        stores: &tidemill_store::Config,
        mut tell: impl FnMut(&BacktestTold),
    ) -> Result<BacktestFound, ReplayError> {
        let partitions: Vec<Partition> = self.bus.partitions().all().collect();
        let heads = self.heads(&partitions).await?;
        let end = heads.values().copied().max().unwrap_or_default();
        let (enrichment, aggregation) = self.services(plan, stores, &partitions).await?;
        let mut rehearsal = self.rehearsal(plan, &aggregation, &partitions).await?;
        // Consumers of the log have names.
        let reader = format!("backtest-{}-{}", std::process::id(), SystemClock.now().millis());
        let mut log = LogInOrder::open((&self.bus, self.bronze.as_ref()), &enrichment, &heads, &reader).await?;
        let (mut alerts, mut done, mut is_cut) = (Vec::new(), plan.behind, false);
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let batch = tokio::select! {
                batch = log.next() => batch?,
                _ = ticks.tick() => {
                    self.check_log(done).await?;
                    let (events, trouble) = (rehearsal.events, log.trouble());
                    tell(&BacktestTold { done, of: end, events, alerts: alerts.len(), trouble });
                    continue;
                }
            };
            let Some(batch) = batch else { break };
            done = batch.raw_seq;
            alerts.extend(rehearsal.take(&batch).await?);
            if alerts.len() >= MOST {
                is_cut = true;
                break;
            }
        }
        if !is_cut {
            done = end.max(done);
            alerts.extend(rehearsal.end(SystemClock.now()).await?);
        }
        let log = (plan.behind, done);
        let alerts = ComparedAlerts::of(alerts, self.live_alerts(log).await?);
        Ok(BacktestFound { log, events: rehearsal.events, is_cut, alerts })
    }

    /// Up to where each partition is read: its last batch, and at least what the log has forgotten.
    async fn heads(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, u64>, ReplayError> {
        let (first, _) = self.bus.extent(StreamName::Raw).await?;
        let mut heads = BTreeMap::new();
        for partition in partitions {
            let tail = self.bus.tail(StreamName::Raw, &topology::raw(*partition)).await?;
            heads.insert(*partition, tail.max(first.saturating_sub(1)));
        }
        Ok(heads)
    }

    /// What comes next must be in the log, unless a lake has it.
    async fn check_log(&self, done: u64) -> Result<(), ReplayError> {
        let (first, _) = self.bus.extent(StreamName::Raw).await?;
        if first > done + 1 && self.bronze.is_none() {
            Err(ReplayError::LogForgotten { wanted: done + 1, first })
        } else {
            Ok(())
        }
    }

    async fn services(
        &self,
        plan: &ReplayPlan,
        stores: &tidemill_store::Config,
        partitions: &[Partition],
    ) -> Result<(ReplayedEnrichment, ReplayedAggregation), ReplayError> {
        let Self { settings, bus, context, .. } = self;
        let name: GenerationName = plan.generation.clone();
        let parts = parts(stores, &name).await?;
        let not_before = plan.inputs.reference.not_before();
        let (live, own) = (&settings.enrichment, &parts.enrichment);
        let enrichment = ReplayedEnrichment::open(live, own, not_before, bus.clone(), context.clone()).await?;
        let store = GenerationStore::open(&parts.aggregation, context).await?;
        if plan.behind > 0 {
            enrichment.begin_behind(partitions, plan.behind).await?;
            store.begin_behind(partitions, plan.behind, plan.begins_at).await?;
        }
        let record = GenerationRecord {
            name,
            inputs: plan.inputs.clone(),
            rules: Vec::new(),
            wanted: WantedState::Running,
            rate: 0,
            progress: GenerationProgress::default(),
        };
        let aggregation = ReplayedAggregation::new(&settings.aggregation, &store, &record, bus.clone(), context)?;
        Ok((enrichment, aggregation))
    }

    async fn rehearsal(
        &self,
        plan: &ReplayPlan,
        aggregation: &ReplayedAggregation,
        partitions: &[Partition],
    ) -> Result<Rehearsal, ReplayError> {
        let metrics = Metrics::of_files(&file_texts(&plan.inputs.definitions)).map_err(StartError::new)?;
        let rules = rules_of(&file_texts(&plan.rule_files), self.settings.alert.as_ref(), &metrics);
        let rules = ReplayedRules::new(&rules.map_err(StartError::new)?, &metrics);
        let idle_after = i64::from(self.settings.aggregation.windows.idle_after_seconds) * 1000;
        Ok(Rehearsal::open(aggregation, partitions, rules, idle_after, plan.begins_at).await?)
    }

    /// The alerts that the live rules have raised of this part of the log.
    async fn live_alerts(&self, (behind, end): (u64, u64)) -> Result<Vec<AlertTransition>, StageFailure> {
        let mut alerts = Vec::new();
        let mut next = self.bus.next_at::<AlertTransition>(StreamName::Alerts.subjects(), 1).await?;
        while let Some((sequence, alert)) = next {
            let is_of_it = |alert: &AlertTransition| {
                alert.state == AlertState::Firing && (behind + 1..=end).contains(&alert.raw_seq)
            };
            // One that cannot be read is of a later release.
            alerts.extend(alert.ok().filter(is_of_it));
            if alerts.len() >= MOST {
                break;
            }
            next = self.bus.next_at(StreamName::Alerts.subjects(), sequence + 1).await?;
        }
        Ok(alerts)
    }
}
