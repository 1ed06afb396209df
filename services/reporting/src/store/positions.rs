//! How far the read model is: each unit in its stream, and each partition in
//! the log and in event time.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::Error;

use super::{
    Store,
    sql::{partition, time, unsigned, upsert},
};
use crate::{
    read_model::MetricsFold,
    unit::StreamUnit,
    watermark::{PartitionProgress, Watermarks},
};

#[cfg(test)]
pub(super) mod tests;

const PARTITION_PREFIX: &str = "log/";

/// Where the read model stood when it was last written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadModelStanding {
    /// The partitions' progress.
    pub(crate) watermarks: Watermarks,
    /// When the newest update was folded.
    pub(crate) as_of: Option<Timestamp>,
    /// The stream sequence that each unit has reached, by name.
    pub(crate) reached: BTreeMap<String, u64>,
    /// The number of the last change to cells.
    pub(crate) change: u64,
}

/// Claims a unit's position for this transaction, so that the folds of one unit
/// follow one another, whichever replica makes them; answers how far it has
/// come. It is a write, so that the row belongs to this transaction from here
/// on.
pub(super) async fn claim(connection: &mut AnyConnection, unit: StreamUnit) -> Result<u64, Error> {
    let floor = sqlx::query(
        "INSERT INTO positions (name, sequence) VALUES ($1, 0)
         ON CONFLICT (name) DO UPDATE SET sequence = positions.sequence RETURNING sequence",
    )
    .bind(unit.name())
    .fetch_one(connection)
    .await?;
    unsigned(&floor, 0)
}

/// Moves a unit's position, and those of partitions.
pub(super) async fn advance(
    connection: &mut AnyConnection,
    unit: StreamUnit,
    last: u64,
    heads: &BTreeMap<Partition, u64>,
) -> Result<(), Error> {
    let mut positions = vec![(unit.name().to_owned(), last)];
    positions.extend(heads.iter().map(|(partition, head)| (format!("{PARTITION_PREFIX}{partition}"), *head)));
    upsert(
        connection,
        "positions (name, sequence)",
        2,
        "(name) DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > positions.sequence",
        &positions,
        |statement, (name, sequence)| statement.bind(name.clone()).bind(sequence.cast_signed()),
    )
    .await
}

/// Writes the partitions' progress. What is stored and newer stays.
pub(super) async fn write_progress(
    connection: &mut AnyConnection,
    fold: &MetricsFold,
    now: Timestamp,
) -> Result<(), Error> {
    let progress: Vec<_> = fold.progress.iter().collect();
    upsert(
        connection,
        "progress (shard, raw_seq, as_of, part, watermark, idle, folded_at)",
        7,
        "(shard) DO UPDATE SET raw_seq = excluded.raw_seq, as_of = excluded.as_of, part = excluded.part,
         watermark = excluded.watermark, idle = excluded.idle, folded_at = excluded.folded_at
         WHERE (excluded.raw_seq, excluded.as_of, excluded.part) > (progress.raw_seq, progress.as_of, progress.part)",
        &progress,
        |statement, (partition, progress)| {
            statement
                .bind(i64::from(partition.index()))
                .bind(progress.raw_seq.cast_signed())
                .bind(progress.as_of.millis())
                .bind(i64::from(progress.part))
                .bind(progress.watermark.map(Timestamp::millis))
                .bind(i64::from(progress.idle))
                .bind(now.millis())
        },
    )
    .await
}

impl Store {
    /// Where the read model stands.
    pub(crate) async fn standing(&self) -> Result<ReadModelStanding, Error> {
        let mut standing = ReadModelStanding::default();
        let rows = sqlx::query("SELECT shard, raw_seq, as_of, part, watermark, idle, folded_at FROM progress")
            .fetch_all(self.database.pool())
            .await?;
        for row in rows {
            let watermark: Option<i64> = row.try_get(4)?;
            let progress = PartitionProgress {
                raw_seq: unsigned(&row, 1)?,
                as_of: time(row.try_get(2)?),
                part: u32::try_from(row.try_get::<i64, _>(3)?).map_err(|_| Error::Malformed("part"))?,
                watermark: watermark.map(time),
                idle: row.try_get::<i64, _>(5)? != 0,
            };
            standing.watermarks.observe(partition(row.try_get(0)?)?, progress);
            standing.as_of = standing.as_of.max(Some(time(row.try_get(6)?)));
        }
        let rows = sqlx::query("SELECT name, sequence FROM positions").fetch_all(self.database.pool()).await?;
        for row in rows {
            let (name, sequence): (&str, u64) = (row.try_get(0)?, unsigned(&row, 1)?);
            if let Some(shard) = name.strip_prefix(PARTITION_PREFIX) {
                let shard = shard.parse().map_err(|_| Error::Malformed("partition"))?;
                standing.watermarks.received(partition(shard)?, sequence);
            } else {
                standing.reached.insert(name.to_owned(), sequence);
            }
        }
        standing.change = self.last_change().await?;
        Ok(standing)
    }

    /// The stream sequence that a unit has reached; `None` where nothing of it
    /// has ever been folded into this database.
    pub(crate) async fn reached(&self, unit: StreamUnit) -> Result<Option<u64>, Error> {
        let row = sqlx::query("SELECT sequence FROM positions WHERE name = $1")
            .bind(unit.name())
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| unsigned(&row, 0)).transpose()
    }
}
