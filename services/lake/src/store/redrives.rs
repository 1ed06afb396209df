//! What is to be taken out of the quarantine.

use sqlx::{Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_lake_tables::RedriveScope;
use tidemill_store::Error;

use super::Store;

/// How often a number may be taken by somebody else.
const TRIES: u32 = 20;

/// A redrive, as it was ordered, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRedrive {
    pub(crate) scope: RedriveScope,
    pub(crate) ordered_at: Timestamp,
    pub(crate) done_at: Option<Timestamp>,
    /// Events that have left the quarantine.
    pub(crate) released: Option<u64>,
}

impl Store {
    /// Orders a redrive; answers its number, which is higher than `after` and all others.
    pub(crate) async fn order_redrive(&self, scope: &RedriveScope, at: Timestamp) -> Result<i64, Error> {
        let RedriveScope { number: after, rule, from, to } = scope;
        let sql = "INSERT INTO redrives (number, rule, received_from, received_to, ordered_at) \
                   SELECT CASE WHEN coalesce(max(number), 0) < $1 THEN $1 ELSE coalesce(max(number), 0) END + 1, \
                   CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM redrives \
                   WHERE 1 = 1 ON CONFLICT (number) DO NOTHING RETURNING number";
        for _ in 0..TRIES {
            let query = sqlx::query(sql)
                .bind(*after)
                .bind(rule.clone())
                .bind(from.map(Timestamp::millis))
                .bind(to.map(Timestamp::millis))
                .bind(at.millis());
            if let Some(row) = query.fetch_optional(self.database.writer()).await? {
                return Ok(row.try_get(0)?);
            }
        }
        Err(Error::Malformed("number"))
    }

    /// The oldest one that is not done.
    pub(crate) async fn next_redrive(&self) -> Result<Option<StoredRedrive>, Error> {
        let sql = "SELECT number, rule, received_from, received_to, ordered_at, done_at, released FROM redrives \
                   WHERE done_at IS NULL ORDER BY number LIMIT 1";
        sqlx::query(sql).fetch_optional(self.database.pool()).await?.map(|row| redrive(&row)).transpose()
    }

    /// One of them.
    pub(crate) async fn redrive(&self, number: i64) -> Result<Option<StoredRedrive>, Error> {
        let sql = "SELECT number, rule, received_from, received_to, ordered_at, done_at, released FROM redrives \
                   WHERE number = $1";
        let query = sqlx::query(sql).bind(number);
        query.fetch_optional(self.database.pool()).await?.map(|row| redrive(&row)).transpose()
    }

    /// It is done.
    pub(crate) async fn redrive_done(&self, number: i64, released: u64, at: Timestamp) -> Result<(), Error> {
        sqlx::query("UPDATE redrives SET done_at = $1, released = $2 WHERE number = $3 AND done_at IS NULL")
            .bind(at.millis())
            .bind(released.cast_signed())
            .bind(number)
            .execute(self.database.writer())
            .await?;
        Ok(())
    }
}

fn redrive(row: &AnyRow) -> Result<StoredRedrive, Error> {
    let time = |column| Ok::<_, Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::saturating_from_millis));
    let scope = RedriveScope { number: row.try_get(0)?, rule: row.try_get(1)?, from: time(2)?, to: time(3)? };
    let released: Option<i64> = row.try_get(6)?;
    Ok(StoredRedrive {
        scope,
        ordered_at: time(4)?.unwrap_or(Timestamp::EPOCH),
        done_at: time(5)?,
        released: released.map(i64::cast_unsigned),
    })
}
