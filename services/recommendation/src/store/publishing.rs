//! How far what is known of customers is published.

use sqlx::{Row, any::AnyRow};
use tidemill_domain::Partition;
use tidemill_store::Error as StoreError;

use super::{PartitionKeep, Store, number, unsigned};
use crate::{error::Error, learning::VisitorId};

/// How long the hash of a customer is.
const HASH_BYTES: usize = 16;

/// Up to where the profiles of a partition are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishedTo {
    /// The step that changed the last one, by the `RAW` sequence of its last batch.
    pub(crate) changed: i64,
    /// Of those that this step changed, the last one.
    pub(crate) customer: Vec<u8>,
    /// The last erasure; counted for the first partition alone.
    pub(crate) erasure: u64,
}

/// `PROFILES`, as far as it is known: who publishes compares it with what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PublishedStream {
    /// How often all of it was told anew.
    pub(crate) telling: i64,
    /// The last message that it had.
    pub(crate) sequence: u64,
}

impl PublishedTo {
    /// All of a step, and of those before it.
    fn whole(changed: i64, erasure: u64) -> Self {
        // It is behind every hash.
        Self { changed, customer: vec![u8::MAX; HASH_BYTES + 1], erasure }
    }

    /// The last step of which all profiles are published.
    fn last_whole(&self) -> i64 {
        if self.customer.len() > HASH_BYTES { self.changed } else { self.changed - 1 }
    }
}

/// A profile that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangedProfile {
    /// The step that changed it.
    pub(crate) changed: i64,
    pub(crate) customer: VisitorId,
}

impl Store {
    /// What is known of the stream.
    pub(crate) async fn published_stream(&self) -> Result<PublishedStream, Error> {
        self.call(async {
            let query = sqlx::query("SELECT telling, sequence FROM published_stream");
            let row = query.fetch_one(self.database.pool()).await.map_err(StoreError::from)?;
            let telling = row.try_get(0).map_err(StoreError::from)?;
            Ok(PublishedStream { telling, sequence: unsigned(&row, 1)? })
        })
        .await
    }

    /// Has all be published anew, of all partitions: the stream is another one than that of
    /// this telling, and ends at `sequence`. Nothing where somebody was faster.
    pub(crate) async fn tell_anew(&self, telling: i64, sequence: u64) -> Result<(), Error> {
        self.call(async {
            let sql = "UPDATE published_stream SET telling = telling + 1, sequence = $1 WHERE telling = $2";
            let query = sqlx::query(sql).bind(sequence.cast_signed()).bind(telling);
            query.execute(self.database.writer()).await.map_err(StoreError::from)?;
            Ok(())
        })
        .await
    }

    /// Up to where a partition's profiles were published. What was behind that may have
    /// been too.
    pub(crate) async fn published(&self, partition: Partition) -> Result<PublishedTo, Error> {
        self.call(async {
            let sql = "SELECT published, published_erasure FROM partitions, published_stream \
                       WHERE partition_no = $1 AND published_telling = telling";
            let query = sqlx::query(sql).bind(number(partition)).fetch_optional(self.database.pool());
            let Some(row) = query.await.map_err(StoreError::from)? else { return Ok(PublishedTo::whole(-1, 0)) };
            let changed = row.try_get(0).map_err(StoreError::from)?;
            Ok(PublishedTo::whole(changed, unsigned(&row, 1)?))
        })
        .await
    }

    /// Profiles that changed behind a place, in the order of their last change.
    pub(crate) async fn changed_profiles(
        &self,
        partition: Partition,
        after: &PublishedTo,
        most: u32,
    ) -> Result<Vec<ChangedProfile>, Error> {
        self.call(async {
            let sql = "SELECT changed, customer FROM profiles WHERE partition_no = $1 \
                       AND (changed, customer) > ($2, $3) ORDER BY changed, customer LIMIT $4";
            let query = sqlx::query(sql).bind(number(partition)).bind(after.changed).bind(after.customer.clone());
            let rows = query.bind(i64::from(most)).fetch_all(self.database.pool()).await.map_err(StoreError::from)?;
            let profile =
                |row: &AnyRow| Ok(ChangedProfile { changed: row.try_get(0)?, customer: super::visitor(row, 1)? });
            Ok(rows.iter().map(profile).collect::<Result<_, StoreError>>()?)
        })
        .await
    }

    /// Customers who were forgotten behind an erasure, with the number of theirs.
    pub(crate) async fn erased_customers(&self, after: u64, most: u32) -> Result<Vec<(u64, VisitorId)>, Error> {
        self.call(async {
            let sql = "SELECT number, visitor FROM erasures WHERE number > $1 AND is_customer = 1 \
                       ORDER BY number LIMIT $2";
            let query = sqlx::query(sql).bind(after.cast_signed()).bind(i64::from(most));
            let rows = query.fetch_all(self.database.pool()).await.map_err(StoreError::from)?;
            let customer = |row: &AnyRow| Ok((unsigned(row, 0)?, super::visitor(row, 1)?));
            Ok(rows.iter().map(customer).collect::<Result<_, StoreError>>()?)
        })
        .await
    }

    /// Writes down how far a partition's profiles are published. Of the last step, only
    /// what is before it counts as published: the rest may be published once more. So may all
    /// where the stream is told anew since, and nothing is written.
    pub(crate) async fn note_published(
        &self,
        claim: &PartitionKeep,
        to: &PublishedTo,
        stream: PublishedStream,
    ) -> Result<(), Error> {
        self.call(async {
            let mut transaction = self.database.begin().await?;
            // Nobody has it told anew before the end of this.
            let sql = "UPDATE published_stream SET sequence = CASE WHEN sequence < $1 THEN $1 ELSE sequence END \
                       WHERE telling = $2";
            let query = sqlx::query(sql).bind(stream.sequence.cast_signed()).bind(stream.telling);
            let is_told_anew = query.execute(&mut *transaction).await.map_err(StoreError::from)?.rows_affected() == 0;
            if !is_told_anew {
                let sql = "UPDATE partitions SET published = $1, published_erasure = $2, published_telling = $3 \
                           WHERE partition_no = $4 AND epoch = $5";
                let query = sqlx::query(sql).bind(to.last_whole()).bind(to.erasure.cast_signed()).bind(stream.telling);
                let query = query.bind(number(claim.partition)).bind(claim.epoch);
                query.execute(&mut *transaction).await.map_err(StoreError::from)?;
            }
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(())
        })
        .await
    }
}
