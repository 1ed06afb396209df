//! What a refund or cancellation takes off an order.

use std::collections::BTreeSet;

use tidemill_domain::Amount;

use super::{LineStatement, OrderStatement, StatementKind, product::worth_alone, remains::OrderRemains};

/// What is to be taken off an order that is known.
#[derive(Debug)]
pub(super) struct Return {
    /// All that is left.
    is_whole: bool,
    is_refund: bool,
    /// By line.
    lines: Vec<Amount>,
    /// What is told beyond these.
    rest: Amount,
    shipping: Amount,
    tax: Amount,
    /// What is asked for pieces that the order does not have.
    excess: Amount,
    is_unfollowed: bool,
}

/// What was taken.
#[derive(Debug, Default)]
pub(super) struct TakenOff {
    /// By line.
    pub(super) lines: Vec<Amount>,
    pub(super) shipping: Amount,
    pub(super) tax: Amount,
    pub(super) excess: Amount,
    /// The order has no place to remember all of it.
    pub(super) is_unfollowed: bool,
}

/// What was taken, and what the statement came to.
pub(super) struct ReturnOutcome {
    pub(super) taken: TakenOff,
    pub(super) told: Amount,
}

impl Return {
    /// What a statement comes to. The order remembers the items that come back.
    pub(super) fn of(statement: &OrderStatement, order: &mut OrderRemains, decimals: u32) -> Self {
        let mut returned = Self {
            is_whole: statement.is_whole(),
            is_refund: statement.kind == StatementKind::Refunded,
            lines: vec![Amount::ZERO; order.lines.len()],
            rest: Amount::ZERO,
            shipping: Amount::ZERO,
            tax: Amount::ZERO,
            excess: Amount::ZERO,
            is_unfollowed: false,
        };
        if returned.is_whole || statement.is_unread {
            return returned;
        }
        let is_known = |item: &&LineStatement| order.lines.iter().any(|line| line.is_of(item));
        let read = statement.lines.iter().filter(|item| !item.is_unread);
        let (known, unknown): (Vec<_>, Vec<_>) = read.partition(is_known);
        match statement.amount.filter(|_| returned.is_refund) {
            Some(amount) => {
                let shares = returned.fit(amount, statement, &known, order, decimals);
                returned.add(known.into_iter().zip(shares.into_iter().map(Some)), order, decimals);
            }
            None => {
                returned.rest = unknown.into_iter().filter_map(LineStatement::told).sum();
                if returned.is_refund {
                    returned.shipping = statement.shipping.unwrap_or_default();
                    returned.tax = statement.tax.unwrap_or_default();
                }
                returned.add(known.into_iter().map(|item| (item, item.amount)), order, decimals);
            }
        }
        returned
    }

    /// Adds items of products that the order has.
    fn add<'s>(
        &mut self,
        items: impl Iterator<Item = (&'s LineStatement, Option<Amount>)>,
        order: &mut OrderRemains,
        decimals: u32,
    ) {
        let mut products = BTreeSet::new();
        for (item, amount) in items {
            let Some(product) = item.product.as_deref() else { continue };
            self.is_unfollowed |= order.add(product, item, amount, self.is_refund, decimals);
            products.insert(product);
        }
        let (lines, rest) = order.settle(&products, decimals);
        self.lines = lines;
        self.rest += rest.given;
        self.excess = rest.beyond;
    }

    /// Shares the sum that is told out to items of which it is: what they come to by
    /// themselves is less or more.
    fn fit(
        &mut self,
        amount: Amount,
        statement: &OrderStatement,
        items: &[&LineStatement],
        order: &OrderRemains,
        decimals: u32,
    ) -> Vec<Amount> {
        self.shipping = statement.shipping.unwrap_or_default().min(amount);
        self.tax = statement.tax.unwrap_or_default().min(amount - self.shipping);
        let of_products = amount - self.shipping - self.tax;
        let lines_of = |item: &LineStatement| order.lines_of(item.product.as_deref().unwrap_or_default());
        let known: Vec<_> = items.iter().map(|item| worth_alone(item, &lines_of(item), decimals)).collect();
        let shares = of_products.shared_out(&known, decimals);
        self.rest = of_products - shares.iter().copied().sum();
        shares
    }

    /// All that was left: a refund of it gives that back, a cancellation nothing.
    fn all(self, lines: Vec<Amount>, shipping: Amount, tax: Amount) -> ReturnOutcome {
        let sum = lines.iter().copied().sum::<Amount>() + shipping + tax;
        let told = if self.is_refund { sum } else { Amount::ZERO };
        ReturnOutcome { taken: TakenOff { lines, shipping, tax, ..TakenOff::default() }, told }
    }

    fn of_products(&self) -> Amount {
        self.lines.iter().copied().sum::<Amount>() + self.rest
    }

    /// Takes it: off the lines that are told, then off the others, then off shipping
    /// and tax. No more than is left.
    pub(super) fn take(self, order: &mut OrderRemains, decimals: u32) -> ReturnOutcome {
        if self.is_whole {
            let lines = order.lines.iter_mut().map(|line| std::mem::take(&mut line.left)).collect::<Vec<_>>();
            let (shipping, tax) = (std::mem::take(&mut order.shipping), std::mem::take(&mut order.tax));
            return self.all(lines, shipping, tax);
        }
        let told = if self.is_refund { self.of_products() + self.shipping + self.tax } else { Amount::ZERO };
        let (mut rest, excess, is_unfollowed) = (self.rest, self.excess, self.is_unfollowed);
        let mut lines = Vec::with_capacity(order.lines.len());
        for (line, told) in order.lines.iter_mut().zip(&self.lines) {
            lines.push(take(*told, &mut line.left, &mut rest));
        }
        let mut shipping = take(self.shipping, &mut order.shipping, &mut rest);
        let mut tax = take(self.tax, &mut order.tax, &mut rest);
        let left: Vec<Amount> = order.lines.iter().map(|line| line.left).collect();
        for ((line, taken), share) in order.lines.iter_mut().zip(&mut lines).zip(rest.shared_out(&left, decimals)) {
            line.left -= share;
            *taken += share;
            rest -= share;
        }
        for (taken, left) in [(&mut shipping, &mut order.shipping), (&mut tax, &mut order.tax)] {
            let more = rest.min(*left);
            (*taken, *left, rest) = (*taken + more, *left - more, rest - more);
        }
        ReturnOutcome { taken: TakenOff { lines, shipping, tax, excess, is_unfollowed }, told }
    }
}

/// Takes so much off what is left; `rest` gets what is not there.
fn take(value: Amount, left: &mut Amount, rest: &mut Amount) -> Amount {
    let taken = value.min(*left).max(Amount::ZERO);
    *left -= taken;
    *rest += value - taken;
    taken
}
