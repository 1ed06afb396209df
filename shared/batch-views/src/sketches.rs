//! Distinct counts and quantiles as the stream makes them, as aggregates of SQL.

use std::{mem::size_of_val, sync::Arc};

use deltalake::{
    arrow::{
        array::{ArrayRef, AsArray, Int64Array, ListArray},
        buffer::OffsetBuffer,
        datatypes::{DataType, Decimal128Type, Field, Int64Type},
    },
    datafusion::{
        common::{DataFusionError, Result, ScalarValue},
        logical_expr::{Accumulator, AggregateUDF, Volatility, create_udaf, function::AccumulatorArgs},
    },
};
use tidemill_domain::Amount;
use tidemill_totals::{Distinct, QuantileSketch};

use crate::amounts::AMOUNT;

/// The aggregates that plans use.
pub(crate) fn aggregates() -> Vec<AggregateUDF> {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    vec![
        create_udaf(
            "distinct_estimate",
            vec![DataType::Int64],
            Arc::new(DataType::Int64),
            Volatility::Immutable,
            Arc::new(|_: AccumulatorArgs<'_>| Ok(Box::<DistinctAccumulator>::default() as Box<dyn Accumulator>)),
            Arc::new(vec![list.clone()]),
        ),
        create_udaf(
            "distinct_state",
            vec![DataType::Int64],
            Arc::new(list.clone()),
            Volatility::Immutable,
            Arc::new(|_: AccumulatorArgs<'_>| {
                Ok(Box::<AsState<DistinctAccumulator>>::default() as Box<dyn Accumulator>)
            }),
            Arc::new(vec![list]),
        ),
        create_udaf(
            "quantile_state",
            vec![AMOUNT, DataType::Int64],
            Arc::new(DataType::Utf8),
            Volatility::Immutable,
            Arc::new(|_: AccumulatorArgs<'_>| {
                Ok(Box::<AsState<QuantileAccumulator>>::default() as Box<dyn Accumulator>)
            }),
            Arc::new(vec![DataType::Utf8, DataType::Int64]),
        ),
        create_udaf(
            "quantile_estimate",
            vec![AMOUNT, DataType::Int64],
            Arc::new(DataType::Float64),
            Volatility::Immutable,
            Arc::new(|_: AccumulatorArgs<'_>| Ok(Box::<QuantileAccumulator>::default() as Box<dyn Accumulator>)),
            Arc::new(vec![DataType::Utf8, DataType::Int64]),
        ),
    ]
}

/// The sketch of another aggregate, in place of what it comes to: the first part of its state.
#[derive(Debug, Default)]
struct AsState<A>(A);

impl<A: Accumulator> Accumulator for AsState<A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.0.state()?.swap_remove(0))
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }
}

/// `distinct_estimate(hash)`: how many different values there are, of their hashes.
#[derive(Debug, Default)]
struct DistinctAccumulator(Distinct);

impl DistinctAccumulator {
    fn add(&mut self, hashes: &Int64Array) {
        hashes.iter().flatten().for_each(|hash| self.0.insert_hash(hash.cast_unsigned()));
    }
}

impl Accumulator for DistinctAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values[0].as_primitive::<Int64Type>());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.0.estimate().cast_signed())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.hashes().len() * size_of::<u64>() * 2
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let hashes: Int64Array = self.0.hashes().map(|hash| Some(hash.cast_signed())).collect();
        let item = Arc::new(Field::new_list_field(DataType::Int64, true));
        let list = ListArray::try_new(item, OffsetBuffer::from_lengths([hashes.len()]), Arc::new(hashes), None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().for_each(|list| self.add(list.as_primitive::<Int64Type>()));
        Ok(())
    }
}

/// `quantile_estimate(amount, per_mille)`: null of nothing.
#[derive(Debug, Default)]
struct QuantileAccumulator {
    sketch: QuantileSketch,
    per_mille: i64,
}

fn execution(error: serde_json::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl Accumulator for QuantileAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let per_mille = values[1].as_primitive::<Int64Type>();
        self.per_mille = per_mille.iter().flatten().next().unwrap_or(self.per_mille);
        for units in values[0].as_primitive::<Decimal128Type>().iter().flatten() {
            self.sketch.insert(Amount::from_units(units).to_f64());
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "thousandths")]
    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.sketch.quantile(self.per_mille as f64 / 1000.0)))
    }

    fn size(&self) -> usize {
        // At most 1,024 buckets; most have a few.
        size_of_val(self) + 512
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let text = serde_json::to_string(&self.sketch).map_err(execution)?;
        Ok(vec![ScalarValue::Utf8(Some(text)), ScalarValue::Int64(Some(self.per_mille))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let texts = states[0].as_string::<i32>();
        let per_mille = states[1].as_primitive::<Int64Type>();
        self.per_mille = per_mille.iter().flatten().find(|one| *one > 0).unwrap_or(self.per_mille);
        for text in texts.iter().flatten() {
            self.sketch.add(&serde_json::from_str(text).map_err(execution)?);
        }
        Ok(())
    }
}
