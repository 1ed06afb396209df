//! Rows on their way into a table, by column.

use std::{borrow::Cow, marker::PhantomData, sync::Arc};

use deltalake::arrow::{
    array::{
        Array, ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
        StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::SchemaRef,
};
use tidemill_domain::Timestamp;

use crate::{
    definition::{ColumnKind, TableDefinition},
    error::LakeError,
    more::MoreColumn,
    schema::{UTC, arrow_schema_with},
};

/// A row of a table.
pub trait Row {
    /// The same row with texts that live for ever: it names the table, whatever its
    /// rows borrow from.
    type Kind: Row;

    /// The table.
    fn table() -> &'static TableDefinition;

    /// Appends its values to the columns, in their order.
    fn append(&self, columns: &mut [ColumnValues]);
}

/// The values of a column.
#[derive(Debug)]
pub enum ColumnValues {
    /// Of [`ColumnKind::Int`].
    Int(Int32Builder),
    /// Of [`ColumnKind::Long`].
    Long(Int64Builder),
    /// Of [`ColumnKind::Double`].
    Double(Float64Builder),
    /// Of [`ColumnKind::Boolean`].
    Boolean(BooleanBuilder),
    /// Of [`ColumnKind::Text`].
    Text(StringBuilder),
    /// Of [`ColumnKind::Timestamp`].
    Timestamp(TimestampMicrosecondBuilder),
    /// Of [`ColumnKind::Decimal`].
    Decimal(Decimal128Builder),
}

impl ColumnValues {
    fn of(kind: ColumnKind) -> Result<Self, LakeError> {
        Ok(match kind {
            ColumnKind::Int => Self::Int(Int32Builder::new()),
            ColumnKind::Long => Self::Long(Int64Builder::new()),
            ColumnKind::Double => Self::Double(Float64Builder::new()),
            ColumnKind::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnKind::Text => Self::Text(StringBuilder::new()),
            ColumnKind::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone(UTC)),
            ColumnKind::Decimal(precision, scale) => {
                let scale = i8::try_from(scale).unwrap_or(i8::MAX);
                Self::Decimal(Decimal128Builder::new().with_precision_and_scale(precision, scale)?)
            }
        })
    }

    /// Appends a value; one of another kind is null.
    fn append(&mut self, value: Option<MoreValue<'_>>) {
        match (self, value) {
            (Self::Text(builder), Some(MoreValue::Text(text))) => builder.append_value(text),
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Long(builder), Some(MoreValue::Long(number))) => builder.append_value(number),
            (Self::Long(builder), _) => builder.append_null(),
            (Self::Double(builder), Some(MoreValue::Double(number))) => builder.append_value(number),
            (Self::Double(builder), _) => builder.append_null(),
            (Self::Boolean(builder), Some(MoreValue::Boolean(flag))) => builder.append_value(flag),
            (Self::Boolean(builder), _) => builder.append_null(),
            (Self::Timestamp(builder), Some(MoreValue::Timestamp(time))) => {
                builder.append_value(time.millis().saturating_mul(1000));
            }
            (Self::Timestamp(builder), _) => builder.append_null(),
            (Self::Decimal(builder), Some(MoreValue::Decimal(units))) => builder.append_value(units),
            (Self::Decimal(builder), _) => builder.append_null(),
            // No further column is of this kind.
            (Self::Int(builder), _) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int(builder) => Arc::new(builder.finish()),
            Self::Long(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => {
                let texts = builder.finish();
                // The next ones are about as many, and as long: while they grow nothing is copied.
                *builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
                Arc::new(texts)
            }
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => Arc::new(builder.finish()),
        }
    }
}

/// A value of a further column.
#[derive(Debug, Clone, PartialEq)]
pub enum MoreValue<'v> {
    /// Of [`ColumnKind::Text`].
    Text(Cow<'v, str>),
    /// Of [`ColumnKind::Long`].
    Long(i64),
    /// Of [`ColumnKind::Double`].
    Double(f64),
    /// Of [`ColumnKind::Boolean`].
    Boolean(bool),
    /// Of [`ColumnKind::Timestamp`].
    Timestamp(Timestamp),
    /// Of [`ColumnKind::Decimal`], in units of its last digit.
    Decimal(i128),
}

/// Rows of a table, gathered.
#[derive(Debug)]
pub struct TableRows<R> {
    schema: SchemaRef,
    columns: Vec<ColumnValues>,
    count: usize,
    row: PhantomData<fn() -> R>,
}

impl<R: Row> TableRows<R> {
    /// None.
    ///
    /// # Errors
    /// A column is declared with digits that no decimal has.
    pub fn new() -> Result<Self, LakeError> {
        Self::with(&[])
    }

    /// None, of a table with further columns.
    ///
    /// # Errors
    /// A column is declared with digits that no decimal has.
    pub fn with(more: &[MoreColumn]) -> Result<Self, LakeError> {
        let declared = R::table().columns.iter().map(|column| column.kind);
        let columns = declared.chain(more.iter().map(|column| column.kind)).map(ColumnValues::of);
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(Self { schema: arrow_schema_with(R::table(), more), columns, count: 0, row: PhantomData })
    }

    /// Adds one.
    pub fn push(&mut self, row: &impl Row<Kind = R>) {
        self.push_with(row, []);
    }

    /// Adds one, with values of the further columns; those that are not given are null.
    pub fn push_with<'v>(&mut self, row: &impl Row<Kind = R>, more: impl IntoIterator<Item = Option<MoreValue<'v>>>) {
        row.append(&mut self.columns);
        let mut values = more.into_iter();
        for column in self.columns.iter_mut().skip(R::table().columns.len()) {
            column.append(values.next().flatten());
        }
        self.count += 1;
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes them out.
    ///
    /// # Errors
    /// They do not fit the schema: a fault of this crate.
    pub fn take(&mut self) -> Result<RecordBatch, LakeError> {
        self.count = 0;
        let columns = self.columns.iter_mut().map(ColumnValues::finish).collect();
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
