//! One order, and what events do to it.

use serde::{Deserialize, Serialize};
use tidemill_domain::{Amount, Currency};

use super::{
    LineChange, LineStatement, OrderChange, OrderContext, OrderStatement, StatementKind,
    line::OrderLine,
    remains::OrderRemains,
    returns::{Return, TakenOff},
};

/// Statements that wait for their order at most; what a further one gives back
/// stays under no product, and the change says so.
const MAX_WAITING: usize = 32;

/// What is remembered of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    /// None while only what refers to it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    placed: Option<PlacedOrder>,
    /// What came before it, in the order of the log. What these give back by their
    /// own words was counted under no product.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<OrderStatement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PlacedOrder {
    context: OrderContext,
    /// What was paid in all.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    total: Amount,
    /// What refunds came to by their own words.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    told: Amount,
    /// What is left of it.
    #[serde(flatten)]
    remains: OrderRemains,
}

impl Order {
    /// Whether it was placed.
    pub(crate) const fn is_placed(&self) -> bool {
        self.placed.is_some()
    }

    /// What an event does to it. `context` is the event's own.
    pub(crate) fn apply(&mut self, statement: &OrderStatement, context: OrderContext) -> OrderChange {
        let mut change = match (statement.kind, &mut self.placed) {
            (StatementKind::Placed, _) => self.place(statement, context),
            (_, Some(placed)) => placed.change(statement),
            (_, None) => self.wait(statement, context.currency),
        };
        change.id.clone_from(&statement.id);
        change.is_shipping_unread = statement.is_shipping_unread;
        change.is_tax_unread = statement.is_tax_unread;
        change
    }

    /// An order that comes again, and is no duplicate, takes the place of the first.
    fn place(&mut self, statement: &OrderStatement, context: OrderContext) -> OrderChange {
        let (mut placed, mut change) = PlacedOrder::new(statement, context);
        let mut counted = Amount::ZERO;
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.differs(placed.context.currency) {
                // It stays as it was counted.
                continue;
            }
            counted += waiting.told().unwrap_or_default();
            let TakenOff { lines, shipping, tax, excess, is_unfollowed } = placed.take(&waiting);
            for (line, taken) in change.lines.iter_mut().zip(lines) {
                *waiting.kind.part_of(line) += taken;
            }
            change.shipping -= shipping;
            change.tax -= tax;
            change.excess += excess;
            change.is_unfollowed |= is_unfollowed;
        }
        if !counted.is_zero() {
            change.lines.push(LineChange::unknown(-counted));
        }
        self.placed = Some(placed);
        change
    }

    /// Takes what is told of an order that has not come. A statement that names no
    /// currency was counted in that of its event.
    fn wait(&mut self, statement: &OrderStatement, counted_in: Option<Currency>) -> OrderChange {
        let told = statement.told();
        let mut change = OrderChange { is_unknown: true, ..OrderChange::default() };
        if statement.is_unread {
            change.lines.push(LineChange::unread());
            return change;
        }
        change.lines.extend(told.map(LineChange::unknown));
        if statement.lines.iter().any(|line| line.is_unread) {
            change.lines.push(LineChange::unread());
        }
        change.is_unfollowed = self.waiting.len() >= MAX_WAITING;
        if !change.is_unfollowed {
            let counted_in = counted_in.filter(|_| told.is_some() && !statement.is_currency_unknown);
            let currency = statement.currency.or(counted_in);
            self.waiting.push(OrderStatement { currency, ..statement.clone() });
        }
        change
    }
}

impl PlacedOrder {
    fn new(statement: &OrderStatement, context: OrderContext) -> (Self, OrderChange) {
        let discounts = discounts(statement, decimals(context.currency));
        let lines: Vec<_> = statement
            .lines
            .iter()
            .zip(discounts)
            .map(|(line, discount)| placed_line(statement, line, discount))
            .collect();
        let (shipping, tax) = (statement.shipping.unwrap_or_default(), statement.tax.unwrap_or_default());
        let skus = statement.lines.iter().map(|line| line.sku.as_deref());
        let remembered: Vec<_> = lines.iter().zip(skus).map(|(line, sku)| OrderLine::new(line, sku)).collect();
        let revenue: Amount = remembered.iter().map(|line| line.revenue).sum();
        let remains = OrderRemains { lines: remembered, shipping, tax, returns: Vec::new() };
        let placed = Self { context, total: revenue + shipping + tax, told: Amount::ZERO, remains };
        (placed, OrderChange { shipping, tax, lines, ..OrderChange::default() })
    }

    /// What a refund or cancellation does, as its event tells it.
    fn change(&mut self, statement: &OrderStatement) -> OrderChange {
        let context = Some(self.context.clone());
        if statement.is_unread {
            return OrderChange { context, lines: vec![LineChange::unread()], ..OrderChange::default() };
        }
        if statement.differs(self.context.currency) {
            let lines = statement.told().map(LineChange::unknown).into_iter().collect();
            return OrderChange { differs: true, lines, ..OrderChange::default() };
        }
        let TakenOff { lines, shipping, tax, excess, is_unfollowed } = self.take(statement);
        let unknown = outcome_of_unknown(statement, &self.remains.lines);
        let changed = self.remains.lines.iter().zip(lines).filter(|(_, taken)| !taken.is_zero());
        let changed = changed.map(|(line, taken)| {
            let mut change = LineChange { product: line.product.clone(), ..LineChange::default() };
            *statement.kind.part_of(&mut change) = taken;
            change
        });
        let lines = changed.chain(unknown).collect();
        let (shipping, tax) = (-shipping, -tax);
        OrderChange { context, shipping, tax, excess, lines, is_unfollowed, ..OrderChange::default() }
    }

    fn take(&mut self, statement: &OrderStatement) -> TakenOff {
        let decimals = decimals(self.context.currency);
        let outcome = Return::of(statement, &mut self.remains, decimals).take(&mut self.remains, decimals);
        let before = self.beyond();
        self.told += outcome.told;
        TakenOff { excess: self.beyond() - before + outcome.taken.excess, ..outcome.taken }
    }

    /// What refunds come to beyond all that was paid.
    fn beyond(&self) -> Amount {
        (self.told - self.total).max(Amount::ZERO)
    }
}

impl StatementKind {
    /// The amount of a line that it changes.
    const fn part_of(self, line: &mut LineChange) -> &mut Amount {
        match self {
            Self::Cancelled => &mut line.cancelled,
            Self::Placed | Self::Refunded => &mut line.refund,
        }
    }
}

fn placed_line(order: &OrderStatement, line: &LineStatement, discount: Amount) -> LineChange {
    let product = line.product.clone();
    match line.gross.filter(|_| !order.is_unread && !line.is_unread) {
        None => LineChange { product, is_item: true, ..LineChange::unread() },
        Some(gross) => LineChange {
            product,
            is_item: true,
            quantity: line.quantity.unwrap_or_default(),
            gross,
            discount,
            rounded: line.rounded,
            ..LineChange::default()
        },
    }
}

/// A line that is unread, where an item is, or where something comes back that the
/// order does not have and of which nothing says what it is worth.
fn outcome_of_unknown(statement: &OrderStatement, lines: &[OrderLine]) -> Option<LineChange> {
    let is_known = |item: &LineStatement| lines.iter().any(|line| line.is_of(item));
    let is_worth_nothing = |item: &LineStatement| statement.amount.is_none() && item.told().is_none();
    let is_unread = |item: &LineStatement| item.is_unread || (!is_known(item) && is_worth_nothing(item));
    statement.lines.iter().any(is_unread).then(LineChange::unread)
}

/// Decimals that a share of an amount has.
fn decimals(currency: Option<Currency>) -> u32 {
    currency.map_or(2, |currency| u32::try_from(currency.decimals()).unwrap_or(2))
}

/// What is taken off each line: its own discount, and its share of what the
/// order's is beyond these. No line comes to less than nothing.
fn discounts(order: &OrderStatement, decimals: u32) -> Vec<Amount> {
    let gross = |line: &LineStatement| line.gross.unwrap_or_default();
    let own = |line: &LineStatement| line.discount.unwrap_or_default().min(gross(line));
    let of_lines: Amount = order.lines.iter().map(own).sum();
    let weights: Vec<Amount> = order.lines.iter().map(|line| gross(line) - own(line)).collect();
    let beyond = (order.discount.unwrap_or_default() - of_lines).max(Amount::ZERO);
    let shares = beyond.shared_out(&weights, decimals);
    order.lines.iter().zip(shares).map(|(line, share)| own(line) + share).collect()
}
