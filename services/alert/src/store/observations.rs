//! What the counters of event rules counted.

use sqlx::{Any, AnyPool, Transaction, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::Error;

use super::rows::{json, partition, signed, text, time, unsigned};
use crate::state::Observations;

/// All of them, in the order of arrival.
pub(super) async fn read(pool: &AnyPool) -> Result<Vec<Observations>, Error> {
    let journal =
        "SELECT partition_no, raw_seq, arrived, body FROM observations ORDER BY arrived, partition_no, raw_seq";
    let rows = sqlx::query(journal).fetch_all(pool).await?;
    let observations = |row: &AnyRow| {
        Ok(Observations {
            partition: partition(row, 0)?,
            raw_seq: unsigned(row, 1)?,
            arrived: time(row, 2)?,
            entries: json(row, 3, "observation")?,
        })
    };
    rows.iter().map(observations).collect()
}

pub(super) async fn write(tx: &mut Transaction<'_, Any>, observations: &Observations) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO observations (partition_no, raw_seq, arrived, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (partition_no, raw_seq) DO NOTHING",
    )
    .bind(i64::from(observations.partition.index()))
    .bind(signed(observations.raw_seq))
    .bind(observations.arrived.millis())
    .bind(text(&observations.entries, "observation")?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets what arrived in a partition before `before`.
pub(super) async fn forget(
    tx: &mut Transaction<'_, Any>,
    partition: Partition,
    before: Timestamp,
) -> Result<(), Error> {
    sqlx::query("DELETE FROM observations WHERE partition_no = $1 AND arrived < $2")
        .bind(i64::from(partition.index()))
        .bind(before.millis())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
