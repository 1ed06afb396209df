//! Totals of money against a plain model over big decimals.

use std::{collections::BTreeMap, str::FromStr};

use bigdecimal::{BigDecimal, RoundingMode};
use proptest::{collection::vec, option, prelude::*, sample::select};
use tidemill_definitions::Metrics;
use tidemill_domain::{Amount, Currency, Partition, Timestamp};
use tidemill_events::{EnrichedBatch, Enrichment, LineFacts, QualityFlag, event::splice_enrichment};
use tidemill_totals::{InBase, MeasureTotal, Value};

use super::{
    cell::{Cell, CellId, CellKey},
    parse::{Addition, Destination, parse},
};

/// Decimals of an amount.
const DECIMALS: i64 = 12;

#[derive(Debug, Clone)]
struct Order {
    partition: u16,
    minute: i64,
    currency: &'static str,
    /// Of another currency than the base, where it is known.
    rate: Option<String>,
    quantity: String,
    price: String,
}

fn decimal(most: i64, decimals: usize) -> impl Strategy<Value = String> {
    (0..most, 0..10_i64.pow(decimals as u32)).prop_map(move |(whole, part)| format!("{whole}.{part:0decimals$}"))
}

fn orders() -> impl Strategy<Value = Vec<Order>> {
    let order = (
        0u16..3,
        0i64..3,
        select(vec!["EUR", "JPY", "KWD", "USD"]),
        option::weighted(0.8, decimal(10, 13)),
        decimal(1000, 3),
        decimal(100_000, 4),
    );
    let order = order.prop_map(|(partition, minute, currency, rate, quantity, price)| Order {
        partition,
        minute,
        currency,
        rate: rate.filter(|_| currency != "EUR"),
        quantity,
        price,
    });
    vec(order, 0..40)
}

fn line(order: &Order) -> Vec<u8> {
    let Order { minute, currency, rate, quantity, price, .. } = order;
    let time = Timestamp::saturating_from_millis(minute * 60_000);
    let plain = format!(
        r#"{{"id":"x","source":"s","type":"order.placed","time":"{time}","data":{{"items":[{{"quantity":"{quantity}","unit_price":"{price}"}}]}}}}"#
    );
    let lacks_rate = *currency != "EUR" && rate.is_none();
    let gross = Amount::product([quantity.as_str(), price.as_str()]).expect("an amount").amount;
    let enrichment = Enrichment {
        region: "Europe".into(),
        lines: vec![LineFacts { gross, ..LineFacts::default() }],
        currency: currency.parse().ok(),
        rate: rate.clone(),
        base: rate.as_ref().map(|_| Currency::EUR),
        quality: lacks_rate.then_some(QualityFlag::RateUnknown).into_iter().collect(),
        ..Enrichment::default()
    };
    let mut out = Vec::new();
    splice_enrichment(plain.as_bytes(), &enrichment, &mut out).expect("splices");
    out
}

/// The totals of revenue, as their partitions tell them.
fn totals(orders: &[Order], metrics: &Metrics) -> Vec<(String, MeasureTotal)> {
    let mut cells: BTreeMap<(u16, CellId), Cell> = BTreeMap::new();
    for order in orders {
        let batch = EnrichedBatch {
            partition: Partition::new(order.partition),
            raw_seq: 1,
            raw_prev: 0,
            remade: None,
            ingested_at: Timestamp::EPOCH,
            refdata: 0,
            count: 1,
            lines: line(order).into(),
            trace: None,
        };
        for Addition { metric, destinations, contribution } in parse(&batch, metrics).events.remove(0).rows {
            let [Destination::Window { start, cell }] = destinations[..] else { continue };
            if metric.name == "sales_metrics" {
                let key = CellKey::new(metric, start, &contribution.dimensions);
                let cell = cells.entry((order.partition, cell)).or_insert_with(|| Cell::new(key, None, metric));
                cell.add(&contribution, 1, None);
            }
        }
    }
    let revenue = metrics.get("sales_metrics").expect("is defined").measures.keys().position(|name| name == "revenue");
    let revenue = revenue.expect("is measured");
    let total = |cell: Cell| {
        (cell.key.group.dimension("currency").expect("of money").to_owned(), cell.totals().0.swap_remove(revenue))
    };
    cells.into_values().map(total).collect()
}

fn sum<'t>(totals: impl IntoIterator<Item = &'t MeasureTotal>) -> Option<MeasureTotal> {
    totals.into_iter().fold(None, |sum: Option<MeasureTotal>, total| match sum {
        None => Some(total.clone()),
        Some(mut sum) => sum.add(total).map(|()| sum).ok(),
    })
}

fn exact(value: &Value) -> BigDecimal {
    match value {
        Value::Amount(amount) => big(&amount.to_string()),
        other => panic!("{other:?} is no amount"),
    }
}

fn big(text: &str) -> BigDecimal {
    BigDecimal::from_str(text).expect(text)
}

fn rounded(value: BigDecimal) -> BigDecimal {
    value.with_scale_round(DECIMALS, RoundingMode::HalfEven)
}

proptest! {
    #[test]
    fn no_total_adds_two_currencies_and_the_converted_one_is_exact(orders in orders()) {
        let metrics = Metrics::load(None).expect("the defaults load");
        let totals = totals(&orders, &metrics);
        let (mut of_currency, mut converted, mut unconverted) = (BTreeMap::new(), BigDecimal::from(0), 0);
        for Order { currency, rate, quantity, price, .. } in &orders {
            let amount = big(quantity) * big(price);
            *of_currency.entry(*currency).or_insert_with(|| BigDecimal::from(0)) += rounded(amount.clone());
            match (*currency, rate) {
                ("EUR", _) => converted += rounded(amount),
                (_, Some(rate)) => converted += rounded(amount * big(rate)),
                (_, None) => unconverted += 1,
            }
        }
        for (currency, expected) in of_currency {
            let known = totals.iter().filter(|(name, _)| name == currency).map(|(_, total)| total);
            prop_assert_eq!(exact(&sum(known).expect("is there").value()), expected, "{}", currency);
        }
        // In whichever order partitions and windows are added.
        for totals in [totals.clone(), totals.into_iter().rev().collect()] {
            let Some(all) = sum(totals.iter().map(|(_, total)| total)) else { continue };
            let InBase { value, unconverted: left } = all.in_base(Some(Currency::EUR));
            prop_assert_eq!(left, unconverted);
            match value {
                Value::None => prop_assert_eq!(unconverted, orders.len() as u64),
                value => prop_assert_eq!(exact(&value), converted.clone()),
            }
        }
    }
}
