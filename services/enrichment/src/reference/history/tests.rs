use super::*;
use crate::shop::ShopDefinition;

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn category(name: &str) -> RecordAttributes {
    RecordAttributes::from([("category".into(), name.into())])
}

fn change(version: u64, valid_from: Option<i64>, name: &str) -> RecordChange {
    RecordChange { version, valid_from: valid_from.map(at), attributes: category(name), claimed_at: None, base: None }
}

#[test]
fn the_join_is_as_of_a_time_and_of_a_version() {
    let changes =
        vec![change(1, None, "a"), change(2, Some(900), "c"), change(3, Some(500), "b"), change(4, Some(500), "d")];
    let names = ShopDefinition::load(None).expect("parses").records;
    let history = History::read(changes, |attributes| product(attributes, &names));
    let category = |time, version| history.at(at(time), version).map(ProductFacts::category);
    assert_eq!(category(-1, 9).as_deref(), Some("a"));
    assert_eq!(category(499, 9).as_deref(), Some("a"));
    assert_eq!(category(500, 9).as_deref(), Some("d"), "of one time the last");
    assert_eq!(category(500, 3).as_deref(), Some("b"), "as the version knew it");
    assert_eq!(category(900, 9).as_deref(), Some("c"), "the latest time, in whichever order");
    assert_eq!(category(0, 0).as_deref(), None);
}

#[test]
fn what_a_person_has_set_goes_before_what_events_claim() {
    let claimed =
        |version, valid_from, name| RecordChange { claimed_at: Some(at(1)), ..change(version, valid_from, name) };
    let changes = vec![
        claimed(1, None, "claimed"),
        claimed(2, Some(500), "claimed later"),
        change(3, Some(300), "set"),
        claimed(4, Some(900), "claimed last"),
    ];
    let names = ShopDefinition::load(None).expect("parses").records;
    let history = History::read(changes, |attributes| product(attributes, &names));
    let category = |time, version| history.at(at(time), version).map(ProductFacts::category);
    assert_eq!(category(299, 9).as_deref(), Some("claimed"), "nothing is set for then");
    assert_eq!(category(300, 9).as_deref(), Some("set"));
    assert_eq!(category(999, 9).as_deref(), Some("set"));
    assert_eq!(category(999, 2).as_deref(), Some("claimed later"), "as the version knew it");
    assert_eq!(category(0, 0).as_deref(), None);
}

#[test]
fn a_shop_says_which_attributes_count() {
    let names = RecordNames { category: "department".into(), country: "land".into() };
    let attributes = |pairs: &[(&str, &str)]| -> RecordAttributes {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let facts = product(attributes(&[("department", "Books"), ("category", "x")]), &names);
    assert_eq!(facts.written(true).get(), r#"{"category":"Books","product":{"category":"x"}}"#);
    assert_eq!(facts.written(false).get(), r#"{"category":"Books"}"#);
    assert_eq!(product(attributes(&[("department", "")]), &names).written(true).get(), r#"{"category":"Unknown"}"#);
    let countries = Countries::built_in().expect("parses");
    let profile = profile(attributes(&[("land", "Deutschland"), ("country", "FR")]), &names, &countries);
    assert_eq!(profile.country, Country::from_code("DE"));
}
