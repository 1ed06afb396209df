//! Enriched events as rows: a function of the batch, of what is known of its sources,
//! and of the rules.

mod again;
mod columns;
mod events;
mod lines;
mod orders;
mod place;
mod quarantine;
mod read;
mod rules;
#[cfg(test)]
mod tests;

use tidemill_contracts::Verdict;
use tidemill_domain::Timestamp;
use tidemill_events::{EnrichedBatch, event};
use tidemill_lake_tables::{
    LakeError, TableRows,
    tables::{OrderChange, QuarantinedEvent, SilverEvent, SilverOrderLine},
};
use tidemill_lateness::{Clocks, EventName, LeftOut, MetBatch, Outcome, key_of, meet};

pub(crate) use self::{
    again::{again_events, again_lines, again_orders},
    place::EventPlace,
    read::ReadEvent,
    rules::{BrokenContract, SilverRules},
};
use crate::bronze::{int, long};

/// Rows of silver, on their way into its tables.
#[derive(Debug)]
pub(crate) struct SilverRows {
    pub(crate) events: TableRows<SilverEvent<'static>>,
    pub(crate) lines: TableRows<SilverOrderLine<'static>>,
    pub(crate) orders: TableRows<OrderChange<'static>>,
    pub(crate) quarantine: TableRows<QuarantinedEvent<'static>>,
}

/// A batch, read.
pub(crate) struct SilverBatch<'b> {
    batch: &'b EnrichedBatch,
    events: Vec<ReadEvent<'b>>,
    /// Lines that are no events: aggregation makes dead letters of them, and bronze has them.
    unreadable: Vec<(usize, &'b [u8])>,
}

impl<'b> SilverBatch<'b> {
    /// Reads a batch.
    pub(crate) fn read(batch: &'b EnrichedBatch) -> Self {
        let (mut events, mut unreadable) = (Vec::with_capacity(batch.count as usize), Vec::new());
        for (index, line) in event::lines(&batch.lines).enumerate() {
            match ReadEvent::read(index, line) {
                Some(event) => events.push(event),
                None => unreadable.push((index, line)),
            }
        }
        Self { batch, events, unreadable }
    }

    /// The names of events that may have been left out before.
    pub(crate) fn again(&self) -> impl Iterator<Item = EventName> {
        self.events.iter().filter_map(|event| event.again)
    }

    /// Adds the events that are no duplicates, and their lines, as the rules have it. What may be
    /// left out was looked up before.
    ///
    /// # Errors
    /// A rule stops the partition.
    pub(crate) fn add(
        &self,
        rows: &mut SilverRows,
        clocks: &mut Clocks,
        left_out: &mut LeftOut,
        rules: &SilverRules,
    ) -> Result<(), BrokenContract> {
        let EnrichedBatch { raw_seq, ingested_at, .. } = *self.batch;
        // As of before the batch: what it leaves out itself does not count.
        let is_left_out = |key: &EventName| left_out.has(key, ingested_at);
        let again: Vec<_> = self.events.iter().map(|read| read.again.filter(is_left_out)).collect();
        for (read, again) in self.events.iter().zip(again) {
            let place = MetBatch { raw_seq, ingested_at };
            // No source's silence matters here.
            let now = Timestamp::EPOCH;
            let outcome = meet(clocks, left_out, &read.met(again), place, now, || Some(key_of(&read.event)));
            if !outcome.is_duplicate() {
                read.add(rows, self.place(read.index, outcome == Outcome::Late), rules)?;
            }
        }
        self.add_unreadable(rows, rules)
    }

    fn add_unreadable(&self, rows: &mut SilverRows, rules: &SilverRules) -> Result<(), BrokenContract> {
        for (index, line) in &self.unreadable {
            let place = self.place(*index, false);
            match rules.judge.unreadable() {
                None | Some(Verdict::Passes(_)) => {}
                Some(Verdict::Quarantined(rule)) => {
                    quarantine::add(&mut rows.quarantine, (line, None), (rules, rule), place);
                }
                Some(Verdict::Stops(rule)) => return Err(BrokenContract::of(rules, rule, place)),
            }
        }
        Ok(())
    }

    fn place(&self, index: usize, late: bool) -> EventPlace {
        EventPlace {
            partition: self.batch.partition.index().into(),
            raw_seq: long(self.batch.raw_seq),
            index: int(index),
            received: self.batch.ingested_at,
            late,
            redrive: None,
        }
    }
}

impl SilverRows {
    pub(crate) fn new(rules: &SilverRules) -> Result<Self, LakeError> {
        Ok(Self {
            events: TableRows::with(rules.columns.more().columns())?,
            lines: TableRows::new()?,
            orders: TableRows::new()?,
            quarantine: TableRows::new()?,
        })
    }
}
