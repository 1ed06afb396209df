//! Where an event tells of an order.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidemill_domain::{Amount, ReadAmount};

use super::members::{DataPath, MAX_ITEMS, NamedCurrency, list, read, text};
use crate::{
    event::LogEvent,
    orders::{LineStatement, OrderStatement, StatementKind},
};

/// The names of an order's members. Of each list, the first counts that holds
/// something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OrderPaths {
    /// Of the event's data.
    pub(super) of_order: BTreeMap<OrderMember, Vec<Vec<String>>>,
    /// Of an item.
    pub(super) of_line: BTreeMap<LineMember, Vec<Vec<String>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OrderMember {
    Id,
    Items,
    Discount,
    Shipping,
    Tax,
    Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LineMember {
    Product,
    Sku,
    Quantity,
    Price,
    Discount,
    Amount,
}

/// Reads what events say of orders.
#[derive(Debug, Default)]
pub(crate) struct OrderMembers {
    kinds: BTreeMap<String, StatementKind>,
    order: BTreeMap<OrderMember, Vec<DataPath>>,
    line: BTreeMap<LineMember, Vec<DataPath>>,
    /// The members of data that the paths begin with.
    of_data: Vec<String>,
    /// The same of items.
    of_item: Vec<String>,
}

/// A number that stands there.
enum StatedNumber {
    Nothing,
    Amount(ReadAmount),
    Unreadable,
}

impl OrderMembers {
    pub(super) fn new(kinds: BTreeMap<String, StatementKind>, paths: OrderPaths) -> Self {
        let (mut of_data, mut of_item) = (Vec::new(), Vec::new());
        let order =
            paths.of_order.into_iter().map(|(member, names)| (member, data_paths(names, &mut of_data))).collect();
        let line = paths.of_line.into_iter().map(|(member, names)| (member, data_paths(names, &mut of_item))).collect();
        Self { kinds, order, line, of_data, of_item }
    }

    /// What an event, whose amounts are in this currency, says of an order; `None`
    /// where it is about none.
    pub(crate) fn statement(&self, event: &LogEvent<'_>, currency: NamedCurrency) -> Option<OrderStatement> {
        let kind = *self.kinds.get(&*event.kind)?;
        let data = read(event.data?, &self.of_data)?;
        let found = |member| find(self.order.get(&member)?, &data);
        let id = found(OrderMember::Id).and_then(text).filter(|id| !id.is_empty())?;
        let items = found(OrderMember::Items).and_then(list).unwrap_or_default();
        let amounts = [OrderMember::Discount, OrderMember::Shipping, OrderMember::Tax, OrderMember::Amount];
        let [discount, shipping, tax, amount] = amounts.map(|member| StatedNumber::of(found(member)));
        let lines: Vec<_> = items.into_iter().take(MAX_ITEMS).map(|item| self.line(item)).collect();
        let is_unread = match kind {
            StatementKind::Placed => discount.is_unreadable(),
            StatementKind::Refunded => {
                // Without a part that can be read, it would be taken for all of the order.
                let parts = [&shipping, &tax];
                let says_no_part = amount.amount().is_none()
                    && lines.is_empty()
                    && parts.iter().all(|part| part.amount().is_none())
                    && parts.iter().any(|part| part.is_unreadable());
                amount.is_unreadable() || says_no_part || are_all_unread(&lines)
            }
            StatementKind::Cancelled => are_all_unread(&lines),
        };
        Some(OrderStatement {
            kind,
            id: id.into_owned(),
            currency: currency.code(),
            is_currency_unknown: currency == NamedCurrency::Unknown,
            lines,
            discount: discount.amount(),
            shipping: shipping.amount(),
            tax: tax.amount(),
            amount: amount.amount(),
            // A cancellation has neither.
            is_shipping_unread: shipping.is_unreadable() && kind != StatementKind::Cancelled,
            is_tax_unread: tax.is_unreadable() && kind != StatementKind::Cancelled,
            is_unread,
        })
    }

    fn line(&self, item: &RawValue) -> LineStatement {
        let members = read(item, &self.of_item).unwrap_or_default();
        let found = |member| find(self.line.get(&member)?, &members);
        let [quantity, price, discount, amount] =
            [LineMember::Quantity, LineMember::Price, LineMember::Discount, LineMember::Amount].map(found);
        let [told_quantity, told_price, told_discount, told_amount] =
            [quantity, price, discount, amount].map(StatedNumber::of);
        let gross = match (quantity.and_then(text), price.and_then(text)) {
            (Some(quantity), Some(price)) => Amount::product([&*quantity, &*price]).ok(),
            _ => None,
        };
        LineStatement {
            product: found(LineMember::Product).and_then(text).map(Into::into),
            sku: found(LineMember::Sku).and_then(text).map(Into::into),
            rounded: gross.is_some_and(|gross| gross.rounded) || told_quantity.is_rounded() || told_price.is_rounded(),
            quantity: told_quantity.amount(),
            gross: gross.map(|gross| gross.amount.abs()),
            is_unread: [&told_quantity, &told_price, &told_discount, &told_amount]
                .iter()
                .any(|told| told.is_unreadable()),
            discount: told_discount.amount(),
            amount: told_amount.amount(),
        }
    }
}

impl StatedNumber {
    fn of(raw: Option<&RawValue>) -> Self {
        let Some(raw) = raw.filter(|raw| !matches!(raw.get(), "null" | "\"\"")) else { return Self::Nothing };
        match text(raw).map(|text| Amount::read(&text)) {
            Some(Ok(amount)) => Self::Amount(amount),
            _ => Self::Unreadable,
        }
    }

    /// Some shops write what is taken off or given back with a minus: what an
    /// amount does is told by its name.
    const fn amount(&self) -> Option<Amount> {
        match self {
            Self::Amount(read) => Some(read.amount.abs()),
            Self::Nothing | Self::Unreadable => None,
        }
    }

    const fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable)
    }

    const fn is_rounded(&self) -> bool {
        matches!(self, Self::Amount(ReadAmount { rounded: true, .. }))
    }
}

/// Of some that are unread, the others count.
fn are_all_unread(lines: &[LineStatement]) -> bool {
    !lines.is_empty() && lines.iter().all(|line| line.is_unread)
}

fn data_paths(names: Vec<Vec<String>>, read: &mut Vec<String>) -> Vec<DataPath> {
    names.into_iter().filter_map(|names| DataPath::new(names, read)).collect()
}

/// The first that is there, and not null.
fn find<'a>(paths: &[DataPath], members: &[Option<&'a RawValue>]) -> Option<&'a RawValue> {
    paths.iter().filter_map(|path| path.find(members)).find(|raw| raw.get() != "null")
}
