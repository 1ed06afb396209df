//! Batch views: computed from silver, and told to reporting, which merges them with what the stream has.
//!
//! A run tells each metric's totals and then what they cover. Which views were told is kept behind that, so
//! whoever goes on after a crash tells the same once more, which changes nothing.

mod error;
mod publisher;
mod schedule;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use tidemill_batch_views::{ComputedView, SqlEngine, ViewReach, ViewSource};
use tidemill_bus::Bus;
use tidemill_definitions::MetricDefinition;
use tidemill_domain::Timestamp;
use tidemill_events::{BatchView, BatchViewEnd, DefinitionText, GenerationInputs, PartitionReach, ReferenceMode};
use tidemill_service::{Conditions, Context};
use tidemill_store::answered;
use tokio::sync::mpsc::channel;

use self::{error::BatchError, publisher::ViewPublisher, schedule::ViewSchedule};
use crate::{
    config::BatchConfig,
    store::{Store, StoredBatchOrder, StoredView},
};

/// From one look for orders to the next.
const LOOK: Duration = Duration::from_secs(1);
/// Parts of a view that wait to be told.
const WAITING_PARTS: usize = 2;
const DAY: i64 = 24 * 3_600_000;

/// Computes batch views and tells them.
pub(crate) struct BatchViews {
    pub(crate) context: Context,
    pub(crate) engine: Arc<SqlEngine>,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) config: BatchConfig,
    /// Files of the metrics: names and texts.
    pub(crate) definitions: Vec<(String, String)>,
}

impl BatchViews {
    /// Computes them on a schedule and when it is ordered, while that is this replica's work.
    pub(crate) async fn keep(self, is_ours: impl Fn() -> bool) -> Result<(), Infallible> {
        let conditions = Conditions::new(&self.context.health, "batch");
        let stop = self.context.shutdown.clone();
        let mut schedule = ViewSchedule::new(self.config.every(), Instant::now());
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if !is_ours() {
                conditions.clear(&"batch");
                continue;
            }
            let Some(done) = stop.run_until_cancelled(self.do_next(schedule.is_due(Instant::now()))).await else {
                break;
            };
            match done {
                Ok(false) if schedule.is_failing() => {}
                Ok(false) => conditions.clear(&"batch"),
                Ok(true) => {
                    conditions.clear(&"batch");
                    schedule.ended(Instant::now());
                }
                Err(error) => {
                    tracing::warn!(code = error.code().as_str(), %error, "batch views cannot be told now");
                    // Without reporting nobody misses them.
                    match error {
                        BatchError::NotRead => schedule.ended(Instant::now()),
                        error => {
                            conditions.set("batch", error.told());
                            schedule.failed(Instant::now());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Does what is ordered, else what is due; answers whether there was anything to do.
    async fn do_next(&self, is_due: bool) -> Result<bool, BatchError> {
        let order = answered(self.store.next_batch_order()).await?;
        let Some(StoredBatchOrder { number, whole, .. }) = order else {
            if is_due {
                self.run(false).await?;
            }
            return Ok(is_due);
        };
        let done = self.run(whole).await;
        let failed = done.as_ref().err().map(ToString::to_string);
        answered(self.store.batch_order_done(number, failed, self.context.clock.now())).await?;
        done.map(|()| true)
    }

    async fn run(&self, whole: bool) -> Result<(), BatchError> {
        let engine = Arc::clone(&self.engine);
        let source = self.engine.run(async move { ViewSource::open(&engine).await }).await?;
        let Some(source) = source.map(Arc::new) else { return Ok(()) };
        let now = self.context.clock.now();
        let stored = answered(self.store.batch_views()).await?;
        let mut publisher = ViewPublisher::new(self.bus.clone(), now);
        publisher.inputs(self.inputs(now)).await?;
        for metric in self.engine.metrics().iter().filter(|metric| ViewSource::has_views(metric)) {
            let is_of_it = |view: &&StoredView| view.metric == metric.name && view.version == metric.version();
            let before = stored.iter().find(is_of_it).filter(|_| !whole).filter(|view| !self.is_whole_due(view, now));
            if before.is_none_or(|view| view.reach != source.reach()) {
                self.tell(&source, metric, before, &mut publisher, now).await?;
            }
        }
        publisher.reached(source.reach().sequences()).await
    }

    fn is_whole_due(&self, view: &StoredView, now: Timestamp) -> bool {
        self.config.whole_every_millis().is_some_and(|after| now.millis() - view.whole_at.millis() >= after)
    }

    /// Computes one view and tells it.
    async fn tell(
        &self,
        source: &Arc<ViewSource>,
        metric: &Arc<MetricDefinition>,
        before: Option<&StoredView>,
        publisher: &mut ViewPublisher,
        now: Timestamp,
    ) -> Result<(), BatchError> {
        let known = before.map(|view| view.reach.clone());
        let number = now.millis().cast_unsigned();
        let (name, version) = (metric.name.clone(), metric.version().to_owned());
        let view = BatchView { number, metric: name.clone(), version: version.clone(), end: None };
        let computed = self.computed(source, metric, known, &view, publisher, now).await?;
        let Some(ComputedView { since, computed, cells }) = computed else { return Ok(()) };
        let reach = source.reach();
        let reaches = reach.sequences().map(|(partition, raw_seq)| PartitionReach { partition, raw_seq }).collect();
        let end = BatchViewEnd { computed_at: now, since, reaches, computed, cells };
        publisher.end(BatchView { end: Some(end), ..view }).await?;
        let whole_at = before.map_or(now, |view| view.whole_at);
        let told = StoredView { metric: name, version, number, reach, since, computed_at: now, cells, whole_at };
        tracing::debug!(metric = told.metric, cells, "a batch view is told");
        Ok(answered(self.store.view_told(&told)).await?)
    }

    /// Computes a view, and tells its totals as they come.
    async fn computed(
        &self,
        source: &Arc<ViewSource>,
        metric: &Arc<MetricDefinition>,
        known: Option<ViewReach>,
        view: &BatchView,
        publisher: &mut ViewPublisher,
        now: Timestamp,
    ) -> Result<Option<ComputedView>, BatchError> {
        let since = now.plus_millis(-i64::from(self.config.days) * DAY);
        let (parts, mut waiting) = channel(WAITING_PARTS);
        let (source, metric) = (Arc::clone(source), Arc::clone(metric));
        let compute = self.engine.run(async move { source.compute(&metric, known.as_ref(), since, &parts).await });
        let publish = async move {
            // What is not told any more is not computed either.
            while let Some(part) = waiting.recv().await {
                publisher.part(view, part).await?;
            }
            Ok::<_, BatchError>(())
        };
        let (computed, published) = tokio::join!(compute, publish);
        published?;
        Ok(computed?)
    }

    fn inputs(&self, begun_at: Timestamp) -> GenerationInputs {
        let definition = |(file, text): &(String, String)| DefinitionText { file: file.clone(), text: text.clone() };
        GenerationInputs {
            begun_at,
            release: env!("CARGO_PKG_VERSION").into(),
            behind: 0,
            reference: ReferenceMode::AsOf,
            definitions: self.definitions.iter().map(definition).collect(),
        }
    }
}
