//! Totals and books in messages that the server takes.

use std::{iter::Peekable, vec::IntoIter};

use serde::Serialize;
use tidemill_events::{CellUpdate, MetricsUpdate, SourceBooks};

/// Totals and books in one message; more are split, so that a message stays
/// far below the server's limit. In tests a few, so that crashes come between
/// the parts.
const ITEMS_PER_MESSAGE: usize = if cfg!(test) { 3 } else { 400 };
/// Bytes of them in one message: NATS takes a megabyte, with headers and names.
const BYTES_PER_MESSAGE: usize = 512 << 10;

/// Totals and books in messages of a bounded size, at least one, with what the head
/// has of redriven events and of versions. The last alone
/// says how far all of them reach: it has the watermark.
pub(crate) fn in_messages(head: &MetricsUpdate, cells: Vec<CellUpdate>, books: Vec<SourceBooks>) -> Vec<MetricsUpdate> {
    let (mut cells, mut books) = (cells.into_iter().peekable(), books.into_iter().peekable());
    let mut redriven = head.redriven.clone().into_iter().peekable();
    let mut counting = head.counting.clone().into_iter().peekable();
    let mut messages = Vec::new();
    let mut part = head.part;
    loop {
        let mut room = Capacity { items: ITEMS_PER_MESSAGE, bytes: BYTES_PER_MESSAGE };
        let (some_cells, some_books) = (room.fill_by(&mut cells, weight::of_cell), room.fill(&mut books));
        let (some_redriven, some_counting) = (room.fill(&mut redriven), room.fill(&mut counting));
        let is_told = redriven.peek().is_none() && counting.peek().is_none();
        let is_last = cells.peek().is_none() && books.peek().is_none() && is_told;
        let watermark = if is_last { head.watermark } else { None };
        let (cells, books, redriven, counting) = (some_cells, some_books, some_redriven, some_counting);
        messages.push(MetricsUpdate { cells, books, redriven, counting, part, watermark, ..*head });
        if is_last {
            return messages;
        }
        part += 1;
    }
}

/// What a message still takes.
struct Capacity {
    items: usize,
    bytes: usize,
}

impl Capacity {
    fn fill<T: Serialize>(&mut self, items: &mut Peekable<IntoIter<T>>) -> Vec<T> {
        self.fill_by(items, weight::of)
    }

    /// What fits, in order. What fits no message at all goes alone.
    fn fill_by<T>(&mut self, items: &mut Peekable<IntoIter<T>>, weight: impl Fn(&T) -> usize) -> Vec<T> {
        let mut taken = Vec::new();
        while let Some(next) = items.peek() {
            let bytes = weight(next);
            let is_first = self.items == ITEMS_PER_MESSAGE;
            if self.items == 0 || (bytes > self.bytes && !is_first) {
                self.items = 0;
                break;
            }
            self.items -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
            taken.extend(items.next());
        }
        taken
    }
}

#[cfg(test)]
mod tests;
mod weight;
