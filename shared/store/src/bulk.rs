//! Statements over lists: many rows written, many keys looked up.
//!
//! They are where the two databases part. SQLite looks up the name of each `$1`
//! among all before it, so that a long list of them costs its square; plain `?`
//! cost nothing. PostgreSQL plans a text anew for each length of list. So a list
//! is written with `?`, and becomes one of a few lengths, or on PostgreSQL, if it
//! is of keys, one array: a connection knows the statement already.

use std::{fmt::Write as _, pin::Pin, sync::Arc};

use sqlx::{AnyConnection, AssertSqlSafe, any::AnyRow};

use crate::{
    Error,
    postgres::ArrayText,
    values::{SqlValue, SqlValues},
};

/// Rows in one statement, and keys in one of SQLite: few lengths, so that all are
/// among the statements that a connection keeps.
const LENGTHS: [usize; 5] = [256, 64, 16, 4, 1];
/// Keys in one statement of PostgreSQL at most.
const ARRAY_KEYS: usize = 8_192;

/// A statement over a list, on its way: it knows nothing of whence the list came.
pub type ListStatement<'c> = Pin<Box<dyn Future<Output = Result<Vec<AnyRow>, Error>> + Send + 'c>>;

/// A statement and what it binds.
type BoundStatement = (Arc<str>, Vec<SqlValue>);

/// Inserts rows. `into` is the table with the columns, in the order of the
/// values: `totals (id, sum)`. `conflict` is what follows the rows, and may be
/// empty: `ON CONFLICT (id) DO UPDATE SET sum = excluded.sum`. No two rows may be
/// of the same key. Answers what a `RETURNING` returns.
pub fn insert_rows<'c>(
    connection: &'c mut AnyConnection,
    into: &str,
    conflict: &str,
    rows: impl IntoIterator<Item = SqlValues>,
) -> ListStatement<'c> {
    let statements = match is_postgres(connection) {
        true => inserts(into, conflict, rows, numbered),
        false => inserts(into, conflict, rows, str::to_owned),
    };
    Box::pin(run(connection, statements))
}

/// Runs a statement for many keys, some of them at once, and answers the rows of
/// all. In `sql` places are `?`, and that of the keys, ` IN (?)`, is the last:
/// `DELETE FROM totals WHERE shop = ? AND id IN (?)`. `others` come before the keys.
/// A key that is there twice is looked up once.
pub fn for_keys<'c>(
    connection: &'c mut AnyConnection,
    sql: &str,
    others: &SqlValues,
    keys: impl IntoIterator<Item: Into<SqlValue>>,
) -> ListStatement<'c> {
    let mut keys: Vec<SqlValue> = keys.into_iter().map(Into::into).collect();
    keys.sort_unstable();
    keys.dedup();
    let statements = match is_postgres(connection) {
        true => array_lookups(sql, others, &keys),
        false => sqlite_lookups(sql, others, &keys),
    };
    Box::pin(run(connection, statements))
}

fn is_postgres(connection: &AnyConnection) -> bool {
    connection.backend_name() == "PostgreSQL"
}

async fn run(connection: &mut AnyConnection, statements: Vec<BoundStatement>) -> Result<Vec<AnyRow>, Error> {
    let mut found = Vec::new();
    for (sql, values) in statements {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in values {
            query = match value {
                SqlValue::Int(value) => query.bind(value),
                SqlValue::Text(value) => query.bind(value),
                SqlValue::Bytes(value) => query.bind(value),
            };
        }
        found.append(&mut query.fetch_all(&mut *connection).await?);
    }
    Ok(found)
}

/// The rows, in statements of few lengths.
fn inserts(
    into: &str,
    conflict: &str,
    rows: impl IntoIterator<Item = SqlValues>,
    place: impl Fn(&str) -> String,
) -> Vec<BoundStatement> {
    let mut rows = rows.into_iter().peekable();
    let Some(columns) = rows.peek().map(|SqlValues(row)| row.len()) else { return Vec::new() };
    let row = format!("({})", places(columns));
    let values: Vec<SqlValue> = rows.flat_map(|SqlValues(row)| row).collect();
    let mut values = values.into_iter();
    let mut statements = Vec::new();
    for length in LENGTHS {
        let count = values.len() / (length * columns);
        if count > 0 {
            let rows = place(&vec![row.as_str(); length].join(","));
            let text: Arc<str> = format!("INSERT INTO {into} VALUES {rows} {conflict}").into();
            let mut next = || values.by_ref().take(length * columns).collect();
            statements.extend((0..count).map(|_| (Arc::clone(&text), next())));
        }
    }
    statements
}

/// Of the last keys there may be fewer than places. What is not bound is NULL,
/// which no key is.
fn sqlite_lookups(sql: &str, others: &SqlValues, keys: &[SqlValue]) -> Vec<BoundStatement> {
    let of = |keys: &[SqlValue]| -> BoundStatement {
        let length = LENGTHS.into_iter().rev().find(|length| *length >= keys.len()).unwrap_or(keys.len());
        let text = sql.replacen(" IN (?)", &format!(" IN ({})", places(length)), 1);
        (Arc::from(text), others.0.iter().chain(keys).cloned().collect())
    };
    keys.chunks(LENGTHS[0]).map(of).collect()
}

fn places(count: usize) -> String {
    vec!["?"; count].join(",")
}

fn array_lookups(sql: &str, others: &SqlValues, keys: &[SqlValue]) -> Vec<BoundStatement> {
    let Some(first) = keys.first() else { return Vec::new() };
    let is_number = matches!(first, SqlValue::Int(_));
    let text: Arc<str> = Arc::from(numbered(&with_array(sql, ArrayText::of(first).kind(), is_number)));
    let of = |keys: &[SqlValue]| -> BoundStatement {
        let mut array = ArrayText::of(first);
        keys.iter().for_each(|key| array.push(key));
        let least = keys.iter().find(|key| **key != SqlValue::Int(None)).cloned();
        let ends = is_number.then(|| [least.unwrap_or(SqlValue::Int(None)), keys[keys.len() - 1].clone()]);
        (Arc::clone(&text), others.0.iter().cloned().chain([array.take()]).chain(ends.into_iter().flatten()).collect())
    };
    keys.chunks(ARRAY_KEYS).map(of).collect()
}

/// The keys of a statement as one array; of numbers, with the least and the greatest.
/// A plan that was made before PostgreSQL knew the table may look for the columns
/// before the key alone, and read all that they have; but bounds it always takes.
fn with_array(sql: &str, kind: &str, is_number: bool) -> String {
    let column = sql.split(" IN (?)").next().and_then(|before| before.rsplit(' ').next());
    let array = match column.filter(|_| is_number) {
        Some(column) => format!(" = ANY(?::{kind}) AND {column} >= ? AND {column} <= ?"),
        None => format!(" = ANY(?::{kind})"),
    };
    sql.replacen(" IN (?)", &array, 1)
}

/// Places as PostgreSQL names them: `$1`, `$2` …
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (place, part) in parts.enumerate() {
        // To write to a string does not fail.
        let _ = write!(text, "${}{part}", place + 1);
    }
    text
}

#[cfg(test)]
mod tests;
