use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_millis(seconds * 1000)
}

/// What somebody tells at a time, at a sequence of the log.
fn told(customer: &str, time: i64, raw_seq: i64) -> ToldCustomer {
    ToldCustomer {
        customer: customer.into(),
        time: at(time),
        place: (0, raw_seq, 0),
        country: Some("DE".into()),
        email: None,
        phone: None,
        has_address: None,
        profile: None,
    }
}

fn sorted(mut events: Vec<ToldCustomer>) -> Vec<ToldCustomer> {
    events.sort_by(|one, other| (&one.customer, one.time, one.place).cmp(&(&other.customer, other.time, other.place)));
    events
}

fn versions(events: Vec<ToldCustomer>) -> Vec<CustomerVersion> {
    let mut versions = CustomerVersions::new("country");
    let mut complete: Vec<CustomerVersion> = sorted(events).iter().flat_map(|told| versions.add(told)).collect();
    complete.extend(versions.end());
    complete
}

#[test]
fn a_version_ends_where_something_else_is_told() {
    let email = |time, raw_seq, email: &str| ToldCustomer { email: Some(email.into()), ..told("a", time, raw_seq) };
    let moved =
        |time, raw_seq, profile: &str| ToldCustomer { profile: Some(profile.into()), ..told("a", time, raw_seq) };
    let told = versions(vec![
        email(30, 4, "b@x.de"),
        email(10, 1, "a@x.de"),
        // It came late, and once more.
        email(20, 9, "a@x.de"),
        email(20, 9, "a@x.de"),
        moved(40, 5, r#"{"country":"Germany","phone":"030 123456"}"#),
        moved(41, 6, r#"{"country":"Germany","phone":"030 123456"}"#),
        ToldCustomer { email: Some("c@x.de".into()), ..told("c", 1, 2) },
    ]);
    let shown: Vec<_> = told
        .iter()
        .map(|version| {
            let known = &version.known;
            let contacts = &known.contacts;
            let valid_to = version.valid_to.map(Timestamp::millis);
            (
                version.valid_from.millis(),
                valid_to,
                contacts.email.as_deref(),
                contacts.phone.as_deref(),
                version.place.1,
            )
        })
        .collect();
    let expected = [
        (10_000, Some(30_000), Some("a@x.de"), None, 1),
        (30_000, Some(40_000), Some("b@x.de"), None, 4),
        (40_000, None, Some("b@x.de"), Some("+4930123456"), 5),
        (1_000, None, Some("c@x.de"), None, 2),
    ];
    assert_eq!(shown, expected);
    assert_eq!(told[2].known.country.as_deref(), Some("DE"));
    assert_eq!(told[1].known.country, None, "an event alone does not say where its customer lives");
}

fn events() -> impl Strategy<Value = Vec<ToldCustomer>> {
    let text = |values: &[&'static str]| option::of(select(values.to_vec())).prop_map(|text| text.map(String::from));
    let profiles = text(&[r#"{"country":"DE"}"#, r#"{"country":"DE","email":"P@x.de"}"#, r#"{"plan":"a"}"#]);
    let fields = (
        select(vec!["a", "b", "c"]),
        0..8_i64,
        text(&["a@x.de", "b@x.de"]),
        text(&["+491", "+492"]),
        option::of(Just(true)),
        profiles,
    );
    let told = fields.prop_map(|(customer, time, email, phone, has_address, profile)| ToldCustomer {
        email,
        phone,
        has_address,
        profile,
        ..told(customer, time, 0)
    });
    vec(told, 0..30).prop_map(|events| {
        let numbered = events.into_iter().zip(1..);
        numbered.map(|(told, raw_seq)| ToldCustomer { place: (0, raw_seq, 0), ..told }).collect()
    })
}

/// What is known of a customer at a time, by the rule: all that was told up to then, one after the
/// other by time and log.
fn known_at(events: &[ToldCustomer], customer: &str, time: Timestamp) -> KnownCustomer {
    let mut known = KnownCustomer::default();
    let before = events.iter().filter(|told| told.customer == customer && told.time <= time);
    for told in before {
        known.learn(told, "country");
    }
    known
}

proptest! {
    #[test]
    fn versions_say_at_each_time_what_was_known(events in events()) {
        let versions = versions(events.clone());
        let events = sorted(events);
        for customer in ["a", "b", "c"] {
            let of: Vec<&CustomerVersion> = versions.iter().filter(|version| version.customer == customer).collect();
            for pair in of.windows(2) {
                prop_assert_eq!(pair[0].valid_to, Some(pair[1].valid_from), "without a gap");
                prop_assert_ne!(&pair[0].known, &pair[1].known, "each says something else");
            }
            prop_assert!(of.iter().rev().skip(1).all(|version| version.valid_to.is_some()));
            prop_assert!(of.last().is_none_or(|version| version.valid_to.is_none()));
            for time in events.iter().filter(|told| told.customer == customer).map(|told| told.time) {
                let holds = |version: &&&CustomerVersion| {
                    version.valid_from <= time && version.valid_to.is_none_or(|end| time < end)
                };
                let holding: Vec<_> = of.iter().filter(holds).collect();
                prop_assert_eq!(holding.len(), 1);
                prop_assert_eq!(&holding[0].known, &known_at(&events, customer, time));
            }
        }
    }

    /// In whatever order they come, and however often.
    #[test]
    fn late_and_repeated_events_change_nothing((events, again) in events().prop_flat_map(|events| {
        let doubled: Vec<ToldCustomer> = events.iter().chain(&events).cloned().collect();
        (Just(events), Just(doubled).prop_shuffle())
    })) {
        prop_assert_eq!(versions(events), versions(again));
    }
}
