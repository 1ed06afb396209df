//! The name of the lake.

use sqlx::Row;
use tidemill_store::Error;
use uuid::Uuid;

use super::Store;

impl Store {
    /// The name by which tables know this lake: as it is given, else as it was made up
    /// when it was first asked for; `fresh` is one that nobody has.
    pub(crate) async fn lake_name(&self, given: Option<&str>, fresh: Uuid) -> Result<String, Error> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        sqlx::query("INSERT INTO lake (one, name) VALUES (1, $1) ON CONFLICT (one) DO NOTHING")
            .bind(fresh.to_string())
            .execute(self.database.writer())
            .await?;
        let row = sqlx::query("SELECT name FROM lake WHERE one = 1").fetch_one(self.database.writer()).await?;
        Ok(row.try_get(0)?)
    }
}
