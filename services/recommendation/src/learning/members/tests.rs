use std::collections::BTreeSet;

use super::*;

fn members() -> LearntMembers {
    LearntMembers::load(None).expect("the built-in definition")
}

fn read(line: &str) -> LearntAs {
    members().read(&EnrichedEventRef::read(line.as_bytes()).expect("an event"))
}

fn line(kind: &str, more: &str, enriched: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"e","source":"s","type":"{kind}","time":"2026-03-01T10:00:00Z"{more},"enriched":{{"refdata":1,"region":"Europe"{enriched}}}}}"#
    )
}

fn learnt(line: &str) -> LearntEvent {
    match read(line) {
        LearntAs::Learnt(event) => event,
        other => panic!("{other:?}: {line}"),
    }
}

#[test]
fn a_view_names_who_and_what() {
    let more = r#","subject":"c1","data":{"product_id":7,"session_id":"v"}"#;
    let event = learnt(&line("product.viewed", more, r#","items":[{"category":"Books","product":{"brand":"X"}}]"#));
    assert_eq!(event.visitor(), Some(VisitorId::customer("c1")));
    assert_eq!(event.session, Some(VisitorId::session("v")));
    let attributes = BTreeMap::from([("brand".to_owned(), "X".to_owned())]);
    assert_eq!(event.items, [LearntItem { id: "7".into(), category: "Books".into(), attributes, is_told: true }]);
    let event = learnt(&line("product.viewed", r#","data":{"sku":"a b","session_id":3}"#, ""));
    assert_eq!((event.visitor(), event.items[0].category.as_str()), (Some(VisitorId::session("3")), "Unknown"));
    assert!(!event.items[0].is_told, "enrichment found no product in it");
}

#[test]
fn an_order_has_each_product_once_and_what_it_comes_to() {
    let more = r#","subject":"c","data":{"items":[{"product_id":"a"},{"sku":"b"},{"product_id":"a"},{}]}"#;
    let enriched = r#","currency":"EUR","items":[{"category":"A"},{"category":"B"},{"category":"A"},{"category":"Unknown"}],"lines":[{"gross":"10","discount":"1"},{"gross":"2.5"}]"#;
    let event = learnt(&line("order.placed", more, enriched));
    let items: Vec<(&str, &str)> = event.items.iter().map(|item| (&*item.id, &*item.category)).collect();
    assert_eq!(items, [("a", "A"), ("b", "B")]);
    assert_eq!(event.worth, Some((Currency::EUR, Amount::read("11.5").expect("one").amount)));
    let refund = r#","currency":"EUR","lines":[{"refund":"2.5"}]"#;
    let event = learnt(&line("order.refunded", r#","subject":"c","data":{"order_id":1}"#, refund));
    assert_eq!((event.kind, event.items.len()), (LearntKind::Change, 0));
    assert_eq!(event.worth, Some((Currency::EUR, Amount::read("-2.5").expect("one").amount)));
}

#[test]
fn what_is_a_duplicate_or_says_too_little_is_not_learnt() {
    let more = r#","subject":"c1","data":{"product_id":"p"}"#;
    assert_eq!(read(&line("product.viewed", more, r#","duplicate":true"#)), LearntAs::Duplicate);
    for (kind, more) in [
        ("page.seen", more),
        ("product.viewed", r#","data":{"product_id":"p"}"#),
        ("product.viewed", r#","subject":"c","data":{"product_id":""}"#),
        ("product.viewed", r#","subject":"","data":{"product_id":"p","session_id":""}"#),
        ("product.viewed", r#","subject":"c""#),
        ("order.placed", r#","subject":"c","data":{"items":[]}"#),
    ] {
        assert_eq!(read(&line(kind, more, "")), LearntAs::Unconcerned, "{kind}{more}");
    }
    let long = format!(r#","subject":"c","data":{{"product_id":"{}"}}"#, "x".repeat(300));
    assert_eq!(read(&line("product.viewed", &long, "")), LearntAs::Unconcerned);
    // Nobody could have such a visit forgotten.
    for session in ["漢".repeat(134), "a\\nb".into(), "\\u0007".into()] {
        let visit = format!(r#","data":{{"product_id":"p","session_id":"{session}"}}"#);
        assert_eq!(read(&line("product.viewed", &visit, "")), LearntAs::Unconcerned, "{visit}");
    }
}

/// A member may be mistyped, or the shop does not say who it is.
#[test]
fn that_events_name_nobody_or_nothing_again_and_again_is_told() {
    let members = members();
    let take = |kind: &str, more: &str| {
        let line = line(kind, more, "");
        members.read(&EnrichedEventRef::read(line.as_bytes()).expect("an event"))
    };
    let (whole, no_product, nobody) = (
        r#","subject":"c","data":{"product_id":"p"}"#,
        r#","subject":"c","data":{"article":"p"}"#,
        r#","data":{"product_id":"p"}"#,
    );
    (1..IN_A_ROW).for_each(|_| drop(take("product.viewed", no_product)));
    assert_eq!(members.doubts(), None);
    take("product.viewed", whole);
    take("product.viewed", no_product);
    assert_eq!(members.doubts(), None, "one of them named it");
    (1..IN_A_ROW).for_each(|_| drop(take("product.viewed", no_product)));
    let of = "by the members of the definition of learning, the last 100 events and more of";
    assert_eq!(members.doubts(), Some(format!("{of} product.viewed name no product")));
    // What an order comes to is changed without naming any product.
    for kind in ["cart.item_added", "order.cancelled"] {
        (0..IN_A_ROW).for_each(|_| drop(take(kind, nobody)));
    }
    take("product.viewed", whole);
    let nobody = format!("{of} cart.item_added, order.cancelled name no customer and no visit");
    assert_eq!(members.doubts(), Some(nobody));
}

#[test]
fn a_wrong_definition_is_refused_with_its_line() {
    for (wrong, told) in [
        ("items: [item.x]", "shop.yaml:20: its members begin with data"),
        ("products: [subject]", "shop.yaml:22: its members begin with item or data"),
        ("sessions: [data.]", "shop.yaml:26: "),
        ("kinds: {view: [a], cart: [a]}", "shop.yaml:10: `a` is of more than one kind"),
        ("kinds: {look: [a]}", "shop.yaml:10: "),
        ("visits: []", "shop.yaml:"),
        ("sessions: [subject]\nsessions: [data.session_id]", "shop.yaml:27: the key `sessions` is there twice"),
    ] {
        let key = wrong.split(':').next().expect("a key");
        let mut yaml = String::new();
        let mut is_left_out = false;
        for line in BUILT_IN.lines() {
            let is_key = line.starts_with(&format!("{key}:"));
            is_left_out = is_key || (is_left_out && line.starts_with(' '));
            if is_key || !is_left_out {
                yaml.push_str(if is_key { wrong } else { line });
                yaml.push('\n');
            }
        }
        if !yaml.contains(wrong) {
            yaml.push_str(wrong);
        }
        let error = LearntMembers::parse("shop.yaml", &yaml).expect_err(wrong).to_string();
        assert!(error.starts_with(told.split(':').next().expect("a file")), "{error}");
        assert!(error.contains(told.rsplit(": ").next().expect("a reason")), "{error} is not {told}");
    }
}

/// Who names the visit by what is read is not told that the schema does not know it.
#[test]
fn the_default_schemas_know_the_visit() {
    let schemas = [
        ("product.viewed", include_str!("../../../../ingestion/schemas/product.viewed.json")),
        ("cart.item_added", include_str!("../../../../ingestion/schemas/cart.item_added.json")),
        ("order.placed", include_str!("../../../../ingestion/schemas/order.placed.json")),
        ("order.refunded", include_str!("../../../../ingestion/schemas/order.refunded.json")),
        ("order.cancelled", include_str!("../../../../ingestion/schemas/order.cancelled.json")),
    ];
    let written: WrittenLearning = from_yaml("shop.yaml", BUILT_IN).expect("the built-in definition");
    let types: BTreeSet<&str> = written.kinds.values().flatten().map(String::as_str).collect();
    assert_eq!(types, schemas.iter().map(|(kind, _)| *kind).collect());
    for (kind, schema) in schemas {
        let schema: serde_json::Value = serde_json::from_str(schema).expect(kind);
        for field in &written.sessions {
            let Field::Data(path) = field else { panic!("{field:?} is no member") };
            assert!(schema["properties"].get(&path[0]).is_some(), "{kind} and {path:?}");
        }
    }
}
