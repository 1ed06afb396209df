//! The index of a partition, in pages.

use sqlx::AnyConnection;
use tidemill_domain::Timestamp;
use tidemill_recommender::ChangedPages;
use tidemill_store::{Error as StoreError, SqlValues, for_keys, insert_rows};

use super::{PartitionKeep, Store, number, unsigned};
use crate::error::Error;

const PAGES: &str = "pages (partition_no, page, body)";
const PAGES_UPDATE: &str = "ON CONFLICT (partition_no, page) DO UPDATE SET body = excluded.body";

/// Pages to be written.
#[derive(Debug)]
pub(crate) struct PageChanges {
    /// The batch that they are behind.
    pub(crate) at: u64,
    /// The newest event time in them.
    pub(crate) newest: Option<Timestamp>,
    /// The last erasure that they know of.
    pub(crate) erasure: u64,
    pub(crate) changed: ChangedPages,
    /// Whether these are all, and what else is stored goes.
    pub(crate) are_all: bool,
}

/// What became of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PagesWritten {
    /// They are stored.
    Done,
    /// The journal has not come as far: they are to be written later.
    TooEarly,
    /// Later ones are stored: this replica has not learnt as far as a former owner.
    Overtaken,
    /// The partition has another owner.
    Superseded,
}

impl Store {
    /// Writes pages, and deletes the journal before them.
    pub(crate) async fn write_pages(
        &self,
        claim: &PartitionKeep,
        changes: &PageChanges,
        settings: &str,
    ) -> Result<PagesWritten, Error> {
        self.call(async {
            let mut transaction = self.database.begin().await?;
            let sql = "UPDATE partitions SET pages_at = $1, learnt = $2, erasure = $3, settings = $4, newest = $7 \
                       WHERE partition_no = $5 AND epoch = $6 AND floor >= $1 AND pages_at <= $1";
            let moved = sqlx::query(sql)
                .bind(changes.at.cast_signed())
                .bind(changes.changed.learnt.cast_signed())
                .bind(changes.erasure.cast_signed())
                .bind(settings)
                .bind(number(claim.partition))
                .bind(claim.epoch)
                .bind(changes.newest.map(Timestamp::millis))
                .execute(&mut *transaction)
                .await
                .map_err(StoreError::from)?;
            if moved.rows_affected() == 0 {
                return why_not(&mut transaction, claim, changes.at).await;
            }
            write(&mut transaction, claim, changes).await?;
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(PagesWritten::Done)
        })
        .await
    }
}

async fn why_not(connection: &mut AnyConnection, claim: &PartitionKeep, at: u64) -> Result<PagesWritten, Error> {
    let sql = "SELECT pages_at FROM partitions WHERE partition_no = $1 AND epoch = $2";
    let query = sqlx::query(sql).bind(number(claim.partition)).bind(claim.epoch);
    let Some(row) = query.fetch_optional(connection).await.map_err(StoreError::from)? else {
        return Ok(PagesWritten::Superseded);
    };
    Ok(if unsigned(&row, 0)? > at { PagesWritten::Overtaken } else { PagesWritten::TooEarly })
}

async fn write(connection: &mut AnyConnection, claim: &PartitionKeep, changes: &PageChanges) -> Result<(), Error> {
    let partition = number(claim.partition);
    if changes.are_all {
        let query = sqlx::query("DELETE FROM pages WHERE partition_no = $1").bind(partition);
        query.execute(&mut *connection).await.map_err(StoreError::from)?;
    }
    let gone = changes.changed.pages.iter().filter(|(_, body)| body.is_none()).map(|(page, _)| page.cast_signed());
    let sql = "DELETE FROM pages WHERE partition_no = ? AND page IN (?)";
    for_keys(connection, sql, &SqlValues::new().bind(partition), gone).await?;
    let row = |(page, body): (&u64, &Option<Vec<u8>>)| {
        body.as_ref().map(|body| SqlValues::new().bind(partition).bind(page.cast_signed()).bind(&**body))
    };
    insert_rows(connection, PAGES, PAGES_UPDATE, changes.changed.pages.iter().filter_map(row)).await?;
    let query = sqlx::query("DELETE FROM journal WHERE partition_no = $1 AND raw_seq <= $2");
    query.bind(partition).bind(changes.at.cast_signed()).execute(connection).await.map_err(StoreError::from)?;
    Ok(())
}
