//! Items of a product that an order has on several lines.

use super::*;

fn with_sku(sku: &str, line: LineStatement) -> LineStatement {
    LineStatement { sku: Some(sku.into()), ..line }
}

fn with_amount(of: &str, line: LineStatement) -> LineStatement {
    LineStatement { amount: Some(amount(of)), ..line }
}

fn cancelled(lines: Vec<LineStatement>) -> OrderStatement {
    OrderStatement { lines, ..statement(StatementKind::Cancelled) }
}

fn given_away(line: LineStatement) -> LineStatement {
    LineStatement { discount: line.gross, ..line }
}

#[test]
fn what_comes_back_goes_over_all_lines_of_its_product() {
    let two = || vec![line("a", "2", "20"), line("a", "2", "20")];
    let mixed = || vec![line("a", "1", "10"), line("a", "1", "20")];
    let gift = || vec![line("a", "1", "0"), line("a", "1", "20")];
    let free = || vec![given_away(line("a", "1", "20")), line("a", "1", "20")];
    let variants = || vec![with_sku("S", line("a", "1", "10")), with_sku("L", line("a", "1", "30"))];
    let one = |price: &str| returned(vec![line("a", "1", price)]);
    for (lines, back, net) in [
        (two(), returned(vec![item("a", "3")]), "10.00"),
        (two(), cancelled(vec![item("a", "3")]), "10.00"),
        (mixed(), returned(vec![item("a", "2")]), "0.00"),
        (vec![line("a", "1", "10"); 3], returned(vec![line("a", "3", "30")]), "0.00"),
        (gift(), one("20"), "0.00"),
        (gift(), returned(vec![item("a", "1")]), "0.00"),
        (free(), one("20"), "0.00"),
        (mixed(), one("20"), "10.00"),
        (mixed(), one("10"), "20.00"),
        (variants(), returned(vec![with_sku("L", line("a", "1", "30"))]), "10.00"),
        (variants(), returned(vec![with_sku("S", item("a", "1"))]), "30.00"),
        (variants(), returned(vec![LineStatement { quantity: None, ..with_sku("S", item("a", "1")) }]), "30.00"),
        (variants(), returned(vec![with_sku("none of them", line("a", "1", "30"))]), "10.00"),
        (variants(), returned(vec![LineStatement { quantity: None, ..item("a", "1") }]), "0.00"),
    ] {
        let order = placed(lines);
        for statements in [[&order, &back], [&back, &order]] {
            let sum = sum(statements);
            assert_eq!((sum.net().to_string().as_str(), sum.excess), (net, Amount::ZERO), "{order:?} {back:?}");
        }
    }
}

#[test]
fn an_item_is_of_the_line_with_its_price() {
    // 10 % off: 18 and 9 were paid.
    let order =
        OrderStatement { discount: Some(amount("3")), ..placed(vec![line("a", "1", "20"), line("a", "1", "10")]) };
    let (dear, cheap) = (returned(vec![line("a", "1", "20")]), returned(vec![line("a", "1", "10")]));
    assert_eq!(sum([&order, &cheap]).of(2), amount("9"));
    assert_eq!(sum([&order, &dear]).of(2), amount("18"));
    assert_eq!(sum([&order, &dear, &cheap]).net(), Amount::ZERO);
}

#[test]
fn what_a_price_asks_beyond_its_lines_is_told_apart() {
    let order = placed(vec![line("a", "1", "10"), line("a", "1", "10"), line("b", "1", "50")]);
    let three = returned(vec![line("a", "3", "30")]);
    let sum_of = sum([&order, &three]);
    assert_eq!((sum_of.line("a")[2].as_str(), sum_of.line("b")[2].as_str()), ("20.00", "0.00"));
    assert_eq!(sum_of.excess, amount("10"));
    let two = returned(vec![line("a", "2", "20")]);
    assert_eq!(sum([&order, &two, &two]).excess, amount("20"), "each piece is given back once");
    // Also an amount, for pieces that had come back.
    let for_one = returned(vec![with_amount("5", item("a", "1"))]);
    let sum_of = sum([&order, &returned(vec![item("a", "2")]), &for_one]);
    assert_eq!((sum_of.net(), sum_of.excess), (amount("50"), amount("5")));
    // The money of a cancelled item goes back: that is nothing beyond.
    let sum_of = sum([&order, &cancelled(vec![item("a", "2")]), &two]);
    assert_eq!((sum_of.net(), sum_of.excess), (amount("50"), Amount::ZERO));
    let order = placed(vec![with_sku("S", line("a", "1", "10")), with_sku("L", line("a", "1", "30"))]);
    let two_of_one = returned(vec![with_sku("L", line("a", "2", "60"))]);
    let sum_of = sum([&order, &two_of_one]);
    assert_eq!((sum_of.net(), sum_of.excess), (amount("10"), amount("30")), "never of another sku");
}

#[test]
fn pieces_with_an_amount_are_gone() {
    let order = placed(vec![line("a", "1", "10"), line("a", "1", "20"), line("b", "1", "50")]);
    let for_it = returned(vec![with_amount("15", item("a", "1"))]);
    let in_all = OrderStatement { amount: Some(amount("15")), ..returned(vec![item("a", "1")]) };
    for first in [&for_it, &in_all] {
        // The dearer one came back for 15, so the one for 12 is that of 10.
        let all = sum([&order, first, &returned(vec![line("a", "1", "12")])]);
        assert_eq!((all.line("a")[2].as_str(), all.excess), ("25.00", Amount::ZERO), "{first:?}");
        let all = sum([&order, first, &returned(vec![line("a", "1", "20"), line("a", "1", "10")])]);
        assert_eq!((all.line("a")[2].as_str(), all.net(), all.excess), ("30.00", amount("50"), amount("15")));
        let rest = LineStatement { quantity: None, ..item("a", "1") };
        let all = sum([&order, first, &returned(vec![rest])]);
        assert_eq!((all.line("a")[2].as_str(), all.net(), all.excess), ("30.00", amount("50"), Amount::ZERO));
    }
}

#[test]
fn net_does_not_depend_on_which_item_came_first() {
    let two = placed(vec![line("a", "5", "112.2"), line("a", "5", "243.2")]);
    let three = placed(vec![line("a", "3", "162.3")]);
    for (order, one, other, net) in [
        (
            &two,
            returned(vec![with_amount("18.04", item("a", "3"))]),
            returned(vec![line("a", "3", "156.6")]),
            // Three at 48.64, for which 52.20 is asked.
            "191.44",
        ),
        (&three, cancelled(vec![item("a", "1")]), returned(vec![line("a", "3", "125.88")]), "24.28"),
    ] {
        for statements in [[order, &one, &other], [order, &other, &one], [&other, order, &one]] {
            assert_eq!(sum(statements).net().to_string(), net);
        }
    }
}

#[test]
fn of_items_that_are_unread_the_others_count() {
    let order = placed(vec![line("a", "1", "10"), line("b", "1", "50")]);
    let unread = LineStatement { is_unread: true, quantity: None, ..item("b", "1") };
    for back in [returned(vec![unread.clone(), item("a", "1")]), cancelled(vec![unread.clone(), item("a", "1")])] {
        let mut placed = Order::default();
        placed.apply(&order, context());
        let change = placed.apply(&back, context());
        assert!(change.lines.iter().any(|line| line.unread), "{change:?}");
        assert_eq!(sum([&order, &back]).net(), amount("50"));
        assert_eq!(sum([&back, &order]).net(), amount("50"));
        let early = Order::default().apply(&back, context());
        assert!(early.is_unknown && early.lines.iter().any(|line| line.unread));
    }
    let early = Order::default().apply(&returned(vec![unread, line("a", "1", "10")]), context());
    assert_eq!(early.lines[0].refund, amount("10"));
}

#[test]
fn prices_beyond_those_that_are_remembered_count_by_themselves() {
    let mut order = Order::default();
    order.apply(&placed(vec![line("a", "100", "10000")]), context());
    let at = |price: u32| returned(vec![line("a", "1", &price.to_string())]);
    for price in 1..=32 {
        assert!(!order.apply(&at(price), context()).is_unfollowed);
    }
    assert!(!order.apply(&at(1), context()).is_unfollowed, "a price that is known");
    let change = order.apply(&at(33), context());
    assert!(change.is_unfollowed);
    assert_eq!(change.lines[0].refund, amount("33"));
}

#[test]
fn an_order_of_an_earlier_release_is_read() {
    let kept = r#"{"placed":{"context":{"time":"1970-01-01T00:00:00.000Z"},"total":"30",
        "lines":[{"product":"a","quantity":"3","returned":"1","revenue":"30","left":"20"}]}}"#;
    let mut order: Order = serde_json::from_str(kept).expect("is read");
    let change = order.apply(&returned(vec![line("a", "3", "30")]), context());
    assert_eq!((change.lines[0].refund, change.excess), (amount("20"), amount("10")), "one had come back");
}

/// Lines of few products, of which some are gifts. `has_skus`: all lines have one.
fn lines(has_skus: bool) -> impl Strategy<Value = Vec<LineStatement>> {
    let gross = prop_oneof![1 => Just(Amount::ZERO), 4 => cents()];
    let line = (0u8..2, 0u8..2, 1u32..5, gross, proptest::option::weighted(0.2, cents()));
    let line = line.prop_map(move |(product, sku, quantity, gross, discount)| LineStatement {
        sku: has_skus.then(|| format!("s-{sku}")),
        gross: Some(gross),
        discount,
        ..item(&format!("p-{product}"), &quantity.to_string())
    });
    prop::collection::vec(line, 1..6)
}

/// Prices are those of lines, or others.
fn backs(lines: Vec<LineStatement>, has_skus: bool) -> impl Strategy<Value = Vec<OrderStatement>> {
    let price = prop_oneof![
        Just(None),
        cents().prop_map(Some),
        prop::sample::select(lines.clone()).prop_map(|line| line.gross.map(|gross| {
            let one = Amount::from_int(1);
            gross.share(one, line.quantity.unwrap_or(one), 2)
        })),
    ];
    let told = (prop::sample::select(lines), 1u32..6, price, proptest::option::weighted(0.2, cents()));
    let item = told.prop_map(move |(of, quantity, price, amount)| LineStatement {
        product: of.product,
        sku: of.sku.filter(|_| has_skus),
        gross: price.map(|price| (0..quantity).map(|_| price).sum()),
        amount,
        quantity: Some(Amount::from_int(i64::from(quantity))),
        ..LineStatement::default()
    });
    let extra = || proptest::option::weighted(0.2, cents());
    let one = (prop::collection::vec(item, 1..4), extra(), extra(), 0u8..8);
    let one = one.prop_map(|(lines, amount, shipping, kind)| match kind {
        0 => statement(StatementKind::Cancelled),
        1 | 2 => cancelled(lines),
        _ => OrderStatement { amount, shipping, ..returned(lines) },
    });
    prop::collection::vec(one, 1..6)
}

proptest! {
    /// What items give back is the same in whichever order they come, also where more
    /// comes back than was ordered. All of them name a sku, or none does. No product comes to less than nothing.
    #[test]
    fn net_of_items_is_the_same_in_any_order(
        (order, backs, shuffled, place) in any::<(bool, bool)>().prop_flat_map(|(has_skus, named)| {
            lines(has_skus).prop_flat_map(move |lines| {
                let backs = backs(lines.clone(), has_skus && named);
                (Just(lines), backs)
            })
        }).prop_flat_map(|(lines, backs)| {
            let shuffled = Just(backs.clone()).prop_shuffle();
            (Just(placed(lines)), Just(backs), shuffled, 0usize..6)
        }),
        (discount, shipping) in (proptest::option::of(cents()), proptest::option::of(cents())),
    ) {
        let order = OrderStatement { discount, shipping, ..order };
        let first = sum(std::iter::once(&order).chain(&backs));
        let place = place.min(shuffled.len());
        let other = sum(shuffled[..place].iter().chain([&order]).chain(&shuffled[place..]));
        prop_assert_eq!((first.net(), first.shipping), (other.net(), other.shipping));
        for (product, [gross, discount, refund, cancelled]) in &first.lines {
            let net = *gross - *discount - *refund - *cancelled;
            prop_assert!(net >= Amount::ZERO, "{:?} comes to {}", product, net);
        }
    }
}
