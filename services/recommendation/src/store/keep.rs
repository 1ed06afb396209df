//! The one transaction that moves a partition on.

use std::{borrow::Cow, collections::BTreeMap};

use sqlx::{AnyConnection, Row};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error as StoreError, SqlValues, insert_rows};

use super::{Store, erasures, items, number, profiles, ties, unsigned, visits};
use crate::{
    error::Error,
    known_erasures::counted,
    learning::{ErasedVisitors, LearntBatch, LearntEvent, encode},
};

/// A partition as its claimant found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionKeep {
    pub(crate) partition: Partition,
    /// Which claim it is; the next one makes this one void.
    pub(super) epoch: i64,
    /// The last batch of the log that is kept; 0 for none.
    pub(crate) floor: u64,
}

/// What moves a partition on.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptStep {
    /// The last batch before it.
    pub(crate) after: u64,
    /// Its own last batch.
    pub(crate) floor: u64,
    /// Those of its batches that hold something to learn.
    pub(crate) batches: Vec<LearntBatch>,
}

impl Store {
    /// Makes the caller a partition's owner: what an earlier one still writes is refused
    /// from here on.
    pub(crate) async fn claim(&self, partition: Partition) -> Result<PartitionKeep, Error> {
        self.call(async {
            let sql = "UPDATE partitions SET epoch = epoch + 1 WHERE partition_no = $1 RETURNING epoch, floor";
            let query = sqlx::query(sql).bind(number(partition));
            // To the end: the statement is done only then.
            let rows = query.fetch_all(self.database.writer()).await.map_err(StoreError::from)?;
            let row = rows.first().ok_or(StoreError::Malformed("claim"))?;
            let epoch = row.try_get(0).map_err(StoreError::from)?;
            Ok(PartitionKeep { partition, epoch, floor: unsigned(row, 1)? })
        })
        .await
    }

    /// Keeps a step: the journal, what is known of customers and products, and the floor,
    /// all or nothing. Of visitors who are forgotten nothing is kept, and visits that turn
    /// out to be theirs are forgotten too.
    pub(crate) async fn keep(&self, claim: &PartitionKeep, step: &KeptStep, now: Timestamp) -> Result<(), Error> {
        self.call(async {
            let (kept, mut news);
            let mut transaction = self.database.begin().await?;
            // The row stays locked to the end: an erasure comes before all of this, or
            // after it.
            let sql = "UPDATE partitions SET floor = $1 WHERE partition_no = $2 AND epoch = $3 AND floor = $4";
            let moved = sqlx::query(sql)
                .bind(step.floor.cast_signed())
                .bind(number(claim.partition))
                .bind(claim.epoch)
                .bind(step.after.cast_signed())
                .execute(&mut *transaction)
                .await
                .map_err(StoreError::from)?;
            if moved.rows_affected() == 0 {
                return Err(Error::Superseded);
            }
            news = BTreeMap::new();
            if let Some(last) = step.batches.last() {
                let newest = step.batches.iter().map(|batch| counted(batch.ingested_at, now)).max();
                erasures::learn_until(&mut transaction, newest.unwrap_or(now)).await?;
                kept = without_erased(&mut transaction, &step.batches, now).await?;
                write_journal(&mut transaction, claim.partition, last.raw_seq, &kept).await?;
                profiles::fold(&mut transaction, claim.partition, last.raw_seq, &kept).await?;
                news = self.written.news(claim.partition, claim.epoch, &kept);
                items::write(&mut transaction, claim.partition, &news).await?;
                visits::write(&mut transaction, &kept).await?;
            }
            transaction.commit().await.map_err(StoreError::from)?;
            self.written.note(claim.partition, claim.epoch, &news);
            Ok(())
        })
        .await
    }
}

async fn without_erased<'b>(
    connection: &mut AnyConnection,
    batches: &'b [LearntBatch],
    now: Timestamp,
) -> Result<Cow<'b, [LearntBatch]>, Error> {
    let visitors = batches.iter().flat_map(|batch| &batch.events).filter_map(LearntEvent::visitor);
    let mut erased = ErasedVisitors::default();
    erasures::of(connection, visitors, &mut erased).await?;
    if erased.is_empty() {
        return Ok(Cow::Borrowed(batches));
    }
    ties::forget(connection, batches, &mut erased, now).await?;
    let kept = |batch: &LearntBatch| {
        let is_erased = |visitor| erased.until(visitor, batch.ingested_at).is_some();
        let kept = |event: &LearntEvent| match event.visitor().is_some_and(is_erased) {
            true => event.erased(),
            false => event.clone(),
        };
        LearntBatch { events: batch.events.iter().map(kept).collect(), ..*batch }
    };
    Ok(batches.iter().map(kept).collect())
}

async fn write_journal(
    connection: &mut AnyConnection,
    partition: Partition,
    raw_seq: u64,
    batches: &[LearntBatch],
) -> Result<(), Error> {
    let row = SqlValues::new().bind(number(partition)).bind(raw_seq.cast_signed()).bind(encode(batches)?);
    insert_rows(connection, "journal (partition_no, raw_seq, body)", "", [row]).await?;
    Ok(())
}
