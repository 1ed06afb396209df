//! Items that come back at a price.

use super::*;

fn at_price(product: &str, quantity: &str, gross: &str) -> LineStatement {
    LineStatement { gross: Some(amount(gross)), ..item(product, quantity) }
}

#[test]
fn an_item_without_an_amount_gives_back_its_price_and_no_more_than_was_paid() {
    // 20 and 10, less 6: 16 and 8 were paid.
    let order =
        OrderStatement { discount: Some(amount("6")), ..placed(vec![line("a", "2", "20"), line("b", "1", "10")]) };
    let with_discount = LineStatement { discount: Some(amount("1")), ..at_price("a", "1", "6") };
    for (back, expected) in [
        (at_price("a", "1", "5"), "5.00"),
        (at_price("a", "1", "10"), "8.00"),
        (at_price("a", "2", "20"), "16.00"),
        (with_discount, "5.00"),
        (item("a", "1"), "8.00"),
        (LineStatement { amount: Some(amount("9")), ..at_price("a", "1", "10") }, "9.00"),
    ] {
        let back = returned(vec![back]);
        for statements in [[&order, &back], [&back, &order]] {
            let sum = sum(statements);
            assert_eq!((sum.line("a")[2].as_str(), sum.excess), (expected, Amount::ZERO), "{back:?}");
            assert!(sum.lines.get(&None).is_none_or(|unknown| unknown[2].is_zero()));
        }
    }
    // Of an order that has not come it is what the event says.
    let early = LineStatement { discount: Some(amount("1")), ..at_price("a", "1", "6") };
    assert_eq!(sum([&returned(vec![early])]).of(2), amount("5"));
    // What is cancelled is not paid, whatever its price.
    let cancelled = OrderStatement { lines: vec![at_price("a", "1", "5")], ..statement(StatementKind::Cancelled) };
    assert_eq!(sum([&order, &cancelled]).line("a")[3], "8.00");
}

fn backs() -> impl Strategy<Value = Vec<OrderStatement>> {
    let told = (proptest::option::of(1u32..4), proptest::option::of(cents()), proptest::option::of(cents()));
    let item =
        (0u8..5, told, proptest::option::of(cents())).prop_map(|(product, (quantity, gross, discount), amount)| {
            LineStatement {
                product: Some(format!("p-{product}")),
                quantity: quantity.map(|quantity| Amount::from_int(i64::from(quantity))),
                gross: gross.filter(|_| quantity.is_some()),
                discount,
                amount,
                ..LineStatement::default()
            }
        });
    let one = (prop::collection::vec(item, 0..4), proptest::option::of(cents()), any::<bool>());
    let one = one.prop_map(|(lines, amount, is_refund)| match is_refund {
        true => OrderStatement { lines, amount, ..statement(StatementKind::Refunded) },
        false => OrderStatement { lines, ..statement(StatementKind::Cancelled) },
    });
    prop::collection::vec(one, 0..6)
}

proptest! {
    /// Whatever items a refund names, and however: it means the same before its order
    /// and behind it.
    #[test]
    fn a_refund_means_the_same_whichever_comes_first(order in orders(), backs in backs(), place in 0usize..6) {
        let first = sum(std::iter::once(&order).chain(&backs));
        let place = place.min(backs.len());
        let moved = sum(backs[..place].iter().chain([&order]).chain(&backs[place..]));
        let all_of = |sum: &Sum| {
            let lines = sum.lines.iter().filter(|(_, parts)| parts.iter().any(|part| !part.is_zero()));
            lines.map(|(product, parts)| (product.clone(), *parts)).collect::<HashMap<_, _>>()
        };
        prop_assert_eq!(all_of(&first), all_of(&moved));
        prop_assert_eq!((first.shipping, first.tax, first.excess), (moved.shipping, moved.tax, moved.excess));
    }
}
