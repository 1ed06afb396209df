//! Answers as CSV.

use std::{borrow::Cow, collections::BTreeMap};

use tidemill_domain::Timestamp;
use tidemill_service::spreadsheet::cell;
use tidemill_totals::Value;

use super::{
    answer::{MetricSeries, SeriesAnswer, SeriesPoint, TotalsAnswer},
    grouping::Values,
};
use crate::catalogue::Metric;

#[cfg(test)]
mod tests;

pub(crate) fn series_csv(
    metric: &Metric,
    SeriesAnswer { head, series, .. }: SeriesAnswer,
) -> Result<Vec<u8>, csv::Error> {
    let rows = series.into_iter().flat_map(|MetricSeries { dimensions, points }| {
        let row = move |SeriesPoint { start, end, complete, values, .. }| {
            (dimensions.clone(), Some((start, end, complete)), values)
        };
        points.into_iter().map(row)
    });
    csv(metric, &head.group_by, true, rows)
}

pub(crate) fn totals_csv(metric: &Metric, TotalsAnswer { head, rows }: TotalsAnswer) -> Result<Vec<u8>, csv::Error> {
    csv(metric, &head.group_by, false, rows.into_iter().map(|row| (row.dimensions, None, row.values)))
}

/// An answer as CSV: the dimensions grouped by, the window where `windows`,
/// and the measures. No dimension's value is a formula to a spreadsheet.
fn csv(
    metric: &Metric,
    group_by: &[String],
    windows: bool,
    rows: impl Iterator<Item = (BTreeMap<String, String>, Option<(Timestamp, Timestamp, bool)>, Values)>,
) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let window_columns = ["start", "end", "complete"].into_iter().filter(|_| windows);
    let measures = || metric.measures.iter().map(|measure| measure.name.as_str());
    out.write_record(
        group_by
            .iter()
            .map(|name| cell(name))
            .chain(window_columns.chain(measures()).map(Cow::from))
            .map(Cow::into_owned),
    )?;
    for (dimensions, window, values) in rows {
        let mut record: Vec<String> = group_by
            .iter()
            .map(|name| dimensions.get(name).map_or_else(String::new, |value| cell(value).into()))
            .collect();
        record.extend(
            window
                .into_iter()
                .flat_map(|(start, end, complete)| [start.to_string(), end.to_string(), complete.to_string()]),
        );
        record.extend(measures().map(|name| match values.get(name) {
            Some(Value::Count(count)) => count.to_string(),
            Some(Value::Amount(amount)) => amount.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::None) | None => String::new(),
        }));
        out.write_record(record)?;
    }
    out.into_inner().map_err(|error| error.into_error().into())
}
