//! A unit's state: read when it is taken over, written step by step.

use sqlx::{Any, Transaction};
use tidemill_store::Error;
use uuid::Uuid;

use super::{
    Store, alerts, cells, figures, observations, progress,
    units::{self, UnitClaim},
};
use crate::{
    alert::Notification,
    error,
    state::{Saved, StepChanges},
    unit::AlertUnit,
};

impl Store {
    /// Everything that a unit goes on from; to be read after it was claimed,
    /// when nobody else can change it any more.
    pub(crate) async fn load(&self, unit: AlertUnit) -> Result<Saved, Error> {
        let pool = self.pool();
        let mut saved = Saved { progress: progress::read(pool, unit).await?, ..Saved::default() };
        match unit {
            AlertUnit::Events => {
                saved.observations = observations::read(pool).await?;
                saved.figures = figures::read(pool).await?;
            }
            AlertUnit::Metrics => saved.cells = cells::read(pool).await?,
            AlertUnit::Outbox => {}
        }
        Ok(saved)
    }

    /// Takes over what a step of a unit changed, all or nothing; repeating it
    /// changes nothing more. `notification` is what awaits new alerts; answers
    /// which are new. [`error::Error::Superseded`] where the unit has been
    /// taken over since the claim.
    pub(crate) async fn commit(
        &self,
        claim: &UnitClaim,
        changes: &StepChanges,
        notification: Notification,
    ) -> Result<Vec<Uuid>, error::Error> {
        match self.written(claim, changes, notification).await? {
            None => Err(error::Error::Superseded(claim.unit)),
            Some((tx, fresh)) => {
                tx.commit().await.map_err(Error::from)?;
                Ok(fresh)
            }
        }
    }

    /// Whether a step could be committed. Nothing is.
    pub(crate) async fn try_commit(&self, claim: &UnitClaim, changes: &StepChanges) -> Result<(), Error> {
        if let Some((tx, _)) = self.written(claim, changes, Notification::Off).await? {
            tx.rollback().await?;
        }
        Ok(())
    }

    /// The step in a transaction that is still open, and its new alerts; `None`
    /// where the claim does not hold any more.
    async fn written(
        &self,
        claim: &UnitClaim,
        changes: &StepChanges,
        notification: Notification,
    ) -> Result<Option<(Transaction<'_, Any>, Vec<Uuid>)>, Error> {
        let mut tx = self.database.begin().await?;
        if !units::holds(&mut tx, claim).await? {
            return Ok(None);
        }
        let fresh = alerts::write(&mut tx, &changes.alerts, notification).await?;
        cells::write(&mut tx, &changes.cells).await?;
        for ((metric, version), before) in &changes.forget_cells {
            cells::forget(&mut tx, metric, version, *before).await?;
        }
        if let Some(counted) = &changes.observations {
            observations::write(&mut tx, counted).await?;
        }
        if let Some((partition, before)) = changes.forget_observations {
            observations::forget(&mut tx, partition, before).await?;
        }
        figures::write(&mut tx, &changes.figures).await?;
        progress::write(&mut tx, claim.unit, &changes.progress).await?;
        Ok(Some((tx, fresh)))
    }
}
