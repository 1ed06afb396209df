//! What a replica learns from when it starts.

use std::collections::BTreeMap;

use sqlx::{Any, Row, Transaction};
use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::PartitionSnapshot;
use tidemill_store::Error as StoreError;

use super::{Erasure, Store, erasures, number, unsigned};
use crate::{
    error::Error,
    learning::{LearntBatch, decode},
};

/// A partition as it is stored.
#[derive(Debug, Default)]
pub(crate) struct StoredPartition {
    /// The last batch of the log that is kept.
    pub(crate) floor: u64,
    /// The index, as it was behind the batch `pages_at`.
    pub(crate) pages: PartitionSnapshot,
    pub(crate) pages_at: u64,
    /// Whether these are all pages that are stored: those of other settings are left out.
    pub(crate) is_as_stored: bool,
    /// The newest event time in them.
    pub(crate) newest: Option<Timestamp>,
    /// The last erasure that the pages know of.
    pub(crate) erasure: u64,
    /// What came behind that, up to the floor.
    pub(crate) journal: Vec<LearntBatch>,
    /// Erasures behind the one that was named: with those up to it, all that there were at that
    /// moment. None that came since ends before anything was taken in that is stored here.
    pub(crate) erasures: Vec<Erasure>,
}

impl Store {
    /// A partition, all of it as it was at one moment. Pages that were written under
    /// other settings are left out. Erasures up to `known` are known.
    pub(crate) async fn load(
        &self,
        partition: Partition,
        settings: &str,
        known: u64,
    ) -> Result<StoredPartition, Error> {
        self.call(async {
            let mut transaction = self.database.snapshot().await?;
            let sql =
                "SELECT floor, pages_at, learnt, erasure, settings, newest FROM partitions WHERE partition_no = $1";
            let row = sqlx::query(sql).bind(number(partition)).fetch_optional(&mut *transaction).await;
            let Some(row) = row.map_err(StoreError::from)? else { return Ok(StoredPartition::default()) };
            let (pages_at, erasure) = (unsigned(&row, 1)?, unsigned(&row, 3)?);
            let written_under: String = row.try_get(4).map_err(StoreError::from)?;
            let mut pages = PartitionSnapshot { learnt: unsigned(&row, 2)?, pages: BTreeMap::new() };
            let is_as_stored = written_under == settings || pages_at == 0;
            if is_as_stored {
                pages.pages = read_pages(&mut transaction, partition).await?;
            } else {
                tracing::warn!(%partition, "settings that decide what is kept have changed: the log is learnt anew");
            }
            let mut journal = read_journal(&mut transaction, partition).await?;
            // A chunk may begin before the pages end.
            journal.retain(|batch| batch.raw_seq > pages_at);
            let erasures = erasures::behind(&mut transaction, known).await?;
            transaction.commit().await.map_err(StoreError::from)?;
            let newest: Option<i64> = row.try_get(5).map_err(StoreError::from)?;
            let newest = newest.map(Timestamp::saturating_from_millis);
            let floor = unsigned(&row, 0)?;
            Ok(StoredPartition { floor, pages, is_as_stored, pages_at, newest, erasure, journal, erasures })
        })
        .await
    }
}

async fn read_pages(tx: &mut Transaction<'_, Any>, partition: Partition) -> Result<BTreeMap<u64, Vec<u8>>, Error> {
    let query = sqlx::query("SELECT page, body FROM pages WHERE partition_no = $1");
    let rows = query.bind(number(partition)).fetch_all(&mut **tx).await.map_err(StoreError::from)?;
    let mut pages = BTreeMap::new();
    for row in rows {
        pages.insert(unsigned(&row, 0)?, row.try_get(1).map_err(StoreError::from)?);
    }
    Ok(pages)
}

async fn read_journal(tx: &mut Transaction<'_, Any>, partition: Partition) -> Result<Vec<LearntBatch>, Error> {
    let query = sqlx::query("SELECT body FROM journal WHERE partition_no = $1 ORDER BY raw_seq");
    let rows = query.bind(number(partition)).fetch_all(&mut **tx).await.map_err(StoreError::from)?;
    let mut batches = Vec::new();
    for row in rows {
        let body: Vec<u8> = row.try_get(0).map_err(StoreError::from)?;
        batches.extend(decode(&body)?);
    }
    Ok(batches)
}
