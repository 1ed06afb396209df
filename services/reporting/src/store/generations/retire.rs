//! A generation that is gone, and what of it is yet to be deleted.

use sqlx::{AnyConnection, AssertSqlSafe, Row};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::served::{lock, note, pointers};
use crate::{
    generations::{GenerationOrder, ServedChange},
    store::Store,
};

/// Windows of a version that one transaction deletes.
const AT_ONCE: i64 = 200;

/// What became of an order to retire a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Retired {
    /// It is gone: what still comes of it is passed over.
    Done,
    /// These metrics are answered by it.
    Serves(Vec<String>),
}

impl Store {
    /// Retires a generation that answers nothing. Its totals are deleted bit by bit
    /// ([`forget_retired`](Self::forget_retired)).
    pub(crate) async fn retire(&self, order: &GenerationOrder) -> Result<Retired, Error> {
        let mut tx = self.database.begin().await?;
        lock(&mut tx).await?;
        let retired = retired(&mut tx, order).await?;
        tx.commit().await?;
        Ok(retired)
    }

    /// Retires the generations that were warm for as long as the cutover from them said,
    /// and answer nothing; answers which.
    pub(crate) async fn retire_cooled(&self, now: Timestamp) -> Result<Vec<String>, Error> {
        let mut tx = self.database.begin().await?;
        lock(&mut tx).await?;
        let sql = "SELECT name FROM generations WHERE retire_at <= $1 AND retired_at IS NULL ORDER BY name";
        let rows = sqlx::query(sql).bind(now.millis()).fetch_all(&mut *tx).await?;
        let mut gone = Vec::new();
        for row in &rows {
            let name: String = row.try_get(0)?;
            let order = GenerationOrder::cooled_down(name.clone(), now);
            if retired(&mut tx, &order).await? == Retired::Done {
                gone.push(name);
            }
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// Deletes some of what retired generations have left; answers whether there may be
    /// more.
    pub(crate) async fn forget_retired(&self) -> Result<bool, Error> {
        let sql = "SELECT v.metric, v.version FROM versions v, generations g
                   WHERE g.retired_at IS NOT NULL
                   AND substr(v.version, length(v.version) - length(g.name)) = '@' || g.name LIMIT 1";
        let Some(row) = sqlx::query(sql).fetch_optional(self.database.pool()).await? else { return Ok(false) };
        let (metric, version): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let mut tx = self.database.begin().await?;
        let of = "metric = $1 AND version = $2";
        let windows = format!(
            "DELETE FROM packed_cells WHERE {of} AND window_start IN (SELECT DISTINCT window_start FROM packed_cells
             WHERE {of} ORDER BY window_start LIMIT {AT_ONCE})"
        );
        let query = sqlx::query(AssertSqlSafe(windows)).bind(metric.clone()).bind(version.clone());
        if query.execute(&mut *tx).await?.rows_affected() == 0 {
            // The definition goes last: by it the rest is found.
            for table in ["rollups", "rollup_marks", "rollup_frontiers", "counting", "versions"] {
                let query = sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} WHERE {of}")));
                query.bind(metric.clone()).bind(version.clone()).execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Retires a generation, unless it answers something.
async fn retired(connection: &mut AnyConnection, order: &GenerationOrder) -> Result<Retired, Error> {
    let suffix = format!("@{}", order.generation);
    let served = pointers(connection).await?.into_iter().filter(|(_, version)| version.ends_with(&suffix));
    let served: Vec<String> = served.map(|(metric, _)| metric).collect();
    if !served.is_empty() {
        return Ok(Retired::Serves(served));
    }
    let sql = "UPDATE generations SET retired_at = $1 WHERE name = $2 AND retired_at IS NULL";
    let query = sqlx::query(sql).bind(order.at.millis()).bind(order.generation.clone());
    let outcomes = sqlx::query("DELETE FROM generation_outcomes WHERE generation = $1").bind(order.generation.clone());
    outcomes.execute(&mut *connection).await?;
    if query.execute(&mut *connection).await?.rows_affected() > 0 {
        let nothing = String::new;
        let change = ServedChange { metric: nothing(), before: nothing(), after: nothing() };
        note(connection, order, &change).await?;
    }
    Ok(Retired::Done)
}
