use tidemill_definitions::Data;
use tidemill_events::{EnrichedEventRef, EnrichmentRef};

use super::*;

fn event_score(kind: &str, data: &str, enriched: &str) -> (Option<f64>, Option<String>) {
    let line = format!(
        r#"{{"id":"1","source":"s","type":"{kind}","time":"2026-01-02T03:04:05Z","subject":"c","data":{data},"enriched":{{"refdata":1,"region":"Unknown"{enriched}}}}}"#
    );
    let rules = QualityRules::load(None).expect("rules");
    let event = EnrichedEventRef::read(line.as_bytes()).expect("an event");
    let unknown = EnrichmentRef::default();
    let data = Data::of(event.data);
    let judged = JudgedEvent::new(&event, event.enriched.as_ref().unwrap_or(&unknown), &data, event.time);
    let score = rules.of_event(&judged);
    (score.value, rules.event_parts(score.failed).map(std::borrow::Cow::into_owned))
}

#[test]
fn the_score_is_of_the_parts_that_apply() {
    assert_eq!(event_score("cart.emptied", "{}", ""), (Some(1.0), None), "the time alone");
    let known = r#","country":"DE","items":[{"category":"Books"}]"#;
    assert_eq!(event_score("order.placed", "{}", known), (Some(1.0), None));
    let product = r#","country":"DE","items":[{"category":"Unknown"}],"quality":["product_unknown"]"#;
    assert_eq!(event_score("order.placed", "{}", product), (Some(0.5), Some("product_known".into())));
    let told = r#"{"email":"a@b.de","phone":null,"address":{"city":"Bonn"}}"#;
    assert_eq!(event_score("segment.identify", told, ""), (Some(0.75), Some("phone".into())));
}

#[test]
fn contacts_are_read_where_they_are_told() {
    let rules = QualityRules::load(None).expect("rules");
    let data = r#"{"customer":{"email":" A@B.de"},"email":"","phone":"030 123456","billing_address":{"city":"Bonn"}}"#;
    let told = rules.contacts("order.placed", Some(data), Some("DE"));
    let expected =
        ToldContacts { email: Some("a@b.de".into()), phone: Some("+4930123456".into()), has_address: Some(true) };
    assert_eq!(told, expected);
    assert_eq!(rules.contacts("product.viewed", Some(data), Some("DE")), ToldContacts::default());
    assert_eq!(
        rules.contacts("order.placed", Some(r#"{"address":{},"items":[{"email":"x"}]}"#), None),
        ToldContacts::default()
    );
    let score = rules.of_customer(&expected, false);
    assert_eq!((score.value, rules.customer_parts(score.failed)), (Some(0.75), Some("country".into())));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let text = QUALITY.1;
    for (place, wrong, reason) in [
        ("members: [data.email, data.customer.email]", "members: [subject]", "its members are written `data.…`"),
        ("weight: 2", "weight: 0", "part `product_known`: its weight is 0"),
        ("check: known_product", "check: known_products", "part `product_known`: "),
        ("name: email, weight: 1", "name: fax, weight: 1", "unknown variant `fax`"),
    ] {
        assert!(text.contains(place), "{place}");
        let told =
            QualityRules::parse("q.yaml", &text.replacen(place, wrong, 1)).map(drop).expect_err(place).to_string();
        assert!(told.starts_with("invalid_contract: q.yaml:") && told.contains(reason), "{told}");
    }
}
