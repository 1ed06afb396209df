use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn attributes(pairs: &[(&str, &str)]) -> RecordAttributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn claim(time: i64, pairs: &[(&str, &str)]) -> CustomerClaim {
    CustomerClaim { id: "c".into(), time: at(time), country: None, attributes: attributes(pairs), is_unread: false }
}

fn change(version: u64, claimed_at: Option<i64>, pairs: &[(&str, &str)]) -> RecordChange {
    let valid_from = (version > 1).then(|| at(1000 * version.cast_signed()));
    RecordChange { version, valid_from, attributes: attributes(pairs), claimed_at: claimed_at.map(at), base: None }
}

fn record(claimed_at: i64, pairs: &[(&str, &str)]) -> Option<ClaimedRecord> {
    Some(ClaimedRecord { attributes: attributes(pairs), claimed_at: at(claimed_at) })
}

#[test]
fn a_claim_adds_to_what_was_claimed_before() {
    let known = [change(1, Some(10), &[("country", "DE"), ("plan", "a")])];
    assert_eq!(claimed(&[], &[claim(7, &[("country", "DE")])]), record(7, &[("country", "DE")]));
    let moved = claimed(&known, &[claim(20, &[("country", "FR")])]);
    assert_eq!(moved, record(20, &[("country", "FR"), ("plan", "a")]));
    // What is known already, and what is older, change nothing.
    assert_eq!(claimed(&known, &[claim(20, &[("plan", "a")]), claim(9, &[("plan", "b")])]), None);
    assert_eq!(claimed(&known, &[]), None);
    // Of one time the later in the log holds.
    let both = [claim(10, &[("plan", "b")]), claim(10, &[("plan", "c")])];
    assert_eq!(claimed(&known, &both), record(10, &[("country", "DE"), ("plan", "c")]));
}

#[test]
fn what_a_person_has_set_stays() {
    let news = [claim(99, &[("country", "FR")])];
    assert_eq!(claimed(&[change(1, None, &[("country", "DE")])], &news), None);
    let taken_over = [change(1, Some(10), &[("country", "DE")]), change(2, None, &[("plan", "a")])];
    assert_eq!(claimed(&taken_over, &news), None);
}

#[test]
fn changes_of_a_customer_are_bounded() {
    let many: Vec<_> = (1..=MOST_CHANGES as u64).map(|n| change(n, Some(1), &[("plan", &n.to_string())])).collect();
    let news = [claim(99, &[("plan", "x")])];
    assert!(claimed(&many[1..], &news).is_some());
    assert_eq!(claimed(&many, &news), None);
    // So is what one may say.
    let long: Vec<(String, String)> = (0..32).map(|n| (format!("a{n:02}"), "x".repeat(120))).collect();
    let long: Vec<(&str, &str)> = long.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let full = [change(1, Some(1), &long)];
    assert_eq!(claimed(&full, &[claim(2, &[("more", "x")])]), None);
}

#[test]
fn a_later_record_holds_from_a_later_time() {
    assert_eq!(claimed_from(&[], at(500)), None);
    assert_eq!(claimed_from(&[change(1, Some(1), &[])], at(500)), Some(at(500)));
    // The clock of who made the last one was ahead.
    assert_eq!(claimed_from(&[change(1, Some(1), &[]), change(2, Some(1), &[])], at(500)), Some(at(2000)));
}

#[test]
fn what_no_record_can_hold_is_left_out_and_told() {
    let statement = |id: &str, country: &str, plan: &str| CustomerStatement {
        id: id.into(),
        time: at(1),
        country: Some(country.into()),
        attributes: attributes(&[("plan", plan)]),
    };
    let read = |id: &str, country: &str, plan: &str| {
        let claim = CustomerClaim::read(statement(id, country, plan));
        (claim.country.is_some(), claim.attributes.len(), claim.is_unread)
    };
    let long = "x".repeat(257);
    assert_eq!(read("c", "DE", "a"), (true, 1, false));
    assert_eq!(read("c", &long, "a"), (false, 1, true));
    assert_eq!(read("c", "DE", &long), (true, 0, true));
    assert_eq!(read("c\n", "DE", "a"), (false, 0, true));
    assert_eq!(read(&"c".repeat(201), "DE", "a"), (false, 0, true));
}

/// As checkpoints do it, after any number of claims each.
fn in_pieces(claims: &[CustomerClaim], pieces: &[usize]) -> Option<(RecordAttributes, Option<Timestamp>)> {
    let (mut accepted, mut rest) = (Vec::<RecordChange>::new(), claims);
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let piece = pieces.next().map_or(rest.len(), |piece| (*piece).min(rest.len()));
        let (now, later) = rest.split_at(piece);
        rest = later;
        if let Some(ClaimedRecord { attributes, claimed_at }) = claimed(&accepted, now) {
            let version = accepted.len() as u64 + 1;
            let valid_from = claimed_from(&accepted, at(version.cast_signed()));
            accepted.push(RecordChange { version, valid_from, attributes, claimed_at: Some(claimed_at), base: None });
        }
    }
    let last = accepted.pop()?;
    Some((last.attributes, last.claimed_at))
}

proptest! {
    /// Where checkpoints fall decides how many versions there are, and not what is
    /// known in the end. What is read again changes nothing.
    #[test]
    fn the_end_is_a_function_of_the_log(
        told in prop::collection::vec((0_i64..6, 0_usize..3, 0_usize..3), 1..30),
        pieces in prop::collection::vec(1_usize..5, 1..5),
    ) {
        let claims: Vec<_> = told
            .iter()
            .map(|(time, name, value)| claim(*time, &[(["a", "b", "c"][*name], ["x", "y", "z"][*value])]))
            .collect();
        let one_by_one = in_pieces(&claims, &[1]);
        prop_assert_eq!(in_pieces(&claims, &pieces), one_by_one.clone());
        prop_assert_eq!(in_pieces(&claims, &[claims.len()]), one_by_one);
    }
}
