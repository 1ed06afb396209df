use proptest::prelude::*;

use super::*;

/// The same zones by another hand: see the file.
const TRANSITIONS: &str = include_str!("transitions.csv");
const ZONES: [&str; 7] = [
    "Africa/Cairo",
    "America/Havana",
    "America/Santiago",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
];
/// 2020-01-02 and 2029-12-30, in milliseconds: within the file by a day.
const YEARS: std::ops::Range<i64> = 1_577_923_200_000..1_893_283_200_000;
const DAY: i64 = 86_400_000;

fn zone(name: &str) -> Zone {
    name.parse().expect(name)
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// What a clock on the wall shows, in milliseconds since its own 1970.
fn wall(zone: &str, time: Timestamp) -> i64 {
    let line = |line: &'static str| {
        let mut parts = line.split(',');
        let (name, from, offset) = (parts.next()?, parts.next()?, parts.next()?);
        (name == zone).then(|| (from.parse::<i64>().expect(line) * 1000, offset.parse::<i64>().expect(line) * 1000))
    };
    let mut offsets = TRANSITIONS.lines().filter(|line| !line.starts_with('#')).filter_map(line);
    time.millis() + offsets.rfind(|(from, _)| *from <= time.millis()).expect("an offset").1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_day_is_what_a_clock_on_the_wall_says(name in prop::sample::select(ZONES.to_vec()), time in YEARS) {
        let (zone, time) = (zone(name), Timestamp::saturating_from_millis(time));
        let day = |time: Timestamp| wall(name, time).div_euclid(DAY);
        let date = zone.date_of(time);
        let (begin, end) = (zone.day_begins(date), zone.day_begins(date.succ_opt().expect("a next day")));
        prop_assert!(begin <= time && time < end);
        prop_assert_eq!([day(begin), day(end.plus_millis(-1))], [day(time); 2]);
        prop_assert_eq!([day(begin.plus_millis(-1)), day(end)], [day(time) - 1, day(time) + 1]);
        prop_assert_eq!(i64::from(date.to_epoch_days()), day(time));
    }
}

#[test]
fn days_have_twenty_three_to_twenty_five_hours() {
    let hours = |name: &str, date: &str| {
        let date: NaiveDate = date.parse().expect(date);
        let end = zone(name).day_begins(date.succ_opt().expect("a next day"));
        (end.millis() - zone(name).day_begins(date).millis()) as f64 / 3_600_000.0
    };
    assert_eq!(hours("Europe/Berlin", "2026-03-29"), 23.0);
    assert_eq!(hours("Europe/Berlin", "2026-10-25"), 25.0);
    assert_eq!(hours("Europe/Berlin", "2026-11-27"), 24.0);
    assert_eq!(hours("Australia/Lord_Howe", "2026-04-05"), 24.5);
    // Midnight is skipped, is there twice, or the whole day is skipped.
    assert_eq!(hours("Africa/Cairo", "2026-04-24"), 23.0);
    assert_eq!(hours("America/Havana", "2026-11-01"), 25.0);
    assert_eq!(hours("Pacific/Apia", "2011-12-30"), 0.0);
}

#[test]
fn bounds_are_instants_or_days() {
    let bound = |text: &str| AskedBound::try_from(text.to_owned());
    let berlin = zone("Europe/Berlin");
    assert_eq!(bound("2026-11-27").map(|bound| bound.instant(berlin)), Ok(at("2026-11-26T23:00:00Z")));
    assert_eq!(bound("2026-11-27").map(|bound| bound.instant(Zone::UTC)), Ok(at("2026-11-27T00:00:00Z")));
    for instant in ["2026-11-27T00:00:00+01:00", "2026-11-27T00:00:00 01:00", "2026-11-26T23:00:00Z"] {
        assert_eq!(bound(instant), Ok(AskedBound::At(at("2026-11-26T23:00:00Z"))), "{instant}");
    }
    for wrong in ["", "yesterday", "2026-11-31", "2026-11-27T00:00:00", "2026-11-27 01:00", "+2026-1-27", " 01:00"] {
        assert!(bound(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn zones_go_by_their_names() {
    assert_eq!(zone("Europe/Berlin").to_string(), "Europe/Berlin");
    assert_eq!("Europe/Atlantis".parse::<Zone>(), Err(ZoneError));
    assert_eq!("UTC".parse(), Ok(Zone::UTC));
    assert_eq!(Zone::UTC.to_string(), "UTC");
}
