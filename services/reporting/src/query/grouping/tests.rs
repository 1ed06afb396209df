use tidemill_domain::{Amount, BaseAmount};
use tidemill_totals::Distinct;

use super::{
    super::{QuestionView, resolution::Resolution},
    *,
};
use crate::{
    batch::AnswerSource,
    calendar::Zone,
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
        is_joined: false,
        dimensions: dimensions.to_string().leak(),
        totals: Totals::of([
            Measure::DistinctKeyed(1),
            Measure::Count(2),
            Measure::Sum(Amount::from_int(1)),
            Measure::Sum(Amount::from_int(amount)),
        ]),
        source: AnswerSource::Speed,
    }
}

fn asked(parameters: &[(&str, &str)]) -> Result<Question, Error> {
    let pairs: Vec<_> = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Question::parse(&sales(), QuestionView::Series, Zone::UTC, &pairs)
}

fn grouped(
    parameters: &[(&str, &str)],
    rollup: Rollup,
    cells: Vec<StoredCell<'_>>,
) -> (Vec<DimensionGroup>, Vec<String>) {
    let (metric, question) = (sales(), asked(parameters).expect("right"));
    let mut grouping = Grouping::new(&metric, &question, rollup, 100, 100);
    cells.into_iter().for_each(|cell| grouping.add(cell).expect("adds"));
    let groups = grouping.finish();
    let approximate = approximate(&metric, &question, &groups);
    (groups, approximate)
}

fn cells() -> Vec<StoredCell<'static>> {
    vec![cell(0, "a", "EU", 1), cell(0, "a", "EU", 2), cell(0, "b", "US", 4), cell(60_000, "a", "EU", 8)]
}

fn revenue(sum: &Sum) -> Value {
    sum.values(&sales(), Base::default())["revenue"].clone()
}

#[test]
fn partitions_add_up_by_window() {
    let (groups, approximate) = grouped(&[("group_by", "category,region")], Rollup::Windows, cells());
    let sums: Vec<Vec<Value>> = groups.iter().map(|group| group.sums.iter().map(revenue).collect()).collect();
    let int = |n| Value::Amount(Amount::from_int(n));
    assert_eq!(sums, [vec![int(3), int(8)], vec![int(4)]]);
    assert!(approximate.is_empty(), "partitions share no customer");
}

#[test]
fn distinct_counts_over_dimensions_or_windows_are_marked() {
    let (groups, approximate) = grouped(&[], Rollup::Windows, cells());
    assert_eq!((groups.len(), groups[0].sums.len()), (1, 2));
    assert_eq!(approximate, ["customers"]);
    let (_, approximate) = grouped(&[("group_by", "category,region")], Rollup::Whole, cells());
    assert_eq!(approximate, ["customers"]);
    let (_, approximate) = grouped(&[("category", "b")], Rollup::Whole, cells());
    assert!(approximate.is_empty(), "one cell is exact");
}

#[test]
fn gaps_add_up_and_are_told_by_measure() {
    let lacking = |start, unread, rounded| {
        let mut cell = cell(start, "a", "EU", 1);
        (cell.totals.0[3].unread, cell.totals.0[2].rounded) = (unread, rounded);
        cell
    };
    let (groups, _) = grouped(&[], Rollup::Whole, vec![lacking(0, 1, 0), lacking(60_000, 2, 1)]);
    let told = serde_json::to_value(groups[0].sums[0].gaps(&sales())).expect("is JSON");
    assert_eq!(told, serde_json::json!({"unread": {"revenue": 3}, "rounded": {"quantity": 1}}));
    let (groups, _) = grouped(&[], Rollup::Whole, cells());
    assert_eq!(groups[0].sums[0].gaps(&sales()), Gaps::default());
}

#[test]
fn unions_of_sketches_are_right() {
    let with = |values: &[&str], mut cell: StoredCell<'static>| {
        let mut set = Distinct::default();
        for value in values {
            set.insert(value);
        }
        cell.totals.0[0] = Measure::DistinctSketch(set).into();
        cell
    };
    let cells = vec![with(&["x", "y"], cell(0, "a", "EU", 1)), with(&["y", "z"], cell(0, "b", "EU", 1))];
    let (groups, approximate) = grouped(&[], Rollup::Windows, cells);
    assert_eq!(groups[0].sums[0].values(&sales(), Base::default())["customers"], Value::Count(3));
    assert!(approximate.is_empty());
}

#[test]
fn filters_keep_any_of_their_values() {
    let (groups, _) = grouped(&[("category", "a"), ("category", "b"), ("region", "US")], Rollup::Whole, cells());
    assert_eq!(groups.len(), 1);
    assert_eq!(revenue(&groups[0].sums[0]), Value::Amount(Amount::from_int(4)));
}

#[test]
fn a_value_that_is_cut_is_found_by_the_whole_of_it() {
    let long = "ä".repeat(200);
    let cells = vec![cell(0, &tidemill_definitions::dimension_value(&long), "EU", 1), cell(0, "b", "EU", 2)];
    let (groups, _) = grouped(&[("category", &long)], Rollup::Whole, cells);
    assert_eq!(
        groups.iter().flat_map(|group| &group.sums).map(revenue).collect::<Vec<_>>(),
        [Value::Amount(Amount::from_int(1))]
    );
}

#[test]
fn answers_have_a_limit() {
    let (metric, question) = (sales(), asked(&[]).expect("right"));
    let mut grouping = Grouping::new(&metric, &question, Rollup::Windows, 1, 3);
    grouping.add(cell(0, "a", "EU", 1)).expect("the first");
    grouping.add(cell(0, "b", "EU", 1)).expect("the same point");
    let error = grouping.add(cell(60_000, "a", "EU", 1)).expect_err("the second point");
    assert_eq!(error.problem().code, "too_many_points");
    assert!(error.problem().detail.expect("advice").contains("`from`"));
    assert!(matches!(grouping.add(cell(0, "a", "EU", 1)), Err(Error::TooMuch { limit: 3, .. })));
}

#[test]
fn periods_hold_their_windows_and_end_at_the_bounds() {
    let (from, to) = (Some(at(0)), Some(at(2 * 3_600_000 - 60_000)));
    let rollup = Rollup::Periods { resolution: Resolution::Hour, zone: Zone::UTC, from, to };
    let mut cells = cells();
    cells.push(cell(3_600_000, "a", "EU", 16));
    let (groups, approximate) = grouped(&[], rollup, cells);
    let sums: Vec<_> = groups[0].sums.iter().map(|sum| (sum.start, sum.end, revenue(sum))).collect();
    let int = |n| Value::Amount(Amount::from_int(n));
    assert_eq!(sums, [(at(0), at(3_600_000), int(15)), (at(3_600_000), at(2 * 3_600_000 - 60_000), int(16))]);
    assert_eq!(approximate, ["customers"], "windows may share customers");
}

#[test]
fn a_window_that_lies_in_two_periods_is_refused() {
    let mut metric = sales();
    metric.window.seconds = 86_400;
    let question = asked(&[]).expect("right");
    let zone = "Europe/Berlin".parse().expect("a zone");
    let add = |zone: Zone| {
        let rollup = Rollup::Periods { resolution: Resolution::Day, zone, from: None, to: None };
        let day = StoredCell { end: at(86_400_000), ..cell(0, "a", "EU", 1) };
        Grouping::new(&metric, &question, rollup, 100, 100).add(day)
    };
    add(Zone::UTC).expect("a day of UTC");
    let problem = add(zone).expect_err("one of UTC").problem();
    assert_eq!((problem.status, &*problem.code), (422, "unaligned_range"));
    assert!(problem.detail.is_some_and(|detail| detail.contains("Europe/Berlin")));
}

/// Revenue of a row: its currency, and what it is in euro.
fn money(category: &str, currency: &str, amount: &str, base: Option<Option<&str>>) -> StoredCell<'static> {
    let read = |text: &str| Amount::read(text).expect(text);
    let mut cell = cell(0, category, "EU", 0);
    let named = [("category", category), ("currency", currency), ("region", "EU")];
    let named = named.map(|(name, value)| (name.to_owned(), value.to_owned()));
    cell.dimensions = canonical(BTreeMap::from(named)).to_string().leak();
    let base = base.map(|converted| BaseAmount { base: Currency::EUR, converted: converted.map(read) });
    cell.totals.0[3] = Measure::Sum(Amount::ZERO).into();
    cell.totals.0[3].add_money(read(amount), base);
    cell
}

fn yen_and_euro() -> Vec<StoredCell<'static>> {
    vec![
        money("a", "EUR", "20", Some(None)),
        money("a", "JPY", "15000", Some(Some("93"))),
        money("b", "JPY", "1000", None),
        money("b", "KWD", "0.125", Some(Some("0.375"))),
    ]
}

fn told(parameters: &[(&str, &str)]) -> Vec<serde_json::Value> {
    let (groups, _) = grouped(parameters, Rollup::Whole, yen_and_euro());
    let base = Base::of(None, &groups, asked(parameters).expect("right").convert);
    let of_sum = |sum: &Sum, dimensions: &BTreeMap<String, String>| {
        serde_json::json!([dimensions, sum.values(&sales(), base)["revenue"], sum.in_base(&sales(), base)])
    };
    groups.iter().flat_map(|group| group.sums.iter().map(|sum| of_sum(sum, &group.dimensions))).collect()
}

#[test]
fn amounts_of_two_currencies_are_never_added() {
    let expected = serde_json::json!([
        [{"currency": "EUR"}, "20.00", {"converted": {"revenue": "20.00"}}],
        [{"currency": "JPY"}, "16000.00", {"converted": {"revenue": "93.00"}, "unconverted": {"revenue": 1}}],
        [{"currency": "KWD"}, "0.125", {"converted": {"revenue": "0.375"}}],
    ]);
    assert_eq!(serde_json::Value::from(told(&[])), expected);
    assert_eq!(told(&[("group_by", "currency")]), told(&[]));
    let yen = serde_json::json!([
        [{"category": "a", "currency": "JPY"}, "15000.00", {"converted": {"revenue": "93.00"}}],
        [{"category": "b", "currency": "JPY"}, "1000.00", {"converted": {"revenue": null}, "unconverted": {"revenue": 1}}],
    ]);
    assert_eq!(serde_json::Value::from(told(&[("group_by", "category"), ("currency", "jpy")])), yen);
}

#[test]
fn amounts_are_one_total_in_the_base_currency_where_that_is_asked_for() {
    let all = serde_json::json!([[{}, "113.375", {"unconverted": {"revenue": 1}}]]);
    assert_eq!(serde_json::Value::from(told(&[("convert", "true")])), all);
    let by_category = serde_json::json!([
        [{"category": "a"}, "113.00", {}],
        [{"category": "b"}, "0.375", {"unconverted": {"revenue": 1}}],
    ]);
    assert_eq!(serde_json::Value::from(told(&[("convert", "true"), ("group_by", "category")])), by_category);
    let unknown = serde_json::json!([[{}, null, {"unconverted": {"revenue": 1}}]]);
    let asked = [("convert", "true"), ("category", "b"), ("currency", "JPY")];
    assert_eq!(serde_json::Value::from(told(&asked)), unknown);
}
