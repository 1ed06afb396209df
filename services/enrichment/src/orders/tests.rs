mod again;
mod items;
mod prices;

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use tidemill_domain::{Amount, Currency, Timestamp};

use super::*;
use crate::duplicates::EventKey;

fn amount(text: &str) -> Amount {
    text.parse().expect(text)
}

fn context() -> OrderContext {
    OrderContext {
        time: Timestamp::EPOCH,
        customer: Some("c-1".into()),
        country: None,
        ip_country: None,
        currency: Some(Currency::EUR),
    }
}

fn statement(kind: StatementKind) -> OrderStatement {
    OrderStatement {
        kind,
        id: "o-1".into(),
        currency: None,
        is_currency_unknown: false,
        lines: Vec::new(),
        discount: None,
        shipping: None,
        tax: None,
        amount: None,
        is_shipping_unread: false,
        is_tax_unread: false,
        is_unread: false,
    }
}

fn placed(lines: Vec<LineStatement>) -> OrderStatement {
    OrderStatement { lines, ..statement(StatementKind::Placed) }
}

fn refund(of: &str) -> OrderStatement {
    OrderStatement { amount: Some(amount(of)), ..statement(StatementKind::Refunded) }
}

fn returned(lines: Vec<LineStatement>) -> OrderStatement {
    OrderStatement { lines, ..statement(StatementKind::Refunded) }
}

/// So many of a product, for so much in all.
fn line(product: &str, quantity: &str, gross: &str) -> LineStatement {
    LineStatement {
        product: Some(product.into()),
        quantity: Some(amount(quantity)),
        gross: Some(amount(gross)),
        ..LineStatement::default()
    }
}

fn item(product: &str, quantity: &str) -> LineStatement {
    LineStatement { product: Some(product.into()), quantity: Some(amount(quantity)), ..LineStatement::default() }
}

/// What events did in all: by product, and of the order.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    lines: HashMap<Option<String>, [Amount; 4]>,
    shipping: Amount,
    tax: Amount,
    excess: Amount,
}

impl Sum {
    fn add(&mut self, change: &OrderChange) {
        for line in &change.lines {
            let sum = self.lines.entry(line.product.clone()).or_default();
            for (sum, part) in sum.iter_mut().zip([line.gross, line.discount, line.refund, line.cancelled]) {
                *sum += part;
            }
        }
        self.shipping += change.shipping;
        self.tax += change.tax;
        self.excess += change.excess;
    }

    fn of(&self, part: usize) -> Amount {
        self.lines.values().map(|sum| sum[part]).sum()
    }

    fn net(&self) -> Amount {
        self.of(0) - self.of(1) - self.of(2) - self.of(3)
    }

    fn line(&self, product: &str) -> [String; 4] {
        self.lines[&Some(product.to_owned())].map(|amount| amount.to_string())
    }
}

fn sum<'s>(statements: impl IntoIterator<Item = &'s OrderStatement>) -> Sum {
    let (mut order, mut sum) = (Order::default(), Sum::default());
    for statement in statements {
        sum.add(&order.apply(statement, context()));
    }
    sum
}

#[test]
fn an_orders_discount_is_shared_by_its_lines() {
    let own = LineStatement { discount: Some(amount("1")), ..line("a", "2", "20") };
    let order = OrderStatement {
        discount: Some(amount("3.50")),
        shipping: Some(amount("3")),
        tax: Some(amount("3.50")),
        ..placed(vec![own, line("b", "1", "10"), line("c", "1", "0")])
    };
    let sum = sum([&order]);
    // 2.50 beyond the first line's own, in the proportion of 19 to 10.
    assert_eq!(sum.line("a"), ["20.00", "2.64", "0.00", "0.00"]);
    assert_eq!(sum.line("b"), ["10.00", "0.86", "0.00", "0.00"]);
    assert_eq!(sum.line("c"), ["0.00", "0.00", "0.00", "0.00"]);
    assert_eq!((sum.shipping, sum.tax), (amount("3"), amount("3.50")));

    let more_than_all = OrderStatement { discount: Some(amount("50")), ..placed(vec![line("a", "1", "10")]) };
    assert_eq!(self::sum([&more_than_all]).line("a"), ["10.00", "10.00", "0.00", "0.00"]);
}

#[test]
fn a_share_has_the_decimals_of_its_currency() {
    let lines = || vec![line("a", "1", "10"), line("b", "1", "10"), line("c", "1", "10")];
    let shares = |currency: &str| {
        let order = OrderStatement { discount: Some(amount("10")), ..placed(lines()) };
        let currency = currency.parse().ok();
        let change = Order::default().apply(&order, OrderContext { currency, ..context() });
        change.lines.iter().map(|line| line.discount.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(shares("EUR"), ["3.33", "3.34", "3.33"]);
    assert_eq!(shares("JPY"), ["3.00", "4.00", "3.00"]);
    assert_eq!(shares("KWD"), ["3.333", "3.334", "3.333"]);
}

#[test]
fn what_comes_back_is_taken_off_its_line() {
    let order = placed(vec![line("a", "3", "10"), line("b", "1", "5")]);
    // Three times a third is all of it.
    let one = returned(vec![item("a", "1")]);
    let all = sum([&order, &one, &one, &one]);
    assert_eq!(all.line("a"), ["10.00", "0.00", "10.00", "0.00"]);
    assert_eq!(all.line("b"), ["5.00", "0.00", "0.00", "0.00"]);

    let told = returned(vec![LineStatement { amount: Some(amount("2")), ..item("b", "1") }]);
    assert_eq!(sum([&order, &told]).line("b")[2], "2.00", "what is told goes before what was paid");
    let in_all = OrderStatement { amount: Some(amount("6")), ..returned(vec![item("b", "1")]) };
    let sum_of = sum([&order, &in_all]);
    assert_eq!((&*sum_of.line("a")[2], &*sum_of.line("b")[2]), ("1.00", "5.00"), "the rest is of the others");
    let other = returned(vec![LineStatement { amount: Some(amount("3")), ..item("z", "1") }]);
    assert_eq!(sum([&order, &other]).of(2), amount("3"), "a product that was not ordered");

    let some = OrderStatement { lines: vec![item("a", "3")], ..statement(StatementKind::Cancelled) };
    assert_eq!(sum([&order, &some]).line("a"), ["10.00", "0.00", "0.00", "10.00"]);
}

#[test]
fn a_whole_refund_names_the_order_alone() {
    let order =
        OrderStatement { shipping: Some(amount("3")), tax: Some(amount("1")), ..placed(vec![line("a", "2", "20")]) };
    let whole = statement(StatementKind::Refunded);
    for statements in [vec![&order, &whole], vec![&whole, &order], vec![&order, &whole, &whole]] {
        let sum = sum(statements);
        assert_eq!(
            (sum.of(2), sum.net(), sum.shipping, sum.tax),
            (amount("20"), Amount::ZERO, Amount::ZERO, Amount::ZERO)
        );
    }
    let shipping_alone = OrderStatement { shipping: Some(amount("3")), ..statement(StatementKind::Refunded) };
    let sum = sum([&order, &shipping_alone]);
    assert_eq!((sum.net(), sum.shipping), (amount("20"), Amount::ZERO));
}

#[test]
fn what_is_beyond_the_order_is_told_apart() {
    let order = OrderStatement { shipping: Some(amount("3")), ..placed(vec![line("a", "1", "20")]) };
    let sum_of = sum([&order, &refund("25")]);
    assert_eq!((sum_of.of(2), sum_of.shipping, sum_of.excess), (amount("20"), Amount::ZERO, amount("2")));
    // All of it, and then some of it once more.
    let whole = statement(StatementKind::Refunded);
    assert_eq!(sum([&order, &whole, &refund("20")]).excess, amount("20"));
    // A cancelled order's money goes back: once.
    let cancelled = statement(StatementKind::Cancelled);
    let sum_of = sum([&order, &cancelled, &refund("23")]);
    assert_eq!(
        (sum_of.of(3), sum_of.of(2), sum_of.net(), sum_of.excess),
        (amount("20"), Amount::ZERO, Amount::ZERO, Amount::ZERO)
    );
}

#[test]
fn a_refund_of_an_unknown_order_counts_as_it_is_told() {
    let sum_of = sum([&refund("7")]);
    assert_eq!((sum_of.lines[&None][2], sum_of.net()), (amount("7"), amount("-7")));
    let (mut order, mut both) = (Order::default(), Sum::default());
    assert!(order.apply(&refund("7"), context()).is_unknown);
    both.add(&order.apply(&refund("7"), context()));
    both.add(&order.apply(&placed(vec![line("a", "1", "20")]), context()));
    assert_eq!(both.line("a")[2], "14.00", "the order takes it to its lines");
    assert_eq!(both.lines[&None][2], amount("-7"));
}

#[test]
fn another_currency_is_never_taken_off() {
    let mut order = Order::default();
    order.apply(&placed(vec![line("a", "1", "20")]), context());
    let dollars = OrderStatement { currency: "USD".parse().ok(), ..refund("5") };
    let change = order.apply(&dollars, context());
    assert!(change.differs && change.context.is_none());
    assert_eq!(change.lines, [LineChange { refund: amount("5"), ..LineChange::default() }]);
    let euros = OrderStatement { currency: Some(Currency::EUR), ..refund("5") };
    assert_eq!(order.apply(&euros, context()).lines[0].product.as_deref(), Some("a"));
}

#[test]
fn what_came_before_its_order_stays_in_its_own_currency() {
    let dollars = OrderStatement { currency: "USD".parse().ok(), ..refund("5") };
    let (whole, order) = (statement(StatementKind::Refunded), placed(vec![line("a", "1", "20")]));
    let all = sum([&dollars, &order, &whole]);
    assert_eq!((all.line("a")[2].as_str(), all.lines[&None][2]), ("20.00", amount("5")));
    // One that names none was counted in the base currency.
    let (mut order_of_yen, mut sum) = (Order::default(), Sum::default());
    let yen = OrderContext { currency: "JPY".parse().ok(), ..context() };
    for (statement, context) in [(&refund("5"), context()), (&order, yen.clone()), (&whole, yen)] {
        sum.add(&order_of_yen.apply(statement, context));
    }
    assert_eq!((sum.line("a")[2].as_str(), sum.lines[&None][2]), ("20.00", amount("5")));
}

#[test]
fn an_order_of_no_currency_gives_nothing_back_in_one() {
    let mut order = Order::default();
    order.apply(&placed(vec![line("a", "1", "20")]), OrderContext { currency: None, ..context() });
    let euros = OrderStatement { currency: Some(Currency::EUR), ..refund("5") };
    assert!(order.apply(&euros, context()).differs);
    assert!(!order.apply(&refund("5"), context()).differs, "one that names none is of the order's");
    let mut of_euros = Order::default();
    of_euros.apply(&placed(vec![line("a", "1", "20")]), context());
    let odd = OrderStatement { is_currency_unknown: true, ..refund("5") };
    assert!(of_euros.apply(&odd, context()).differs);
}

#[test]
fn what_the_order_does_not_have_is_told() {
    let mut order = Order::default();
    order.apply(&placed(vec![line("a", "1", "20")]), context());
    let change = order.apply(&returned(vec![item("z", "1")]), context());
    assert_eq!(change.lines, [LineChange { unread: true, ..LineChange::default() }]);
    let told = LineStatement { amount: Some(amount("3")), ..item("z", "1") };
    assert_eq!(order.apply(&returned(vec![told]), context()).lines[0].refund, amount("3"));
}

#[test]
fn an_amount_that_cannot_be_read_refunds_nothing() {
    let mut order = Order::default();
    order.apply(&placed(vec![line("a", "1", "20")]), context());
    let unread = OrderStatement { is_unread: true, ..statement(StatementKind::Refunded) };
    assert_eq!(order.apply(&unread, context()).lines, [LineChange { unread: true, ..LineChange::default() }]);
    assert_eq!(order.apply(&statement(StatementKind::Refunded), context()).lines[0].refund, amount("20"));
}

#[test]
fn what_of_an_order_cannot_be_read_is_told_by_its_event() {
    let unread = |statement| OrderStatement { is_shipping_unread: true, is_tax_unread: true, ..statement };
    let told = |change: OrderChange| (change.is_shipping_unread, change.is_tax_unread);
    let mut order = Order::default();
    assert_eq!(told(order.apply(&unread(refund("1")), context())), (true, true));
    let first = placed(vec![line("a", "1", "20")]);
    assert_eq!(told(order.apply(&first, context())), (false, false), "what waited has told it");
    assert_eq!(told(order.apply(&unread(refund("1")), context())), (true, true));
    assert_eq!(told(Order::default().apply(&unread(first), context())), (true, true));
}

#[test]
fn what_is_not_followed_says_so() {
    let mut order = Order::default();
    let unread = OrderStatement { is_unread: true, ..refund("1") };
    assert!(!order.apply(&unread, context()).is_unfollowed, "it is told as what it is");
    for _ in 0..32 {
        assert!(!order.apply(&refund("1"), context()).is_unfollowed);
    }
    let change = order.apply(&refund("1"), context());
    assert!(change.is_unfollowed && change.is_unknown && change.lines[0].refund == amount("1"));
    let mut sum = Sum::default();
    sum.add(&order.apply(&placed(vec![line("a", "1", "50")]), context()));
    assert_eq!((sum.line("a")[2].as_str(), sum.lines[&None][2]), ("32.00", amount("-32")), "the last stays as it is");

    let waiting = (0..100_000).map(|n: u32| OrderKey::of(&format!("w-{n}"))).collect();
    let memory = OrderMemory::restore(1000, waiting);
    let early = refund("5");
    let settled = memory.settle(at(0), vec![told(0, &early)], &HashMap::new(), &PastEffects::default());
    assert!(settled.changes[&0].is_unfollowed, "the partition waits for as many orders as it can");
    let order = placed(vec![line("a", "1", "50")]);
    let settled = memory.settle(at(0), vec![told(0, &order)], &HashMap::new(), &PastEffects::default());
    assert!(!settled.changes[&0].is_unfollowed);
}

#[test]
fn what_is_told_in_one_line_keeps_what_was_unread_apart() {
    let mut change = OrderChange { lines: vec![LineChange::unknown(amount("2")); 3], ..OrderChange::default() };
    change.lines.extend([LineChange::unread(), LineChange::unread()]);
    change.in_one_line();
    assert_eq!(change.lines, [LineChange::unknown(amount("6")), LineChange::unread()]);
}

fn cents() -> impl Strategy<Value = Amount> {
    (0u32..20_000).prop_map(|cents| Amount::from_micros(i128::from(cents) * 10_000))
}

fn orders() -> impl Strategy<Value = OrderStatement> {
    let line = (0u8..4, 1u32..5, cents()).prop_map(|(product, quantity, gross)| LineStatement {
        gross: Some(gross),
        ..item(&format!("p-{product}"), &quantity.to_string())
    });
    let extras = (proptest::option::of(cents()), proptest::option::of(cents()), proptest::option::of(cents()));
    (prop::collection::vec(line, 1..6), extras).prop_map(|(lines, (discount, shipping, tax))| OrderStatement {
        discount,
        shipping,
        tax,
        ..placed(lines)
    })
}

fn what_refers_to_it() -> impl Strategy<Value = Vec<OrderStatement>> {
    let one = prop_oneof![
        4 => cents().prop_map(|cents| OrderStatement { amount: Some(cents), ..statement(StatementKind::Refunded) }),
        1 => Just(statement(StatementKind::Refunded)),
        1 => Just(statement(StatementKind::Cancelled)),
    ];
    prop::collection::vec(one, 0..6)
}

proptest! {
    /// The plain model: an order is worth what was paid for it, less what is told to
    /// be given back, and nothing once all of it is given back or cancelled.
    #[test]
    fn net_is_the_same_in_any_order(
        order in orders(),
        (others, place) in what_refers_to_it().prop_flat_map(|others| {
            let places = 0..=others.len();
            (Just(others).prop_shuffle(), places)
        }),
    ) {
        let gross: Amount = order.lines.iter().filter_map(|line| line.gross).sum();
        let paid = gross - order.discount.unwrap_or_default().min(gross);
        let extras = order.shipping.unwrap_or_default() + order.tax.unwrap_or_default();
        let told: Amount = others.iter().filter_map(|other| other.amount).sum();
        let is_gone = others.iter().any(|other| other.amount.is_none());

        let mut statements = others.clone();
        statements.insert(place, order);
        let sum = sum(&statements);
        prop_assert_eq!(sum.of(0) - sum.of(1), paid);
        prop_assert_eq!(sum.net(), if is_gone { Amount::ZERO } else { paid - told.min(paid) });
        let extras_left = extras - (told - told.min(paid)).min(extras);
        prop_assert_eq!(sum.shipping + sum.tax, if is_gone { Amount::ZERO } else { extras_left });
        // How much a refund of all that is left gives back depends on what came before.
        let has_whole = others.iter().any(|other| other.kind == StatementKind::Refunded && other.amount.is_none());
        if !has_whole {
            prop_assert_eq!(sum.excess, (told - paid - extras).max(Amount::ZERO));
        }
        for (product, [gross, discount, refund, cancelled]) in &sum.lines {
            let net = *gross - *discount - *refund - *cancelled;
            prop_assert!(net >= Amount::ZERO, "{:?} comes to {}", product, net);
        }
    }

    /// Wherever it was stored in between, an order comes to the same.
    #[test]
    fn an_order_is_stored_as_it_is(order in orders(), others in what_refers_to_it()) {
        let (mut kept, mut stored) = (Order::default(), Order::default());
        for statement in others.iter().take(2).chain([&order]).chain(others.iter().skip(2)) {
            let text = serde_json::to_vec(&stored).expect("is JSON");
            stored = serde_json::from_slice(&text).expect("and is read back");
            prop_assert_eq!(kept.apply(statement, context()), stored.apply(statement, context()));
        }
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn told(place: usize, statement: &OrderStatement) -> EventStatement<'_> {
    let event = EventKey::from_bytes([u8::try_from(place).expect("few"); EventKey::BYTES]);
    EventStatement { place, event, told: Told::First, statement, context: context() }
}

#[test]
fn a_partition_remembers_for_as_long_as_it_is_told() {
    let mut memory = OrderMemory::restore(1000, HashSet::new());
    let order = placed(vec![line("a", "1", "20")]);
    assert!(memory.unknown([&order].into_iter()).is_empty(), "nothing was told of it");
    let settled =
        memory.settle(at(0), vec![told(0, &order), told(1, &refund("5"))], &HashMap::new(), &PastEffects::default());
    assert_eq!(settled.changes[&1].lines[0].product.as_deref(), Some("a"), "one batch has both");
    memory.commit(1, at(0), settled);
    let (changed, kept) = memory.unsaved();
    let stored = changed.clone();
    assert_eq!(kept.iter().flat_map(|kept| kept.changes.keys()).collect::<Vec<_>>(), [&1], "an order makes itself");
    memory.saved();

    let more = refund("5");
    let asked = memory.unknown([&more].into_iter());
    assert_eq!(asked, HashSet::from([OrderKey::of("o-1")]));
    let is_known = |now: i64| {
        !memory.settle(at(now), vec![told(0, &more)], &stored, &PastEffects::default()).changes[&0].is_unknown
    };
    assert!(is_known(1000) && !is_known(1001));
}

#[test]
fn what_is_not_published_changes_nothing() {
    let memory = OrderMemory::restore(1000, HashSet::new());
    let early = refund("5");
    let first = memory.settle(at(0), vec![told(0, &early)], &HashMap::new(), &PastEffects::default());
    let again = memory.settle(at(0), vec![told(0, &early)], &HashMap::new(), &PastEffects::default());
    assert_eq!(first.changes, again.changes);
}

#[test]
fn an_order_that_is_waited_for_is_looked_up() {
    let mut memory = OrderMemory::restore(1000, HashSet::new());
    let settled = memory.settle(at(0), vec![told(0, &refund("5"))], &HashMap::new(), &PastEffects::default());
    memory.commit(1, at(0), settled);
    let stored = memory.unsaved().0.clone();
    memory.saved();
    let order = placed(vec![line("a", "1", "20")]);
    for memory in [memory, OrderMemory::restore(1000, HashSet::from([OrderKey::of("o-1")]))] {
        assert_eq!(memory.unknown([&order].into_iter()).len(), 1);
        let settled = memory.settle(at(1), vec![told(0, &order)], &stored, &PastEffects::default());
        assert_eq!(settled.changes[&0].lines.len(), 2, "its line, and what was counted before");
    }
}
