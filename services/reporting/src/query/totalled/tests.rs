use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::subsequence};
use tidemill_definitions::{MetricDefinition, Metrics};
use tidemill_totals::{Measure, Totals};

use super::*;
use crate::{
    batch::AnswerSource,
    calendar::Zone,
    query::{
        QuestionView,
        grouping::{Base, approximate},
    },
    read_model::canonical,
    store::StoredCell,
    testing::at,
};

const CATEGORIES: [&str; 3] = ["books", "games", "toys"];
const REGIONS: [&str; 2] = ["Asia", "Europe"];
const CURRENCIES: [&str; 2] = ["EUR", "JPY"];

/// An order: its minute, region and currency, and the categories of its lines.
type Order = (i64, usize, usize, Vec<usize>);

fn orders() -> impl Strategy<Value = Vec<Order>> {
    vec((0_i64..4, 0..REGIONS.len(), 0..CURRENCIES.len(), subsequence(vec![0, 1, 2], 1..=3)), 0..30)
}

fn definition(name: &str) -> MetricDefinition {
    Metrics::load(None).expect("the defaults").get(name).expect(name).clone()
}

/// A cell of a metric in a minute, with so many orders.
fn cell(
    definition: &MetricDefinition,
    minute: i64,
    dimensions: &[(&str, &str)],
    orders: Measure,
) -> StoredCell<'static> {
    let dimensions: BTreeMap<_, _> = dimensions.iter().copied().collect();
    StoredCell {
        start: at(minute * 60_000),
        end: at((minute + 1) * 60_000),
        is_joined: false,
        dimensions: canonical(&dimensions).to_string().leak(),
        totals: definition.totals([("orders", orders)]),
        source: AnswerSource::Speed,
    }
}

/// What is stored of orders: cells by line, and cells by order. One for each, as
/// if each came to a partition of its own.
fn stored(orders: &[Order]) -> (Vec<StoredCell<'static>>, Vec<StoredCell<'static>>) {
    let (lines, by_order) = (definition("sales_metrics"), definition("order_metrics"));
    let mut cells = (Vec::new(), Vec::new());
    for (minute, region, currency, categories) in orders {
        let of_order = [("currency", CURRENCIES[*currency]), ("region", REGIONS[*region])];
        cells.1.push(cell(&by_order, *minute, &of_order, Measure::Count(1)));
        for category in categories {
            let of_line = [&of_order[..], &[("category", CATEGORIES[*category])]].concat();
            cells.0.push(cell(&lines, *minute, &of_line, Measure::DistinctKeyed(1)));
        }
    }
    (cells.0, cells.1)
}

fn grouped(
    metric: &Metric,
    question: &Question,
    rollup: Rollup,
    mut cells: Vec<StoredCell<'_>>,
) -> Vec<DimensionGroup> {
    // As the store answers them.
    cells.sort_by(|a, b| (a.start, a.dimensions).cmp(&(b.start, b.dimensions)));
    let mut grouping = Grouping::new(metric, question, rollup, 1000, 1000);
    cells.into_iter().for_each(|cell| grouping.add(cell).expect("adds"));
    grouping.finish()
}

/// Orders by group and minute, and which measures are said to be approximate.
fn answered(orders: &[Order], parameters: &[(&str, &str)], rollup: Rollup) -> (Vec<(String, u64)>, Vec<String>) {
    let (lines, by_order) = stored(orders);
    let (metric, there) = (Metric::from(&definition("sales_metrics")), Metric::from(&definition("order_metrics")));
    let pairs: Vec<_> = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let question = Question::parse(&metric, QuestionView::Totals, Zone::UTC, &pairs).expect("right");
    let mut groups = grouped(&metric, &question, rollup, lines);
    let position = |metric: &Metric| metric.measures.iter().position(|measure| measure.name == "orders").expect("it");
    if !question.holds(&metric.measures[position(&metric)])
        && let Some(asked) = question.to_another(&there)
    {
        let rollup_there = rollup_there(&metric, rollup).expect("windows lie side by side");
        let totals = found(grouped(&there, &asked, rollup_there, by_order), position(&there), rollup_there);
        take(&mut groups, position(&metric), &totals, rollup);
    }
    let approximate = approximate(&metric, &question, &groups);
    let metric = &metric;
    let of_group = |group: &DimensionGroup| {
        let name: Vec<_> = group.dimensions.values().cloned().collect();
        let sums = group.sums.iter().map(move |sum| {
            let start = rollup.point(sum.start).map_or(-1, |start| start.millis() / 60_000);
            let Value::Count(count) = sum.values(metric, Base::default())["orders"] else { panic!("a count") };
            (format!("{} {start}", name.join(",")), count)
        });
        sums.collect::<Vec<_>>()
    };
    (groups.iter().flat_map(of_group).collect(), approximate)
}

/// The same from the orders themselves.
fn counted(
    orders: &[Order],
    group_by: &[&str],
    has: impl Fn(&Order, Option<usize>) -> bool,
    by_minute: bool,
) -> Vec<(String, u64)> {
    let mut names: Vec<&str> = group_by.to_vec();
    names.sort_unstable();
    let mut found: BTreeMap<(Vec<&str>, i64), BTreeSet<usize>> = BTreeMap::new();
    for (at, order) in orders.iter().enumerate() {
        let (minute, region, currency, categories) = order;
        for category in categories.iter().filter(|category| has(order, Some(**category))) {
            let value = |name: &&str| match *name {
                "category" => CATEGORIES[*category],
                "currency" => CURRENCIES[*currency],
                _ => REGIONS[*region],
            };
            let minute = if by_minute { *minute } else { -1 };
            found.entry((names.iter().map(value).collect(), minute)).or_default().insert(at);
        }
    }
    found
        .into_iter()
        .map(|((of, minute), orders)| (format!("{} {minute}", of.join(",")), orders.len() as u64))
        .collect()
}

proptest! {
    #[test]
    fn orders_are_counted_once_in_every_grouping(
        orders in orders(),
        names in subsequence(vec!["category", "currency", "region"], 0..=3),
        by_minute: bool,
        convert: bool,
        region in proptest::option::of(0..REGIONS.len()),
        category in proptest::option::of(0..CATEGORIES.len()),
    ) {
        let group_by = names.join(",");
        let convert_text = convert.to_string();
        let mut parameters = vec![("group_by", &*group_by), ("convert", &*convert_text)];
        parameters.extend(region.map(|region| ("region", REGIONS[region])));
        parameters.extend(category.map(|category| ("category", CATEGORIES[category])));
        let rollup = if by_minute { Rollup::Windows } else { Rollup::Whole };
        let (told, approximate) = answered(&orders, &parameters, rollup);
        let mut split = names;
        if !convert && !split.contains(&"currency") {
            split.push("currency");
        }
        let passes = |order: &Order, of: Option<usize>| {
            region.is_none_or(|region| order.1 == region) && category.is_none_or(|category| of == Some(category))
        };
        prop_assert_eq!(told, counted(&orders, &split, passes, by_minute));
        prop_assert!(!approximate.contains(&"orders".to_owned()), "{:?}", approximate);
    }
}

#[test]
fn what_no_metric_has_stays_as_it_was_added_up() {
    let orders = [(0, 0, 0, vec![0, 1]), (0, 0, 0, vec![1, 2])];
    let asked = [("convert", "true"), ("category", "books"), ("category", "games")];
    let (told, approximate) = answered(&orders, &asked, Rollup::Whole);
    assert_eq!((told, approximate), (vec![(" -1".to_owned(), 3)], vec!["orders".to_owned()]));
}

#[test]
fn a_window_is_made_of_shorter_ones_elsewhere() {
    let mut metric = Metric::from(&definition("sales_metrics"));
    metric.window.seconds = 120;
    let there = rollup_there(&metric, Rollup::Windows).expect("it");
    let by_order = stored(&[(0, 0, 0, vec![0]), (1, 0, 0, vec![0]), (2, 0, 0, vec![0])]).1;
    let order_metrics = Metric::from(&definition("order_metrics"));
    let question = Question::of_every_dimension(&order_metrics);
    let at_orders = order_metrics.measures.iter().position(|measure| measure.name == "orders").expect("it");
    let found = found(grouped(&order_metrics, &question, there, by_order), at_orders, there);
    let told: Vec<_> = found.into_iter().map(|((_, start), total)| (start, total.value())).collect();
    assert_eq!(told, [(Some(at(0)), Value::Count(2)), (Some(at(120_000)), Value::Count(1))]);
}

#[test]
fn nothing_is_no_order_where_the_total_says_nothing() {
    let definition = definition("sales_metrics");
    let metric = Metric::from(&definition);
    let refund = cell(&definition, 0, &[("category", "books"), ("currency", "EUR")], Measure::DistinctKeyed(0));
    let totals: &Totals = &refund.totals;
    assert_eq!(totals.0.len(), metric.measures.len());
    let pairs = [("convert".to_owned(), "true".to_owned())];
    let question = Question::parse(&metric, QuestionView::Totals, Zone::UTC, &pairs).expect("right");
    let mut groups = grouped(&metric, &question, Rollup::Whole, vec![refund.clone(), refund]);
    let at = metric.measures.iter().position(|measure| measure.name == "orders").expect("it");
    take(&mut groups, at, &FoundTotals::new(), Rollup::Whole);
    assert_eq!(groups[0].sums[0].total(at).map(MeasureTotal::value), Some(Value::Count(0)));
}
