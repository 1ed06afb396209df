//! What was counted of the files of tables.

use sqlx::{Row, any::AnyRow};
use tidemill_batch_views::KnownCounts;
use tidemill_store::{Error, SqlValues, for_keys, insert_rows};

use super::Store;

impl Store {
    /// What is known of the files of a table, as far as it was counted in this way.
    pub(crate) async fn file_counts(&self, table: &str, fingerprint: &str) -> Result<KnownCounts, Error> {
        let query = sqlx::query("SELECT file, counts FROM quality_files WHERE table_name = $1 AND fingerprint = $2");
        let rows = query.bind(table).bind(fingerprint).fetch_all(self.database.pool()).await?;
        let counts = |row: &AnyRow| {
            let counts = serde_json::from_str(row.try_get(1)?).map_err(|_| Error::Malformed("counts"))?;
            Ok((row.try_get(0)?, counts))
        };
        rows.iter().map(counts).collect()
    }

    /// Keeps what was counted in this way, and forgets files that are gone, and what was
    /// counted in another way.
    pub(crate) async fn keep_file_counts(
        &self,
        table: &str,
        fingerprint: &str,
        counted: &KnownCounts,
        gone: &[String],
    ) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        sqlx::query("DELETE FROM quality_files WHERE table_name = $1 AND fingerprint <> $2")
            .bind(table)
            .bind(fingerprint)
            .execute(&mut *transaction)
            .await?;
        let of_files = "DELETE FROM quality_files WHERE table_name = ? AND file IN (?)";
        for_keys(&mut transaction, of_files, &SqlValues::new().bind(table), gone).await?;
        let mut rows = Vec::with_capacity(counted.len());
        for (file, counts) in counted {
            let counts = serde_json::to_string(counts).map_err(|_| Error::Malformed("counts"))?;
            rows.push(SqlValues::new().bind(table).bind(file).bind(fingerprint).bind(counts));
        }
        let (into, conflict) = (
            "quality_files (table_name, file, fingerprint, counts)",
            "ON CONFLICT (table_name, file) DO UPDATE SET fingerprint = excluded.fingerprint, counts = excluded.counts",
        );
        insert_rows(&mut transaction, into, conflict, rows).await?;
        transaction.commit().await?;
        Ok(())
    }
}
