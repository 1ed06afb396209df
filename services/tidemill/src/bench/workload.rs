//! The events of a load: what the n-th one says, whoever sends it and whenever.

use tidemill_domain::Timestamp;

use super::{
    random,
    shape::{CATEGORIES, COUNTRIES, PROBE_COUNTRY, Shape},
};

const MINUTE: i64 = 60_000;
/// Lines of an invoice: they follow each other.
const LINES: u64 = 8;
/// Of so many events of a shop …
const SHOP_CYCLE: u64 = 20;
/// … these are views, then carts, and the rest orders.
const VIEWS: u64 = 12;
const CARTS: u64 = 5;
const ORDERS: u64 = SHOP_CYCLE - VIEWS - CARTS;
/// Cents of an order that no shop ships unasked.
const ALERTING: u32 = 1_200_000;

/// What the events of a load are made from. Equal ones make equal events.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) shape: Shape,
    pub(super) events: u64,
    pub(super) seed: u64,
    pub(super) customers: u32,
    pub(super) products: u32,
    /// Bytes of a text in each event that nobody reads.
    pub(super) padding: u32,
    /// Event time of the first event.
    pub(super) begin: Timestamp,
    /// Events in a minute of event time.
    pub(super) per_minute: u64,
    /// Every so many-th event is a probe; none with 0.
    pub(super) probe_every: u64,
    /// Every so many-th event is an order that alerts; none with 0.
    pub(super) alert_every: u64,
}

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    View,
    Cart,
    Order,
    InvoiceLine,
}

/// Whose event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LoadCustomer {
    /// One of the shop's.
    Regular(u32),
    /// Of the n-th probe, and of nothing else.
    Probe(u64),
    /// Of the n-th event, which alerts.
    Alerting(u64),
}

/// So many of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LoadItem {
    pub(super) product: u32,
    pub(super) quantity: u32,
    /// Price of one.
    pub(super) cents: u32,
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) time: Timestamp,
    pub(super) customer: LoadCustomer,
    /// Place in the table of countries.
    pub(super) country: usize,
    /// The number of its invoice or order.
    pub(super) document: u64,
    items: [LoadItem; 3],
    count: u8,
}

impl Facts {
    pub(super) fn items(&self) -> &[LoadItem] {
        &self.items[..usize::from(self.count)]
    }
}

/// Place of a product's category.
pub(super) fn category(product: u32) -> usize {
    product as usize % CATEGORIES.len()
}

/// More than half are at home.
fn country_of(customer: u32) -> usize {
    let customer = customer as usize;
    if customer % 10 < 6 { 0 } else { 1 + customer / 10 % (COUNTRIES.len() - 2) }
}

impl Workload {
    /// The event time of the n-th event.
    pub(super) fn time(&self, n: u64) -> Timestamp {
        let millis = u128::from(n) * u128::from(MINUTE.unsigned_abs()) / u128::from(self.per_minute.max(1));
        self.begin.plus_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The first event that is not before `time`.
    pub(super) fn first_at(&self, time: Timestamp) -> u64 {
        let millis = u128::try_from(time.millis().saturating_sub(self.begin.millis())).unwrap_or_default();
        let first = (millis * u128::from(self.per_minute.max(1))).div_ceil(u128::from(MINUTE.unsigned_abs()));
        u64::try_from(first).unwrap_or(u64::MAX).min(self.events)
    }

    /// The number of the probe that the n-th event is.
    pub(super) fn probe(&self, n: u64) -> Option<u64> {
        (self.probe_every > 0 && n.is_multiple_of(self.probe_every)).then(|| n / self.probe_every)
    }

    /// The event of a probe.
    pub(super) fn of_probe(&self, probe: u64) -> u64 {
        probe * self.probe_every
    }

    /// Whether the n-th event alerts: where its place is a probe's, the next one
    /// does.
    fn alerts(&self, n: u64) -> bool {
        let is_place = |n: u64| self.alert_every > 0 && n.is_multiple_of(self.alert_every);
        let is_pushed =
            |n: u64| n.checked_sub(1).is_some_and(|before| is_place(before) && self.probe(before).is_some());
        self.shape == Shape::Shop && self.probe(n).is_none() && (is_place(n) || is_pushed(n))
    }

    /// The price of a product, the same in all events.
    pub(super) fn cents(&self, product: u32) -> u32 {
        50 + random::below(low(random::at(!self.seed, product.into())), 1_950)
    }

    /// What the n-th event says.
    pub(super) fn facts(&self, n: u64) -> Facts {
        let bits = random::at(self.seed, n);
        let time = self.time(n);
        if let Some(probe) = self.probe(n) {
            let kind = if self.shape == Shape::Shop { Kind::Order } else { Kind::InvoiceLine };
            let items = [self.item(0, bits), LoadItem::default(), LoadItem::default()];
            let (customer, document) = (LoadCustomer::Probe(probe), self.events + probe);
            return Facts { kind, time, customer, country: PROBE_COUNTRY, document, items, count: 1 };
        }
        match self.shape {
            Shape::InvoiceLines => self.invoice_line(n, bits, time),
            Shape::Shop => self.shop_event(n, bits, time),
        }
    }

    fn invoice_line(&self, n: u64, bits: u64, time: Timestamp) -> Facts {
        let document = n / LINES;
        let customer = random::below(low(random::at(self.seed ^ LINES, document)), self.customers);
        let items = [self.any_item(bits), LoadItem::default(), LoadItem::default()];
        let country = country_of(customer);
        let customer = LoadCustomer::Regular(customer);
        Facts { kind: Kind::InvoiceLine, time, customer, country, document, items, count: 1 }
    }

    fn shop_event(&self, n: u64, bits: u64, time: Timestamp) -> Facts {
        let place = n % SHOP_CYCLE;
        let order = n / SHOP_CYCLE * ORDERS + (place % ORDERS);
        // One after the other, so that no customer orders suspiciously often.
        let in_turn = u32::try_from(order % u64::from(self.customers)).unwrap_or_default();
        let anybody = random::below(high(bits), self.customers);
        let (kind, customer) = match place {
            _ if self.alerts(n) => (Kind::Order, LoadCustomer::Alerting(n)),
            _ if place < VIEWS => (Kind::View, LoadCustomer::Regular(anybody)),
            _ if place < VIEWS + CARTS => (Kind::Cart, LoadCustomer::Regular(anybody)),
            _ => (Kind::Order, LoadCustomer::Regular(in_turn)),
        };
        let country = match customer {
            LoadCustomer::Regular(customer) => country_of(customer),
            LoadCustomer::Probe(_) | LoadCustomer::Alerting(_) => 0,
        };
        let mut items = [self.any_item(bits); 3];
        let mut count = 1;
        if let LoadCustomer::Alerting(_) = customer {
            items[0] = LoadItem { quantity: 1, cents: ALERTING, ..items[0] };
        } else if kind == Kind::Order {
            count = 1 + (bits >> 60) as u8 % 3;
            for (at, item) in (1..).zip(&mut items[1..]) {
                *item = self.any_item(random::at(bits, at));
            }
        }
        Facts { kind, time, customer, country, document: n, items, count }
    }

    fn any_item(&self, bits: u64) -> LoadItem {
        self.item(random::below(low(bits), self.products), bits >> 32)
    }

    fn item(&self, product: u32, bits: u64) -> LoadItem {
        LoadItem { product, quantity: 1 + random::below(low(bits), 12), cents: self.cents(product) }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn low(bits: u64) -> u32 {
    bits as u32
}

fn high(bits: u64) -> u32 {
    low(bits >> 32)
}
