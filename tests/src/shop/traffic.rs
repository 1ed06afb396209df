//! What is sent, and what must become of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tidemill_domain::Timestamp;

use super::{
    dataset::Row,
    truth::{self, Daily},
};
use crate::error::Error;

/// Tills that send invoice lines. Each is a source of its own: a slow till has
/// its own clock, and its lines are not late by the clocks of the others.
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
pub(crate) const SHOP_SOURCE: &str = "web-shop";

/// One order in so many has strange texts, and one in so many a text that is
/// none.
const STRANGE_EVERY: usize = 7;
const NO_TEXT_EVERY: usize = 50;
/// Texts that are legal, and that a database, a page or a terminal could
/// stumble over: beyond the first plane, not assigned, private, bidi controls,
/// combining, control characters, a quote, a statement, a formula, markup.
const STRANGE: [&str; 12] = [
    "\u{1f30a}\u{10ffff}",
    "\u{378}\u{e000}\u{fffe}",
    "\u{202e}drawkcab\u{2066}",
    "e\u{301}\u{200d}\u{feff}",
    "two\nlines\r\t",
    "\u{1}\u{1b}[31m\u{7f}\u{85}\u{9f}",
    "'; DROP TABLE cells; --",
    "\"\\\\\u{2028}",
    "=HYPERLINK(\"x\")",
    "<!channel> <script>",
    "%00%n{}$1",
    "\u{ff1d}\u{fdfa}",
];

/// What becomes of an event, taken once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in the totals by day and country: the line at this place.
    Line(usize),
    /// It is in the daily sales.
    Order {
        /// In millionths.
        revenue: i128,
        /// Whose it is, where it raises an alert.
        suspicious: Option<String>,
    },
    /// It is counted, and in none of the totals that are compared.
    Seen,
    /// It is too late for the totals.
    Late,
    /// Ingestion refuses it: a dead letter of this id.
    Invalid(String),
}

/// An event as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// As JSON, on one line.
    pub(crate) json: String,
    /// What becomes of it.
    pub(crate) fate: Fate,
}

impl Event {
    /// Whether ingestion takes it.
    pub(crate) fn is_valid(&self) -> bool {
        !matches!(self.fate, Fate::Invalid(_))
    }
}

/// A sender with its events, in the order in which they are first sent.
#[derive(Debug)]
pub(crate) struct Sender {
    /// CloudEvents `source`.
    pub(crate) source: String,
    /// Its events.
    pub(crate) events: Vec<Event>,
}

/// What must become of a source's events, each taken once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// In the totals.
    pub(crate) counted: u64,
    /// Too late for them.
    pub(crate) late: u64,
    /// Ids of those that become dead letters.
    pub(crate) invalid: BTreeSet<String>,
}

/// What must become of everything that was sent.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// By source.
    pub(crate) sources: BTreeMap<String, Outcome>,
    /// Totals of metric `daily_country`.
    pub(crate) daily: Daily,
    /// Orders in metric `daily_sales`.
    pub(crate) orders: u64,
    /// Their revenue, in millionths.
    pub(crate) revenue: i128,
    /// Customers whose orders raise an alert each.
    pub(crate) suspicious: BTreeSet<String>,
}

/// Everything that can be sent.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// Who sends.
    pub(crate) senders: Vec<Sender>,
    /// The lines that events are about.
    pub(crate) rows: Vec<Row>,
}

impl Traffic {
    /// From the invoice lines; orders are placed at `now`.
    pub(crate) fn new(mut rows: Vec<Row>, now: Timestamp) -> Self {
        let lines = rows.len();
        let mut senders = tills(&rows);
        senders.push(late_till(lines, &mut rows));
        senders.push(shop(lines, now));
        Self { senders, rows }
    }

    /// Distinct events.
    pub(crate) fn len(&self) -> u64 {
        self.senders.iter().map(|sender| u64::try_from(sender.events.len()).unwrap_or_default()).sum()
    }
}

impl Expected {
    /// Of so many events of each sender, the first ones.
    pub(crate) fn of<'s>(rows: &[Row], sent: impl IntoIterator<Item = (&'s Sender, usize)>) -> Result<Self, Error> {
        let mut expected = Self::default();
        let mut lines = Vec::new();
        for (sender, count) in sent.into_iter().filter(|(_, count)| *count > 0) {
            let outcome = expected.sources.entry(sender.source.clone()).or_default();
            for event in sender.events.iter().take(count) {
                match &event.fate {
                    Fate::Line(place) => {
                        outcome.counted += 1;
                        lines.extend(rows.get(*place));
                    }
                    Fate::Order { revenue, suspicious } => {
                        outcome.counted += 1;
                        expected.orders += 1;
                        expected.revenue += revenue;
                        expected.suspicious.extend(suspicious.clone());
                    }
                    Fate::Seen => outcome.counted += 1,
                    Fate::Late => outcome.late += 1,
                    Fate::Invalid(id) => drop(outcome.invalid.insert(id.clone())),
                }
            }
        }
        expected.daily = truth::of_rows(lines)?;
        Ok(expected)
    }
}

/// A customer's lines stay in order, at one till.
fn till_of(row: &Row) -> usize {
    row.subject().bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % 9_973) % TILLS
}

fn tills(rows: &[Row]) -> Vec<Sender> {
    let mut tills: Vec<Sender> =
        (1..=TILLS).map(|n| Sender { source: format!("till-{n}"), events: Vec::new() }).collect();
    for (n, row) in rows.iter().enumerate() {
        let till = &mut tills[till_of(row)];
        let line = row.event(&till.source, &format!("line-{:06}", n + 1));
        till.events.push(Event { json: line, fate: Fate::Line(n) });
        if till.events.len() % INVALID_EVERY == 7 {
            let id = format!("bad-{:06}", n + 1);
            till.events.push(Event { json: invalid(row, &till.source, &id, n), fate: Fate::Invalid(id) });
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
/// more than seven days (and the minute of disorder) behind it are late, the rest
/// corrects the days before. All have one subject, so one partition, and keep
/// their order there. The lines that count are added to `rows`.
fn late_till(lines: usize, rows: &mut Vec<Row>) -> Sender {
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
    let mut events = Vec::new();
    for n in 0..(lines / 250).clamp(40, 2_000) {
        let (row, counts) = match n % 4 {
            _ if n == 0 => (line(n, "2012-01-10 12:00:00".into()), true),
            0 => (line(n, format!("2012-01-{:02} {:02}:{:02}:00", 3 + n % 7, 12 + n % 12, n % 60)), true),
            1 => (line(n, format!("2012-01-{:02} 11:{:02}:59", 1 + n % 2, n % 60)), false),
            // A second more than seven days and a minute.
            2 => (line(n, "2012-01-03 11:58:59".into()), false),
            _ => (line(n, format!("2011-{:02}-11 23:59:59", 1 + n % 12)), false),
        };
        let json = row.event(LATE_SOURCE, &format!("late-{n:06}"));
        events.push(Event { json, fate: if counts { Fate::Line(rows.len()) } else { Fate::Late } });
        if counts {
            rows.push(row);
        }
    }
    Sender { source: LATE_SOURCE.into(), events }
}

/// Orders of one item, each of another customer; some are so large that they
/// raise an alert.
fn shop(lines: usize, now: Timestamp) -> Sender {
    let (mut events, mut suspicious) = (Vec::new(), 0);
    for n in 0..(lines / LINES_PER_ORDER).clamp(ORDERS.start, ORDERS.end) {
        let customer = format!("buyer-{n:05}");
        let is_suspicious = n % SUSPICIOUS_EVERY == 0 && suspicious < MAX_SUSPICIOUS;
        let price = if is_suspicious { "12000.50".to_owned() } else { format!("{}.{:02}", 1 + n % 40, n % 100) };
        let quantity = if is_suspicious { 1 } else { 1 + n % 3 };
        suspicious += usize::from(is_suspicious);
        let revenue = truth::micros(&price).unwrap_or_default() * i128::try_from(quantity).unwrap_or_default();
        let strange = match n % STRANGE_EVERY {
            3 => STRANGE[n / STRANGE_EVERY % STRANGE.len()],
            _ => "",
        };
        let product = Value::from(format!("p-{}{strange}", n % 50));
        let order = Value::from(format!("o-{n}{strange}"));
        if n % NO_TEXT_EVERY == 11 {
            // U+0000, which PostgreSQL cannot hold.
            let id = format!("no-text-{n:05}");
            let json = format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"{SHOP_SOURCE}","type":"order.placed","time":"{now}","subject":"{customer}","data":{{"order_id":"n-{n}","billing_country":"DE","items":[{{"product_id":"p\u0000","quantity":1,"unit_price":1}}]}}}}"#
            );
            events.push(Event { json, fate: Fate::Invalid(id) });
        }
        events.push(Event {
            json: format!(
                r#"{{"specversion":"1.0","id":"order-{n:05}","source":"{SHOP_SOURCE}","type":"order.placed","time":"{now}","subject":"{customer}","data":{{"order_id":{order},"billing_country":"DE","note":{},"items":[{{"product_id":{product},"quantity":{quantity},"unit_price":{price}}}]}}}}"#,
                Value::from(strange)
            ),
            fate: Fate::Order { revenue, suspicious: is_suspicious.then_some(customer) },
        });
    }
    Sender { source: SHOP_SOURCE.into(), events }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::dataset;

    #[test]
    fn every_event_has_an_outcome_and_an_id_of_its_own() {
        let rows = dataset::generate(1, 4_000);
        let traffic = Traffic::new(rows, Timestamp::EPOCH);
        let all = traffic.senders.iter().map(|sender| (sender, sender.events.len()));
        let expected = Expected::of(&traffic.rows, all).expect("numbers");
        let mut ids = BTreeSet::new();
        for event in traffic.senders.iter().flat_map(|sender| &sender.events) {
            let json: Value = serde_json::from_str(&event.json).expect("JSON");
            assert!(ids.insert((json["source"].to_string(), json["id"].to_string())));
        }
        let outcomes = expected.sources.values();
        let settled: u64 = outcomes.map(|o| o.counted + o.late + o.invalid.len() as u64).sum();
        assert_eq!((settled, ids.len() as u64), (traffic.len(), traffic.len()));
        let late = &expected.sources[LATE_SOURCE];
        assert!(late.late > 20 && late.counted > 5, "{late:?}");
        assert!(traffic.senders[..TILLS].iter().all(|till| till.events.len() > 100));
    }

    #[test]
    fn what_was_not_sent_is_not_expected() {
        let traffic = Traffic::new(dataset::generate(1, 4_000), Timestamp::EPOCH);
        let half = || traffic.senders.iter().map(|sender| (sender, sender.events.len() / 2));
        let expected = Expected::of(&traffic.rows, half()).expect("numbers");
        let settled: u64 = expected.sources.values().map(|o| o.counted + o.late + o.invalid.len() as u64).sum();
        assert_eq!(settled, half().map(|(_, count)| count as u64).sum::<u64>());
        let lines: i128 = expected.daily.values().map(|figures| figures[0] / 1_000_000).sum();
        let counted: u64 = expected.sources.values().map(|o| o.counted).sum();
        assert_eq!(lines, i128::from(counted - expected.orders));
        assert!(Expected::of(&traffic.rows, []).expect("nothing").daily.is_empty());
    }
}
