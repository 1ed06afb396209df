use super::*;
use crate::shop::NamedCurrency;

fn with(from: &str, to: &str) -> String {
    assert!(BUILT_IN.contains(from), "{from}");
    BUILT_IN.replacen(from, to, 1)
}

#[test]
fn the_built_in_definition_is_valid() {
    let shop = ShopDefinition::load(None).expect("parses");
    assert_eq!(shop.records, RecordNames { category: "category".into(), country: "country".into() });
}

#[test]
fn a_copy_that_is_older_than_a_key_is_valid() {
    let older = with("  currencies: [data.currency]\n", "");
    assert!(ShopDefinition::parse("mine.yaml", &older).is_ok());
}

#[test]
fn a_wrong_definition_is_refused_with_its_place() {
    for (yaml, line, reason) in [
        (with("items: [data.items]", "items: [item.x]"), 17, "its members are written `data.…`"),
        (with("items: [data.items]", "items: data.items"), 17, "expected a sequence"),
        (with("item.product_id, ", "product, "), 19, "`product` is not a field"),
        (with("item.product_id, ", "region, "), 19, "its members are written `item.…` or `data.…`"),
        (with("[subject]", "[item.x]"), 21, "its members are written `subject` or `data.…`"),
        (with("data.billing_country", "data."), 23, "a name is missing"),
        (with("[subject]", &format!("[subject{}]", ", data.x".repeat(16))), 21, "more than 16 members"),
        (with("data.items", "data.a.b.c.d.e.f.g.h.i"), 17, "at most 8 names deep"),
        (with("data.items", &format!("data.{}", "x".repeat(65))), 17, "1 to 64 bytes"),
        (with("category: category", "category: ''"), 69, "1 to 64 bytes"),
        (with("category: category", "kategorie: category"), 69, "unknown field `kategorie`"),
        (with("order.placed: [data", "order placed: [data"), 36, "an event type must be made of"),
        (with("order.placed: [data.order_id]", "order.placed: []"), 36, "a key has at least one member"),
        (with("[data.order_id]", "[item.x]"), 36, "its members are written `source` or `subject` or `data.…`"),
        (with("[data.order_id]", &format!("[source{}]", ", data.x".repeat(16))), 36, "more than 16 members"),
        (with("    order.placed: [data.order_id]\n", &many_keys()), 35, "more than 64 event types"),
        (with("  customers: [subject]\n", ""), 17, "missing field `customers`"),
        (with("refunded: [order.refunded]", "refunded: [order.placed]"), 45, "`order.placed` stands there twice"),
        (with("discount: [data.discount]", "discount: [item.discount]"), 50, "its members are written `data.…`"),
        (with("quantity: [item.quantity]", "quantity: [data.quantity]"), 59, "its members are written `item.…`"),
    ] {
        let error = ShopDefinition::parse("mine.yaml", &yaml).expect_err(reason).to_string();
        assert!(error.starts_with(&format!("mine.yaml:{line}: ")) && error.contains(reason), "{reason}: {error}");
    }
    let long = format!("{BUILT_IN}#{}", "x".repeat(MAX_BYTES));
    let error = ShopDefinition::parse("mine.yaml", &long).expect_err("is refused").to_string();
    assert_eq!(error, "mine.yaml: is longer than 65536 bytes");
}

fn many_keys() -> String {
    (0..65).map(|n| format!("    type.{n}: [data.x]\n")).collect()
}

#[test]
fn a_file_of_before_names_no_sku() {
    ShopDefinition::parse("mine.yaml", &with("    sku: [item.sku]\n", "")).expect("is valid");
}

#[test]
fn a_file_of_before_names_no_business_keys() {
    let keys = "  business_keys:\n    order.placed: [data.order_id]\n";
    ShopDefinition::parse("mine.yaml", &with(keys, "")).expect("is valid");
}

#[test]
fn a_definition_of_before_orders_were_followed_still_holds() {
    let (before, rest) = BUILT_IN.split_once("orders:").expect("is there");
    let (_, records) = rest.split_once("records:").expect("is there");
    let shop = ShopDefinition::parse("mine.yaml", &format!("{before}records:{records}")).expect("parses");
    let text =
        r#"{"id":"1","source":"s","type":"order.cancelled","time":"2026-01-01T00:00:00Z","data":{"order_id":"o"}}"#;
    assert!(shop.orders.statement(&serde_json::from_str(text).expect("an event"), NamedCurrency::Absent).is_some());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = ShopDefinition::load(Some(Path::new("/nowhere/shop.yaml"))).expect_err("is refused").to_string();
    assert!(error.starts_with("/nowhere/shop.yaml: "), "{error}");
}
