//! What is sent, and what must become of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tidemill_domain::Timestamp;

use super::{
    dataset::Row,
    error::Error,
    truth::{self, Daily},
};

/// Tills that send invoice lines, each a source of its own, so that one that
/// is behind does not make its lines late by the others' clocks.
const TILLS: usize = 5;
/// One event that no schema accepts, after so many lines of a till.
const INVALID_EVERY: usize = 250;
/// Orders for so many lines.
const LINES_PER_ORDER: usize = 100;
const ORDERS: std::ops::Range<usize> = 100..5_000;
/// One order in so many is suspicious, up to as many as one page of alerts
/// can show.
const SUSPICIOUS_EVERY: usize = 15;
const MAX_SUSPICIOUS: usize = 300;
/// Source of the late lines.
const LATE_SOURCE: &str = "late-till";
/// Source of the orders.
const SHOP_SOURCE: &str = "web-shop";

/// An event as it is sent.
#[derive(Debug)]
pub(super) struct Event {
    /// As JSON, on one line.
    pub(super) json: String,
    /// Whether ingestion takes it.
    pub(super) valid: bool,
}

/// A sender with its events, in the order in which they are first sent.
#[derive(Debug)]
pub(super) struct Sender {
    /// CloudEvents `source`.
    pub(super) source: String,
    /// Its events.
    pub(super) events: Vec<Event>,
}

/// What must become of a source's events, each taken once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// In the totals.
    pub(super) counted: u64,
    /// Too late for them.
    pub(super) late: u64,
    /// Ids of those that become dead letters.
    pub(super) invalid: BTreeSet<String>,
}

/// What must become of everything.
#[derive(Debug)]
pub(super) struct Expected {
    /// By source.
    pub(super) sources: BTreeMap<String, Outcome>,
    /// Totals of metric `daily_country`.
    pub(super) daily: Daily,
    /// Orders in metric `daily_sales`.
    pub(super) orders: u64,
    /// Their revenue, in millionths.
    pub(super) revenue: i128,
    /// Customers whose orders raise an alert each.
    pub(super) suspicious: BTreeSet<String>,
}

/// Everything that is sent.
#[derive(Debug)]
pub(super) struct Traffic {
    /// Who sends.
    pub(super) senders: Vec<Sender>,
    /// What must become of it.
    pub(super) expected: Expected,
}

impl Traffic {
    /// From the invoice lines; orders are placed at `now`.
    pub(super) fn new(rows: &[Row], now: Timestamp) -> Result<Self, Error> {
        let mut sources = BTreeMap::new();
        let mut senders = tills(rows, &mut sources);
        let (late, on_time) = late_till(rows.len(), &mut sources);
        senders.push(late);
        let (shop, revenue, suspicious) = shop(rows.len(), now, &mut sources);
        let orders = u64::try_from(shop.events.len()).unwrap_or_default();
        senders.push(shop);
        let daily = truth::of_rows(rows.iter().chain(&on_time))?;
        Ok(Self { senders, expected: Expected { sources, daily, orders, revenue, suspicious } })
    }

    /// Distinct events.
    pub(super) fn len(&self) -> u64 {
        self.senders.iter().map(|sender| u64::try_from(sender.events.len()).unwrap_or_default()).sum()
    }
}

/// A customer's lines stay in order, at one till.
fn till_of(row: &Row) -> usize {
    row.subject().bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % 9_973) % TILLS
}

fn tills(rows: &[Row], sources: &mut BTreeMap<String, Outcome>) -> Vec<Sender> {
    let mut tills: Vec<Sender> =
        (1..=TILLS).map(|n| Sender { source: format!("till-{n}"), events: Vec::new() }).collect();
    for (n, row) in rows.iter().enumerate() {
        let till = &mut tills[till_of(row)];
        let outcome = sources.entry(till.source.clone()).or_default();
        till.events.push(Event { json: row.event(&till.source, &format!("line-{:06}", n + 1)), valid: true });
        outcome.counted += 1;
        if till.events.len() % INVALID_EVERY == 7 {
            let id = format!("bad-{:06}", n + 1);
            till.events.push(Event { json: invalid(row, &till.source, &id, n), valid: false });
            outcome.invalid.insert(id);
        }
    }
    tills
}

/// The line's event with something wrong that no repetition mends.
fn invalid(row: &Row, source: &str, id: &str, n: usize) -> String {
    let mut event: Value = serde_json::from_str(&row.event(source, id)).unwrap_or_default();
    match n % 4 {
        0 => event["data"]["quantity"] = "many".into(),
        1 => event["data"]["country"] = Value::Null,
        2 => event["type"] = "invoice.lnie".into(),
        _ => event["data"] = json!([]),
    }
    event.to_string()
}

/// One source whose first event is far newer than most of the others: those
/// more than a day (and the minute of disorder) behind it are late, the rest
/// corrects the day before. All have one subject, so one partition, and keep
/// their order there. Answers the lines that count, too.
fn late_till(lines: usize, sources: &mut BTreeMap<String, Outcome>) -> (Sender, Vec<Row>) {
    let line = |n: usize, date: String| Row {
        invoice: format!("L{n}"),
        stock_code: "LATE".into(),
        description: String::new(),
        quantity: "1".into(),
        date,
        price: "1.25".into(),
        customer: "late-1".into(),
        country: "Lateland".into(),
    };
    let mut on_time = vec![line(0, "2012-01-10 12:00:00".into())];
    let mut events = vec![Event { json: on_time[0].event(LATE_SOURCE, "late-000000"), valid: true }];
    let mut late = 0;
    for n in 1..(lines / 250).clamp(40, 2_000) {
        let row = match n % 4 {
            0 => line(n, format!("2012-01-09 {:02}:{:02}:00", 12 + n % 12, n % 60)),
            1 => line(n, format!("2012-01-{:02} 11:{:02}:59", 1 + n % 8, n % 60)),
            // A second more than a day and a minute.
            2 => line(n, "2012-01-09 11:58:59".into()),
            _ => line(n, format!("2011-{:02}-11 23:59:59", 1 + n % 12)),
        };
        events.push(Event { json: row.event(LATE_SOURCE, &format!("late-{n:06}")), valid: true });
        if n % 4 == 0 { on_time.push(row) } else { late += 1 }
    }
    let counted = u64::try_from(on_time.len()).unwrap_or_default();
    sources.insert(LATE_SOURCE.into(), Outcome { counted, late, ..Outcome::default() });
    (Sender { source: LATE_SOURCE.into(), events }, on_time)
}

/// Orders of one item, each of another customer; some are so large that they
/// raise an alert. Answers their revenue in millionths, and who is suspicious.
fn shop(lines: usize, now: Timestamp, sources: &mut BTreeMap<String, Outcome>) -> (Sender, i128, BTreeSet<String>) {
    let (mut events, mut revenue, mut suspicious) = (Vec::new(), 0, BTreeSet::new());
    for n in 0..(lines / LINES_PER_ORDER).clamp(ORDERS.start, ORDERS.end) {
        let customer = format!("buyer-{n:05}");
        let is_suspicious = n % SUSPICIOUS_EVERY == 0 && suspicious.len() < MAX_SUSPICIOUS;
        let price = if is_suspicious { "12000.50".to_owned() } else { format!("{}.{:02}", 1 + n % 40, n % 100) };
        let quantity = if is_suspicious { 1 } else { 1 + n % 3 };
        events.push(Event {
            json: format!(
                r#"{{"specversion":"1.0","id":"order-{n:05}","source":"{SHOP_SOURCE}","type":"order.placed","time":"{now}","subject":"{customer}","data":{{"order_id":"o-{n}","billing_country":"DE","items":[{{"product_id":"p-{}","quantity":{quantity},"unit_price":{price}}}]}}}}"#,
                n % 50
            ),
            valid: true,
        });
        revenue += truth::micros(&price).unwrap_or_default() * i128::try_from(quantity).unwrap_or_default();
        if is_suspicious {
            suspicious.insert(customer);
        }
    }
    let counted = u64::try_from(events.len()).unwrap_or_default();
    sources.insert(SHOP_SOURCE.into(), Outcome { counted, ..Outcome::default() });
    (Sender { source: SHOP_SOURCE.into(), events }, revenue, suspicious)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::dataset;

    #[test]
    fn every_event_has_an_outcome_and_an_id_of_its_own() {
        let rows = dataset::generate(1, 4_000);
        let traffic = Traffic::new(&rows, Timestamp::EPOCH).expect("numbers");
        let mut ids = BTreeSet::new();
        for event in traffic.senders.iter().flat_map(|sender| &sender.events) {
            let json: Value = serde_json::from_str(&event.json).expect("JSON");
            assert!(ids.insert((json["source"].to_string(), json["id"].to_string())));
        }
        let outcomes = traffic.expected.sources.values();
        let settled: u64 = outcomes.map(|o| o.counted + o.late + o.invalid.len() as u64).sum();
        assert_eq!((settled, ids.len() as u64), (traffic.len(), traffic.len()));
        let late = &traffic.expected.sources[LATE_SOURCE];
        assert!(late.late > 20 && late.counted > 5, "{late:?}");
        assert!(traffic.senders[..TILLS].iter().all(|till| till.events.len() > 100));
    }
}
