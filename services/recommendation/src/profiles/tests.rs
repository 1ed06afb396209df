use super::*;
use crate::testing::{event, item, order};

fn usd() -> Currency {
    "USD".parse().expect("a currency")
}

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

#[test]
fn it_keeps_the_latest_and_counts_the_rest() {
    let mut profile = CustomerProfile::default();
    for n in 0..100 {
        profile.take(&event(LearntKind::View, "c", n, &[item(&format!("p{n}"), "Books", &[("brand", "Fathom")])]));
    }
    profile.take(&event(LearntKind::View, "c", 5, &[item("p99", "Books", &[])]));
    profile.take(&order("c", 200, &["p1"], "12.50"));
    profile.take(&LearntEvent { kind: LearntKind::Change, ..order("c", 300, &[], "-2.50") });
    assert_eq!(profile.views.len(), MAX_RECENT);
    assert_eq!(profile.views[0], ProfileItem { at: at(99), item: "p99".into() }, "an older view changes nothing");
    assert_eq!(profile.purchases, [ProfileItem { at: at(200), item: "p1".into() }]);
    assert_eq!((profile.orders, profile.last_active), (1, at(300)));
    let name = |name: &str, weight| ProfileName { name: name.into(), weight };
    assert_eq!(favourites(&profile.categories, 1), [name("Books", 101)]);
    assert_eq!(favourites(&profile.brands, 9), [name("Fathom", 100)]);
    assert_eq!(profile.value[&Currency::EUR].to_string(), "10.00");
}

/// Interactions with products of no known category count, and are no favourite.
#[test]
fn an_unknown_category_is_nobodys_favourite() {
    let mut profile = CustomerProfile::default();
    profile.take(&order("c", 1, &["p1", "p2"], "1"));
    profile.take(&event(LearntKind::View, "c", 2, &[item("p3", "Books", &[("brand", "Unknown")])]));
    let published = profile.published(&CustomerSegments::built_in().expect("they are right"));
    let name = |name: &str| vec![ProfileName { name: name.into(), weight: 1 }];
    assert_eq!((published.favourite_categories, published.purchases.len()), (name("Books"), 2));
    assert_eq!(published.favourite_brands, name("Unknown"), "what a shop calls a brand is one");
}

#[test]
fn partitions_add_up_and_nothing_grows_without_end() {
    let (mut whole, mut left, mut right) = <(CustomerProfile, CustomerProfile, CustomerProfile)>::default();
    for n in 0..40 {
        let event = order("c", n, &[&format!("p{n}")], "1");
        whole.take(&event);
        if n % 2 == 0 {
            left.take(&event)
        } else {
            right.take(&event)
        };
    }
    left.merge(right);
    assert_eq!(left, whole);
    for n in 0..1_000 {
        whole.take(&event(LearntKind::View, "c", n, &[item("p", &format!("category {n}"), &[])]));
    }
    assert_eq!(whole.categories.len(), MAX_COUNTED);
    assert!(whole.categories.contains_key("Unknown"), "what counts most stays");
}

fn segment_of(profile: &CustomerProfile) -> Option<String> {
    let segments = CustomerSegments::built_in().expect("they are right");
    profile.segment(&segments).map(str::to_owned)
}

fn order_in_base(base: Currency, amount: i64) -> LearntEvent {
    LearntEvent { worth_in_base: Some((base, Amount::from_int(amount))), ..order("c", 1, &["p"], "1") }
}

#[test]
fn a_segment_follows_from_one_base_currency() {
    let mut profile = CustomerProfile::default();
    profile.take(&event(LearntKind::View, "c", 1, &[item("p", "Books", &[])]));
    assert_eq!(segment_of(&profile), None, "nothing was ordered");
    let mut unpriced = profile.clone();
    unpriced.take(&LearntEvent { worth: None, worth_in_base: None, ..order("c", 1, &["p"], "1") });
    assert_eq!((unpriced.orders, segment_of(&unpriced)), (1, None), "what it comes to nobody has said");
    profile.take(&order_in_base(Currency::EUR, 10_000));
    assert_eq!(segment_of(&profile).as_deref(), Some("Premium"));
    let mut other = CustomerProfile::default();
    other.take(&order_in_base(Currency::EUR, 1));
    profile.merge(other);
    assert_eq!(segment_of(&profile).as_deref(), Some("VIP"));
    profile.take(&LearntEvent { kind: LearntKind::Change, ..order_in_base(Currency::EUR, -9_500) });
    assert_eq!(segment_of(&profile).as_deref(), Some("Occasional"));
    profile.take(&order_in_base(usd(), 1));
    assert_eq!(segment_of(&profile), None, "the shop took another base currency: amounts in two are not added");
}

#[test]
fn what_a_former_release_did_not_count_is_known_where_it_follows() {
    let former = |value: &str| -> CustomerProfile {
        let json = format!(
            r#"{{"views":[],"purchases":[],"categories":{{}},"brands":{{}},"last_active":"2026-01-01T00:00:00Z","orders":1,"value":{value}}}"#
        );
        serde_json::from_str(&json).expect("is read")
    };
    let mut all_in_base = former(r#"{"EUR":"9000"}"#);
    assert_eq!(segment_of(&all_in_base), None, "which currency is the base, nobody has said");
    all_in_base.take(&order_in_base(Currency::EUR, 1_001));
    assert_eq!(segment_of(&all_in_base).as_deref(), Some("VIP"));
    let mut mixed = former(r#"{"EUR":"9000","USD":"1"}"#);
    mixed.take(&order_in_base(Currency::EUR, 1_001));
    assert_eq!(segment_of(&mixed), None);
    let mut merged = CustomerProfile::default();
    merged.take(&order_in_base(Currency::EUR, 20_000));
    merged.merge(mixed);
    assert_eq!(segment_of(&merged), None);
}
