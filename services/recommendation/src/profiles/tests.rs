use super::*;
use crate::testing::{event, item, order};

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
    assert_eq!(favourites(&profile.categories, 1), [("Books", 101)]);
    assert_eq!(favourites(&profile.brands, 9), [("Fathom", 100)]);
    assert_eq!(profile.value[&Currency::EUR].to_string(), "10.00");
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
