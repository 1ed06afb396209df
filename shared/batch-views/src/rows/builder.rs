//! Contributed rows as a list of structs.

use std::sync::Arc;

use deltalake::{
    arrow::{
        array::{ArrayRef, Decimal128Builder, Int64Builder, ListArray, StringBuilder, StructArray},
        buffer::OffsetBuffer,
        datatypes::{DataType, Field, FieldRef, Fields},
    },
    datafusion::common::Result,
};
use tidemill_definitions::{Contribution, MeasureDefinition, MeasureKind, MetricDefinition, RowValue};
use tidemill_domain::{BaseAmount, Currency, ReadAmount};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    amounts::AMOUNT,
    columns::{Beside, MeasureColumns, MetricColumns},
};

/// The type of a list of rows.
pub(super) fn list_of(columns: &MetricColumns) -> DataType {
    DataType::List(item(columns))
}

fn item(columns: &MetricColumns) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields(columns)), true))
}

fn fields(columns: &MetricColumns) -> Fields {
    let text = |name: &String| Field::new(name, DataType::Utf8, true);
    let whole = |name: &String| Field::new(name, DataType::Int64, true);
    let amount = |name: &String| Field::new(name, AMOUNT, true);
    let mut fields: Vec<Field> = columns.dimensions.iter().map(text).collect();
    fields.extend(columns.has_money.then(|| text(&"base_currency".into())));
    for measure in &columns.measures {
        match &measure.beside {
            Beside::Nothing => fields.push(whole(&measure.value)),
            Beside::Unread(unread) => fields.extend([whole(&measure.value), whole(unread)]),
            Beside::Amount(beside) => {
                fields.extend([amount(&measure.value), whole(&beside.unread), whole(&beside.rounded)]);
                fields.extend(beside.money.as_ref().map(|money| amount(&money.converted)));
            }
        }
    }
    fields.into()
}

/// Collects rows, and which events they are of.
pub(super) struct RowsBuilder {
    columns: MetricColumns,
    dimensions: Vec<StringBuilder>,
    base: Option<StringBuilder>,
    measures: Vec<MeasureBuilder>,
    rows: usize,
    /// Rows up to the end of each event.
    ends: Vec<usize>,
}

/// The columns of one measure.
#[allow(clippy::large_enum_variant, reason = "there is one for each measure of a metric")]
enum MeasureBuilder {
    Count(Int64Builder),
    Distinct {
        hash: Int64Builder,
        unread: Int64Builder,
        is_keyed: bool,
    },
    Amount {
        value: Decimal128Builder,
        unread: Int64Builder,
        rounded: Int64Builder,
        converted: Option<Decimal128Builder>,
    },
}

impl RowsBuilder {
    pub(super) fn new(metric: &MetricDefinition, columns: &MetricColumns, events: usize) -> Self {
        let measures = metric.measures.values().zip(&columns.measures);
        Self {
            columns: columns.clone(),
            dimensions: columns.dimensions.iter().map(|_| StringBuilder::new()).collect(),
            base: columns.has_money.then(StringBuilder::new),
            measures: measures.map(|(measure, columns)| MeasureBuilder::of(measure, columns)).collect(),
            rows: 0,
            ends: Vec::with_capacity(events),
        }
    }

    pub(super) fn add(&mut self, row: &Contribution<'_>, partition: i32) {
        self.rows += 1;
        self.dimensions.iter_mut().zip(&row.dimensions).for_each(|(column, value)| column.append_value(value));
        if let Some(base) = &mut self.base {
            base.append_option(row.values.iter().flatten().find_map(base_of).as_ref().map(Currency::as_str));
        }
        for (column, value) in self.measures.iter_mut().zip(&row.values) {
            column.add(value.as_ref(), partition);
        }
    }

    /// What was added since the last call are the rows of one event.
    pub(super) fn end_event(&mut self) {
        self.ends.push(self.rows);
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = Vec::new();
        arrays.extend(self.dimensions.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        arrays.extend(self.base.as_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        self.measures.iter_mut().for_each(|column| column.finish(&mut arrays));
        let rows = StructArray::try_new_with_length(fields(&self.columns), arrays, None, self.rows)?;
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let lengths = starts.zip(&self.ends).map(|(start, end)| end - start);
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(item(&self.columns), offsets, Arc::new(rows), None)?))
    }
}

fn base_of(value: &RowValue<'_>) -> Option<Currency> {
    match value {
        RowValue::Money(_, base) => base.map(|base| base.base),
        RowValue::Partly(value) => base_of(value),
        RowValue::One | RowValue::Amount(_) | RowValue::Text(_) | RowValue::Unread => None,
    }
}

/// A value as a number; one that occurs in one partition only is another one in each.
fn hash(text: &str, partition: Option<i32>) -> i64 {
    let place = partition
        .map_or(0, |partition| (i64::from(partition) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()));
    xxh3_64(text.as_bytes()).cast_signed() ^ place
}

impl MeasureBuilder {
    fn of(measure: &MeasureDefinition, columns: &MeasureColumns) -> Self {
        let amounts = || Decimal128Builder::new().with_data_type(AMOUNT);
        match &columns.beside {
            Beside::Nothing => Self::Count(Int64Builder::new()),
            Beside::Unread(_) => Self::Distinct {
                hash: Int64Builder::new(),
                unread: Int64Builder::new(),
                is_keyed: matches!(measure.kind, MeasureKind::Distinct { within_partition: true, .. }),
            },
            Beside::Amount(beside) => Self::Amount {
                value: amounts(),
                unread: Int64Builder::new(),
                rounded: Int64Builder::new(),
                converted: beside.money.as_ref().map(|_| amounts()),
            },
        }
    }

    fn add(&mut self, value: Option<&RowValue<'_>>, partition: i32) {
        match self {
            Self::Count(count) => count.append_option(value.map(|_| 1)),
            Self::Distinct { hash: column, unread, is_keyed } => {
                let text = match value {
                    Some(RowValue::Text(text)) => Some(hash(text, is_keyed.then_some(partition))),
                    _ => None,
                };
                column.append_option(text);
                unread.append_value(i64::from(matches!(value, Some(RowValue::Unread))));
            }
            Self::Amount { value: column, unread, rounded, converted } => {
                let read = AmountRow::of(value);
                column.append_option(read.amount.map(|read| read.amount.units()));
                unread.append_value(i64::from(read.is_unread));
                rounded.append_value(i64::from(read.is_rounded()));
                if let Some(converted) = converted {
                    converted.append_option(read.converted().map(|read| read.amount.units()));
                }
            }
        }
    }

    fn finish(&mut self, arrays: &mut Vec<ArrayRef>) {
        match self {
            Self::Count(count) => arrays.push(Arc::new(count.finish())),
            Self::Distinct { hash, unread, .. } => {
                arrays.extend([Arc::new(hash.finish()) as ArrayRef, Arc::new(unread.finish())]);
            }
            Self::Amount { value, unread, rounded, converted } => {
                let value = Arc::new(value.finish()) as ArrayRef;
                arrays.extend([value, Arc::new(unread.finish()), Arc::new(rounded.finish())]);
                arrays.extend(converted.as_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
            }
        }
    }
}

/// What a row gives to a measure of amounts.
#[derive(Default)]
struct AmountRow {
    amount: Option<ReadAmount>,
    base: Option<BaseAmount>,
    is_unread: bool,
}

impl AmountRow {
    fn of(value: Option<&RowValue<'_>>) -> Self {
        match value {
            Some(RowValue::Amount(read)) => Self { amount: Some(*read), ..Self::default() },
            Some(RowValue::Money(read, base)) => Self { amount: Some(*read), base: *base, is_unread: false },
            Some(RowValue::Partly(value)) => Self { is_unread: true, ..Self::of(Some(value)) },
            Some(RowValue::Unread) => Self { is_unread: true, ..Self::default() },
            Some(RowValue::One | RowValue::Text(_)) | None => Self::default(),
        }
    }

    fn is_rounded(&self) -> bool {
        let of_base = self.base.and_then(|base| base.converted);
        self.amount.is_some_and(|read| read.rounded) || of_base.is_some_and(|read| read.rounded)
    }

    /// In the base currency, in which it may be already.
    fn converted(&self) -> Option<ReadAmount> {
        self.base.and_then(|base| base.converted.or(self.amount))
    }
}
