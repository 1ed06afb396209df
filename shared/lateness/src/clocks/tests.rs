use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_millis(seconds * 1000)
}

fn clocks(rules: EventTimeRules) -> Clocks {
    Clocks::new(rules)
}

const LOG: i64 = 1_000_000_000;

#[test]
fn a_far_future_event_makes_no_other_late() {
    let mut clocks =
        clocks(EventTimeRules { allowed_lateness_seconds: 60, retention_days: 1, ..EventTimeRules::default() });
    clocks.advance("a", at(500), at(LOG), at(0));
    let newest_allowed = LOG + 300;
    for (time, late) in [(newest_allowed + 1, false), (4_102_444_800, false), (newest_allowed, true)] {
        clocks.advance("a", at(time), at(LOG), at(0));
        assert_eq!(clocks.is_late("a", at(400)), late, "after {time}");
    }
    assert!(clocks.is_late("never heard of", at(400)), "the furthest source decides what is kept");
}

#[test]
fn no_source_is_late_by_the_events_of_another() {
    let mut clocks =
        clocks(EventTimeRules { max_sources: 2, allowed_lateness_seconds: 0, ..EventTimeRules::default() });
    clocks.advance("a", at(1000), at(LOG), at(0));
    clocks.advance("b", at(1000), at(LOG), at(0));
    clocks.advance("a", at(1001), at(LOG), at(0));
    assert!(clocks.is_late("a", at(900)) && clocks.is_late("b", at(900)));
    clocks.advance("c", at(5000), at(LOG), at(0));
    assert_eq!(clocks.len(), 2);
    assert!(clocks.is_late("a", at(900)), "it was met later than b");
    assert!(!clocks.is_late("b", at(900)), "it starts afresh");
    for made_up in 0..3000 {
        clocks.advance(&format!("made up {made_up}"), at(9000), at(LOG), at(0));
    }
    assert!(!clocks.is_late("a", at(0)) && !clocks.is_late("never heard of", at(0)));
}

#[test]
fn what_changed_is_told_once() {
    let mut clocks = clocks(EventTimeRules { max_sources: 2, ..EventTimeRules::default() });
    for source in ["a", "b", "a", "c", "b"] {
        clocks.advance(source, at(1000), at(LOG), at(0));
    }
    let stored = |source: &str, met| StoredClock { source: source.into(), newest: at(1000), met };
    let expected = ClockChanges {
        moved: vec![stored("b", 5), stored("c", 4)],
        dropped: vec!["a".into()],
        furthest: Some(at(1000)),
    };
    assert_eq!(clocks.take_changes(), expected);
    clocks.advance("c", at(900), at(LOG), at(0));
    assert_eq!(clocks.take_changes().moved, [stored("c", 6)], "it was met once more");
    assert_eq!(clocks.take_changes().moved, []);
}

/// What the store has after these changes.
fn keep(stored: &mut StoredClocks, changes: ClockChanges) {
    let ClockChanges { moved, dropped, furthest } = changes;
    let is_replaced = |source: &String| moved.iter().any(|clock| clock.source == *source) || dropped.contains(source);
    stored.clocks.retain(|clock| !is_replaced(&clock.source));
    let sources: Vec<_> = moved.iter().map(|clock| clock.source.clone()).collect();
    assert_eq!(sources.iter().collect::<BTreeSet<_>>().len(), sources.len(), "each is written once");
    stored.clocks.extend(moved);
    stored.furthest = furthest;
}

proptest! {
    /// Whoever takes over says the same of every event as the one that went on.
    #[test]
    fn restored_clocks_are_those_that_went_on(
        events in prop::collection::vec((0u8..8, 0i64..200_000, 0u8..3), 1..80),
        max_sources in 1u32..6,
        retention_days in 0u32..2,
    ) {
        let rules = EventTimeRules {
            max_sources, retention_days, allowed_lateness_seconds: 600, ..EventTimeRules::default()
        };
        let mut going_on = Clocks::new(rules);
        let (mut stored, mut restored) = (StoredClocks::default(), Clocks::new(rules));
        let mut told = ClockChanges::default();
        for (source, seconds, then) in events {
            let source = format!("s{source}");
            prop_assert_eq!(going_on.is_late(&source, at(seconds)), restored.is_late(&source, at(seconds)));
            going_on.advance(&source, at(seconds), at(LOG), at(0));
            restored.advance(&source, at(seconds), at(LOG), at(0));
            // Changes may be taken several times before they are stored as one.
            if then > 0 {
                told.add(restored.take_changes());
            }
            if then > 1 {
                keep(&mut stored, std::mem::take(&mut told));
                restored = Clocks::restore(rules, stored.clone(), at(0));
            }
            prop_assert_eq!(going_on.forgotten_before(), restored.forgotten_before());
            let clocks = |clocks: &Clocks| -> Vec<_> {
                clocks.by_source.iter().map(|(source, clock)| (source.clone(), clock.newest, clock.met)).collect()
            };
            prop_assert_eq!(clocks(&going_on), clocks(&restored));
            prop_assert!(restored.len() <= max_sources as usize);
        }
    }
}

#[test]
fn an_idle_source_holds_nothing_open() {
    let mut clocks = clocks(EventTimeRules::default());
    assert_eq!(clocks.watermark(at(-10)), (None, true));
    clocks.advance("a", at(1000), at(LOG), at(0));
    clocks.advance("b", at(5000), at(LOG), at(9));
    assert_eq!(clocks.watermark(at(-1)), (Some(at(940)), false));
    assert_eq!(clocks.watermark(at(2)), (Some(at(4940)), false), "the first has gone idle");
    assert_eq!(clocks.watermark(at(50)), (Some(at(4940)), true));
}

#[test]
fn after_a_hand_over_a_source_gets_time_to_speak() {
    let stored = |source: &str, newest, met| StoredClock { source: source.into(), newest: at(newest), met };
    let stored =
        StoredClocks { clocks: vec![stored("slow", 1000, 1), stored("fast", 5000, 2)], furthest: Some(at(5000)) };
    let mut clocks = Clocks::restore(EventTimeRules::default(), stored, at(100));
    assert_eq!(clocks.watermark(at(90)), (Some(at(940)), false), "nobody is idle yet");
    clocks.advance("fast", at(5001), at(LOG), at(109));
    assert_eq!(clocks.watermark(at(100)), (Some(at(4941)), false));
    assert!(!clocks.is_late("slow", at(1000)), "a number depends on no process's clock");
    let moved: Vec<_> = clocks.take_changes().moved.into_iter().map(|clock| (clock.source, clock.newest)).collect();
    assert_eq!(moved, [("fast".to_owned(), at(5001))]);
}

#[test]
fn what_is_not_kept_any_more_is_late_for_every_source() {
    let mut clocks = clocks(EventTimeRules { retention_days: 30, ..EventTimeRules::default() });
    let day = 24 * 3600;
    clocks.advance("live", at(100 * day), at(LOG), at(0));
    assert_eq!(clocks.forgotten_before(), Some(at(70 * day)));
    assert!(clocks.is_late("import", at(70 * day - 1)));
    assert!(!clocks.is_late("import", at(70 * day)));
    assert!(clocks.is_forgotten(at(70 * day - 1)) && !clocks.is_forgotten(at(70 * day)));
}
