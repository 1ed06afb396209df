//! Which columns the rows of a metric and its table have.

use std::collections::BTreeSet;

use tidemill_definitions::{MeasureDefinition, MeasureKind, MetricDefinition};

/// Names that plans need for themselves.
const TAKEN: [&str; 9] =
    ["partition", "time", "window_start", "window_end", "day", "base_currency", "step", "session", "is_first"];

/// The columns of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricColumns {
    /// One a dimension, in the definition's order.
    pub(crate) dimensions: Vec<String>,
    /// Those of each measure, in the definition's order.
    pub(crate) measures: Vec<MeasureColumns>,
    /// Whether it has money, and with it a column `base_currency`.
    pub(crate) has_money: bool,
}

/// The columns of a measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeasureColumns {
    /// What it comes to.
    pub(crate) value: String,
    pub(crate) beside: Beside,
}

/// What a measure has beside its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beside {
    /// A count of rows takes every row.
    Nothing,
    /// A distinct count: the rows that have no value.
    Unread(String),
    Amount(AmountColumns),
}

/// What a measure of amounts has beside its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AmountColumns {
    /// Rows whose value is not there or no amount.
    pub(crate) unread: String,
    /// Values that were rounded.
    pub(crate) rounded: String,
    /// Of an average: of what it is made.
    pub(crate) mean_of: Option<MeanColumns>,
    /// Of money.
    pub(crate) money: Option<MoneyColumns>,
}

/// Of what an average is made, so that averages of several rows can be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeanColumns {
    pub(crate) sum: String,
    pub(crate) count: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MoneyColumns {
    /// In the base currency.
    pub(crate) converted: String,
    /// Rows of which nobody knows what they are in it.
    pub(crate) unconverted: String,
}

/// Names that are still free.
struct FreeNames(BTreeSet<String>);

impl FreeNames {
    /// The name, or the first one of `name_2`, `name_3`, … that is free.
    fn take(&mut self, name: String) -> String {
        let others = (2..).map(|n| format!("{name}_{n}"));
        let free = std::iter::once(name.clone()).chain(others).find(|name| !self.0.contains(name));
        let free = free.unwrap_or(name);
        self.0.insert(free.clone());
        free
    }
}

impl MetricColumns {
    pub(crate) fn of(metric: &MetricDefinition) -> Self {
        let mut free = FreeNames(TAKEN.map(String::from).into());
        let dimensions = metric.dimensions.keys().map(|name| free.take(name.clone())).collect();
        // What people ask for keeps its name.
        let values: Vec<String> = metric.measures.keys().map(|name| free.take(name.clone())).collect();
        let of = |(value, measure)| MeasureColumns::of(value, measure, &mut free);
        let measures = values.into_iter().zip(metric.measures.values()).map(of).collect();
        Self { dimensions, measures, has_money: metric.money().is_some() }
    }
}

impl MeasureColumns {
    fn of(value: String, measure: &MeasureDefinition, free: &mut FreeNames) -> Self {
        let mut name = |what: &str| free.take(format!("{value}_{what}"));
        let beside = match &measure.kind {
            MeasureKind::Count => Beside::Nothing,
            MeasureKind::Distinct { .. } => Beside::Unread(name("unread")),
            kind => Beside::Amount(AmountColumns {
                unread: name("unread"),
                rounded: name("rounded"),
                mean_of: matches!(kind, MeasureKind::Average(_))
                    .then(|| MeanColumns { sum: name("sum"), count: name("count") }),
                money: measure
                    .money
                    .is_some()
                    .then(|| MoneyColumns { converted: name("converted"), unconverted: name("unconverted") }),
            }),
        };
        Self { value, beside }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_columns_have_one_name() {
        let text = "name: m\ntypes: [t]\nwindow: {tumbling: 1m}\ndimensions: {day: data.day, a: data.a}\nmeasures:\n  \
                    a: {average: data.a, money: currency}\n  a_unread: {count: rows}\n  partition: {distinct: id}\n";
        let columns = MetricColumns::of(&MetricDefinition::parse("m.yaml", text).expect("a definition"));
        assert_eq!(columns.dimensions, ["a", "currency", "day_2"]);
        let values: Vec<_> = columns.measures.iter().map(|measure| measure.value.as_str()).collect();
        assert_eq!(values, ["a_2", "a_unread", "partition_2"]);
        let Beside::Amount(amount) = &columns.measures[0].beside else { panic!("an amount") };
        assert_eq!((amount.unread.as_str(), columns.has_money), ("a_2_unread", true));
        assert_eq!(amount.money.as_ref().map(|money| money.converted.as_str()), Some("a_2_converted"));
    }
}
