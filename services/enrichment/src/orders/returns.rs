//! What a refund or cancellation takes off an order.

use tidemill_domain::Amount;

use super::{
    LineStatement, OrderStatement, StatementKind,
    remains::{OrderLine, OrderRemains},
};

/// What is to be taken off an order that is known.
#[derive(Debug)]
pub(super) struct Return {
    /// All that is left.
    is_whole: bool,
    is_refund: bool,
    /// By line: of how much of it the statement tells.
    lines: Vec<LineReturn>,
    /// What is told beyond these.
    rest: Amount,
    shipping: Amount,
    tax: Amount,
    /// What a refund comes to by its own words.
    told: Amount,
}

#[derive(Debug, Clone, Copy, Default)]
struct LineReturn {
    quantity: Amount,
    value: Amount,
}

/// What was taken.
#[derive(Debug, Default)]
pub(super) struct TakenOff {
    /// By line.
    pub(super) lines: Vec<Amount>,
    pub(super) shipping: Amount,
    pub(super) tax: Amount,
    pub(super) excess: Amount,
}

/// What was taken, and what the statement came to.
pub(super) struct ReturnOutcome {
    pub(super) taken: TakenOff,
    pub(super) told: Amount,
}

impl Return {
    pub(super) fn of(statement: &OrderStatement, lines: &[OrderLine], decimals: u32) -> Self {
        let mut returned = Self {
            is_whole: statement.is_whole(),
            is_refund: statement.kind == StatementKind::Refunded,
            lines: vec![LineReturn::default(); lines.len()],
            rest: Amount::ZERO,
            shipping: Amount::ZERO,
            tax: Amount::ZERO,
            told: Amount::ZERO,
        };
        if returned.is_whole || statement.is_unread {
            return returned;
        }
        for item in &statement.lines {
            returned.add(item, lines, decimals);
        }
        if statement.kind == StatementKind::Refunded {
            returned.shipping = statement.shipping.unwrap_or_default();
            returned.tax = statement.tax.unwrap_or_default();
            match statement.amount {
                Some(amount) => returned.fit(amount, decimals),
                None => returned.told = returned.of_products() + returned.shipping + returned.tax,
            }
        }
        returned
    }

    /// Adds an item that comes back: to its product's line, and of several to the
    /// first of which not all has come back.
    fn add(&mut self, item: &LineStatement, lines: &[OrderLine], decimals: u32) {
        let is_out = |(place, line): &(usize, &OrderLine)| line.returned + self.lines[*place].quantity < line.quantity;
        let mut candidates = lines.iter().enumerate().filter(|(_, line)| line.is_of(item));
        let first = candidates.clone().next();
        match candidates.find(is_out).or(first) {
            None => self.rest += item.told().unwrap_or_default(),
            Some((place, line)) => {
                let known = &mut self.lines[place];
                let before = line.returned + known.quantity;
                let quantity = item.quantity.unwrap_or_else(|| (line.quantity - before).max(Amount::ZERO));
                known.quantity += quantity;
                let sold_for = || line.price_of(before, quantity, decimals);
                // A price is that of the list often, and the order's discount is not in
                // it: more was not paid.
                let told = item.told().filter(|_| self.is_refund);
                known.value += item.amount.unwrap_or_else(|| told.map_or_else(sold_for, |told| told.min(sold_for())));
            }
        }
    }

    /// Fits it to the sum that is told: what the items come to is less or more.
    fn fit(&mut self, amount: Amount, decimals: u32) {
        self.told = amount;
        self.shipping = self.shipping.min(amount);
        self.tax = self.tax.min(amount - self.shipping);
        let of_products = amount - self.shipping - self.tax;
        let known: Vec<Amount> = self.lines.iter().map(|line| line.value).collect();
        let shares = of_products.shared_out(&known, decimals);
        self.rest = of_products - shares.iter().copied().sum();
        for (line, share) in self.lines.iter_mut().zip(shares) {
            line.value = share;
        }
    }

    /// All that was left: a refund of it gives that back, a cancellation nothing.
    fn all(self, lines: Vec<Amount>, shipping: Amount, tax: Amount) -> ReturnOutcome {
        let sum = lines.iter().copied().sum::<Amount>() + shipping + tax;
        let told = if self.is_refund { sum } else { Amount::ZERO };
        ReturnOutcome { taken: TakenOff { lines, shipping, tax, excess: Amount::ZERO }, told }
    }

    fn of_products(&self) -> Amount {
        self.lines.iter().map(|line| line.value).sum::<Amount>() + self.rest
    }

    /// Takes it: off the lines that are told, then off the others, then off shipping
    /// and tax. No more than is left.
    pub(super) fn take(self, order: &mut OrderRemains, decimals: u32) -> ReturnOutcome {
        if self.is_whole {
            let lines = order.lines.iter_mut().map(|line| std::mem::take(&mut line.left)).collect::<Vec<_>>();
            let (shipping, tax) = (std::mem::take(&mut order.shipping), std::mem::take(&mut order.tax));
            return self.all(lines, shipping, tax);
        }
        let mut rest = self.rest;
        let mut lines = Vec::with_capacity(order.lines.len());
        for (line, told) in order.lines.iter_mut().zip(&self.lines) {
            line.returned += told.quantity;
            lines.push(take(told.value, &mut line.left, &mut rest));
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
        ReturnOutcome { taken: TakenOff { lines, shipping, tax, excess: Amount::ZERO }, told: self.told }
    }
}

/// Takes so much off what is left; `rest` gets what is not there.
fn take(value: Amount, left: &mut Amount, rest: &mut Amount) -> Amount {
    let taken = value.min(*left).max(Amount::ZERO);
    *left -= taken;
    *rest += value - taken;
    taken
}
