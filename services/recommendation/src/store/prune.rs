//! What is forgotten with time.

use tidemill_domain::Timestamp;
use tidemill_store::Error as StoreError;

use super::Store;
use crate::error::Error;

/// Rows that one statement deletes at most.
const ROWS: i64 = 500;

/// A table, and the column by which its rows grow old.
const TABLES: [(&str, &str); 3] = [("profiles", "last_active"), ("items", "told_at"), ("visits", "seen_at")];

impl Store {
    /// Deletes some of what is older than `before`. Answers whether there may be more.
    pub(crate) async fn prune(&self, before: Timestamp) -> Result<bool, Error> {
        self.call(async {
            let mut is_more = false;
            for (table, time) in TABLES {
                // Those of the same moment go with the last one of them.
                let sql = format!(
                    "DELETE FROM {table} WHERE {time} < $1 AND {time} <= (SELECT MAX({time}) FROM \
                     (SELECT {time} FROM {table} ORDER BY {time} LIMIT $2) AS oldest)"
                );
                let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(before.millis()).bind(ROWS);
                let deleted = query.execute(self.database.writer()).await.map_err(StoreError::from)?;
                is_more |= deleted.rows_affected() >= ROWS.unsigned_abs();
            }
            Ok(is_more)
        })
        .await
    }
}
