//! Answers as CSV.

use std::{borrow::Cow, collections::BTreeMap};

use tidemill_domain::Timestamp;
use tidemill_service::spreadsheet::cell;
use tidemill_totals::Value;

use super::{
    answer::{Head, MetricSeries, SeriesAnswer, SeriesPoint, TotalsAnswer},
    grouping::{BaseValues, Values},
    resolution::Resolution,
};
use crate::{
    calendar::Zone,
    catalogue::Metric,
    counting::{Counting, UncountedTime},
};

#[cfg(test)]
mod tests;

/// A line of the table.
struct CsvRow {
    dimensions: BTreeMap<String, String>,
    /// Of a series: first instant, first instant after it, and whether it is complete.
    window: Option<(Timestamp, Timestamp, bool)>,
    values: Values,
    in_base: BaseValues,
    /// By measure: rows that are not in it.
    unread: BTreeMap<String, u64>,
}

/// Which columns the table has: the dimensions grouped by, the window, the
/// measures, for money what it is in the base currency, what is missing, and the
/// names of the measures that are approximate.
struct CsvColumns<'a> {
    group_by: &'a [String],
    /// Whose dates the periods begin with, where they are days or longer: a day of
    /// a zone begins at an instant of which UTC may have another date.
    dates_of: Option<Zone>,
    has_windows: bool,
    measures: Vec<&'a str>,
    /// Measures of money that are told in the base currency beside their own.
    converted: Vec<&'a str>,
    unconverted: Vec<&'a str>,
    base_currency: Option<String>,
    /// Measures that lack rows, in any row of the table.
    unread: Vec<&'a str>,
    /// Since when the version counts and what it has not counted, where it lacks
    /// anything.
    counting: Option<[String; 2]>,
    /// Since when windows are kept, where earlier ones were asked for.
    kept_since: Option<String>,
    /// In every row alike: a table has no place for what is said of all of it.
    approximate: String,
}

pub(crate) fn series_csv(
    metric: &Metric,
    SeriesAnswer { head, resolution, series }: SeriesAnswer,
) -> Result<Vec<u8>, csv::Error> {
    let rows = series.into_iter().flat_map(|MetricSeries { dimensions, points }| {
        let row = move |SeriesPoint { start, end, complete, values, in_base, gaps }| CsvRow {
            dimensions: dimensions.clone(),
            window: Some((start, end, complete)),
            values,
            in_base,
            unread: gaps.unread,
        };
        points.into_iter().map(row)
    });
    let rows: Vec<CsvRow> = rows.collect();
    let dates_of = (resolution >= Resolution::Day).then_some(head.zone);
    CsvColumns { has_windows: true, dates_of, ..CsvColumns::new(metric, &head, &rows) }.write(&rows)
}

pub(crate) fn totals_csv(metric: &Metric, TotalsAnswer { head, rows }: TotalsAnswer) -> Result<Vec<u8>, csv::Error> {
    let rows = rows.into_iter().map(|row| CsvRow {
        dimensions: row.dimensions,
        window: None,
        values: row.values,
        in_base: row.in_base,
        unread: row.gaps.unread,
    });
    let rows: Vec<CsvRow> = rows.collect();
    CsvColumns::new(metric, &head, &rows).write(&rows)
}

impl<'a> CsvColumns<'a> {
    /// Those of totals, which have no windows.
    fn new(metric: &'a Metric, head: &'a Head, rows: &[CsvRow]) -> Self {
        let names = |of_money: bool| {
            let measures = metric.measures.iter().filter(|measure| measure.money || !of_money);
            measures.map(|measure| measure.name.as_str()).collect::<Vec<_>>()
        };
        let base = head.base_currency.map(|base| base.map_or_else(String::new, |base| base.to_string()));
        Self {
            group_by: &head.group_by,
            dates_of: None,
            has_windows: false,
            measures: names(false),
            converted: if head.convert { Vec::new() } else { names(true) },
            unconverted: names(true),
            base_currency: base,
            unread: names(false)
                .into_iter()
                .filter(|name| rows.iter().any(|row| row.unread.contains_key(*name)))
                .collect(),
            counting: counting(&head.counting),
            kept_since: head.kept_since.map(|since| since.to_string()),
            approximate: head.approximate.join(" "),
        }
    }

    fn header(&self) -> Vec<String> {
        let windows = ["start", "end", "complete"].into_iter().filter(|_| self.has_windows);
        let windows = self.dates_of.map(|_| "date").into_iter().chain(windows).map(String::from);
        let named =
            |kind: &'static str, names: &[&str]| names.iter().map(|name| format!("{kind}.{name}")).collect::<Vec<_>>();
        let groups = self.group_by.iter().map(|name| cell(name).into_owned());
        let measures = self.measures.iter().map(|name| (*name).to_owned());
        let mut header: Vec<String> = groups.chain(windows).chain(measures).collect();
        header.extend(named("converted", &self.converted));
        header.extend(named("unconverted", &self.unconverted));
        header.extend(self.base_currency.as_ref().map(|_| "base_currency".to_owned()));
        header.extend(named("unread", &self.unread));
        header.extend(self.counting.iter().flat_map(|_| ["counted_from", "uncounted"]).map(String::from));
        header.extend(self.kept_since.iter().map(|_| "kept_since".to_owned()));
        header.push("approximate".to_owned());
        header
    }

    /// No dimension's value is a formula to a spreadsheet.
    fn record(&self, row: &CsvRow) -> Vec<String> {
        let CsvRow { dimensions, window, values, in_base, unread } = row;
        let group = |name: &String| dimensions.get(name).map_or(Cow::Borrowed(""), |value| cell(value)).into_owned();
        let mut record: Vec<String> = self.group_by.iter().map(group).collect();
        record.extend(self.dates_of.iter().zip(window).map(|(zone, (start, _, _))| zone.date_of(*start).to_string()));
        record.extend(
            window.iter().flat_map(|(start, end, complete)| [start.to_string(), end.to_string(), complete.to_string()]),
        );
        record.extend(self.measures.iter().map(|name| figure(values.get(*name))));
        record.extend(self.converted.iter().map(|name| figure(in_base.converted.get(*name))));
        record.extend(self.unconverted.iter().map(|name| in_base.unconverted.get(*name).unwrap_or(&0).to_string()));
        record.extend(self.base_currency.clone());
        record.extend(self.unread.iter().map(|name| unread.get(*name).unwrap_or(&0).to_string()));
        record.extend(self.counting.iter().flatten().cloned());
        record.extend(self.kept_since.clone());
        record.push(self.approximate.clone());
        record
    }

    fn write(&self, rows: &[CsvRow]) -> Result<Vec<u8>, csv::Error> {
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record(self.header())?;
        for row in rows {
            out.write_record(self.record(row))?;
        }
        out.into_inner().map_err(|error| error.into_error().into())
    }
}

/// Intervals as ISO 8601 writes them, with spaces between; `..` has no end.
fn counting(counting: &Counting) -> Option<[String; 2]> {
    let interval = |UncountedTime { from, to }: &UncountedTime| {
        let end = to.map_or_else(|| "..".to_owned(), |to| to.to_string());
        format!("{from}/{end}")
    };
    let from = counting.counted_from.map(|from| from.to_string()).unwrap_or_default();
    let uncounted = counting.uncounted.iter().map(interval).collect::<Vec<_>>().join(" ");
    (*counting != Counting::default()).then_some([from, uncounted])
}

fn figure(value: Option<&Value>) -> String {
    match value {
        Some(Value::Count(count)) => count.to_string(),
        Some(Value::Amount(amount)) => amount.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::None) | None => String::new(),
    }
}
