use tidemill_definitions::Metrics;
use tidemill_domain::Amount;
use tidemill_totals::Distinct;

use super::*;
use crate::{
    read_model::canonical,
    testing::{at, sales},
};

fn cell(start: i64, category: &str, region: &str, amount: i64) -> StoredCell<'static> {
    let dimensions = canonical(&BTreeMap::from([
        ("category".to_owned(), category.to_owned()),
        ("region".to_owned(), region.to_owned()),
    ]));
    StoredCell {
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
    let pairs: Vec<_> = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Question::parse(&sales(), &pairs)
}

fn grouped(
    parameters: &[(&str, &str)],
    by_window: bool,
    cells: Vec<StoredCell<'_>>,
) -> (Vec<DimensionGroup>, Vec<String>) {
    let (metric, question) = (sales(), asked(parameters).expect("right"));
    let mut grouping = Grouping::new(&metric, &question, by_window, 100, 100);
    cells.into_iter().for_each(|cell| grouping.add(cell).expect("adds"));
    grouping.finish()
}

fn cells() -> Vec<StoredCell<'static>> {
    vec![cell(0, "a", "EU", 1), cell(0, "a", "EU", 2), cell(0, "b", "US", 4), cell(60_000, "a", "EU", 8)]
}

fn revenue(sum: &Sum) -> Value {
    sum.values(&sales())["revenue"].clone()
}

#[test]
fn the_tests_metric_is_the_default_one() {
    let measures: Vec<_> = sales().measures.into_iter().map(|measure| measure.name).collect();
    assert_eq!(measures, ["customers", "orders", "quantity", "revenue"]);
    let metrics = Metrics::load(None).expect("loads");
    assert_eq!(metrics.get("sales_metrics").map(|metric| metric.version()), Some(sales().version.as_str()));
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
    let with = |values: &[&str], mut cell: StoredCell<'static>| {
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
