//! Which batches the versions of a metric have not counted.
//!
//! A version counts while its definition is in force. One that is new has not
//! counted what was applied before, and one that is taken up again goes on from its
//! totals: what was applied meanwhile is missing in them for good.

use tidemill_definitions::Metrics;
use tidemill_events::{LogPosition, UncountedSpan, VersionCounting};

/// Spans of a version that are kept. Of more, the oldest two become one that covers
/// both: then less is said to be counted than is.
const MOST_SPANS: usize = 32;

/// From `at` on these metrics count and no other versions. Answers what changes by
/// that.
pub(crate) fn switch(known: &mut Vec<VersionCounting>, metrics: &Metrics, at: LogPosition) -> Vec<VersionCounting> {
    let mut changed = Vec::new();
    for version in &mut *known {
        let in_force = metrics.get(&version.metric).is_some_and(|metric| metric.version() == version.version);
        let is_changed = if in_force { resume(&mut version.uncounted, at) } else { pause(&mut version.uncounted, at) };
        changed.extend(is_changed.then(|| version.clone()));
    }
    for metric in metrics.iter() {
        let is_it = |known: &VersionCounting| known.metric == metric.name && known.version == metric.version();
        if !known.iter().any(is_it) {
            let before = UncountedSpan { after: None, up_to: Some(at) };
            let uncounted = if at.raw_seq > 0 { vec![before] } else { Vec::new() };
            let version = VersionCounting { metric: metric.name.clone(), version: metric.version().into(), uncounted };
            known.push(version.clone());
            changed.push(version);
        }
    }
    changed
}

fn resume(uncounted: &mut [UncountedSpan], at: LogPosition) -> bool {
    match uncounted.last_mut() {
        // A span that turns out to be empty stays: readers may know it as open.
        Some(span) if span.up_to.is_none() => {
            span.up_to = Some(at);
            true
        }
        _ => false,
    }
}

fn pause(uncounted: &mut Vec<UncountedSpan>, at: LogPosition) -> bool {
    match uncounted.last_mut() {
        Some(span) if span.up_to.is_none() => return false,
        // Nothing was counted since.
        Some(span) if span.up_to.is_some_and(|resumed| resumed.raw_seq == at.raw_seq) => span.up_to = None,
        Some(span) if is_empty(span) => *span = UncountedSpan { after: Some(at), up_to: None },
        _ => uncounted.push(UncountedSpan { after: Some(at), up_to: None }),
    }
    if uncounted.len() > MOST_SPANS {
        let first = uncounted.remove(0);
        uncounted[0].after = first.after;
    }
    true
}

fn is_empty(span: &UncountedSpan) -> bool {
    let sequence = |at: Option<LogPosition>| at.map(|at| at.raw_seq);
    span.after.is_some() && sequence(span.after) == sequence(span.up_to)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use tidemill_domain::Timestamp;

    use super::*;
    use crate::testing::metrics;

    fn at(raw_seq: u64) -> LogPosition {
        LogPosition { raw_seq, ingested_at: Timestamp::saturating_from_millis(raw_seq.cast_signed() * 1000) }
    }

    /// One of three definitions of one metric.
    fn definition(which: u8) -> Metrics {
        metrics(&format!("name: m\ntypes: [t]\nwindow: {{tumbling: 1m}}\nmeasures:\n  rows_{which}: {{count: rows}}\n"))
    }

    fn misses(uncounted: &[UncountedSpan], raw_seq: u64) -> bool {
        uncounted.iter().any(|span| {
            span.after.is_none_or(|after| after.raw_seq < raw_seq)
                && span.up_to.is_none_or(|up_to| raw_seq <= up_to.raw_seq)
        })
    }

    proptest! {
        /// Whatever is changed, changed back and started again: exactly what a version was
        /// not in force for is missing in it.
        #[test]
        fn what_is_missing_is_told(steps in prop::collection::vec((0_u8..3, 0_u64..3), 1..25)) {
            let (mut known, mut floor) = (Vec::new(), 0);
            let mut counted: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
            for (which, batches) in steps {
                let metrics = definition(which);
                let changed = switch(&mut known, &metrics, at(floor));
                prop_assert!(changed.iter().all(|version| known.contains(version)));
                prop_assert!(switch(&mut known, &metrics, at(floor)).is_empty(), "once more changes nothing");
                let version = metrics.get("m").expect("is there").version().to_owned();
                counted.entry(version).or_default().extend(floor + 1..=floor + batches);
                floor += batches;
            }
            // A metric of every suite is among them, and never changes.
            for version in known.iter().filter(|version| version.metric == "m") {
                for raw_seq in 1..=floor {
                    let is_counted = counted[&version.version].contains(&raw_seq);
                    prop_assert_eq!(misses(&version.uncounted, raw_seq), !is_counted, "{} {:?}", raw_seq, version);
                }
            }
        }
    }

    #[test]
    fn of_many_changes_the_oldest_become_one() {
        let (one, other) = (definition(0), definition(1));
        let mut known = Vec::new();
        for raw_seq in (0..400).step_by(2) {
            switch(&mut known, &one, at(raw_seq));
            switch(&mut known, &other, at(raw_seq + 1));
        }
        for version in &known {
            assert!(version.uncounted.len() <= MOST_SPANS, "{}", version.uncounted.len());
        }
        // The batches with odd numbers were counted by it: of the old ones, it is not said any more.
        assert!(
            misses(&known[0].uncounted, 2) && misses(&known[0].uncounted, 398) && !misses(&known[0].uncounted, 399)
        );
        assert!(misses(&known[0].uncounted, 3));
    }
}
