//! For tests: a database that refuses some rows, as if it could not hold their
//! values, and one that is busy.

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};

/// Makes the database at `url` refuse, for good, the rows of `table` whose
/// `column` contains `part`. The error is one of the data.
///
/// # Errors
/// The database or the table is not there.
pub async fn refuse(url: &str, table: &str, column: &str, part: &str) -> Result<(), sqlx::Error> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await?;
    let sql = match url.starts_with("sqlite:") {
        true => format!(
            "PRAGMA busy_timeout = 5000; CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} \
             WHEN instr(NEW.{column}, '{part}') > 0 BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ),
        false => format!(
            "ALTER TABLE {table} ADD CONSTRAINT refuse_{table} CHECK (position('{part}' IN {column}) = 0) NOT VALID"
        ),
    };
    connection.execute(AssertSqlSafe(sql)).await?;
    connection.close().await
}

/// A database that others write, and nobody else until it is released.
#[derive(Debug)]
pub struct BusyDatabase(AnyConnection);

/// Keeps everybody from writing `table` of the database at `url`; of SQLite, from writing
/// anything. What is there can be read.
///
/// # Errors
/// The database or the table is not there.
pub async fn keep_busy(url: &str, table: &str) -> Result<BusyDatabase, sqlx::Error> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await?;
    let sql = match url.starts_with("sqlite:") {
        true => "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE".to_owned(),
        false => format!("BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE"),
    };
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(BusyDatabase(connection))
}

impl BusyDatabase {
    /// Lets the others go on.
    ///
    /// # Errors
    /// The database is away.
    pub async fn release(mut self) -> Result<(), sqlx::Error> {
        self.0.execute("ROLLBACK").await?;
        self.0.close().await
    }
}
