//! Values between Rust and the columns of both databases.

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::TraceParent;
use tidemill_store::Error;

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &AnyRow, column: usize) -> Result<u64, Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Malformed("sequence"))
}

pub(super) fn partition(row: &AnyRow, column: usize) -> Result<Partition, Error> {
    let index = u16::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Malformed("partition"))?;
    Ok(Partition::new(index))
}

pub(super) fn time(row: &AnyRow, column: usize) -> Result<Timestamp, Error> {
    Ok(Timestamp::saturating_from_millis(row.try_get(column)?))
}

pub(super) fn time_opt(row: &AnyRow, column: usize) -> Result<Option<Timestamp>, Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::saturating_from_millis))
}

pub(super) fn trace_opt(row: &AnyRow, column: usize) -> Result<Option<TraceParent>, Error> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|_| Error::Malformed("trace"))).transpose()
}

pub(super) fn json<T: DeserializeOwned>(row: &AnyRow, column: usize, what: &'static str) -> Result<T, Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|_| Error::Malformed(what))
}

pub(super) fn text(value: &impl Serialize, what: &'static str) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| Error::Malformed(what))
}
