use proptest::prelude::*;

use super::*;
use crate::testing::sales;

const ALL: [Resolution; 6] =
    [Resolution::Minute, Resolution::Hour, Resolution::Day, Resolution::Week, Resolution::Month, Resolution::Year];
const ZONES: [&str; 6] = ["UTC", "Europe/Berlin", "Africa/Cairo", "America/Havana", "Pacific/Apia", "America/St_Johns"];
/// Where clocks were changed about midnight: put forward over it, put back to it,
/// over a whole day, and back over it into the day before.
const CHANGES: [&str; 4] =
    ["2026-04-23T22:00:00Z", "2026-11-01T05:00:00Z", "2011-12-30T10:00:00Z", "2010-11-07T02:31:00Z"];

fn times() -> impl Strategy<Value = i64> {
    // 2000 to 2039.
    let any = 946_684_800_000i64..2_208_988_800_000;
    let near = (prop::sample::select(CHANGES.to_vec()), -10_800_000i64..10_800_000);
    prop_oneof![any, near.prop_map(|(change, off)| at(change).millis() + off)]
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn zone(name: &str) -> Zone {
    name.parse().expect(name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn periods_lie_side_by_side_and_hold_their_times(
        resolution in prop::sample::select(ALL.to_vec()),
        name in prop::sample::select(ZONES.to_vec()),
        time in times(),
    ) {
        let time = Timestamp::saturating_from_millis(time);
        let (start, end) = resolution.period(zone(name), time);
        prop_assert!(start <= time && time < end);
        prop_assert_eq!(resolution.period(zone(name), start), (start, end));
        prop_assert_eq!(resolution.period(zone(name), end.plus_millis(-1)), (start, end));
        prop_assert_eq!(resolution.period(zone(name), end).0, end);
        prop_assert_eq!(resolution.period(zone(name), start.plus_millis(-1)).1, start);
        prop_assert_eq!(zone(name).day_of(time), Resolution::Day.period(zone(name), time));
    }
}

#[test]
fn periods_are_those_of_a_calendar() {
    let period = |resolution: Resolution| resolution.period(zone("Europe/Berlin"), at("2026-10-25T12:00:00Z"));
    assert_eq!(period(Resolution::Minute), (at("2026-10-25T12:00:00Z"), at("2026-10-25T12:01:00Z")));
    assert_eq!(period(Resolution::Hour), (at("2026-10-25T12:00:00Z"), at("2026-10-25T13:00:00Z")));
    assert_eq!(period(Resolution::Day), (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z")));
    assert_eq!(period(Resolution::Week), (at("2026-10-18T22:00:00Z"), at("2026-10-25T23:00:00Z")));
    assert_eq!(period(Resolution::Month), (at("2026-09-30T22:00:00Z"), at("2026-10-31T23:00:00Z")));
    assert_eq!(period(Resolution::Year), (at("2025-12-31T23:00:00Z"), at("2026-12-31T23:00:00Z")));
}

#[test]
fn a_day_that_has_begun_goes_on_though_the_clock_is_put_back_before_it() {
    // At 00:01 on the 7th the clock went back to 23:01 on the 6th.
    let period = |resolution: Resolution, time| resolution.period(zone("America/St_Johns"), at(time));
    let seventh = (at("2010-11-07T02:30:00Z"), at("2010-11-08T03:30:00Z"));
    for time in ["2010-11-07T02:30:00Z", "2010-11-07T03:00:00Z", "2010-11-07T12:00:00Z"] {
        assert_eq!(period(Resolution::Day, time), seventh, "{time}");
    }
    assert_eq!(period(Resolution::Day, "2010-11-07T02:29:59Z"), (at("2010-11-06T02:30:00Z"), seventh.0));
    // And so it did on the first of a month.
    let november = (at("2009-11-01T02:30:00Z"), at("2009-12-01T03:30:00Z"));
    assert_eq!(period(Resolution::Month, "2009-11-01T03:00:00Z"), november);
    assert_eq!(period(Resolution::Month, "2009-10-31T12:00:00Z"), (at("2009-10-01T02:30:00Z"), november.0));
}

#[test]
fn the_ends_of_time_have_periods_too() {
    for millis in [i64::MIN, i64::MAX] {
        let time = Timestamp::saturating_from_millis(millis);
        for resolution in ALL {
            let (start, end) = resolution.period(zone("Europe/Berlin"), time);
            assert!(start <= time && time <= end, "{resolution:?}");
        }
    }
}

#[test]
fn a_span_has_the_finest_resolution_of_few_points() {
    let fitting = |seconds: i64, days: i64| {
        let mut metric = sales();
        metric.window.seconds = seconds;
        Resolution::fitting(&metric, days * DAY)
    };
    use Resolution::{Day, Hour, Minute, Month, Window, Year};
    assert_eq!(fitting(60, 1), [Window, Hour, Day, Month, Year]);
    assert_eq!(fitting(60, 7), [Hour, Day, Month, Year]);
    assert_eq!(fitting(60, 365), [Day, Month, Year]);
    assert_eq!(fitting(1, 2), [Minute, Hour, Day, Month, Year]);
    assert_eq!(fitting(3600, 31), [Window, Day, Month, Year]);
    assert_eq!(fitting(86_400, 365), [Window, Month, Year]);
    // No hour is made of them, and not every day.
    assert_eq!(fitting(7 * 60, 365), [Month, Year]);
    assert_eq!(fitting(60, 9000 * 366), [Year], "the coarsest there is");
}
