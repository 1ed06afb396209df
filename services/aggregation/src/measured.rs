//! For benches: the parts of the service that take its time.

use std::{path::Path, sync::Arc};

use tidemill_definitions::Metrics;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Encoded, EnrichedBatch, Message as _};
use tidemill_service::Context;
use tidemill_store::Config;

use crate::{
    config::Windows,
    fold::{changes::PartitionChanges, parse::parse, state::PartitionState},
    store::{Pages, PartitionClaim, Store},
};

/// A partition in memory alone.
#[derive(Debug)]
pub struct MeasuredFold {
    state: PartitionState,
    metrics: Arc<Metrics>,
}

/// What changed in it.
#[derive(Debug)]
pub struct MeasuredChanges(PartitionChanges);

/// The store of one partition.
#[derive(Debug)]
pub struct MeasuredStore {
    store: Store,
    claim: PartitionClaim,
    pages: Pages,
}

impl MeasuredFold {
    /// A partition without totals, of the definitions in a folder, or of the
    /// defaults.
    ///
    /// # Panics
    /// When they cannot be read.
    #[allow(clippy::expect_used, reason = "a bench that cannot begin ends")]
    pub fn new(partition: Partition, definitions: Option<&Path>) -> Self {
        let metrics = Arc::new(Metrics::load(definitions).expect("definitions load"));
        Self { state: PartitionState::new(partition, 0, Arc::new(Windows::default())), metrics }
    }

    /// Adds a batch; answers how many of its events count.
    pub fn apply(&mut self, batch: &EnrichedBatch) -> u64 {
        let metrics = self.metrics.clone();
        self.state.apply(parse(batch, &metrics), Timestamp::EPOCH).counted
    }

    /// What changed since this was called last.
    pub fn take_changes(&mut self) -> MeasuredChanges {
        MeasuredChanges(self.state.take_changes(Timestamp::EPOCH))
    }

    /// The points of what changed; answers how many there are.
    pub fn points(&self, changes: &MeasuredChanges) -> usize {
        changes.0.points(&self.metrics).len()
    }
}

impl MeasuredChanges {
    /// The totals that changed.
    pub fn cells(&self) -> usize {
        self.0.cells.len()
    }

    /// Writes the messages that tell of them.
    ///
    /// # Panics
    /// When there is no form for them.
    #[allow(clippy::expect_used, reason = "a bench that cannot go on ends")]
    pub fn messages(&self) -> Vec<Encoded> {
        self.0.updates().iter().map(|update| update.encode().expect("a message")).collect()
    }
}

impl MeasuredStore {
    /// Opens a database, and claims the partition.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[allow(clippy::expect_used, reason = "a bench that cannot begin ends")]
    pub async fn open(url: &str, partition: Partition) -> Self {
        let config = Config { url: url.into(), max_connections: 2 };
        let store = Store::open(&config, Context::new("aggregation").breaker("store")).await.expect("opens");
        let claim = store.claim(partition).await.expect("is claimed");
        let pages = store.pages(partition).await.expect("is read");
        Self { store, claim, pages }
    }

    /// Writes a checkpoint.
    ///
    /// # Panics
    /// When it is not taken.
    #[allow(clippy::expect_used, reason = "a bench that cannot go on ends")]
    pub async fn write(&self, changes: &MeasuredChanges) {
        self.store.checkpoint(&changes.0, &self.claim, &self.pages).await.expect("is written");
    }
}
