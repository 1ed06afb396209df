//! Exact amounts and times in columns, and functions over them that SQL lacks.

use std::sync::Arc;

use deltalake::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray},
        datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType},
    },
    datafusion::{
        common::Result,
        logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
    },
};
use tidemill_definitions::dimension_value;
use tidemill_domain::Amount;

/// Digits of an amount.
pub(crate) const PRECISION: u8 = 38;
/// Digits of an amount behind the point.
pub(crate) const SCALE: i8 = 12;
/// An amount: its units are those of [`Amount`].
pub(crate) const AMOUNT: DataType = DataType::Decimal128(PRECISION, SCALE);

/// A time: microseconds, in UTC.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The functions that plans use.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    vec![
        function("window_start", vec![time_type(), DataType::Int64], time_type(), window_start),
        function("later", vec![time_type(), DataType::Int64], time_type(), later),
        function("mean", vec![AMOUNT, DataType::Int64], DataType::Float64, mean),
        function("share", vec![AMOUNT, DataType::Int64], AMOUNT, share),
        function("dimension", vec![DataType::Utf8], DataType::Utf8, dimension),
    ]
}

fn function(
    name: &str,
    arguments: Vec<DataType>,
    answer: DataType,
    compute: fn(&[ArrayRef]) -> Result<ArrayRef>,
) -> ScalarUDF {
    let body = move |values: &[ColumnarValue]| {
        ColumnarValue::values_to_arrays(values).and_then(|arrays| compute(&arrays)).map(ColumnarValue::Array)
    };
    create_udf(name, arguments, answer, Volatility::Immutable, Arc::new(body))
}

/// Computes a time of a time and milliseconds.
fn of_time(arrays: &[ArrayRef], compute: impl Fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let (times, millis) = (arrays[0].as_primitive::<TimestampMicrosecondType>(), arrays[1].as_primitive::<Int64Type>());
    let pairs = times.iter().zip(millis.iter());
    let computed = pairs.map(|(time, millis)| Some(compute(time?, millis?.saturating_mul(1000))));
    Ok(Arc::new(computed.collect::<TimestampMicrosecondArray>().with_timezone("UTC")))
}

/// `window_start(time, step)`: the last multiple of so many milliseconds.
fn window_start(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    of_time(arrays, |time, step| time - time.rem_euclid(step.max(1)))
}

/// `later(time, millis)`
fn later(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    of_time(arrays, i64::saturating_add)
}

fn of_amount<A>(arrays: &[ArrayRef], compute: impl Fn(Amount, i64) -> A) -> impl Iterator<Item = Option<A>> {
    let (sums, counts) = (arrays[0].as_primitive::<Decimal128Type>(), arrays[1].as_primitive::<Int64Type>());
    sums.iter().zip(counts.iter()).map(move |(sum, count)| match (sum, count) {
        (Some(sum), Some(count)) if count != 0 => Some(compute(Amount::from_units(sum), count)),
        _ => None,
    })
}

/// `mean(sum, count)`: as an average of a metric comes to a number; null of nothing.
#[allow(clippy::cast_precision_loss, reason = "the stream's averages are told like this")]
fn mean(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let means = of_amount(arrays, |sum, count| sum.to_f64() / count as f64);
    Ok(Arc::new(means.collect::<Float64Array>()))
}

/// `share(sum, count)`: the sum by the count, rounded half to even to twelve decimals.
fn share(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let shares = of_amount(arrays, |sum, count| {
        let count = i128::from(count);
        let (floor, rest) = (sum.units().div_euclid(count), sum.units().rem_euclid(count));
        let is_up = rest * 2 > count.abs() || rest * 2 == count.abs() && floor % 2 != 0;
        floor + i128::from(is_up)
    });
    Ok(Arc::new(shares.collect::<Decimal128Array>().with_precision_and_scale(PRECISION, SCALE)?))
}

/// `dimension(text)`: what a row is split by.
fn dimension(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let texts: &StringArray = arrays[0].as_string();
    let value =
        |text: Option<&str>| dimension_value(text.filter(|text| !text.is_empty()).unwrap_or("Unknown")).into_owned();
    let values = (0..texts.len()).map(|place| Some(value(texts.is_valid(place).then(|| texts.value(place)))));
    Ok(Arc::new(values.collect::<StringArray>()))
}
