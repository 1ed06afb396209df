//! The newest rebuild of a layer. There is one at a time.

use sqlx::Row;
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::Store;

/// What is kept of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRebuild {
    /// Its name.
    pub(crate) id: String,
    /// What it tells of itself.
    pub(crate) told: String,
    /// Until when it is somebody's.
    pub(crate) held_until: Timestamp,
    /// Whether it is to end.
    pub(crate) stop: bool,
}

impl Store {
    /// Begins a rebuild, unless another one is under way.
    pub(crate) async fn begin_rebuild(&self, rebuild: &StoredRebuild, now: Timestamp) -> Result<bool, Error> {
        let sql = "INSERT INTO rebuilds (one, id, told, held_until, stop) VALUES (1, $1, $2, $3, 0) \
                   ON CONFLICT (one) DO UPDATE SET id = excluded.id, told = excluded.told, \
                   held_until = excluded.held_until, stop = 0 WHERE rebuilds.held_until < $4";
        let begun = sqlx::query(sql)
            .bind(&rebuild.id)
            .bind(&rebuild.told)
            .bind(rebuild.held_until.millis())
            .bind(now.millis())
            .execute(self.database.writer())
            .await?;
        Ok(begun.rows_affected() > 0)
    }

    /// Goes on with a rebuild; `None` where it is another's by now, else whether it is to
    /// end.
    pub(crate) async fn keep_rebuild(
        &self,
        id: &str,
        told: &str,
        held_until: Timestamp,
    ) -> Result<Option<bool>, Error> {
        let sql = "UPDATE rebuilds SET told = $1, held_until = $2 WHERE one = 1 AND id = $3";
        let query = sqlx::query(sql).bind(told).bind(held_until.millis()).bind(id);
        let kept = query.execute(self.database.writer()).await?;
        if kept.rows_affected() == 0 {
            return Ok(None);
        }
        Ok(self.rebuild().await?.filter(|rebuild| rebuild.id == id).map(|rebuild| rebuild.stop))
    }

    /// Says that a rebuild is to end; answers whether there is one.
    pub(crate) async fn stop_rebuild(&self) -> Result<bool, Error> {
        let stopped = sqlx::query("UPDATE rebuilds SET stop = 1 WHERE one = 1").execute(self.database.writer()).await?;
        Ok(stopped.rows_affected() > 0)
    }

    /// The newest one.
    pub(crate) async fn rebuild(&self) -> Result<Option<StoredRebuild>, Error> {
        let sql = "SELECT id, told, held_until, stop FROM rebuilds WHERE one = 1";
        let Some(row) = sqlx::query(sql).fetch_optional(self.database.writer()).await? else { return Ok(None) };
        Ok(Some(StoredRebuild {
            id: row.try_get(0)?,
            told: row.try_get(1)?,
            held_until: Timestamp::saturating_from_millis(row.try_get(2)?),
            stop: row.try_get::<i64, _>(3)? != 0,
        }))
    }
}
