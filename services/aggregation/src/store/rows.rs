//! Cells that are rows of their own: sessions, and windows of an earlier release.

use sqlx::AnyConnection;
use tidemill_store::{Error as StoreError, SqlValues, for_keys};

use crate::fold::cell::CellId;

/// Deletes cells, and what they have seen.
pub(super) async fn delete_cells(connection: &mut AnyConnection, ids: &[CellId]) -> Result<(), StoreError> {
    for statement in ["DELETE FROM seen_values WHERE cell IN (?)", "DELETE FROM cells WHERE id IN (?)"] {
        for_keys(connection, statement, &SqlValues::new(), ids.iter().map(|id| id.to_vec())).await?;
    }
    Ok(())
}
