//! Who owns which unit.

use sqlx::{Any, Row, Transaction};
use tidemill_store::Error;

use super::Store;
use crate::unit::AlertUnit;

/// A unit that was taken over, and which take-over this is. What is written
/// under it is refused once somebody else has taken the unit over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnitClaim {
    pub(super) unit: AlertUnit,
    /// How often the unit has been taken over, this time included.
    pub(super) epoch: i64,
}

impl Store {
    /// Takes a unit over: what earlier owners still write is refused from here
    /// on.
    pub(crate) async fn claim(&self, unit: AlertUnit) -> Result<UnitClaim, Error> {
        let row = sqlx::query(
            "INSERT INTO units (unit, epoch) VALUES ($1, 1) \
             ON CONFLICT (unit) DO UPDATE SET epoch = units.epoch + 1 RETURNING epoch",
        )
        .bind(unit.as_str())
        .fetch_one(self.database.writer())
        .await?;
        Ok(UnitClaim { unit, epoch: row.try_get(0)? })
    }
}

/// Whether the claim still holds. Then its row stays locked to the end of the
/// transaction: a take-over waits for it, or makes it fail.
pub(super) async fn holds(tx: &mut Transaction<'_, Any>, claim: &UnitClaim) -> Result<bool, Error> {
    let fence = sqlx::query("UPDATE units SET epoch = epoch WHERE unit = $1 AND epoch = $2")
        .bind(claim.unit.as_str())
        .bind(claim.epoch)
        .execute(&mut **tx)
        .await?;
    Ok(fence.rows_affected() > 0)
}
