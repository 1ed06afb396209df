//! What readers were told in steps, as the store gets it.

use tidemill_lateness::{ClockChanges, StoredClock};

use super::*;

/// What is stored, without the order in which it is written.
fn stored(changes: &PartitionChanges) -> Vec<String> {
    let PartitionChanges { after, floor, clocks, log_time, forgotten_before, .. } = changes;
    let ClockChanges { moved, dropped, furthest } = clocks;
    let mut stored = vec![format!("{after} {floor} {furthest:?} {log_time:?} {forgotten_before:?}")];
    for ChangedCell { id, group, raw_seq, update, fresh } in &changes.cells {
        let mut fresh = fresh.clone();
        fresh.sort_unstable();
        stored.push(format!("cell {id:?} {group:?} {raw_seq} {update:?} {fresh:?}"));
    }
    stored.extend(changes.gone.iter().map(|id| format!("gone {id:?}")));
    stored.extend(changes.retractions.iter().map(|retraction| format!("{retraction:?}")));
    stored.extend(changes.books.iter().map(|books| format!("books {books:?}")));
    stored.extend(changes.left_out.iter().map(|event| format!("left out {event:?}")));
    stored.extend(moved.iter().map(|clock| format!("clock {clock:?}")));
    let is_back = |source: &String| moved.iter().any(|StoredClock { source: moved, .. }| moved == source);
    let dropped: BTreeSet<&String> = dropped.iter().filter(|source| !is_back(source)).collect();
    stored.extend(dropped.iter().map(|source| format!("dropped {source}")));
    stored.sort_unstable();
    stored
}

proptest! {
    /// Windows, sessions that grow and become one, late events, and more sources than have a
    /// clock: stored is what one step would have told.
    #[test]
    fn what_was_told_in_steps_is_stored_as_one(
        sales in prop::collection::vec((0u8..4, 0i64..1500, 0u8..3, 1i64..500, prop::bool::weighted(0.1)), 1..60),
        cuts in prop::collection::vec(1usize..6, 1..6),
        steps in prop::collection::vec(1usize..4, 1..6),
    ) {
        let sale = |(source, seconds, customer, cents, duplicate)| Sale { source, seconds, customer, cents, duplicate };
        let sales: Vec<Sale> = sales.into_iter().map(sale).collect();
        let days = "name: days\ntypes: [invoice.line]\nwindow: {tumbling: 5m}\nmeasures:\n  \
                    customers: {distinct: data.customer_id, within: partition}\n";
        let metrics = testing::metrics(&format!("{VISITS}---\n{days}"));
        let rules = Windows { allowed_lateness_seconds: 600, max_sources: 2, retention_days: 1, ..windows() };
        let (mut at_once, mut in_steps) = (state(rules.clone()), state(rules));
        let (mut rest, mut seq, mut told) = (&sales[..], 0, Vec::new());
        let (mut cuts, mut steps) = (cuts.iter().cycle(), steps.iter().cycle());
        while !rest.is_empty() {
            for _ in 0..*steps.next().expect("endless") {
                let (head, tail) = rest.split_at((*cuts.next().expect("endless")).min(rest.len()));
                (rest, seq) = (tail, seq + 1);
                apply(&mut at_once, &batch(seq, head), &metrics);
                apply(&mut in_steps, &batch(seq, head), &metrics);
            }
            prop_assert!(in_steps.has_changed());
            told.push(in_steps.take_changes(at(0)));
            prop_assert!(!in_steps.has_changed());
        }
        let merged = PartitionChanges::merged(told).expect("something was told");
        prop_assert_eq!(stored(&merged), stored(&at_once.take_changes(at(0))));
    }
}
