use serde_json::json;

use super::*;
use crate::{shop::ShopDefinition, testing};

fn shop(definition: &str) -> Result<ShopDefinition, String> {
    let folder = tidemill_testkit::tempdir();
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, definition).expect("writes");
    ShopDefinition::load(Some(&file)).map_err(|error| error.to_string())
}

fn told_by(members: &CustomerMembers, kind: &str, data: &serde_json::Value) -> Option<CustomerStatement> {
    let event = json!({"id": "1", "source": "s", "type": kind, "time": "2026-01-02T03:04:05Z", "subject": "visitor",
        "data": data});
    members.statement(&serde_json::from_str(&event.to_string()).expect("an event"))
}

fn told(data: &serde_json::Value) -> Option<CustomerStatement> {
    told_by(&shop(&testing::shop_with_claims()).expect("loads").customers, "segment.identify", data)
}

#[test]
fn without_a_definition_no_event_says_anything_of_a_customer() {
    let data = json!({"user_id": "c", "country": "DE"});
    let built_in = ShopDefinition::load(None).expect("loads");
    assert_eq!(told_by(&built_in.customers, "segment.identify", &data), None);
}

#[test]
fn the_definition_that_is_suggested_reads_identify_calls() {
    let known = told(&json!({"user_id": 7, "address": {"country": "Germany"}, "country": "FR", "plan": "gold",
        "email": "a@shop.example"}));
    let known = known.expect("a statement");
    assert_eq!((&*known.id, known.country.as_deref()), ("7", Some("Germany")));
    assert_eq!(known.attributes, BTreeMap::from([("plan".into(), "gold".into())]));
    assert_eq!(known.time.to_string(), "2026-01-02T03:04:05Z");
    let other = shop(&testing::shop_with_claims()).expect("loads");
    assert_eq!(told_by(&other.customers, "segment.page", &json!({"user_id": "c", "country": "DE"})), None);
}

#[test]
fn what_is_no_single_value_says_nothing() {
    for (data, country, plan) in [
        (json!({"user_id": "c", "country": null, "plan": ""}), None, None),
        (json!({"user_id": "c", "country": ["DE"], "plan": {"a": 1}}), None, None),
        (json!({"user_id": "c", "address": {"country": " "}, "country": "DE"}), Some("DE"), None),
        (json!({"user_id": "c", "address": "x", "plan": true}), None, Some("true")),
        (json!({"user_id": "c", "plan": 3.5}), None, Some("3.5")),
        (json!({"user_id": "c"}), None, None),
    ] {
        let known = told(&data).expect("a statement");
        assert_eq!(
            (known.country.as_deref(), known.attributes.get("plan").map(String::as_str)),
            (country, plan),
            "{data}"
        );
    }
    for data in
        [json!({"country": "DE"}), json!({"user_id": "", "country": "DE"}), json!({"user_id": null}), json!([1])]
    {
        assert_eq!(told(&data), None, "{data}");
    }
}

#[test]
fn a_shop_says_what_its_own_events_tell() {
    let own = "customer_changes:\n  types: [customer.moved]\n  id: [data.nobody, subject]\n  attributes:\n    \
               land: [data.to]\n";
    let definition = crate::BUILT_IN_SHOP.replace("country: country", "country: land");
    let members = shop(&format!("{definition}{own}")).expect("loads").customers;
    let known = told_by(&members, "customer.moved", &json!({"to": "DE"})).expect("a statement");
    assert_eq!((&*known.id, known.country.as_deref(), known.attributes.len()), ("visitor", Some("DE"), 0));
}

#[test]
fn a_wrong_section_is_refused_with_its_place() {
    let right = testing::shop_with_claims();
    let many: String = (0..17).map(|n| format!("    a{n}: [data.x]\n")).collect();
    for (from, to, reason) in [
        ("types: [segment.identify]", "types: [segment identify]", "an event type must be made of"),
        ("id: [data.user_id]", "id: [item.x]", "its members are written `subject` or `data.…`"),
        ("plan: [data.plan]", "plan: [subject]", "its members are written `data.…`"),
        ("plan: [data.plan]", "valid_from: [data.plan]", "is of the record itself"),
        ("plan: [data.plan]", "'': [data.plan]", "1 to 64 bytes"),
        ("    plan: [data.plan]\n", &many, "has 1 to 16 attributes"),
        ("id: [data.user_id]", "ids: [data.user_id]", "unknown field `ids`"),
    ] {
        assert!(right.contains(from), "{from}");
        let error = shop(&right.replacen(from, to, 1)).expect_err(reason);
        assert!(error.contains(reason) && error.contains("shop.yaml:"), "{reason}: {error}");
    }
}
