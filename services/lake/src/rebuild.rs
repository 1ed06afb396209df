//! A layer made anew from the one below, while everything else goes on.
//!
//! One runs at a time: it stands in the store, and whoever runs it says every second that
//! it does. A run that ends anywhere leaves each table as it was, or as it is to be.

mod order;
mod progress;
mod silver;
mod state;

use std::{sync::Arc, time::Duration};

use tidemill_batch_views::{Gold, RebuiltDays, RebuiltTable, SqlEngine, SqlError};
use tidemill_domain::{PartitionCount, Timestamp};
use tidemill_lake_tables::{Lake, TableProperties, tables::ALL};
use tidemill_service::Context;
use tokio::time::{MissedTickBehavior, interval};

use self::progress::RebuildProgress;
pub(crate) use self::{
    order::{RebuildOrder, RebuiltLayer},
    state::{RebuildPhase, RebuildState},
};
use crate::{
    committer::Committers,
    openlineage::{LineageJob, LineageRun, OpenLineage, TableOutput},
    silver::SilverRules,
    store::{Store, StoredRebuild},
    views::LakeViews,
};

/// For how long a run is somebody's, and how often they say that it still is.
const HELD: Duration = Duration::from_secs(20);
const BEAT: Duration = Duration::from_secs(1);

/// Makes layers anew.
pub(crate) struct Rebuilder {
    context: Context,
    lake: Lake,
    /// Where old rows are kept, if that is another place.
    cold: Option<Lake>,
    properties: TableProperties,
    partitions: PartitionCount,
    store: Store,
    committers: Committers,
    engine: Arc<SqlEngine>,
    gold: Arc<Gold>,
    rules: Arc<SilverRules>,
    lineage: OpenLineage,
}

/// How a run ended.
enum RunEnd {
    Done(Result<(), SqlError>),
    Stopped,
    /// The store has been away for too long, or another one goes on.
    Lost,
}

impl Rebuilder {
    /// Of the tables of a lake, and of what is computed from them.
    pub(crate) fn of(
        context: &Context,
        partitions: PartitionCount,
        store: &Store,
        (lake, properties, committers): (&Lake, &TableProperties, &Committers),
        views: &LakeViews,
        lineage: OpenLineage,
    ) -> Arc<Self> {
        Arc::new(Self {
            context: context.clone(),
            lake: lake.clone(),
            cold: views.cold.clone(),
            properties: properties.clone(),
            partitions,
            store: store.clone(),
            committers: committers.clone(),
            engine: views.engine.clone(),
            gold: views.gold.clone(),
            rules: views.rules.clone(),
            lineage,
        })
    }

    /// Begins a run; `None` where another one is under way.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        order: RebuildOrder,
    ) -> Result<Option<RebuildState>, tidemill_store::Error> {
        let (id, now) = (self.context.new_id().to_string(), self.context.clock.now());
        let state = RebuildState::begun(id.clone(), order, now);
        let stored = StoredRebuild { id, told: state.written(), held_until: later(now, HELD), stop: false };
        if !self.store.begin_rebuild(&stored, now).await? {
            return Ok(None);
        }
        let rebuilder = Arc::clone(self);
        let begun = state.clone();
        self.context.spawn("rebuild", async move {
            rebuilder.run(begun).await;
            Ok::<_, std::convert::Infallible>(())
        });
        Ok(Some(state))
    }

    /// The newest one. One that nobody runs any more has failed.
    pub(crate) async fn newest(&self) -> Result<Option<RebuildState>, tidemill_store::Error> {
        let Some(stored) = self.store.rebuild().await? else { return Ok(None) };
        let state = RebuildState::read(&stored.told);
        let is_lost = stored.held_until < self.context.clock.now();
        Ok(state.map(|state| if is_lost { state.lost() } else { state }))
    }

    /// Says that the one under way is to end.
    pub(crate) async fn stop(&self) -> Result<bool, tidemill_store::Error> {
        self.store.stop_rebuild().await
    }

    async fn run(self: Arc<Self>, state: RebuildState) {
        let told = self.begin_told(&state);
        let progress = Arc::new(RebuildProgress::new(state));
        let (of, with) = (Arc::clone(&self), Arc::clone(&progress));
        let work = self.engine.run(async move { of.work(&with).await });
        let ended = self.watch(work, &progress).await;
        let state = match ended {
            RunEnd::Done(Ok(())) => progress.ended(RebuildPhase::Done, None),
            RunEnd::Done(Err(error)) => progress.ended(RebuildPhase::Failed, Some(error.to_string())),
            RunEnd::Stopped => progress.ended(RebuildPhase::Stopped, None),
            RunEnd::Lost => progress.ended(RebuildPhase::Failed, Some("the store did not keep it".into())),
        };
        end_told(told, &state);
        tracing::info!(id = state.id, phase = ?state.phase, reason = state.reason, "a rebuild has ended");
        // It is nobody's any more: who looks at it sees how it ended, and another one may begin.
        if let Err(error) = self.store.keep_rebuild(&state.id, &state.written(), Timestamp::EPOCH).await {
            tracing::warn!(%error, "how a rebuild ended could not be kept");
        }
    }

    /// Tells that it begins, as a run of a job of its layer.
    fn begin_told(&self, state: &RebuildState) -> Option<LineageRun> {
        let (job, reads): (_, &[&str]) = match state.order.layer {
            RebuiltLayer::Silver => ("rebuild.silver", &["silver/events"]),
            RebuiltLayer::Gold => ("rebuild.gold", &["silver/events", "silver/order_lines", "silver/orders"]),
        };
        self.lineage.begin_with_id(LineageJob::over(job, reads), state.id.parse().ok()?)
    }

    /// Says that it goes on until it has ended, or is to end. Work that is dropped ends at
    /// its next await.
    async fn watch(&self, work: impl Future<Output = Result<(), SqlError>>, progress: &RebuildProgress) -> RunEnd {
        let mut work = std::pin::pin!(work);
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held_until = later(self.context.clock.now(), HELD);
        loop {
            tokio::select! {
                done = &mut work => return RunEnd::Done(done),
                () = self.context.shutdown.cancelled() => return RunEnd::Stopped,
                _ = beats.tick() => {}
            }
            let (now, state) = (self.context.clock.now(), progress.state());
            match self.store.keep_rebuild(&state.id, &state.written(), later(now, HELD)).await {
                Ok(Some(false)) => held_until = later(now, HELD),
                Ok(Some(true)) => return RunEnd::Stopped,
                Ok(None) => return RunEnd::Lost,
                Err(_) if now < held_until => {}
                Err(_) => return RunEnd::Lost,
            }
        }
    }

    async fn work(&self, progress: &RebuildProgress) -> Result<(), SqlError> {
        let RebuildOrder { layer, from, to } = progress.state().order;
        match layer {
            RebuiltLayer::Silver => Ok(self.silver(from, to, progress).await?),
            RebuiltLayer::Gold => {
                progress.begin("gold", self.gold.tables());
                let told = |table| {
                    progress.table(table);
                    progress.step();
                };
                self.gold.rebuild(&self.engine, RebuiltDays { from, to }, told).await
            }
        }
    }
}

/// Tells how a run has ended. One that was told to end says so by being dropped.
fn end_told(run: Option<LineageRun>, state: &RebuildState) {
    let Some(run) = run else { return };
    let written = |table: &RebuiltTable| {
        let version = table.version?;
        Some(match ALL.iter().find(|declared| declared.to_string() == table.table) {
            Some(declared) => TableOutput::declared(declared, version, None),
            None => TableOutput::named(&table.table, version, std::iter::empty()),
        })
    };
    match state.phase {
        RebuildPhase::Done => run.completed(&state.tables.iter().filter_map(written).collect::<Vec<_>>()),
        RebuildPhase::Failed => run.failed(state.reason.as_deref().unwrap_or_default()),
        RebuildPhase::Running | RebuildPhase::Stopped => {}
    }
}

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    now.plus_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}
