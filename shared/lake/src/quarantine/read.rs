//! What is held back, read.

use deltalake::{
    arrow::{
        array::{Array, AsArray, RecordBatch},
        compute::cast,
        datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType},
    },
    datafusion::{
        prelude::{Expr, lit},
        scalar::ScalarValue,
    },
};
use tidemill_domain::Timestamp;

use crate::{
    error::{LakeError, LakeErrorKind},
    schema::UTC,
};

/// An event that was held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEvent {
    /// Partition of the log.
    pub partition: i32,
    /// Sequence of its batch in `RAW`.
    pub raw_seq: i64,
    /// Its line in the batch.
    pub index: i32,
    /// When ingestion took it in.
    pub received: Timestamp,
    /// Whether it came past the allowed lateness.
    pub late: bool,
    /// The line as enrichment has written it.
    pub event: String,
}

/// A moment as a column has it.
pub(super) fn moment(time: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(time.millis().saturating_mul(1000)), Some(UTC.into())))
}

/// The rows of a batch.
pub(super) fn held(batch: &RecordBatch) -> Result<Vec<HeldEvent>, LakeError> {
    let column = |name: &str, kind: &DataType| {
        let missing = || LakeError::new(LakeErrorKind::Schema, format!("there is no column {name}"));
        let column = batch.column_by_name(name).ok_or_else(missing)?;
        Ok::<_, LakeError>(cast(column, kind)?)
    };
    let (partitions, sequences) = (column("partition", &DataType::Int32)?, column("raw_seq", &DataType::Int64)?);
    let (indexes, late) = (column("index", &DataType::Int32)?, column("late", &DataType::Boolean)?);
    let received = column("received", &DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))?;
    let events = column("event", &DataType::Utf8)?;
    let (partitions, sequences) = (partitions.as_primitive::<Int32Type>(), sequences.as_primitive::<Int64Type>());
    let (indexes, late) = (indexes.as_primitive::<Int32Type>(), late.as_boolean());
    let received = received.as_primitive::<TimestampMicrosecondType>();
    let events = events.as_string::<i32>();
    let row = |row: usize| HeldEvent {
        partition: partitions.value(row),
        raw_seq: sequences.value(row),
        index: indexes.value(row),
        received: Timestamp::saturating_from_millis(received.value(row).div_euclid(1000)),
        late: late.value(row),
        event: events.value(row).to_owned(),
    };
    Ok((0..events.len()).map(row).collect())
}
