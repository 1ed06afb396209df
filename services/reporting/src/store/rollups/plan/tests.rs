use proptest::{collection::btree_set, prelude::*};

use super::*;
use crate::{calendar::Zone, testing::at};

const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"];
const MINUTE: i64 = 60_000;
/// Two days before the clocks of Berlin go forward.
const BEGIN: i64 = 1_774_569_600_000;

fn zone(name: &str) -> Zone {
    name.parse().expect(name)
}

fn scope(kind: usize, zone: Zone) -> MergeScope {
    match kind {
        0 => MergeScope::Everything,
        1 => MergeScope::Tiles(HOUR),
        2 => MergeScope::Tiles(90 * MINUTE),
        3 => MergeScope::Tiles(24 * HOUR),
        _ => MergeScope::Periods(Box::new(move |time| zone.day_of(time))),
    }
}

fn hours() -> impl Strategy<Value = BTreeSet<i64>> {
    btree_set(-60_i64..150, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_range_is_read_once_in_order_and_right(
        (shop, asked) in (prop::sample::select(&ZONES[..]), prop::sample::select(&ZONES[..])),
        kind in 0_usize..5,
        (from, length) in (-300_i64..600, 0_i64..9000),
        stale in hours(),
        stale_days in btree_set(-3_i64..6, 0..3),
        (hours_from, days_from) in (-72_i64..120, prop::option::of(-72_i64..120)),
    ) {
        let (shop, scope) = (zone(shop), scope(kind, zone(asked)));
        let (from, to) = (at(BEGIN + from * MINUTE), at(BEGIN + (from + length) * MINUTE));
        let hour = |n: i64| at(BEGIN + n * HOUR);
        let day = |n: i64| shop.day_of(at(BEGIN + n * 24 * HOUR)).0;
        let standing = RollupStanding {
            hours_from: hour(hours_from),
            stale_hours: stale.into_iter().map(hour).collect(),
            days: days_from.map(|from| DayStanding {
                zone: shop,
                from: day(from / 24),
                stale: stale_days.into_iter().map(day).collect(),
            }),
        };
        let segments = plan(from, to, MINUTE, &standing, &scope);
        let mut at = from;
        for ReadSegment { level, from, to } in segments {
            prop_assert_eq!(from, at);
            prop_assert!(from < to);
            at = to;
            let Some(level) = level else { continue };
            let mut span = from;
            while span < to {
                let (start, end) = level.span_of(span);
                prop_assert!(start == span && end <= to, "whole spans");
                prop_assert!(scope.holds(start, end), "{start} to {end} lies in two spans of the answer");
                let hours_right = standing.stale_hours.range(start.floor_to(HOUR)..end).next().is_none();
                prop_assert!(hours_right && start.floor_to(HOUR) >= standing.hours_from);
                if let (RollupLevel::Day(_), Some(days)) = (level, &standing.days) {
                    prop_assert!(start >= days.from && !days.stale.contains(&start));
                }
                span = end;
            }
        }
        prop_assert_eq!(at, to);
    }
}

fn standing(stale: impl Iterator<Item = i64>, days: bool) -> RollupStanding {
    RollupStanding {
        hours_from: at(i64::MIN),
        stale_hours: stale.map(|hour| at(BEGIN + hour * HOUR)).collect(),
        days: days.then_some(DayStanding { zone: Zone::UTC, from: at(i64::MIN), stale: BTreeSet::new() }),
    }
}

/// The levels of a plan, and how many hours each has.
fn told(segments: &[ReadSegment]) -> Vec<(&'static str, i64)> {
    let tell = |segment: &ReadSegment| {
        let level = match segment.level {
            None => "cells",
            Some(RollupLevel::Hour) => "hours",
            Some(RollupLevel::Day(_)) => "days",
        };
        (level, (segment.to.millis() - segment.from.millis()) / HOUR)
    };
    segments.iter().map(tell).collect()
}

#[test]
fn a_year_is_read_by_day_but_for_what_is_new() {
    let now = 364 * 24 + 15;
    let to = at(BEGIN + 365 * 24 * HOUR);
    let segments = plan(at(BEGIN), to, MINUTE, &standing([now].into_iter(), true), &MergeScope::Everything);
    assert_eq!(told(&segments), [("days", 364 * 24), ("hours", 15), ("cells", 1), ("hours", 8)]);
    let kolkata = zone("Asia/Kolkata");
    let days = MergeScope::Periods(Box::new(move |time| kolkata.day_of(time)));
    let segments = plan(at(BEGIN), at(BEGIN + 48 * HOUR), MINUTE, &standing([].into_iter(), true), &days);
    assert_eq!(told(&segments), [("hours", 18), ("cells", 1), ("hours", 23), ("cells", 1), ("hours", 5)]);
}

/// A window of an hour lies in two days of Kolkata: who asks for them is told so.
#[test]
fn days_that_windows_do_not_make_up_are_not_read() {
    let kolkata = zone("Asia/Kolkata");
    let mut standing = standing([].into_iter(), true);
    standing.days = standing.days.map(|days| DayStanding { zone: kolkata, ..days });
    let days = |tile| plan(at(BEGIN), at(BEGIN + 72 * HOUR), tile, &standing, &MergeScope::Everything);
    let by_hour = [("hours", 18), ("cells", 1), ("hours", 23), ("cells", 1), ("hours", 23), ("cells", 1), ("hours", 5)];
    assert_eq!(told(&days(HOUR)), by_hour);
    // Halves of hours at the ends of days.
    assert_eq!(told(&days(MINUTE)), [("hours", 18), ("cells", 0), ("days", 48), ("cells", 0), ("hours", 5)]);
}

#[test]
fn a_range_in_too_many_pieces_is_read_by_cell() {
    let stale = (0..365 * 24).step_by(2);
    let to = at(BEGIN + 365 * 24 * HOUR);
    let segments = plan(at(BEGIN), to, MINUTE, &standing(stale, true), &MergeScope::Everything);
    assert_eq!(told(&segments), [("cells", 365 * 24)]);
    let half = (0..180 * 24).step_by(2);
    let segments = plan(at(BEGIN), to, MINUTE, &standing(half, true), &MergeScope::Everything);
    assert_eq!(told(&segments), [("cells", 180 * 24), ("days", 185 * 24)]);
}
