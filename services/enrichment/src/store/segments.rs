//! Batches that a release before this one has sealed, and the marks of all.

use sqlx::{AnyConnection, Row};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error as StoreError, SqlValues, for_keys};

use super::{Store, signed, unsigned};
use crate::duplicates::{BatchSpan, BlockName, FilterWidth, KeyFilter, Marks, Segment, SegmentBlock};

impl Store {
    /// The segments of a partition, oldest first. Each is read by itself: its
    /// filter may take megabytes.
    pub(super) async fn segments(&self, partition: Partition) -> Result<Vec<Segment>, StoreError> {
        let names = sqlx::query_scalar("SELECT last_seq FROM seen_segments WHERE partition = $1 ORDER BY last_seq");
        let names: Vec<i64> = names.bind(i64::from(partition.index())).fetch_all(self.database.pool()).await?;
        let mut segments = Vec::with_capacity(names.len());
        for name in names {
            segments.extend(self.segment(partition, name).await?);
        }
        Ok(segments)
    }

    async fn segment(&self, partition: Partition, name: i64) -> Result<Option<Segment>, StoreError> {
        let row = sqlx::query(
            "SELECT first_seq, first_clock, last_clock, keys, blocks, filter FROM seen_segments \
             WHERE partition = $1 AND last_seq = $2",
        );
        let row = row.bind(i64::from(partition.index())).bind(name).fetch_optional(self.database.pool()).await?;
        let Some(row) = row else { return Ok(None) };
        let clock = |column| row.try_get(column).map(Timestamp::saturating_from_millis);
        let span = BatchSpan {
            first: unsigned(row.try_get(0)?)?,
            last: unsigned(name)?,
            first_clock: clock(1)?,
            last_clock: clock(2)?,
        };
        let blocks: i64 = row.try_get(4)?;
        let filter = KeyFilter::from_bytes(&row.try_get::<Vec<u8>, _>(5)?, FilterWidth::Wide);
        Ok(Some(Segment {
            span,
            keys: unsigned(row.try_get(3)?)?,
            blocks: u32::try_from(blocks).map_err(|_| StoreError::Malformed("blocks"))?,
            filter: filter.ok_or(StoreError::Malformed("filter"))?,
        }))
    }

    /// Those of the blocks that are there. They are of one segment.
    pub(crate) async fn blocks(
        &self,
        partition: Partition,
        segment: u64,
        blocks: &[u32],
    ) -> Result<Vec<(BlockName, SegmentBlock)>, StoreError> {
        let mut connection = self.database.pool().acquire().await?;
        let sql = "SELECT block, entries FROM seen_blocks WHERE partition = ? AND segment = ? AND block IN (?)";
        let of = SqlValues::new().bind(i64::from(partition.index())).bind(signed(segment));
        let mut found = Vec::with_capacity(blocks.len());
        for row in for_keys(&mut connection, sql, &of, blocks.iter().copied().map(i64::from)).await? {
            let block: i64 = row.try_get(0)?;
            let block = u32::try_from(block).map_err(|_| StoreError::Malformed("block"))?;
            let entries = SegmentBlock::from_bytes(row.try_get(1)?).ok_or(StoreError::Malformed("entries"))?;
            found.push((BlockName::Segment(segment, block), entries));
        }
        Ok(found)
    }

    /// The marks of a stored batch, where it has some.
    pub(crate) async fn marks(&self, partition: Partition, raw_seq: u64) -> Result<Option<Marks>, StoreError> {
        let row = sqlx::query("SELECT marks, repeated FROM seen_batches WHERE partition = $1 AND raw_seq = $2")
            .bind(i64::from(partition.index()))
            .bind(signed(raw_seq))
            .fetch_optional(self.database.pool())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (duplicate, repeated): (Option<Vec<u8>>, _) = (row.try_get(0)?, row.try_get(1)?);
        Ok(duplicate.map(|duplicate| Marks::from_bytes(duplicate, repeated)))
    }

    /// The last place in the log before a time of the log's clock, or before all
    /// that is stored.
    pub(crate) async fn last_before(&self, partition: Partition, time: Timestamp) -> Result<u64, StoreError> {
        let last = "SELECT MAX(raw_seq) FROM seen_batches WHERE partition = $1 AND log_clock < $2";
        let last: Option<i64> = sqlx::query_scalar(last)
            .bind(i64::from(partition.index()))
            .bind(time.millis())
            .fetch_one(self.database.pool())
            .await?;
        if let Some(last) = last {
            return unsigned(last);
        }
        let first: Option<i64> = sqlx::query_scalar("SELECT MIN(raw_seq) FROM seen_batches WHERE partition = $1")
            .bind(i64::from(partition.index()))
            .fetch_one(self.database.pool())
            .await?;
        Ok(first.map(unsigned).transpose()?.map_or(0, |first| first.saturating_sub(1)))
    }
}

/// Deletes what belongs to batches below a sequence.
pub(super) async fn prune(connection: &mut AnyConnection, partition: Partition, below: u64) -> Result<(), StoreError> {
    for delete in [
        "DELETE FROM seen_batches WHERE partition = $1 AND raw_seq < $2",
        "DELETE FROM seen_blocks WHERE partition = $1 AND segment < $2",
        "DELETE FROM seen_segments WHERE partition = $1 AND last_seq < $2",
    ] {
        let delete = sqlx::query(delete).bind(i64::from(partition.index())).bind(signed(below));
        delete.execute(&mut *connection).await?;
    }
    Ok(())
}
