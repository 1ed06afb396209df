//! What events did to orders, told once more.

use std::collections::HashMap;

use super::OrderChange;
use crate::duplicates::EventKey;

/// Lines that the refunds and cancellations of one batch change one by one. A refund
/// of a few bytes may change hundreds: what is beyond is told as one line under no
/// product, so that memory, store and message have a bound.
const MAX_CHANGED_LINES: usize = 5_000;

/// Where it stands what an event did to an order that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EffectPlace {
    pub(crate) raw_seq: u64,
    /// The event's place in the batch.
    pub(crate) place: usize,
}

/// What events did that came before, and come again as history. The orders
/// remember it, so they are not changed once more; but aggregation counts an event
/// that it had left out as late.
#[derive(Debug, Default)]
pub(crate) struct PastEffects {
    changes: HashMap<EventKey, OrderChange>,
    lines: ChangedLines,
}

impl PastEffects {
    /// Takes in what an event did. They come in the order of the log.
    pub(crate) fn add(&mut self, event: EventKey, mut change: OrderChange) {
        let is_placed = change.lines.iter().any(|line| line.is_item);
        if !is_placed {
            self.lines.limit(&mut change);
        }
        change.is_again = true;
        // The copy may name other items than the first did.
        change.lines.iter_mut().for_each(|line| line.is_item = false);
        self.changes.insert(event, change);
    }

    pub(super) fn of(&self, event: EventKey) -> Option<&OrderChange> {
        self.changes.get(&event)
    }
}

/// How many lines refunds and cancellations changed one by one.
#[derive(Debug, Default)]
pub(super) struct ChangedLines(usize);

impl ChangedLines {
    /// Takes in a change, and tells all that it does as one, where that is too much.
    pub(super) fn limit(&mut self, change: &mut OrderChange) {
        self.0 += change.lines.len();
        if self.0 > MAX_CHANGED_LINES {
            change.in_one_line();
        }
    }
}
