//! Floors, and the batches that are remembered.

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error as StoreError, SqlValues, insert_rows};

use super::{OrdersCheckpoint, Store, orders, runs, segments, signed, unsigned};
use crate::{
    duplicates::{EventKey, Marks, RememberedBatch, RunChange},
    error::Error,
};

/// What a partition has done since its last checkpoint.
pub(crate) struct PartitionCheckpoint<'a> {
    pub(crate) partition: Partition,
    /// The floor of the last one.
    pub(crate) from: u64,
    /// And of this one.
    pub(crate) to: u64,
    /// The batches in between.
    pub(crate) batches: Vec<&'a RememberedBatch>,
    /// What is sealed of those before, and merged.
    pub(crate) runs: Option<&'a RunChange>,
    /// Batches below this are no longer needed.
    pub(crate) prune_below: Option<u64>,
    pub(crate) orders: OrdersCheckpoint<'a>,
}

impl Store {
    /// The last batch of a partition that is done; 0 before the first.
    pub(crate) async fn floor(&self, partition: Partition) -> Result<u64, StoreError> {
        let floor: Option<i64> = sqlx::query_scalar("SELECT raw_seq FROM floors WHERE partition = $1")
            .bind(i64::from(partition.index()))
            .fetch_optional(self.database.pool())
            .await?;
        floor.map_or(Ok(0), unsigned)
    }

    /// The last batch that is done, of all partitions; none before the first.
    pub(crate) async fn furthest(&self) -> Result<Option<(Partition, u64)>, StoreError> {
        let furthest: Option<(i64, i64)> =
            sqlx::query_as("SELECT partition, raw_seq FROM floors ORDER BY raw_seq DESC, partition LIMIT 1")
                .fetch_optional(self.database.pool())
                .await?;
        let Some((partition, raw_seq)) = furthest else { return Ok(None) };
        let partition = u16::try_from(partition).map_err(|_| StoreError::Malformed("floors"))?;
        Ok(Some((Partition::new(partition), unsigned(raw_seq)?)))
    }

    /// The latest ingestion time up to a batch that is remembered.
    pub(crate) async fn log_clock(&self, partition: Partition, raw_seq: u64) -> Result<Option<Timestamp>, StoreError> {
        let clock: Option<i64> =
            sqlx::query_scalar("SELECT log_clock FROM seen_batches WHERE partition = $1 AND raw_seq = $2")
                .bind(i64::from(partition.index()))
                .bind(signed(raw_seq))
                .fetch_optional(self.database.pool())
                .await?;
        Ok(clock.map(Timestamp::saturating_from_millis))
    }

    /// Has a partition begin behind a batch, unless it has begun.
    pub(crate) async fn begin_behind(&self, partition: Partition, floor: u64) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO floors (partition, raw_seq) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(i64::from(partition.index()))
            .bind(signed(floor))
            .execute(self.database.writer())
            .await?;
        Ok(())
    }

    /// The batches of a partition that are remembered, in their order: those
    /// behind the last that is sealed.
    pub(crate) async fn batches(&self, partition: Partition, sealed: u64) -> Result<Vec<RememberedBatch>, StoreError> {
        let rows = sqlx::query(
            "SELECT raw_seq, log_clock, keys, marks, business_keys, repeated FROM seen_batches \
             WHERE partition = $1 AND raw_seq > $2 ORDER BY raw_seq",
        )
        .bind(i64::from(partition.index()))
        .bind(signed(sealed))
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(batch).collect()
    }

    /// Writes a checkpoint, as a whole or not at all. An error where the floor
    /// is not that of the last one: another instance has been at work.
    pub(crate) async fn checkpoint(&self, checkpoint: &PartitionCheckpoint<'_>) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        write(&mut transaction, checkpoint).await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }
}

/// Writes a checkpoint into a transaction, which is of no more use after an error.
pub(super) async fn write(connection: &mut AnyConnection, checkpoint: &PartitionCheckpoint<'_>) -> Result<(), Error> {
    if !advance(connection, checkpoint).await? {
        return Err(Error::Superseded(checkpoint.partition));
    }
    insert_batches(connection, checkpoint).await?;
    orders::keep(connection, checkpoint.partition, &checkpoint.orders).await?;
    if let Some(change) = checkpoint.runs {
        runs::change(connection, checkpoint.partition, change).await?;
    }
    if let Some(below) = checkpoint.prune_below {
        segments::prune(connection, checkpoint.partition, below).await?;
        runs::prune(connection, checkpoint.partition, below).await?;
    }
    Ok(())
}

/// Moves the floor from that of the last checkpoint; tells whether it was there.
async fn advance(connection: &mut AnyConnection, checkpoint: &PartitionCheckpoint<'_>) -> Result<bool, StoreError> {
    let (partition, from, to) =
        (i64::from(checkpoint.partition.index()), signed(checkpoint.from), signed(checkpoint.to));
    let statement = if checkpoint.from == 0 {
        sqlx::query("INSERT INTO floors (partition, raw_seq) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(partition)
            .bind(to)
    } else {
        sqlx::query("UPDATE floors SET raw_seq = $2 WHERE partition = $1 AND raw_seq = $3")
            .bind(partition)
            .bind(to)
            .bind(from)
    };
    Ok(statement.execute(connection).await?.rows_affected() == 1)
}

async fn insert_batches(
    connection: &mut AnyConnection,
    checkpoint: &PartitionCheckpoint<'_>,
) -> Result<(), StoreError> {
    let rows = checkpoint.batches.iter().map(|batch| {
        let marks = batch.marks.as_ref();
        SqlValues::new()
            .bind(i64::from(checkpoint.partition.index()))
            .bind(signed(batch.raw_seq))
            .bind(batch.clock.millis())
            .bind(bytes(&batch.keys))
            .bind(marks.map(|marks| marks.duplicate_bytes().to_vec()))
            .bind(Some(bytes(&batch.business_keys)).filter(|bytes| !bytes.is_empty()))
            .bind(marks.and_then(Marks::repeated_bytes).map(<[u8]>::to_vec))
    });
    let into = "seen_batches (partition, raw_seq, log_clock, keys, marks, business_keys, repeated)";
    insert_rows(connection, into, "", rows).await?;
    Ok(())
}

fn batch(row: &AnyRow) -> Result<RememberedBatch, StoreError> {
    let repeated: Option<Vec<u8>> = row.try_get(5)?;
    Ok(RememberedBatch {
        raw_seq: unsigned(row.try_get(0)?)?,
        clock: Timestamp::saturating_from_millis(row.try_get(1)?),
        keys: keys(row.try_get(2)?)?,
        business_keys: keys(row.try_get::<Option<_>, _>(4)?.unwrap_or_default())?,
        marks: row.try_get::<Option<Vec<u8>>, _>(3)?.map(|duplicate| Marks::from_bytes(duplicate, repeated)),
    })
}

fn bytes(keys: &[EventKey]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.to_bytes()).collect()
}

fn keys(bytes: Vec<u8>) -> Result<Vec<EventKey>, StoreError> {
    match bytes.as_chunks::<{ EventKey::BYTES }>() {
        (keys, []) => Ok(keys.iter().copied().map(EventKey::from_bytes).collect()),
        _ => Err(StoreError::Malformed("keys")),
    }
}
