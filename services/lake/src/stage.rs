//! Reading the log: gather rows, commit them with the place that they reach, and
//! acknowledge behind that.
//!
//! A unit that is opened goes on where its tables stand. Whatever was written before
//! and not acknowledged is read again, and left out.

mod bronze;
mod rejected;
mod silver;
mod task;

use std::{sync::Arc, time::Duration};

use tidemill_domain::Backoff;
use tidemill_ownership::Lease;
use tidemill_stage::{Progressing, Source, Work, consume, supervise};
use tokio::time::sleep;

use self::{bronze::BronzeRecipe, rejected::RejectedRecipe, silver::SilverRecipe, task::LakeTask};
use crate::{error::Error, shared::Shared, unit::LakeUnit, upkeep};

/// How much later than the lease's giver a unit ends its own step.
const BEHIND_LEASE: Duration = Duration::from_secs(2);

/// Reads a unit's part of the log until it is to be given back.
pub(crate) async fn run(shared: Arc<Shared>, lease: Lease<LakeUnit>) -> Result<(), Error> {
    let (unit, stop) = (lease.unit(), lease.stop().clone());
    let units = shared.units.clone();
    let ended = supervise(LakeUnitWork { shared: shared.clone(), lease }, unit, &stop, &units).await;
    shared.telemetry.forget(unit);
    ended
}

struct LakeUnitWork {
    shared: Arc<Shared>,
    lease: Lease<LakeUnit>,
}

impl Work for LakeUnitWork {
    type Error = Error;
    /// A commit under way may be to a bucket, and rows under way may ask rules that are slow. Whoever gives the lease
    /// ends it first, and knows by that to leave more time to the next one.
    fn parting(&self) -> Duration {
        self.lease.deadline() + BEHIND_LEASE
    }

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let stop = self.lease.stop().clone();
        // Who is paused loses the lease without knowing, and would take the consumer
        // from its rightful owner.
        while !self.lease.is_held() {
            tokio::select! {
                () = sleep(Backoff::FIRST) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        match self.lease.unit() {
            LakeUnit::Bronze(partition) => self.read(BronzeRecipe::open(&self.shared, partition), progress).await,
            LakeUnit::Silver(partition) => self.read(SilverRecipe::open(&self.shared, partition), progress).await,
            LakeUnit::Rejected => self.read(RejectedRecipe::open(&self.shared), progress).await,
            LakeUnit::Upkeep => {
                progress.goes_on();
                self.shared.threads.run(upkeep::keep(self.shared.clone(), stop)).await;
                Ok(())
            }
        }
    }

    fn failed(&mut self, error: &Error) {
        self.shared.telemetry.failed(self.lease.unit(), error);
    }
}

impl LakeUnitWork {
    async fn read<R: task::UnitRecipe, S: Source<Error = tidemill_bus::Error>>(
        &self,
        open: impl Future<Output = Result<(R, S), Error>>,
        progress: &mut Progressing<'_>,
    ) -> Result<(), Error> {
        let stop = self.lease.stop();
        let Some(opened) = stop.run_until_cancelled(open).await else { return Ok(()) };
        let (recipe, mut subscription) = opened?;
        progress.opened();
        let mut task = LakeTask::new(self.shared.clone(), (self.lease.unit(), stop.clone()), recipe);
        consume(&mut subscription, &mut task, stop, progress).await
    }
}
