//! The totals of a rehearsal: counted as those of a generation, and told to the caller
//! alone. Its times are those of the log, so it tells the same whenever it runs.

use tidemill_domain::Timestamp;
use tidemill_events::{DeadLetter, EnrichedBatch, LateBatch, MetricsUpdate};
use tidemill_service::Ceiling;
use tidemill_stage::StageFailure;

use crate::{
    error::Error,
    stage::{
        flush::tell,
        owner::{Owner, Taken},
        sink::Sink,
    },
    store::Store,
};

/// A partition of a rehearsal.
pub struct RehearsedTotals {
    owner: Owner,
    store: Store,
    ceiling: Ceiling,
}

impl RehearsedTotals {
    pub(crate) fn new(owner: Owner, store: Store, ceiling: Ceiling) -> Self {
        Self { owner, store, ceiling }
    }

    /// Applies the next batch, at a time of the log; answers how many events it counts.
    /// After an error the partition is of no more use.
    ///
    /// # Errors
    /// The store is away, or too much cannot be read.
    pub async fn take(&mut self, batch: &EnrichedBatch, at: Timestamp) -> Result<u64, StageFailure> {
        match self.owner.take(batch, &mut self.ceiling, at).await {
            Ok(Taken::Applied(of)) => Ok(of.counted + of.late + of.duplicate),
            Ok(Taken::Repeated) => Ok(0),
            // Batches come one behind the other.
            Ok(Taken::Early) => Err(StageFailure::of(&Error::Superseded)),
            Err(error) => Err(StageFailure::of(&error)),
        }
    }

    /// What changed since it was last told, as readers of the live totals are told.
    ///
    /// # Errors
    /// The store is away.
    pub async fn tell(&mut self, at: Timestamp) -> Result<Vec<MetricsUpdate>, StageFailure> {
        let changes = self.owner.take_changes(at);
        let mut told = CollectedTotals(Vec::new());
        if changes.floor > changes.after {
            let of = |error| StageFailure::of(&error);
            tell(&mut told, &changes).await.map_err(of)?;
            self.store.checkpoint(&changes, &self.owner.claim, &self.owner.pages).await.map_err(of)?;
        }
        self.owner.state.committed(changes.floor);
        Ok(told.0)
    }

    /// What is said of a partition of which nothing has come for a while.
    pub fn position(&self, at: Timestamp) -> MetricsUpdate {
        self.owner.position(at)
    }
}

/// What was told, and to nobody else.
struct CollectedTotals(Vec<MetricsUpdate>);

impl Sink for CollectedTotals {
    async fn totals(&mut self, update: MetricsUpdate) -> Result<(), Error> {
        self.0.push(update);
        Ok(())
    }

    async fn late(&mut self, _: &LateBatch) -> Result<(), Error> {
        Ok(())
    }

    async fn letter(&mut self, _: &DeadLetter) -> Result<(), Error> {
        Ok(())
    }
}
