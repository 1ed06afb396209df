//! The play: half an hour of a shop on the day of a flash sale, made by a
//! seeded generator, so that the same seed plays the same.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tidemill_domain::{Currency, Timestamp};

use super::{
    catalogue::{Currencies, Customer, Product},
    orders::{DemoOrder, OpenOrders, PlayedLine, amount},
    spread::Spread,
    takings::Takings,
};

#[cfg(test)]
mod tests;

/// CloudEvents `source` of the shop.
pub(super) const SOURCE: &str = "demo-shop";
/// Length of the play in event time.
const MINUTES: i64 = 30;
const MINUTE: i64 = 60_000;
/// Events a second after the play, at most.
const LIVE_RATE: u64 = 40;
/// What a voucher takes off an order, in hundredths.
const COUPON: u32 = 300;
/// Minutes in which the flash sale runs.
const SALE: std::ops::Range<i64> = 21..23;
/// How far behind the newest event a late one is: beyond the allowed lateness.
const LATE_BY: i64 = 10 * 24 * 60 * MINUTE;

/// One event to be sent.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// The event as a line, or what a broken sender takes for one.
    pub(super) line: Vec<u8>,
    /// Whether the shop traces this one.
    pub(super) traced: bool,
}

/// What the books have to show in the end, if no request had to be repeated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) received: u64,
    pub(super) rejected: u64,
    pub(super) late: u64,
    pub(super) duplicate: u64,
}

/// The play, event by event.
pub(super) struct Scenario {
    rng: StdRng,
    start: Timestamp,
    total: u32,
    played: u32,
    run: u64,
    /// What kind of event the next one is, and of what.
    kinds: Spread,
    categories: Spread,
    products: Spread,
    orders: u64,
    currencies: Currencies,
    open: OpenOrders,
    fraud_left: Vec<Fraud>,
    recent: Vec<Vec<u8>>,
    pub(super) expected: Expected,
    /// What all of it comes to.
    pub(super) takings: Takings,
}

#[derive(Debug, Clone)]
enum Fraud {
    /// A very large order from abroad.
    Large,
    /// One of many orders of one customer within a minute.
    Quick { customer: u32 },
}

impl Scenario {
    /// A play of `total` events that ends at `now`. `run` tells the ids of one
    /// run from another's; `base` is the shop's currency.
    pub(super) fn new(seed: u64, total: u32, now: Timestamp, run: u64, base: Currency) -> Self {
        let mut fraud_left = vec![Fraud::Large; 3];
        fraud_left.extend(vec![Fraud::Quick { customer: 4_711 }; 8]);
        let mut rng = StdRng::seed_from_u64(seed);
        let [categories, products] = Spread::TWO.map(|step| Spread::new(step, &mut rng));
        Self {
            kinds: Spread::new(Spread::ONE, &mut rng),
            categories,
            products,
            rng,
            start: now.floor_to(MINUTE).plus_millis(-MINUTES * MINUTE),
            total,
            played: 0,
            run,
            orders: 0,
            currencies: Currencies::of(base),
            open: OpenOrders::default(),
            fraud_left,
            recent: Vec::new(),
            expected: Expected::default(),
            takings: Takings::default(),
        }
    }

    /// An event of right now, for the time after the play.
    pub(super) fn live(&mut self, now: Timestamp) -> Step {
        self.played += 1;
        let line = self.normal(now, false);
        Step { line, traced: self.rng.random_bool(0.01) }
    }

    /// How many events come in so many seconds after the play: as many as in its quiet
    /// minutes, so that nothing looks like another sale.
    pub(super) fn live_in(&self, seconds: u32) -> u32 {
        let at_most = u64::from(seconds) * LIVE_RATE;
        let as_before = u64::from(self.total) * u64::from(seconds) / (MINUTES.unsigned_abs() * 60);
        u32::try_from(as_before.clamp(u64::from(seconds), at_most)).unwrap_or(u32::MAX)
    }

    fn progress(&self) -> f64 {
        f64::from(self.played) / f64::from(self.total)
    }

    /// Events come in order of time but for a few seconds, as networks have it.
    fn time(&mut self) -> Timestamp {
        #[allow(clippy::cast_possible_truncation, reason = "at most half an hour in milliseconds")]
        let at = (self.progress() * (MINUTES * MINUTE) as f64) as i64;
        self.start.plus_millis((at - self.rng.random_range(0..2_000)).max(0))
    }

    fn normal(&mut self, time: Timestamp, sale: bool) -> Vec<u8> {
        let draw = self.kinds.share();
        let customer = Customer::any(&mut self.rng);
        // In the flash sale people come to buy.
        let (views, carts) = if sale { (0.35, 0.55) } else { (0.70, 0.88) };
        let product = match sale {
            true => Product::on_sale(&mut self.rng),
            false => Product::looked_at(customer.interest, &mut self.rng),
        };
        if draw < views {
            let session = format!("s-{}-{}", self.run, customer.id);
            let data = json!({"product_id": product.sku(), "session_id": session});
            self.event("product.viewed", time, &customer.id, &customer.ip, &data)
        } else if draw < carts {
            let quantity = self.rng.random_range(1..=3_u32);
            let price = amount(product.cents.into());
            let data = json!({"product_id": product.sku(), "quantity": quantity, "unit_price": price});
            self.event("cart.item_added", time, &customer.id, &customer.ip, &data)
        } else if draw < 0.99 {
            let first = match sale {
                true => Product::on_sale(&mut self.rng),
                false => Product::spread(&mut self.categories, &mut self.products),
            };
            let customer = if sale { customer } else { Customer::who_comes_for(first.set(), &mut self.rng) };
            let mut products: Vec<(Product, u32)> = Vec::new();
            for _ in 0..self.rng.random_range(1..=3_usize) {
                let product = match (sale, products.last()) {
                    (_, None) => first,
                    (true, Some(_)) => Product::on_sale(&mut self.rng),
                    (false, Some((last, _))) => last.companion(),
                };
                products.push((product, self.rng.random_range(1..=if sale { 4 } else { 2 })));
            }
            let ip = customer.ip.clone();
            let coupon = if !sale && self.rng.random_bool(0.15) { COUPON } else { 0 };
            let order = self.new_order(customer, &products, sale, coupon);
            self.place(time, &ip, order)
        } else {
            self.take_back(time, &customer, product)
        }
    }

    /// What a customer wants back, or does not want any more; a look at a product
    /// where there is no order yet.
    fn take_back(&mut self, time: Timestamp, visitor: &Customer, product: Product) -> Vec<u8> {
        let Some(order) = self.open.take(self.played, &mut self.rng) else {
            let data = json!({"product_id": product.sku()});
            return self.event("product.viewed", time, &visitor.id, &visitor.ip, &data);
        };
        let (customer, takings) = (order.customer.clone(), self.takings.of(&order.currency));
        let refund = order.refunded().filter(|_| self.rng.random_bool(0.5));
        let (kind, data) = match refund {
            Some((data, back)) => {
                takings.refunds += back;
                ("order.refunded", data)
            }
            None => {
                takings.cancelled += order.gross() - order.discount();
                ("order.cancelled", order.cancelled())
            }
        };
        self.event(kind, time, &customer.id, &customer.ip, &data)
    }

    /// A product is in one line of an order. In the sale, a fifth is taken off.
    fn new_order(&mut self, customer: Customer, products: &[(Product, u32)], sale: bool, coupon: u32) -> DemoOrder {
        self.orders += 1;
        let is_second = customer.country == self.currencies.second_in;
        let mut lines: Vec<PlayedLine> = Vec::new();
        for (product, quantity) in products {
            let unit_price = if is_second { product.cents / 20 * 17 } else { product.cents };
            let unit_discount = if sale { unit_price / 5 } else { 0 };
            if lines.iter().all(|line| line.product.id != product.id) {
                lines.push(PlayedLine { product: *product, quantity: *quantity, unit_price, unit_discount });
            }
        }
        let currency = if is_second { &self.currencies.second } else { &self.currencies.base };
        let currency = currency.clone();
        DemoOrder { id: format!("o-{}-{}", self.run, self.orders), customer, currency, lines, coupon }
    }

    fn place(&mut self, time: Timestamp, ip: &str, order: DemoOrder) -> Vec<u8> {
        let takings = self.takings.of(&order.currency);
        takings.orders += 1;
        takings.gross += order.gross();
        takings.discounts += order.discount();
        let line = self.event("order.placed", time, &order.customer.id, ip, &order.placed());
        self.open.push(self.played, order);
        line
    }

    fn event(&mut self, kind: &str, time: Timestamp, customer: &str, ip: &str, data: &Value) -> Vec<u8> {
        let event = json!({
            "specversion": "1.0",
            "id": format!("{}-{}", self.run, self.played),
            "source": SOURCE,
            "type": kind,
            "time": time,
            "subject": customer,
            "clientip": ip,
            "data": data,
        });
        let mut line = event.to_string().into_bytes();
        line.push(b'\n');
        line
    }

    /// An event of a till that was away for days: nothing of it is counted.
    fn late(&mut self, time: Timestamp) -> Vec<u8> {
        let customer = Customer::any(&mut self.rng);
        let product = Product::any(&mut self.rng);
        if self.rng.random_bool(0.5) {
            let data = json!({"product_id": product.sku()});
            return self.event("product.viewed", time, &customer.id, &customer.ip, &data);
        }
        let order = self.new_order(customer, &[(product, 1)], false, 0);
        self.event("order.placed", time, &order.customer.id, &order.customer.ip, &order.placed())
    }

    fn fraud(&mut self, fraud: &Fraud, time: Timestamp) -> Vec<u8> {
        match fraud {
            Fraud::Large => {
                let customer = Customer::any(&mut self.rng);
                let ip = customer.foreign_ip(&mut self.rng);
                let products = [(Product::any(&mut self.rng), 150), (Product::on_sale(&mut self.rng), 250)];
                let order = self.new_order(customer, &products, false, 0);
                self.place(time, &ip, order)
            }
            Fraud::Quick { customer } => {
                let customer = Customer::numbered(*customer);
                let product = Product::any(&mut self.rng);
                let ip = customer.ip.clone();
                let order = self.new_order(customer, &[(product, 1)], false, 0);
                self.place(time, &ip, order)
            }
        }
    }

    /// What senders get wrong.
    fn broken(&mut self, time: Timestamp) -> Vec<u8> {
        let customer = Customer::any(&mut self.rng);
        match self.rng.random_range(0..5) {
            0 => self.event("order.placed", time, &customer.id, &customer.ip, &json!({"order_id": "o-1"})),
            1 => {
                let data = json!({"product_id": "books-salt-and-stone", "quantity": "three", "unit_price": 1});
                self.event("cart.item_added", time, &customer.id, &customer.ip, &data)
            }
            2 => self.event("order.teleported", time, &customer.id, &customer.ip, &json!({})),
            3 => b"{\"specversion\":\"1.0\",\"id\":\"cut of\n".to_vec(),
            _ => format!("{{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"{SOURCE}\",\"type\":\"product.viewed\",\"time\":\"yesterday\",\"data\":{{\"product_id\":\"books-salt-and-stone\"}}}}\n").into_bytes(),
        }
    }
}

impl Iterator for Scenario {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.played == self.total {
            return None;
        }
        self.played += 1;
        self.expected.received += 1;
        let time = self.time();
        let minute = (time.millis() - self.start.millis()) / MINUTE;
        // Late and repeated events only after there is something to be late
        // or repeated after.
        let settled = self.progress() > 0.4;
        let draw: f64 = self.rng.random();
        if settled && draw < 0.015 && !self.recent.is_empty() {
            self.expected.duplicate += 1;
            let index = self.rng.random_range(0..self.recent.len());
            return Some(Step { line: self.recent.swap_remove(index), traced: false });
        }
        if settled && (0.015..0.022).contains(&draw) {
            self.expected.late += 1;
            return Some(Step { line: self.late(time.plus_millis(-LATE_BY)), traced: false });
        }
        if (0.022..0.027).contains(&draw) {
            self.expected.rejected += 1;
            return Some(Step { line: self.broken(time), traced: false });
        }
        if self.progress() > 0.75
            && let Some(fraud) = self.fraud_left.pop()
        {
            return Some(Step { line: self.fraud(&fraud, time), traced: true });
        }
        let sale = SALE.contains(&minute);
        let line = self.normal(time, sale);
        if self.recent.len() < 4_096 && !settled {
            self.recent.push(line.clone());
        }
        Some(Step { line, traced: sale && self.rng.random_bool(0.02) })
    }
}
