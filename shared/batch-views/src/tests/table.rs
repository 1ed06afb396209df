//! The events as the tables of silver.

use std::sync::Arc;

use deltalake::arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{Field, Schema},
};
use tidemill_domain::{Amount, Factor};
use tidemill_events::LineFacts;

use super::events::TestEvent;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length")
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// `silver.events`, of which what plans read.
/// `first` is the sequence of the first one.
pub(super) fn events(events: &[TestEvent], first: i64) -> RecordBatch {
    let all = || events.iter();
    batch(vec![
        ("partition", Arc::new(all().map(|event| Some(i32::from(event.partition))).collect::<Int32Array>())),
        ("raw_seq", Arc::new((first..).zip(all()).map(|(n, _)| Some(n)).collect::<Int64Array>())),
        ("index", Arc::new(all().map(|_| Some(0)).collect::<Int32Array>())),
        ("id", texts(all().map(|_| Some("x".into())))),
        ("source", texts(all().map(|event| Some(event.source.clone())))),
        ("type", texts(all().map(|event| Some(event.kind.into())))),
        ("subject", texts(all().map(|event| event.subject.clone()))),
        ("time", times(all())),
        ("received", times(all())),
        ("late", Arc::new(all().map(|event| Some(event.late)).collect::<BooleanArray>())),
        ("country", texts(all().map(|event| event.enrichment.country.clone()))),
        ("region", texts(all().map(|event| Some(event.enrichment.region.clone())))),
        ("ip_country", texts(all().map(|event| event.enrichment.ip_country.clone()))),
        ("currency", texts(all().map(|event| event.enrichment.currency.map(|currency| currency.to_string())))),
        ("base_currency", texts(all().map(|event| event.enrichment.conversion().map(|of| of.base.to_string())))),
        ("data", texts(all().map(|event| Some(event.data.clone())))),
        ("enriched", texts(all().map(|event| serde_json::to_string(&event.enrichment).ok()))),
    ])
}

/// `bronze.events`, of which what lineage reads.
pub(super) fn bronze(events: &[TestEvent], first: i64) -> RecordBatch {
    let all = || events.iter();
    batch(vec![
        ("partition", Arc::new(all().map(|event| Some(i32::from(event.partition))).collect::<Int32Array>())),
        ("raw_seq", Arc::new((first..).zip(all()).map(|(n, _)| Some(n)).collect::<Int64Array>())),
        ("index", Arc::new(all().map(|_| Some(0)).collect::<Int32Array>())),
        ("type", texts(all().map(|event| Some(event.kind.into())))),
        ("time", times(all())),
        ("event", texts((first..).zip(all()).map(|(n, event)| Some(format!("{n} {}", event.data))))),
    ])
}

fn times<'e>(events: impl Iterator<Item = &'e TestEvent>) -> ArrayRef {
    let micros = events.map(|event| Some(event.time.millis() * 1000));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// `silver.order_lines`, of which what plans read.
pub(super) fn order_lines(events: &[TestEvent]) -> RecordBatch {
    let lines =
        || events.iter().flat_map(|event| event.enrichment.lines.iter().enumerate().map(move |line| (event, line)));
    let of = |value: fn(&TestEvent, usize, &LineFacts) -> Option<String>| {
        texts(lines().map(move |(event, (place, line))| value(event, place, line)))
    };
    let sequences = (1..).zip(events).flat_map(|(n, event)| event.enrichment.lines.iter().map(move |_| Some(n)));
    let mut columns = vec![
        (
            "partition",
            Arc::new(lines().map(|(event, _)| Some(i32::from(event.partition))).collect::<Int32Array>()) as ArrayRef,
        ),
        ("raw_seq", Arc::new(sequences.collect::<Int64Array>())),
        ("index", Arc::new(lines().map(|_| Some(0)).collect::<Int32Array>())),
        ("event_id", of(|_, _, _| Some("x".into()))),
        ("source", of(|event, _, _| Some(event.source.clone()))),
        ("type", of(|event, _, _| Some(event.kind.into()))),
        ("subject", of(|event, _, _| event.subject.clone())),
        ("time", times(lines().map(|(event, _)| event))),
        ("late", Arc::new(lines().map(|(event, _)| Some(event.late)).collect::<BooleanArray>())),
        ("order_id", of(|event, _, _| event.enrichment.order.as_ref().map(|order| order.id.clone()))),
        ("product", of(|_, _, line| line.product.clone())),
        ("category", of(category)),
        ("country", of(|event, _, _| event.enrichment.country.clone())),
        ("region", of(|event, _, _| Some(event.enrichment.region.clone()))),
        ("currency", of(|event, _, _| event.enrichment.currency.map(|currency| currency.to_string()))),
        ("base_currency", of(|event, _, _| event.enrichment.conversion().map(|of| of.base.to_string()))),
        ("rounded", Arc::new(lines().map(|(_, (_, line))| Some(line.rounded)).collect::<BooleanArray>())),
    ];
    for (name, base, amount) in AMOUNTS {
        let own = lines().map(|(_, (_, line))| (!line.unread).then(|| amount(line)));
        columns.push((name, amounts(own)));
        if let Some(base) = base {
            columns.push((base, amounts(lines().map(|(event, (_, line))| in_base(event, line, amount)))));
        }
    }
    batch(columns)
}

type OfLine = fn(&LineFacts) -> Amount;
const AMOUNTS: [(&str, Option<&str>, OfLine); 7] = [
    ("quantity", None, |line| line.quantity),
    ("gross", Some("base_gross"), |line| line.gross),
    ("discount", Some("base_discount"), |line| line.discount),
    ("revenue", Some("base_revenue"), LineFacts::revenue),
    ("refund", Some("base_refund"), |line| line.refund),
    ("cancelled", Some("base_cancelled"), |line| line.cancelled),
    ("net", Some("base_net"), LineFacts::net),
];

fn amounts(values: impl Iterator<Item = Option<Amount>>) -> ArrayRef {
    let units = values.map(|amount| amount.map(Amount::units)).collect::<Decimal128Array>();
    Arc::new(units.with_precision_and_scale(38, 12).expect("an amount"))
}

fn category(event: &TestEvent, place: usize, line: &LineFacts) -> Option<String> {
    let of_item = || event.enrichment.items.get(place).map(|item| item.category.clone());
    line.facts.as_ref().map(|facts| facts.category.clone()).or_else(of_item)
}

fn in_base(event: &TestEvent, line: &LineFacts, amount: OfLine) -> Option<Amount> {
    let amount = (!line.unread).then(|| amount(line))?;
    match event.enrichment.conversion()?.rate {
        None => Some(amount),
        Some(rate) => Amount::product_of([Factor::Exact(amount), Factor::Written(rate)]).ok().map(|read| read.amount),
    }
}

/// `silver.orders`: id, customer, currency, net in whole units, and the second in which
/// it was placed.
pub(super) fn orders(orders: &[(&str, Option<&str>, &str, i64, i64)]) -> RecordBatch {
    let all = || orders.iter();
    let placed = all().map(|order| Some(order.4 * 1_000_000)).collect::<TimestampMicrosecondArray>();
    batch(vec![
        ("partition", Arc::new(all().map(|_| Some(0)).collect::<Int32Array>())),
        ("order_id", texts(all().map(|order| Some(order.0.to_owned())))),
        ("customer", texts(all().map(|order| order.1.map(String::from)))),
        ("currency", texts(all().map(|order| Some(order.2.to_owned())))),
        ("net", amounts(all().map(|order| Some(Amount::from_int(order.3))))),
        ("placed_at", Arc::new(placed.with_timezone("UTC"))),
    ])
}

/// `silver.order_lines`: order, currency, and net in the base currency.
pub(super) fn lines_in_base(lines: &[(&str, &str, i64)]) -> RecordBatch {
    batch(vec![
        ("partition", Arc::new(lines.iter().map(|_| Some(0)).collect::<Int32Array>())),
        ("order_id", texts(lines.iter().map(|line| Some(line.0.to_owned())))),
        ("currency", texts(lines.iter().map(|line| Some(line.1.to_owned())))),
        ("base_net", amounts(lines.iter().map(|line| Some(Amount::from_int(line.2))))),
        ("base_currency", texts(lines.iter().map(|_| Some("EUR".into())))),
    ])
}
