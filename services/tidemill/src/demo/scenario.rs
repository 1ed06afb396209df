//! The play: half an hour of a shop on the day of a flash sale, made by a
//! seeded generator, so that the same seed plays the same.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json, value::RawValue};
use tidemill_domain::Timestamp;

use super::catalogue::{Customer, Product};

/// CloudEvents `source` of the shop.
pub(super) const SOURCE: &str = "demo-shop";
/// Length of the play in event time.
const MINUTES: i64 = 30;
const MINUTE: i64 = 60_000;
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
    orders: u64,
    fraud_left: Vec<Fraud>,
    recent: Vec<Vec<u8>>,
    pub(super) expected: Expected,
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
    /// run from another's.
    pub(super) fn new(seed: u64, total: u32, now: Timestamp, run: u64) -> Self {
        let mut fraud_left = vec![Fraud::Large; 3];
        fraud_left.extend(vec![Fraud::Quick { customer: 4_711 }; 8]);
        Self {
            rng: StdRng::seed_from_u64(seed),
            start: now.floor_to(MINUTE).plus_millis(-MINUTES * MINUTE),
            total,
            played: 0,
            run,
            orders: 0,
            fraud_left,
            recent: Vec::new(),
            expected: Expected::default(),
        }
    }

    /// An event of right now, for the time after the play.
    pub(super) fn live(&mut self, now: Timestamp) -> Step {
        self.played += 1;
        let line = self.normal(now, false);
        Step { line, traced: self.rng.random_bool(0.01) }
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
        let customer = Customer::any(&mut self.rng);
        let draw: f64 = self.rng.random();
        // In the flash sale people come to buy.
        let (views, carts) = if sale { (0.35, 0.55) } else { (0.70, 0.88) };
        let product = if sale { Product::on_sale(&mut self.rng) } else { Product::any(&mut self.rng) };
        if draw < views {
            let session = self.rng.random_range(0..1_000_000_u32);
            let data = json!({"product_id": product.sku(), "session_id": format!("s-{session}")});
            self.event("product.viewed", time, &customer.id, &customer.ip, &data)
        } else if draw < carts {
            let quantity = self.rng.random_range(1..=3_u32);
            let data =
                json!({"product_id": product.sku(), "quantity": quantity, "unit_price": number(&product.price())});
            self.event("cart.item_added", time, &customer.id, &customer.ip, &data)
        } else if draw < 0.99 {
            let items = self.rng.random_range(1..=3_usize);
            let rng = &mut self.rng;
            let products: Vec<_> =
                (0..items).map(|_| if sale { Product::on_sale(rng) } else { Product::any(rng) }).collect();
            let most = if sale { 4 } else { 2 };
            let quantities = products.iter().map(|_| self.rng.random_range(1..=most)).collect::<Vec<u32>>();
            let ip = customer.ip.clone();
            self.order(time, &customer, &ip, &products, &quantities)
        } else {
            let order_id = format!("o-{}-{}", self.run, self.rng.random_range(0..self.orders.max(1)));
            if self.rng.random_bool(0.5) {
                let data = json!({"order_id": order_id, "reason": "changed my mind"});
                self.event("order.cancelled", time, &customer.id, &customer.ip, &data)
            } else {
                let data = json!({"order_id": order_id, "amount": number(&product.price())});
                self.event("order.refunded", time, &customer.id, &customer.ip, &data)
            }
        }
    }

    fn order(
        &mut self,
        time: Timestamp,
        customer: &Customer,
        ip: &str,
        products: &[Product],
        quantities: &[u32],
    ) -> Vec<u8> {
        self.orders += 1;
        let items: Vec<Value> = products
            .iter()
            .zip(quantities)
            .map(|(p, q)| json!({"product_id": p.sku(), "quantity": q, "unit_price": number(&p.price())}))
            .collect();
        let data = json!({
            "order_id": format!("o-{}-{}", self.run, self.orders),
            "items": items,
            "currency": "EUR",
            "billing_country": customer.country,
        });
        self.event("order.placed", time, &customer.id, ip, &data)
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

    fn fraud(&mut self, fraud: &Fraud, time: Timestamp) -> Vec<u8> {
        match fraud {
            Fraud::Large => {
                let customer = Customer::any(&mut self.rng);
                let ip = customer.foreign_ip(&mut self.rng);
                let products = [Product::any(&mut self.rng), Product::on_sale(&mut self.rng)];
                self.order(time, &customer, &ip, &products, &[150, 250])
            }
            Fraud::Quick { customer } => {
                let customer = Customer::numbered(*customer);
                let product = Product::any(&mut self.rng);
                let ip = customer.ip.clone();
                self.order(time, &customer, &ip, &[product], &[1])
            }
        }
    }

    /// What senders get wrong.
    fn broken(&mut self, time: Timestamp) -> Vec<u8> {
        let customer = Customer::any(&mut self.rng);
        match self.rng.random_range(0..5) {
            0 => self.event("order.placed", time, &customer.id, &customer.ip, &json!({"order_id": "o-1"})),
            1 => {
                let data = json!({"product_id": "books-1", "quantity": "three", "unit_price": 1});
                self.event("cart.item_added", time, &customer.id, &customer.ip, &data)
            }
            2 => self.event("order.teleported", time, &customer.id, &customer.ip, &json!({})),
            3 => b"{\"specversion\":\"1.0\",\"id\":\"cut of\n".to_vec(),
            _ => format!("{{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"{SOURCE}\",\"type\":\"product.viewed\",\"time\":\"yesterday\",\"data\":{{\"product_id\":\"books-1\"}}}}\n").into_bytes(),
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
            return Some(Step { line: self.normal(time.plus_millis(-LATE_BY), false), traced: false });
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

/// A number that keeps its spelling.
fn number(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(seed: u64) -> (Vec<Vec<u8>>, Expected) {
        let mut scenario = Scenario::new(seed, 5_000, Timestamp::saturating_from_millis(1_700_000_000_000), 1);
        let lines = scenario.by_ref().map(|step| step.line).collect();
        (lines, scenario.expected)
    }

    #[test]
    fn the_same_seed_plays_the_same() {
        assert_eq!(play(1), play(1));
        assert_ne!(play(1).0, play(2).0);
    }

    #[test]
    fn every_kind_of_event_has_its_part() {
        let (lines, expected) = play(3);
        assert_eq!((lines.len(), expected.received), (5_000, 5_000));
        assert!(expected.rejected > 5 && expected.late > 5 && expected.duplicate > 10, "{expected:?}");
        let text = lines.concat();
        let text = String::from_utf8_lossy(&text);
        for kind in ["product.viewed", "cart.item_added", "order.placed", "order.cancelled", "order.refunded"] {
            assert!(text.contains(kind), "{kind}");
        }
        assert!(text.contains("\"unit_price\":49.99"), "prices keep their spelling");
    }
}
