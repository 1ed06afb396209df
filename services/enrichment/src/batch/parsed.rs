//! A batch whose lines were read.

#[cfg(test)]
mod tests;

use tidemill_events::{RawBatch, event};

use super::{BatchEvent, MarkedBatch, UnreadableLine, event::Scratch};
use crate::{
    duplicates::{Duplicates, EventKeys, Marks, Sightings},
    shop::ShopDefinition,
};

/// What a line takes, about.
const LINE_BYTES: usize = 256;

/// The events of a batch, in order. Lines that are no events went their own way.
pub(crate) struct ParsedBatch<'a> {
    raw_seq: u64,
    raw: &'a RawBatch,
    events: Vec<BatchEvent<'a>>,
}

impl<'a> ParsedBatch<'a> {
    pub(crate) fn parse(raw_seq: u64, raw: &'a RawBatch, shop: &ShopDefinition) -> (Self, Vec<UnreadableLine<'a>>) {
        let (mut events, mut unreadable) = (Vec::with_capacity(raw.lines.len() / LINE_BYTES), Vec::new());
        let mut scratch = Scratch::default();
        for (index, text) in event::lines(&raw.lines).enumerate() {
            match BatchEvent::parse(text, shop, &mut scratch) {
                Ok(event) => events.push(event),
                Err(error) => unreadable.push(UnreadableLine { index, text, error }),
            }
        }
        (Self { raw_seq, raw, events }, unreadable)
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// By what its events are known.
    pub(crate) fn keys(&self) -> Vec<EventKeys> {
        self.events.iter().map(BatchEvent::keys).collect()
    }

    /// Marks the duplicates by a memory, which takes the batch in, and by what
    /// sealed batches have of its keys.
    pub(crate) fn mark(self, memory: &mut Duplicates, keys: &[EventKeys], older: &Sightings) -> MarkedBatch<'a> {
        let marks = memory.mark(self.raw_seq, self.raw.ingested_at, keys, older);
        self.marked(marks)
    }

    /// Marks the duplicates as it was done before.
    pub(crate) fn marked(self, marks: Marks) -> MarkedBatch<'a> {
        MarkedBatch::new(self.raw, self.events, marks)
    }
}
