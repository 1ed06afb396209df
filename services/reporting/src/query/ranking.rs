//! The largest rows of an answer.

use std::{cmp::Ordering, collections::BTreeMap};

use tidemill_definitions::CURRENCY;
use tidemill_domain::Timestamp;
use tidemill_totals::Value;

use super::{
    grouping::{Base, DimensionGroup, Sum},
    resolution::Rollup,
    top::Top,
};
use crate::catalogue::Metric;

#[cfg(test)]
mod tests;

/// What is ranked together: a point of time, and for money a currency.
type Rank = (Option<Timestamp>, Option<String>);

/// Leaves the largest of each point. A row without a value is none of them.
/// Amounts are compared within one currency, unless all are in the base currency.
pub(super) fn keep_largest(groups: &mut Vec<DimensionGroup>, metric: &Metric, top: &Top, base: Base, rollup: Rollup) {
    let Some(at) = metric.measures.iter().position(|measure| measure.name == top.by) else { return };
    let is_money = metric.measures.get(at).is_some_and(|measure| measure.money) && !base.is_asked;
    let value = |sum: &Sum| sum.value(at, metric, base).filter(|value| *value != Value::None);
    let rank = |currency: &Option<String>, sum: &Sum| (rollup.point(sum.start), currency.clone());
    let currency = |group: &DimensionGroup| group.dimensions.get(CURRENCY).filter(|_| is_money).cloned();
    let mut ranked: BTreeMap<Rank, Vec<Value>> = BTreeMap::new();
    for group in groups.iter() {
        let currency = currency(group);
        for sum in &group.sums {
            ranked.entry(rank(&currency, sum)).or_default().extend(value(sum));
        }
    }
    let least_of = ranked.into_iter().filter_map(|(rank, values)| Some((rank, least(values, top)?)));
    let least: BTreeMap<Rank, Value> = least_of.collect();
    for group in groups.iter_mut() {
        let currency = currency(group);
        group.sums.retain(|sum| {
            let least = least.get(&rank(&currency, sum));
            least.zip(value(sum)).is_some_and(|(least, value)| order(&value, least).is_ge())
        });
    }
    groups.retain(|group| !group.sums.is_empty());
}

/// The least of the values that are kept.
fn least(mut values: Vec<Value>, top: &Top) -> Option<Value> {
    values.sort_unstable_by(|one, other| order(other, one));
    values.truncate(usize::from(top.rows.get()));
    values.pop()
}

/// Values of one measure are of one kind, but for those that there are none of.
fn order(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Count(one), Value::Count(other)) => one.cmp(other),
        (Value::Amount(one), Value::Amount(other)) => one.cmp(other),
        (one, other) => {
            let number = |value: &Value| value.to_f64().unwrap_or(f64::NEG_INFINITY);
            number(one).total_cmp(&number(other))
        }
    }
}
