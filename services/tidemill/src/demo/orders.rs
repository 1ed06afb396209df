//! Orders of the demo, and what becomes of them.

use std::collections::VecDeque;

use rand::{Rng, rngs::StdRng};
use serde_json::{Value, json, value::RawValue};

use super::{
    catalogue::{Customer, Product},
    takings::decimal,
};

/// Of so many events before one, all are in the log: more than those that are on
/// their way at once.
const SETTLED_AFTER: u32 = 2_000;
/// Orders that may still come back.
const REMEMBERED: usize = 4_096;

/// A line of an order, in hundredths of its currency.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlayedLine {
    pub(super) product: Product,
    pub(super) quantity: u32,
    pub(super) unit_price: u32,
    /// What is taken off each.
    pub(super) unit_discount: u32,
}

/// An order.
#[derive(Debug, Clone)]
pub(super) struct DemoOrder {
    pub(super) id: String,
    pub(super) customer: Customer,
    pub(super) currency: String,
    pub(super) lines: Vec<PlayedLine>,
    /// What is taken off all of it, beside what is taken off the lines.
    pub(super) coupon: u32,
}

impl PlayedLine {
    fn times(self, cents: u32) -> u64 {
        u64::from(self.quantity) * u64::from(cents)
    }
}

impl DemoOrder {
    pub(super) fn gross(&self) -> u64 {
        self.lines.iter().map(|line| line.times(line.unit_price)).sum()
    }

    pub(super) fn discount(&self) -> u64 {
        self.lines.iter().map(|line| line.times(line.unit_discount)).sum::<u64>() + u64::from(self.coupon)
    }

    /// The event's data when it is placed.
    pub(super) fn placed(&self) -> Value {
        let item = |line: &PlayedLine| {
            let mut item = json!({"product_id": line.product.sku(), "quantity": line.quantity,
                "unit_price": amount(line.unit_price.into())});
            if line.unit_discount > 0 {
                item["discount"] = json!(amount(line.times(line.unit_discount)));
            }
            item
        };
        let mut data = json!({
            "order_id": self.id,
            "items": self.lines.iter().map(item).collect::<Vec<_>>(),
            "currency": self.currency,
            "billing_country": self.customer.country,
        });
        if self.discount() > 0 {
            data["discount"] = json!(amount(self.discount()));
        }
        data
    }

    /// The data of a refund of one of its first line, and how much it is.
    pub(super) fn refunded(&self) -> Option<(Value, u64)> {
        let line = self.lines.first().filter(|_| self.coupon == 0)?;
        let back = u64::from(line.unit_price - line.unit_discount);
        let items = json!([{"product_id": line.product.sku(), "quantity": 1, "amount": amount(back)}]);
        let data = json!({"order_id": self.id, "currency": self.currency, "reason": "did not fit", "items": items});
        Some((data, back))
    }

    /// The data of its cancellation.
    pub(super) fn cancelled(&self) -> Value {
        json!({"order_id": self.id, "currency": self.currency, "reason": "changed my mind"})
    }
}

/// Orders that nothing was done to yet, each with the event by which it was placed.
#[derive(Debug, Default)]
pub(super) struct OpenOrders(VecDeque<(u32, DemoOrder)>);

impl OpenOrders {
    pub(super) fn push(&mut self, event: u32, order: DemoOrder) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((event, order));
    }

    /// One that is in the log for sure by the time of `event`.
    pub(super) fn take(&mut self, event: u32, rng: &mut StdRng) -> Option<DemoOrder> {
        let settled = self.0.partition_point(|(placed, _)| placed + SETTLED_AFTER <= event);
        let chosen = (settled > 0).then(|| rng.random_range(0..settled))?;
        self.0.remove(chosen).map(|(_, order)| order)
    }
}

/// An amount that keeps its spelling.
pub(super) fn amount(hundredths: u64) -> Box<RawValue> {
    RawValue::from_string(decimal(hundredths)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
