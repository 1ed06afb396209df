//! Questions about a metric: its parameters, its cells grouped, its answer.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    str::FromStr,
};

use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_service::{FieldError, spreadsheet::cell};
use tidemill_totals::{Measure, Totals, Value};
use utoipa::ToSchema;

use crate::{catalogue::Metric, error::Error, store::Cell};

/// Values by name of measure.
pub type Values = BTreeMap<String, Value>;

/// Parameters as they came, in order; a name may come more than once.
pub type Parameters = Vec<(String, String)>;

/// What is asked of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Windows that start at or after it.
    pub from: Option<Timestamp>,
    /// Windows that start before it.
    pub to: Option<Timestamp>,
    /// Dimensions that the answer is split by.
    pub group_by: Vec<String>,
    /// Values that a dimension may have, by dimension.
    pub filters: BTreeMap<String, BTreeSet<String>>,
    /// Whether the answer is to be CSV.
    pub csv: bool,
}

impl Question {
    /// Everything, split by every dimension.
    pub fn of_every_dimension(metric: &Metric) -> Self {
        let group_by = metric.dimensions.clone();
        Self { from: None, to: None, group_by, filters: BTreeMap::new(), csv: false }
    }

    /// Reads the parameters of a question about `metric`; all errors at once.
    pub fn parse(metric: &Metric, parameters: Parameters) -> Result<Self, Error> {
        let mut errors = Vec::new();
        let mut question = Self { from: None, to: None, group_by: Vec::new(), filters: BTreeMap::new(), csv: false };
        for (name, value) in parameters {
            match name.as_str() {
                "from" => question.from = parsed(&name, &value, &mut errors),
                "to" => question.to = parsed(&name, &value, &mut errors),
                "group_by" => question.group_by.extend(names(&value)),
                "format" if value == "csv" || value == "json" => question.csv = value == "csv",
                "format" => errors.push(wrong(&name, "must be json or csv")),
                "version" => {}
                dimension if metric.dimensions.iter().any(|known| known == dimension) => {
                    question.filters.entry(name).or_default().insert(value);
                }
                _ => errors.push(wrong(
                    &name,
                    format!(
                        "is not known; there are from, to, group_by, version, format and {}",
                        listed(&metric.dimensions)
                    ),
                )),
            }
        }
        for (at, name) in question.group_by.iter().enumerate() {
            if !metric.dimensions.contains(name) {
                errors.push(wrong(
                    "group_by",
                    format!("{name:?} is no dimension; there are {}", listed(&metric.dimensions)),
                ));
            } else if question.group_by[..at].contains(name) {
                errors.push(wrong("group_by", format!("names {name:?} twice")));
            }
        }
        if let (Some(from), Some(to)) = (question.from, question.to)
            && from > to
        {
            errors.push(wrong("to", "must not be before from"));
        }
        if errors.is_empty() { Ok(question) } else { Err(Error::Parameters(errors)) }
    }
}

/// The one value of a parameter that `parameters` may hold once.
pub fn single<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A parameter's value in its type; an error is noted.
pub fn parsed<T: FromStr<Err: std::fmt::Display>>(name: &str, value: &str, errors: &mut Vec<FieldError>) -> Option<T> {
    value.parse().map_err(|error| errors.push(wrong(name, format!("{error}")))).ok()
}

/// A parameter is wrong.
pub fn wrong(name: &str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")), detail: detail.into() }
}

fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(String::from)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no dimensions".into() } else { names.join(", ") }
}

/// What every answer about a metric begins with: what it is, and how far it is true.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Head {
    /// The metric's name.
    pub metric: String,
    /// The definition's version.
    pub version: String,
    /// As asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// As asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
    /// As asked.
    pub group_by: Vec<String>,
    /// When the newest update that it is made of was taken in.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
    /// Event time up to which every live source is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub watermark: Option<Timestamp>,
    /// Whether nothing is outstanding that could still change it, but
    /// corrections by late events.
    pub complete: bool,
    /// Where the numbers come from.
    pub source: &'static str,
    /// Measures that are not exact here: sketches, and counts of distinct
    /// values that were added up although they may share values.
    pub approximate: Vec<String>,
}

/// Values over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SeriesAnswer {
    /// What they are of.
    #[serde(flatten)]
    pub head: Head,
    /// One for each combination of the dimensions grouped by.
    pub series: Vec<Series>,
}

/// One line over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Series {
    /// Values of the dimensions grouped by.
    pub dimensions: BTreeMap<String, String>,
    /// The windows with data, earliest first.
    pub points: Vec<Point>,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Point {
    /// Its first instant.
    #[schema(value_type = String, format = DateTime)]
    pub start: Timestamp,
    /// The first instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub end: Timestamp,
    /// Whether nothing is outstanding but corrections.
    pub complete: bool,
    /// Amounts are strings, counts numbers, `null` where there is no value.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub values: Values,
}

/// Values over all windows.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TotalsAnswer {
    /// What they are of.
    #[serde(flatten)]
    pub head: Head,
    /// One for each combination of the dimensions grouped by.
    pub rows: Vec<TotalsRow>,
}

/// One total.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TotalsRow {
    /// Values of the dimensions grouped by.
    pub dimensions: BTreeMap<String, String>,
    /// See [`Point::values`].
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub values: Values,
}

/// Cells that were added up.
#[derive(Debug, Clone)]
pub struct Sum {
    /// First instant of the first window.
    pub start: Timestamp,
    /// First instant after the last.
    pub end: Timestamp,
    totals: Totals,
    /// Window and combination of dimensions of what was added last.
    last: (Timestamp, usize),
    /// Whether it holds more than one window or combination of dimensions.
    is_joined: bool,
}

impl Sum {
    fn of(Cell { start, end, totals, .. }: Cell<'_>, combination: usize) -> Self {
        Self { start, end, totals, last: (start, combination), is_joined: false }
    }

    fn add(&mut self, cell: &Cell<'_>, combination: usize) -> Result<(), tidemill_totals::MergeError> {
        let added = (cell.start, combination);
        self.is_joined |= added != self.last;
        self.last = added;
        self.end = self.end.max(cell.end);
        self.totals.add(&cell.totals)
    }

    /// The values by the names that the definition gives them.
    pub fn values(&self, metric: &Metric) -> Values {
        metric.measures.iter().zip(&self.totals.0).map(|(named, state)| (named.name.clone(), state.value())).collect()
    }

    /// The positions of the measures that are not exact.
    fn inexact(&self) -> impl Iterator<Item = usize> {
        let is_inexact =
            |state: &Measure| !state.is_exact() || self.is_joined && matches!(state, Measure::DistinctKeyed(_));
        self.totals.0.iter().enumerate().filter(move |(_, state)| is_inexact(state)).map(|(at, _)| at)
    }
}

/// One combination of the dimensions grouped by.
#[derive(Debug, Clone)]
pub struct Group {
    /// Their values.
    pub dimensions: BTreeMap<String, String>,
    /// One for each window, earliest first, or a single one for all.
    pub sums: Vec<Sum>,
}

/// Adds up cells: over partitions, over dimensions that are not grouped by,
/// and, for totals, over windows.
pub struct Grouping<'a> {
    metric: &'a Metric,
    question: &'a Question,
    by_window: bool,
    limits: (usize, usize),
    /// The combinations of dimensions that were seen: their number, and their
    /// group, which is `None` for those filtered out.
    combinations: HashMap<String, (usize, Option<usize>)>,
    group_of: HashMap<BTreeMap<String, String>, usize>,
    groups: Vec<Group>,
    sums: usize,
    cells: usize,
}

impl<'a> Grouping<'a> {
    /// For an answer of at most `points` points, made of at most `cells` cells.
    pub fn new(metric: &'a Metric, question: &'a Question, by_window: bool, points: usize, cells: usize) -> Self {
        Self {
            metric,
            question,
            by_window,
            limits: (points, cells),
            combinations: HashMap::new(),
            group_of: HashMap::new(),
            groups: Vec::new(),
            sums: 0,
            cells: 0,
        }
    }

    /// Adds a cell. Cells come by window, earliest first.
    pub fn add(&mut self, cell: Cell<'_>) -> Result<(), Error> {
        let (points, cells) = self.limits;
        self.cells += 1;
        if self.cells > cells {
            return Err(Error::TooMuch { what: "stored totals", limit: cells });
        }
        let (combination, Some(group)) = self.place(cell.dimensions)? else { return Ok(()) };
        let sums = &mut self.groups[group].sums;
        match sums.last_mut() {
            Some(sum) if !self.by_window || sum.start == cell.start => sum.add(&cell, combination).map_err(|source| {
                Error::Merge { metric: self.metric.name.clone(), version: self.metric.version.clone(), source }
            }),
            _ if self.sums >= points => Err(Error::TooMuch { what: "points", limit: points }),
            _ => {
                self.sums += 1;
                sums.push(Sum::of(cell, combination));
                Ok(())
            }
        }
    }

    fn place(&mut self, dimensions: &str) -> Result<(usize, Option<usize>), Error> {
        if let Some(place) = self.combinations.get(dimensions) {
            return Ok(*place);
        }
        let mut values: BTreeMap<String, String> = serde_json::from_str(dimensions)
            .map_err(|_| tidemill_store::Error::Malformed("combination of dimensions"))?;
        let passes =
            |(name, allowed): (&String, &BTreeSet<String>)| values.get(name).is_some_and(|v| allowed.contains(v));
        let group = self.question.filters.iter().all(passes).then(|| {
            values.retain(|name, _| self.question.group_by.contains(name));
            *self.group_of.entry(values).or_insert_with_key(|values| {
                self.groups.push(Group { dimensions: values.clone(), sums: Vec::new() });
                self.groups.len() - 1
            })
        });
        let place = (self.combinations.len(), group);
        self.combinations.insert(dimensions.to_owned(), place);
        Ok(place)
    }

    /// The groups in the order of their dimensions, and the names of the
    /// measures that are not exact.
    pub fn finish(mut self) -> (Vec<Group>, Vec<String>) {
        self.groups.retain(|group| !group.sums.is_empty());
        self.groups.sort_by(|a, b| a.dimensions.cmp(&b.dimensions));
        let inexact: BTreeSet<usize> =
            self.groups.iter().flat_map(|group| &group.sums).flat_map(Sum::inexact).collect();
        let approximate = inexact.into_iter().filter_map(|at| self.metric.measures.get(at)).map(|m| m.name.clone());
        (self.groups, approximate.collect())
    }
}

/// An answer as CSV: the dimensions grouped by, the window where `windows`,
/// and the measures. No dimension's value is a formula to a spreadsheet.
pub fn csv(
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

#[cfg(test)]
mod tests {
    use tidemill_definitions::Metrics;
    use tidemill_domain::Amount;
    use tidemill_totals::Distinct;

    use super::*;
    use crate::{
        read_model::canonical,
        testing::{at, sales},
    };

    fn cell(start: i64, category: &str, region: &str, amount: i64) -> Cell<'static> {
        let dimensions = canonical(&BTreeMap::from([
            ("category".to_owned(), category.to_owned()),
            ("region".to_owned(), region.to_owned()),
        ]));
        Cell {
            start: at(start),
            end: at(start + 60_000),
            dimensions: dimensions.to_string().leak(),
            totals: Totals(vec![
                Measure::DistinctKeyed(1),
                Measure::Count(2),
                Measure::Sum(Amount::from_int(1)),
                Measure::Sum(Amount::from_int(amount)),
            ]),
        }
    }

    fn asked(parameters: &[(&str, &str)]) -> Result<Question, Error> {
        Question::parse(&sales(), parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    fn grouped(parameters: &[(&str, &str)], by_window: bool, cells: Vec<Cell<'_>>) -> (Vec<Group>, Vec<String>) {
        let (metric, question) = (sales(), asked(parameters).expect("right"));
        let mut grouping = Grouping::new(&metric, &question, by_window, 100, 100);
        cells.into_iter().for_each(|cell| grouping.add(cell).expect("adds"));
        grouping.finish()
    }

    fn cells() -> Vec<Cell<'static>> {
        vec![cell(0, "a", "EU", 1), cell(0, "a", "EU", 2), cell(0, "b", "US", 4), cell(60_000, "a", "EU", 8)]
    }

    fn revenue(sum: &Sum) -> Value {
        sum.values(&sales())["revenue"].clone()
    }

    #[test]
    fn the_tests_metric_is_the_default_one() {
        let measures: Vec<_> = sales().measures.into_iter().map(|measure| measure.name).collect();
        assert_eq!(measures, ["customers", "orders", "quantity", "revenue"]);
        assert!(Metrics::load(None).expect("loads").get("sales_metrics").is_some());
    }

    #[test]
    fn partitions_add_up_by_window() {
        let (groups, approximate) = grouped(&[("group_by", "category,region")], true, cells());
        let sums: Vec<Vec<Value>> = groups.iter().map(|group| group.sums.iter().map(revenue).collect()).collect();
        let int = |n| Value::Amount(Amount::from_int(n));
        assert_eq!(sums, [vec![int(3), int(8)], vec![int(4)]]);
        assert!(approximate.is_empty(), "partitions share no customer");
    }

    #[test]
    fn distinct_counts_over_dimensions_or_windows_are_marked() {
        let (groups, approximate) = grouped(&[], true, cells());
        assert_eq!((groups.len(), groups[0].sums.len()), (1, 2));
        assert_eq!(approximate, ["customers"]);
        let (_, approximate) = grouped(&[("group_by", "category,region")], false, cells());
        assert_eq!(approximate, ["customers"]);
        let (_, approximate) = grouped(&[("category", "b")], false, cells());
        assert!(approximate.is_empty(), "one cell is exact");
    }

    #[test]
    fn unions_of_sketches_are_right() {
        let with = |values: &[&str], mut cell: Cell<'static>| {
            let mut set = Distinct::default();
            for value in values {
                set.insert(value);
            }
            cell.totals.0[0] = Measure::DistinctSketch(set);
            cell
        };
        let cells = vec![with(&["x", "y"], cell(0, "a", "EU", 1)), with(&["y", "z"], cell(0, "b", "EU", 1))];
        let (groups, approximate) = grouped(&[], true, cells);
        assert_eq!(groups[0].sums[0].values(&sales())["customers"], Value::Count(3));
        assert!(approximate.is_empty());
    }

    #[test]
    fn filters_keep_any_of_their_values() {
        let (groups, _) = grouped(&[("category", "a"), ("category", "b"), ("region", "US")], false, cells());
        assert_eq!(groups.len(), 1);
        assert_eq!(revenue(&groups[0].sums[0]), Value::Amount(Amount::from_int(4)));
    }

    #[test]
    fn answers_have_a_limit() {
        let (metric, question) = (sales(), asked(&[]).expect("right"));
        let mut grouping = Grouping::new(&metric, &question, true, 1, 3);
        grouping.add(cell(0, "a", "EU", 1)).expect("the first");
        grouping.add(cell(0, "b", "EU", 1)).expect("the same point");
        let error = grouping.add(cell(60_000, "a", "EU", 1)).expect_err("the second point");
        assert_eq!(error.problem().code, "too_many_points");
        assert!(error.problem().detail.expect("advice").contains("`from`"));
        assert!(matches!(grouping.add(cell(0, "a", "EU", 1)), Err(Error::TooMuch { limit: 3, .. })));
    }

    #[test]
    fn every_wrong_parameter_is_told() {
        let Err(Error::Parameters(errors)) =
            asked(&[("from", "yesterday"), ("colour/x", "red"), ("group_by", "shop,region,region"), ("format", "xml")])
        else {
            panic!("four are wrong")
        };
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/from", "/colour~1x", "/format", "/group_by", "/group_by"]);
        assert!(asked(&[("from", "2026-01-02T00:00:00Z"), ("to", "2026-01-01T00:00:00Z")]).is_err());
    }

    #[test]
    fn csv_runs_nothing_in_a_spreadsheet_and_keeps_its_numbers() {
        let formula = "=HYPERLINK(\"http://evil.example\",\"click\")";
        let rows = [(
            BTreeMap::from([("category".to_owned(), formula.to_owned())]),
            None,
            Values::from([("revenue".to_owned(), Value::Amount(Amount::from_int(-2)))]),
        )];
        let bytes = csv(&sales(), &["category".to_owned()], false, rows.into_iter()).expect("writes");
        let record = csv::Reader::from_reader(&bytes[..]).records().next().expect("a row").expect("reads");
        assert_eq!((record[0].to_owned(), &record[4]), (format!("'{formula}"), "-2.00"));
    }

    #[test]
    fn csv_keeps_any_text() {
        let hostile = "a,\"b\"\n<script>\u{1f600}";
        let rows = [(
            BTreeMap::from([("category".to_owned(), hostile.to_owned())]),
            Some((at(0), at(60_000), true)),
            Values::from([("revenue".to_owned(), Value::Amount(Amount::from_int(2)))]),
        )];
        let bytes = csv(&sales(), &["category".to_owned()], true, rows.into_iter()).expect("writes");
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        let header = reader.headers().expect("a header").clone();
        assert_eq!(&header, vec!["category", "start", "end", "complete", "customers", "orders", "quantity", "revenue"]);
        let record = reader.records().next().expect("a row").expect("reads");
        assert_eq!((&record[0], &record[1], &record[4], &record[7]), (hostile, "1970-01-01T00:00:00Z", "", "2.00"));
    }
}
