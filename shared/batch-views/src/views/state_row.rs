//! Totals out of the rows of a plan of states.

use deltalake::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{Decimal128Type, Int32Type, Int64Type},
};
use tidemill_definitions::{MeasureDefinition, MeasureKind, MetricDefinition};
use tidemill_domain::{Amount, Currency, Partition, Timestamp};
use tidemill_events::CellUpdate;
use tidemill_totals::{Converted, Distinct, Measure, MeasureTotal, Totals};

use crate::SqlError;

const MICROS: i64 = 1000;

/// A row, read column by column.
pub(crate) struct StateRow<'b> {
    columns: &'b [ArrayRef],
    row: usize,
    next: usize,
}

fn other_columns() -> SqlError {
    SqlError::Failed("a plan of states gave other columns than were asked for".into())
}

impl<'b> StateRow<'b> {
    pub(crate) fn of(batch: &'b RecordBatch, row: usize) -> Self {
        Self { columns: batch.columns(), row, next: 0 }
    }

    /// The cell, with the partition that its totals are of.
    pub(crate) fn cell(
        mut self,
        metric: &MetricDefinition,
        bases: &[Currency],
    ) -> Result<(Partition, CellUpdate), SqlError> {
        let partition = self.column()?.as_primitive_opt::<Int32Type>().ok_or_else(other_columns)?.value(self.row);
        let partition = u16::try_from(partition).map(Partition::new).map_err(|_| other_columns())?;
        let start = Timestamp::saturating_from_millis(self.whole()?.div_euclid(MICROS));
        let values = metric.dimensions.keys().map(|_| self.text()).collect::<Result<Vec<_>, _>>()?;
        let totals = metric.measures.values().map(|measure| self.total(measure, bases)).collect::<Result<_, _>>()?;
        let end = start.plus_millis(metric.window.size_millis());
        let group = metric.cell_group(values);
        Ok((partition, CellUpdate { group, start, end, totals: Totals(totals), exemplar: None, retracted: false }))
    }

    fn total(&mut self, measure: &MeasureDefinition, bases: &[Currency]) -> Result<MeasureTotal, SqlError> {
        let mut total = MeasureTotal::from(self.state(&measure.kind)?);
        match measure.kind {
            MeasureKind::Count => return Ok(total),
            MeasureKind::Distinct { .. } => {
                total.unread = self.count()?;
                return Ok(total);
            }
            _ => (total.unread, total.rounded) = (self.count()?, self.count()?),
        }
        if measure.money.is_some() {
            total.unconverted = self.count()?;
            for base in bases {
                let (rows, state) = (self.count()?, self.state(&measure.kind)?);
                // Of several base currencies the first by its code has a value, as in the stream.
                if rows > 0 && total.converted.is_none() {
                    // What is the same is written once.
                    let is_own = rows == total.unconverted && state == total.measure;
                    let state = (!is_own).then_some(state);
                    total.converted = Some(Converted { base: *base, rows, state });
                    total.unconverted = total.unconverted.saturating_sub(rows);
                }
            }
        }
        Ok(total)
    }

    fn state(&mut self, kind: &MeasureKind) -> Result<Measure, SqlError> {
        Ok(match kind {
            MeasureKind::Count => Measure::Count(self.count()?),
            MeasureKind::Sum(_) => Measure::Sum(self.amount()?.unwrap_or(Amount::ZERO)),
            MeasureKind::Min(_) => Measure::Min(self.amount()?),
            MeasureKind::Max(_) => Measure::Max(self.amount()?),
            MeasureKind::Average(_) => {
                Measure::Average { sum: self.amount()?.unwrap_or(Amount::ZERO), count: self.count()? }
            }
            MeasureKind::Distinct { within_partition: true, .. } => Measure::DistinctKeyed(self.count()?),
            MeasureKind::Distinct { within_partition: false, .. } => Measure::DistinctSketch(self.distinct()?),
            MeasureKind::Quantile { per_mille, .. } => {
                let sketch = serde_json::from_str(self.text()?).map_err(|error| SqlError::Failed(error.to_string()))?;
                Measure::Quantile { per_mille: *per_mille, sketch }
            }
        })
    }

    fn column(&mut self) -> Result<&'b ArrayRef, SqlError> {
        let column = self.columns.get(self.next).ok_or_else(other_columns)?;
        self.next += 1;
        Ok(column)
    }

    fn whole(&mut self) -> Result<i64, SqlError> {
        let column = self.column()?.as_primitive_opt::<Int64Type>().ok_or_else(other_columns)?;
        Ok(if column.is_null(self.row) { 0 } else { column.value(self.row) })
    }

    fn count(&mut self) -> Result<u64, SqlError> {
        u64::try_from(self.whole()?).map_err(|_| other_columns())
    }

    fn amount(&mut self) -> Result<Option<Amount>, SqlError> {
        let column = self.column()?.as_primitive_opt::<Decimal128Type>().ok_or_else(other_columns)?;
        Ok(column.is_valid(self.row).then(|| Amount::from_units(column.value(self.row))))
    }

    fn text(&mut self) -> Result<&'b str, SqlError> {
        let column = self.column()?.as_string_opt::<i32>().ok_or_else(other_columns)?;
        Ok(if column.is_null(self.row) { "" } else { column.value(self.row) })
    }

    fn distinct(&mut self) -> Result<Distinct, SqlError> {
        let column = self.column()?.as_list_opt::<i32>().ok_or_else(other_columns)?;
        let mut set = Distinct::default();
        if column.is_valid(self.row) {
            let hashes = column.value(self.row);
            let hashes = hashes.as_primitive_opt::<Int64Type>().ok_or_else(other_columns)?;
            hashes.iter().flatten().for_each(|hash| set.insert_hash(hash.cast_unsigned()));
        }
        Ok(set)
    }
}
