//! How far each consumer has come.

use std::collections::BTreeMap;

use sqlx::{Any, AnyPool, Transaction, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::Error;

use super::rows::{partition, signed, time_opt, unsigned};
use crate::{state::ConsumerProgress, unit::AlertUnit};

pub(super) async fn read(pool: &AnyPool, unit: AlertUnit) -> Result<BTreeMap<Partition, ConsumerProgress>, Error> {
    let rows = sqlx::query("SELECT partition_no, raw_seq, watermark, as_of FROM progress WHERE consumer = $1")
        .bind(unit.as_str())
        .fetch_all(pool)
        .await?;
    let progress = |row: &AnyRow| {
        let progress =
            ConsumerProgress { raw_seq: unsigned(row, 1)?, watermark: time_opt(row, 2)?, as_of: time_opt(row, 3)? };
        Ok((partition(row, 0)?, progress))
    };
    rows.iter().map(progress).collect()
}

pub(super) async fn write(
    tx: &mut Transaction<'_, Any>,
    unit: AlertUnit,
    progress: &BTreeMap<Partition, ConsumerProgress>,
) -> Result<(), Error> {
    for (partition, progress) in progress {
        sqlx::query(
            "INSERT INTO progress (consumer, partition_no, raw_seq, watermark, as_of) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (consumer, partition_no) DO UPDATE SET \
             raw_seq = excluded.raw_seq, watermark = excluded.watermark, as_of = excluded.as_of",
        )
        .bind(unit.as_str())
        .bind(i64::from(partition.index()))
        .bind(signed(progress.raw_seq))
        .bind(progress.watermark.map(Timestamp::millis))
        .bind(progress.as_of.map(Timestamp::millis))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
