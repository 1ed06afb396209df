//! For benches: what the store takes.

use tidemill_store::Error as StoreError;

use super::Store;

/// Pages that are in use.
const SQLITE: &str = "SELECT (c.page_count - f.freelist_count) * s.page_size \
     FROM pragma_page_count c, pragma_freelist_count f, pragma_page_size s";
/// Tables with their indexes, and with what was deleted and is not vacuumed.
const POSTGRES: &str = "SELECT CAST(SUM(pg_total_relation_size(relid)) AS BIGINT) FROM pg_stat_user_tables";

impl Store {
    /// Bytes on disk of all tables.
    pub(crate) async fn disk_bytes(&self, is_postgres: bool) -> Result<i64, StoreError> {
        let sql = if is_postgres { POSTGRES } else { SQLITE };
        Ok(sqlx::query_scalar(sql).fetch_one(self.database.pool()).await?)
    }
}
