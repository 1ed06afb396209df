use serde_json::json;

use super::*;
use crate::shop::ShopDefinition;

fn read(kind: &str, data: &serde_json::Value) -> Option<OrderStatement> {
    let event = json!({"id": "1", "source": "s", "type": kind, "time": "2026-01-01T00:00:00Z", "data": data});
    let text = event.to_string();
    let event: LogEvent<'_> = serde_json::from_str(&text).expect("an event");
    ShopDefinition::load(None).expect("loads").orders.statement(&event, NamedCurrency::Absent)
}

fn amount(text: &str) -> Option<Amount> {
    Some(text.parse().expect(text))
}

#[test]
fn an_order_is_read() {
    let data = json!({"order_id": 17, "discount": "-2.5", "shipping": 3, "tax": null, "items": [
        {"product_id": "p", "quantity": "2", "unit_price": 10.005, "discount": 1},
        {"sku": "s", "quantity": 1, "price": "4"}, "nonsense",
    ]});
    let order = read("order.placed", &data).expect("a statement");
    assert_eq!((order.kind, &*order.id), (StatementKind::Placed, "17"));
    assert_eq!((order.discount, order.shipping, order.tax), (amount("2.5"), amount("3"), None));
    let lines: Vec<_> = order.lines.iter().map(|line| (line.product.as_deref(), line.quantity, line.gross)).collect();
    let expected =
        [(Some("p"), amount("2"), amount("20.01")), (Some("s"), amount("1"), amount("4")), (None, None, None)];
    assert_eq!(lines, expected);
    assert_eq!(order.lines[0].discount, amount("1"));
}

#[test]
fn what_refers_to_an_order_is_read() {
    let refund = read("order.refunded", &json!({"order_id": "o", "amount": "5.00"})).expect("a statement");
    assert_eq!((refund.kind, refund.amount, refund.is_unread), (StatementKind::Refunded, amount("5"), false));
    let segment = read("order.refunded", &json!({"order_id": "o", "total": 5})).expect("a statement");
    assert_eq!(segment.amount, amount("5"));
    let cancelled = read("order.cancelled", &json!({"order_id": "o"})).expect("a statement");
    assert_eq!((cancelled.kind, cancelled.lines.len()), (StatementKind::Cancelled, 0));
    for (kind, item) in [
        ("order.refunded", json!({"product_id": "a", "quantity": "1 piece"})),
        ("order.refunded", json!({"product_id": "a", "quantity": 1, "amount": "n/a"})),
        ("order.cancelled", json!({"product_id": "a", "quantity": "one"})),
    ] {
        let told = read(kind, &json!({"order_id": "o", "items": [item]})).expect("a statement");
        assert!(told.is_unread, "{told:?}");
    }
    let total = read("order.cancelled", &json!({"order_id": "o", "total": "n/a"})).expect("a statement");
    assert!(!total.is_unread, "a cancellation has no amount");
    let discount = json!({"order_id": "o", "items": [{"quantity": 1, "unit_price": 1, "discount": "10%"}]});
    assert!(read("order.placed", &discount).expect("a statement").lines[0].is_unread);
    for unreadable in [json!("all"), json!({}), json!(1e15)] {
        let refund = read("order.refunded", &json!({"order_id": "o", "amount": unreadable})).expect("a statement");
        assert!(refund.is_unread && refund.amount.is_none(), "{refund:?}");
    }
}

#[test]
fn shipping_and_tax_that_cannot_be_read_are_told() {
    let statement = |kind, data| {
        let read = read(kind, &data).expect("a statement");
        (read.is_shipping_unread, read.is_tax_unread, read.is_unread)
    };
    let placed = |shipping, tax| json!({"order_id": "o", "shipping": shipping, "tax": tax, "items": [{"quantity": 1}]});
    assert_eq!(statement("order.placed", placed(json!("free"), json!("8.1%"))), (true, true, false));
    assert_eq!(statement("order.placed", placed(json!(""), json!(null))), (false, false, false), "nothing is told");
    assert_eq!(statement("order.placed", placed(json!("0"), json!({}))), (false, true, false));
    let refund = |rest: serde_json::Value| {
        let mut data = json!({"order_id": "o", "shipping": "free"});
        data.as_object_mut().expect("one").extend(rest.as_object().expect("one").clone());
        statement("order.refunded", data)
    };
    assert_eq!(refund(json!({"amount": 5})), (true, false, false), "the amount is told");
    assert_eq!(refund(json!({"items": [{"product_id": "a"}]})), (true, false, false));
    assert_eq!(refund(json!({"tax": 1})), (true, false, false));
    assert_eq!(refund(json!({})), (true, false, true), "it is of a part, and not of all of the order");
    let cancelled = json!({"order_id": "o", "shipping": "free"});
    assert_eq!(statement("order.cancelled", cancelled), (false, false, false));
}

#[test]
fn of_some_items_that_are_unread_the_others_are_told() {
    let unread = json!({"product_id": "a", "quantity": "n/a"});
    let read_one = json!({"product_id": "b", "sku": "L", "quantity": 1, "unit_price": 30});
    for kind in ["order.refunded", "order.cancelled"] {
        let told = read(kind, &json!({"order_id": "o", "items": [unread, read_one]})).expect("a statement");
        assert_eq!(told.lines.iter().map(|line| line.is_unread).collect::<Vec<_>>(), [true, false]);
        assert_eq!((told.is_unread, told.lines[1].sku.as_deref()), (false, Some("L")));
    }
}

#[test]
fn the_rest_is_about_no_order() {
    assert_eq!(read("cart.item_added", &json!({"order_id": "o"})), None);
    for data in [json!({}), json!({"order_id": ""}), json!({"order_id": {}}), json!([1])] {
        assert_eq!(read("order.placed", &data), None, "{data}");
    }
}

/// Who writes what is used is not told that the schema does not know it. Of a list, what
/// stands behind a member that the schema requires is never used.
#[test]
fn the_default_schemas_know_what_the_definition_reads() {
    let schemas = [
        ("placed", include_str!("../../../../ingestion/schemas/order.placed.json")),
        ("refunded", include_str!("../../../../ingestion/schemas/order.refunded.json")),
        ("cancelled", include_str!("../../../../ingestion/schemas/order.cancelled.json")),
    ];
    let of_order: [&[&str]; 3] =
        [&["id", "discount", "shipping", "tax"], &["id", "shipping", "tax", "amount"], &["id"]];
    let of_line: [&[&str]; 3] =
        [&["quantity", "price", "discount"], &["quantity", "price", "discount", "amount"], &["quantity"]];
    let shop: serde_json::Value = yaml_serde::from_str(crate::BUILT_IN_SHOP).expect("parses");
    let is_required = |schema: &serde_json::Value, member: &str| {
        schema["required"].as_array().is_some_and(|all| all.iter().any(|name| name == member))
    };
    let unknown = |schema: &serde_json::Value, names: &serde_json::Value, keys: &[&str]| -> Vec<String> {
        let lists = keys.iter().map(|key| names[key].as_array().unwrap_or_else(|| panic!("{key} is a list")));
        let mut unknown = Vec::new();
        for list in lists {
            for name in list {
                let (_, member) = name.as_str().and_then(|name| name.split_once('.')).expect("a path");
                unknown.extend(schema["properties"].get(member).is_none().then(|| member.to_owned()));
                if is_required(schema, member) {
                    break;
                }
            }
        }
        unknown
    };
    for (((kind, text), of_order), of_line) in schemas.into_iter().zip(of_order).zip(of_line) {
        let schema: serde_json::Value = serde_json::from_str(text).expect("parses");
        assert_eq!(unknown(&schema, &shop["orders"], of_order), [""; 0], "{kind}");
        let item = &schema["properties"]["items"]["items"];
        assert_eq!(unknown(item, &shop["orders"]["line"], of_line), [""; 0], "{kind}: an item");
    }
}
