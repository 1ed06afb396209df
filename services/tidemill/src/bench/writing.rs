//! Writes events as NDJSON, out of parts that are made once.

use bytes::Bytes;
use tidemill_domain::Timestamp;

use super::{
    shape::{COUNTRIES, Shape},
    workload::{Facts, Kind, LoadCustomer, Workload},
};

/// CloudEvents `source` of what a load generator sends.
pub(super) const SOURCE: &str = "tidemill-bench";
/// Bytes that an event takes, by and large.
const EVENT: usize = 360;

/// Writes the events of a workload, by requests of so many.
#[derive(Debug)]
pub(super) struct Generator {
    pub(super) workload: Workload,
    pub(super) batch: u64,
    /// What every id of this load begins with.
    id: Vec<u8>,
    products: Vec<ProductText>,
    countries: Vec<Vec<u8>>,
    /// A member that nobody reads, where events are to be longer.
    padding: Vec<u8>,
}

/// What is written of a product.
#[derive(Debug)]
struct ProductText {
    /// `"stock_code":"P-1","description":"…","unit_price":1.50` of an invoice,
    /// and `"product_id":"P-1","unit_price":1.50` of a shop.
    member: Vec<u8>,
}

/// The id of a product.
pub(super) fn product_id(product: u32) -> String {
    format!("P-{product}")
}

impl Generator {
    pub(super) fn new(workload: Workload, batch: u64) -> Self {
        let id = format!("{:x}-{:x}-", workload.seed, workload.begin.millis()).into_bytes();
        let products = (0..workload.products)
            .map(|product| ProductText { member: member(workload.shape, product, workload.cents(product)) })
            .collect();
        let countries = COUNTRIES
            .iter()
            .map(|country| match workload.shape {
                Shape::InvoiceLines => format!(r#","country":"{}"}}}}"#, country.name),
                Shape::Shop => format!(r#","billing_country":"{}"}}}}"#, country.code),
            })
            .map(|text| (text + "\n").into_bytes())
            .collect();
        let padding = match workload.padding {
            0 => Vec::new(),
            bytes => format!(r#""note":"{}","#, "x".repeat(bytes as usize)).into_bytes(),
        };
        Self { workload, batch: batch.max(1), id, products, countries, padding }
    }

    /// How many requests there are.
    pub(super) fn requests(&self) -> u64 {
        self.workload.events.div_ceil(self.batch)
    }

    /// The events of a request.
    pub(super) fn events_of(&self, request: u64) -> std::ops::Range<u64> {
        let first = request * self.batch;
        first..(first + self.batch).min(self.workload.events)
    }

    /// The body of a request.
    pub(super) fn body(&self, request: u64) -> Bytes {
        let events = self.events_of(request);
        let length = usize::try_from(events.end - events.start).unwrap_or_default();
        let mut out = Vec::with_capacity(length * EVENT);
        let mut clock = ClockText::default();
        for n in events {
            self.write(n, &self.workload.facts(n), &mut clock, &mut out);
        }
        out.into()
    }

    fn write(&self, n: u64, facts: &Facts, clock: &mut ClockText, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"specversion":"1.0","id":""#);
        out.extend_from_slice(&self.id);
        number(n, out);
        out.extend_from_slice(br#"","source":"tidemill-bench","type":""#);
        out.extend_from_slice(match facts.kind {
            Kind::View => b"product.viewed",
            Kind::Cart => b"cart.item_added",
            Kind::Order => b"order.placed",
            Kind::InvoiceLine => b"invoice.line",
        });
        out.extend_from_slice(br#"","time":""#);
        clock.write(facts.time, out);
        out.extend_from_slice(br#"","subject":""#);
        customer(facts.customer, out);
        out.extend_from_slice(br#"","data":{"#);
        out.extend_from_slice(&self.padding);
        match facts.kind {
            Kind::InvoiceLine => {
                out.extend_from_slice(br#""invoice":""#);
                number(facts.document, out);
                out.extend_from_slice(br#"","customer_id":""#);
                customer(facts.customer, out);
                out.extend_from_slice(b"\",");
                self.item(facts, 0, out);
                out.extend_from_slice(&self.countries[facts.country]);
            }
            Kind::View | Kind::Cart => {
                self.item(facts, 0, out);
                out.extend_from_slice(b"}}\n");
            }
            Kind::Order => {
                out.extend_from_slice(br#""order_id":""#);
                out.extend_from_slice(&self.id);
                number(facts.document, out);
                out.extend_from_slice(br#"","items":["#);
                for at in 0..facts.items().len() {
                    out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
                    self.item(facts, at, out);
                    out.push(b'}');
                }
                out.push(b']');
                out.extend_from_slice(&self.countries[facts.country]);
            }
        }
    }

    fn item(&self, facts: &Facts, at: usize, out: &mut Vec<u8>) {
        let item = facts.items()[at];
        match facts.customer {
            // Its price is not the product's.
            LoadCustomer::Alerting(_) => {
                out.extend_from_slice(&member(self.workload.shape, item.product, item.cents));
            }
            LoadCustomer::Regular(_) | LoadCustomer::Probe(_) => {
                out.extend_from_slice(&self.products[item.product as usize].member);
            }
        }
        out.extend_from_slice(br#","quantity":"#);
        number(item.quantity.into(), out);
    }
}

fn member(shape: Shape, product: u32, cents: u32) -> Vec<u8> {
    let (id, whole, part) = (product_id(product), cents / 100, cents % 100);
    match shape {
        Shape::InvoiceLines => {
            format!(r#""stock_code":"{id}","description":"PRODUCT NUMBER {product}","unit_price":{whole}.{part:02}"#)
        }
        Shape::Shop => format!(r#""product_id":"{id}","unit_price":{whole}.{part:02}"#),
    }
    .into_bytes()
}

fn customer(customer: LoadCustomer, out: &mut Vec<u8>) {
    let (prefix, n): (&[u8], u64) = match customer {
        LoadCustomer::Regular(n) => (b"c-", n.into()),
        LoadCustomer::Probe(n) => (b"bench-probe-", n),
        LoadCustomer::Alerting(n) => (b"bench-alert-", n),
    };
    out.extend_from_slice(prefix);
    number(n, out);
}

fn number(mut n: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes times. Most events are of the same second as the one before.
#[derive(Debug, Default)]
struct ClockText {
    second: i64,
    /// `2026-11-29T12:00:00`
    text: Vec<u8>,
}

impl ClockText {
    fn write(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        let second = time.millis().div_euclid(1000);
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = Timestamp::saturating_from_millis(second * 1000).to_string().into_bytes();
            self.text.truncate("2026-11-29T12:00:00".len());
        }
        out.extend_from_slice(&self.text);
        let millis = time.millis().rem_euclid(1000) as u64;
        out.extend_from_slice(&[b'.', b'0' + (millis / 100) as u8]);
        out.extend_from_slice(&[b'0' + (millis / 10 % 10) as u8, b'0' + (millis % 10) as u8, b'Z']);
    }
}
