//! A store that has several parts: a database for each, in one place.

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};

use crate::{Config, Error};

impl Config {
    /// The configuration of a part. Where the URL is of SQLite it names a folder, and the
    /// part is a file in it; else the part is a schema of the database, which is made if it
    /// is missing. `name` is of small letters, digits and `_`.
    ///
    /// # Errors
    /// The schema cannot be made, or the name is none.
    pub async fn part(&self, name: &str) -> Result<Self, Error> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(Error::Config(format!("{name:?} is no name of a part")));
        }
        let url = if self.url.starts_with("sqlite:") {
            format!("{}/{name}.db", self.url.trim_end_matches('/'))
        } else {
            sqlx::any::install_default_drivers();
            let mut connection = AnyConnection::connect(&self.url).await?;
            let made = connection.execute(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {name}"))).await;
            // Of two who make it at once, one is told that it is there.
            let is_there = made.is_err()
                && sqlx::query("SELECT 1 FROM information_schema.schemata WHERE schema_name = $1")
                    .bind(name.to_owned())
                    .fetch_optional(&mut connection)
                    .await?
                    .is_some();
            if !is_there {
                made?;
            }
            connection.close().await?;
            let and = if self.url.contains('?') { '&' } else { '?' };
            format!("{}{and}options[search_path]={name}", self.url)
        };
        Ok(Self { url, max_connections: self.max_connections })
    }
}
