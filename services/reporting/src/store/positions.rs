//! How far the read model is: each unit in its stream, and each partition in
//! the log and in event time.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::Error;

use super::{
    Store, rollups,
    sql::{partition, time, unsigned, upsert},
};
use crate::{
    read_model::MetricsFold,
    unit::StreamUnit,
    watermark::{PartitionProgress, Truth, Watermarks},
};

#[cfg(test)]
pub(super) mod tests;

const PARTITION_PREFIX: &str = "log/";
const TRUTH_PREFIX: &str = "truth/";

/// Where the read model stood when it was last written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadModelStanding {
    /// The partitions' progress.
    pub(crate) watermarks: Watermarks,
    /// How far the numbers are true.
    pub(crate) truth: Truth,
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
    go_to(connection, &positions).await
}

/// Moves positions, each if it goes on.
async fn go_to(connection: &mut AnyConnection, positions: &[(String, u64)]) -> Result<(), Error> {
    upsert(
        connection,
        "positions (name, sequence)",
        2,
        "(name) DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > positions.sequence",
        positions,
        |statement, (name, sequence)| statement.bind(name.clone()).bind(sequence.cast_signed()),
    )
    .await
}

/// Writes how far the numbers are true, in milliseconds. What reaches further stays.
async fn raise(connection: &mut AnyConnection, truth: Truth) -> Result<(), Error> {
    let Truth { as_of, watermark, complete_until } = truth;
    // Always in this order: two transactions never wait for each other.
    let marks = [("as_of", as_of), ("complete_until", complete_until), ("watermark", watermark)];
    // Of what was before 1970 nothing is lost: no window of it is open.
    let mark = |(name, time): (&str, Option<Timestamp>)| {
        Some((format!("{TRUTH_PREFIX}{name}"), u64::try_from(time?.millis()).unwrap_or_default()))
    };
    let marks: Vec<_> = marks.into_iter().filter_map(mark).collect();
    go_to(connection, &marks).await
}

/// Writes the partitions' progress, and how far the numbers are true with it. What
/// is stored and newer stays.
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
    .await?;
    let truth = read(connection).await?.watermarks.truth();
    raise(connection, Truth { as_of: Some(now), ..truth }).await
}

/// Where the read model stands, but for the number of its last change.
async fn read(connection: &mut AnyConnection) -> Result<ReadModelStanding, Error> {
    let mut standing = ReadModelStanding::default();
    let rows = sqlx::query("SELECT shard, raw_seq, as_of, part, watermark, idle, folded_at FROM progress")
        .fetch_all(&mut *connection)
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
        standing.truth.as_of = standing.truth.as_of.max(Some(time(row.try_get(6)?)));
    }
    let rows = sqlx::query("SELECT name, sequence FROM positions").fetch_all(&mut *connection).await?;
    for row in rows {
        let (name, sequence): (&str, u64) = (row.try_get(0)?, unsigned(&row, 1)?);
        if let Some(shard) = name.strip_prefix(PARTITION_PREFIX) {
            let shard = shard.parse().map_err(|_| Error::Malformed("partition"))?;
            standing.watermarks.received(partition(shard)?, sequence);
        } else if let Some(mark) = name.strip_prefix(TRUTH_PREFIX) {
            standing.truth.raise(truth_of(mark, time(sequence.cast_signed())));
        } else {
            standing.reached.insert(name.to_owned(), sequence);
        }
    }
    // A store of an older release knows the progress alone.
    standing.truth.raise(standing.watermarks.truth());
    Ok(standing)
}

/// What a mark says; those of newer releases say nothing here.
fn truth_of(mark: &str, time: Timestamp) -> Truth {
    let time = Some(time);
    match mark {
        "as_of" => Truth { as_of: time, ..Truth::default() },
        "watermark" => Truth { watermark: time, ..Truth::default() },
        "complete_until" => Truth { complete_until: time, ..Truth::default() },
        _ => Truth::default(),
    }
}

impl Store {
    /// Where the read model stands.
    pub(crate) async fn standing(&self) -> Result<ReadModelStanding, Error> {
        let mut connection = self.database.pool().acquire().await?;
        let standing = read(&mut connection).await?;
        // The other question takes a connection of its own.
        drop(connection);
        Ok(ReadModelStanding { change: self.last_change().await?, ..standing })
    }

    /// Keeps how far the numbers are true, as far as it goes on.
    pub(crate) async fn raise_truth(&self, truth: Truth) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
        raise(&mut tx, truth).await?;
        Ok(tx.commit().await?)
    }

    /// Has a unit go on behind `end` where it had come further: its stream ends there, since a
    /// crash took its end away. What is folded stays.
    pub(crate) async fn go_back(&self, unit: StreamUnit, end: u64) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
        let reached = claim(&mut tx, unit).await?;
        if reached > end {
            sqlx::query("UPDATE positions SET sequence = $1 WHERE name = $2")
                .bind(end.cast_signed())
                .bind(unit.name())
                .execute(&mut *tx)
                .await?;
            if unit == StreamUnit::Metrics {
                rollups::go_back(&mut tx, reached, end).await?;
            }
        }
        Ok(tx.commit().await?)
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
