use std::num::NonZeroU16;

use proptest::{collection::vec, prelude::*, sample::select};
use tidemill_domain::{Amount, Currency, ReadAmount};
use tidemill_totals::{Measure, MeasureTotal, Totals};

use super::{
    super::{
        grouping::Grouping,
        question::{Question, QuestionView},
    },
    *,
};
use crate::{
    batch::AnswerSource,
    calendar::Zone,
    error::Error,
    read_model::canonical,
    store::StoredCell,
    testing::{at, sales},
};

const CURRENCIES: [&str; 2] = ["EUR", "JPY"];

/// A row of a minute: its category, currency, orders and revenue.
type Row = (i64, u8, usize, u64, i64);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    vec((0_i64..3, 0_u8..5, 0..CURRENCIES.len(), 0_u64..4, 0_i64..4), 0..40)
}

fn cell((minute, category, currency, orders, revenue): Row) -> StoredCell<'static> {
    let named = [("category", format!("c{category}")), ("currency", CURRENCIES[currency].into())];
    let named: BTreeMap<&str, String> = named.into_iter().chain([("region", "EU".into())]).collect();
    let mut money = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    money.add_money(ReadAmount { amount: Amount::from_int(revenue), rounded: false }, None);
    let mut totals = Totals::of([Measure::DistinctKeyed(1), Measure::Count(orders), Measure::Sum(Amount::from_int(1))]);
    totals.0.push(money);
    StoredCell {
        start: at(minute * 60_000),
        end: at((minute + 1) * 60_000),
        is_joined: false,
        dimensions: canonical(&named).to_string().leak(),
        totals,
        source: AnswerSource::Speed,
    }
}

fn pairs(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn grouped(rows: &[Row], rollup: Rollup) -> Vec<DimensionGroup> {
    let (metric, asked) = (sales(), pairs(&[("group_by", "category")]));
    let question = Question::parse(&metric, QuestionView::Series, Zone::UTC, &asked).expect("right");
    let mut grouping = Grouping::new(&metric, &question, rollup, 1_000, 1_000);
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows.into_iter().for_each(|row| grouping.add(cell(row)).expect("adds"));
    grouping.finish()
}

/// What is told of each sum: its point, its dimensions, and the value by which it is ranked.
fn told(
    groups: &[DimensionGroup],
    by: &str,
    rollup: Rollup,
) -> Vec<(Option<Timestamp>, BTreeMap<String, String>, f64)> {
    let of_group = |group: &DimensionGroup| {
        let value = |sum: &Sum| sum.values(&sales(), Base::default())[by].to_f64().unwrap_or(f64::NEG_INFINITY);
        group.sums.iter().map(|sum| (rollup.point(sum.start), group.dimensions.clone(), value(sum))).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of_group).collect()
}

proptest! {
    /// A row is told if fewer than so many rows of its point are larger; for money,
    /// rows of its currency.
    #[test]
    fn a_row_is_among_the_largest_if_few_are_larger(
        rows in rows(),
        count in 1_u16..4,
        by in select(vec!["orders", "revenue", "customers"]),
        rollup in select(vec![Rollup::Windows, Rollup::Whole]),
    ) {
        let all = grouped(&rows, rollup);
        let mut kept = all.clone();
        let top = Top { rows: NonZeroU16::new(count).expect("is above 0"), by: by.into() };
        keep_largest(&mut kept, &sales(), &top, Base::default(), rollup);
        let all = told(&all, by, rollup);
        let is_together = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            by != "revenue" || one["currency"] == other["currency"]
        };
        let larger = |(point, dimensions, value): &(Option<Timestamp>, BTreeMap<String, String>, f64)| {
            let others = all.iter().filter(|other| other.0 == *point && is_together(&other.1, dimensions));
            others.filter(|other| other.2 > *value).count()
        };
        let expected: Vec<_> = all.iter().filter(|row| larger(row) < usize::from(count)).cloned().collect();
        prop_assert_eq!(told(&kept, by, rollup), expected);
        prop_assert!(kept.iter().all(|group| !group.sums.is_empty()));
    }
}

#[test]
fn a_row_without_a_value_is_none_of_the_largest() {
    let mut groups = grouped(&[(0, 1, 1, 1, 5)], Rollup::Whole);
    let top = Top { rows: NonZeroU16::MIN, by: "revenue".into() };
    // Nothing of it is known in the base currency.
    let base = Base { currency: Some(Currency::EUR), is_asked: true };
    keep_largest(&mut groups, &sales(), &top, base, Rollup::Whole);
    assert!(groups.is_empty());
}

#[test]
fn what_cannot_be_ranked_is_refused() {
    let (tumbling, sessions) = (sales(), {
        let mut metric = sales();
        metric.window.kind = "session".into();
        metric
    });
    let asked = |metric: &Metric, view, parameters: &[(&str, &str)]| match Question::parse(
        metric,
        view,
        Zone::UTC,
        &pairs(parameters),
    ) {
        Ok(question) => Ok(question.top.map(|top| (top.rows.get(), top.by))),
        Err(Error::Parameters(errors)) => Err(errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()),
        Err(error) => panic!("{error}"),
    };
    let (series, totals) = (QuestionView::Series, QuestionView::Totals);
    let right = [("top", "3"), ("top_by", "orders")];
    assert_eq!(asked(&tumbling, series, &right), Ok(Some((3, "orders".into()))));
    assert_eq!(asked(&sessions, totals, &right), Ok(Some((3, "orders".into()))));
    assert_eq!(asked(&sessions, series, &right), Err(vec!["/top".into()]));
    assert_eq!(asked(&tumbling, series, &right[..1]), Err(vec!["/top_by".into()]));
    assert_eq!(asked(&tumbling, series, &right[1..]), Err(vec!["/top".into()]));
    assert_eq!(asked(&tumbling, series, &[("top", "3"), ("top_by", "category")]), Err(vec!["/top_by".into()]));
    for wrong in ["0", "-1", "65536", "many"] {
        let errors = asked(&tumbling, series, &[("top", wrong), ("top_by", "orders")]).expect_err(wrong);
        assert!(errors.contains(&"/top".into()), "{wrong}: {errors:?}");
    }
}
