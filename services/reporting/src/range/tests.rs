use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400_000;

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().expect(text))
}

fn refused(millis: i64, from: Option<Timestamp>, to: Option<Timestamp>) -> Option<(String, Vec<FieldError>)> {
    match check("metric daily", millis, from, to) {
        Ok(()) => None,
        Err(Error::Unaligned { detail, errors }) => Some((detail, errors)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_range_within_windows_is_refused_with_the_nearest() {
    let (detail, errors) =
        refused(DAY, at("2026-11-27T00:00:00+01:00"), at("2026-11-28T00:00:00+01:00")).expect("days of UTC");
    assert_eq!(
        detail,
        "metric daily: its windows are 1 day long, counted from 1970-01-01T00:00:00Z; the nearest range that they make \
         up is from=2026-11-27T00:00:00Z&to=2026-11-28T00:00:00Z"
    );
    let within = "2026-11-26T23:00:00Z lies within the window from 2026-11-26T00:00:00Z to 2026-11-27T00:00:00Z";
    assert_eq!(errors[0], wrong("from", within));
    assert_eq!(errors.len(), 2);
    assert_eq!(refused(3_600_000, at("2026-11-27T00:00:00+01:00"), at("2026-11-28T00:00:00+01:00")), None);
}

#[test]
fn one_bound_is_enough_to_be_refused_and_none_is_made_up() {
    let (detail, errors) = refused(DAY, None, at("2026-11-27T12:00:00Z")).expect("noon");
    assert!(detail.ends_with(" is to=2026-11-28T00:00:00Z"), "{detail}");
    assert_eq!(errors.len(), 1);
    // An hour of a day: the nearest is that day, and not nothing.
    let (detail, _) = refused(DAY, at("2026-11-27T03:00:00Z"), at("2026-11-27T04:00:00Z")).expect("an hour");
    assert!(detail.ends_with(" is from=2026-11-27T00:00:00Z&to=2026-11-28T00:00:00Z"), "{detail}");
    assert_eq!(refused(DAY, None, None), None);
}

#[test]
fn lengths_are_told_in_their_largest_unit() {
    let told = [DAY, 7 * DAY, 3_600_000, 900_000, 90_000, 1].map(length);
    assert_eq!(told, ["1 day", "7 days", "1 hour", "15 minutes", "90 seconds", "1 millisecond"]);
}

proptest! {
    #[test]
    fn what_is_let_through_is_made_of_whole_windows(
        from in -10_000_000_000i64..10_000_000_000,
        length in 0i64..1_000_000_000,
        window in 1i64..100_000_000,
    ) {
        let [from, to] = [from, from + length].map(Timestamp::saturating_from_millis);
        let whole = [from, to].iter().all(|bound| bound.millis().rem_euclid(window) == 0);
        prop_assert_eq!(refused(window, Some(from), Some(to)).is_none(), whole);
    }
}
