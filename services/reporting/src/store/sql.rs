//! What the tables' statements share.

use sqlx::{Any, AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error, SqlValues, insert_rows};
use uuid::Uuid;

/// What the version of a batch view has behind that of its definition.
pub(super) const BATCH: &str = "@batch";
/// Keys that one statement looks up.
pub(super) const BLOCK: usize = 250;

pub(super) type Statement<'q> = sqlx::query::Query<'q, Any, <Any as sqlx::Database>::Arguments>;

/// Inserts rows of `columns` values; `conflict` says what happens to those that
/// are there. No two rows may have the same key.
pub(super) async fn upsert<T: Sync>(
    connection: &mut AnyConnection,
    table: &str,
    columns: usize,
    conflict: &str,
    rows: &[T],
    bind: impl Fn(SqlValues, &T) -> SqlValues,
) -> Result<(), Error> {
    let rows: Vec<SqlValues> = rows.iter().map(|row| bind(SqlValues::new(), row)).collect();
    debug_assert!(rows.iter().all(|row| row.len() == columns), "{table}");
    insert_rows(connection, table, &format!("ON CONFLICT {conflict}"), rows).await?;
    Ok(())
}

/// `$4,$5,$6`: `count` places from `first` on.
pub(super) fn numbered(first: usize, count: usize) -> String {
    (first..first + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(",")
}

pub(super) fn unsigned(row: &AnyRow, column: usize) -> Result<u64, Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Malformed("count"))
}

pub(super) fn optional(row: &AnyRow, column: usize) -> Result<Option<u64>, Error> {
    let number = row.try_get::<Option<i64>, _>(column)?;
    number.map(|number| u64::try_from(number).map_err(|_| Error::Malformed("sequence"))).transpose()
}

pub(super) fn uuid(row: &AnyRow, column: usize) -> Result<Uuid, Error> {
    row.try_get::<&str, _>(column)?.parse().map_err(|_| Error::Malformed("id"))
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

pub(super) fn partition(index: i64) -> Result<Partition, Error> {
    u16::try_from(index).map(Partition::new).map_err(|_| Error::Malformed("partition"))
}
