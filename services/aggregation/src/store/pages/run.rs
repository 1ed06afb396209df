//! Runs: cells of one kind in the order of their places, one behind the other, as
//! a row of the table holds them. The later of two runs says what a cell is; what
//! its distinct counts have seen is in all of them.

use std::sync::Arc;

use tidemill_events::CellMetric;
use tidemill_store::Error as StoreError;

use super::bytes::{UnreadBytes, put_bytes, put_number, put_signed};
use crate::{fold::cell::CellId, store::seen};

/// Where a cell stands among those of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CellPlace {
    pub(super) start: i64,
    pub(super) id: CellId,
}

/// What cells of a page have in common: a metric's version, and the names of its
/// dimensions.
pub(super) type CellKind = Arc<CellMetric>;

/// A cell in a run. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PageCell<'b> {
    pub(super) place: CellPlace,
    pub(super) end: i64,
    pub(super) raw_seq: u64,
    pub(super) changed_at: i64,
    pub(super) content: &'b [u8],
    /// Distinct values, as [`seen`] packs them.
    pub(super) seen: &'b [u8],
}

/// The cells of a run.
pub(super) struct RunCells<'b>(UnreadBytes<'b>);

impl<'b> RunCells<'b> {
    pub(super) fn of(entries: &'b [u8]) -> Self {
        Self(UnreadBytes(entries))
    }

    fn read(&mut self) -> Result<PageCell<'b>, StoreError> {
        let unread = &mut self.0;
        let place = CellPlace { start: unread.signed()?, id: unread.array()? };
        Ok(PageCell {
            place,
            end: place.start.saturating_add(unread.signed()?),
            raw_seq: unread.number()?,
            changed_at: unread.signed()?,
            content: unread.bytes()?,
            seen: unread.bytes()?,
        })
    }
}

impl<'b> Iterator for RunCells<'b> {
    type Item = Result<PageCell<'b>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.read())
    }
}

/// A run that is being put together, and what its row tells of it.
#[derive(Debug, Default)]
pub(super) struct RunBuilder {
    pub(super) entries: Vec<u8>,
    /// The places of its cells.
    pub(super) places: Vec<CellPlace>,
    pub(super) ended: i64,
    pub(super) raw_seq: u64,
    pub(super) changed_at: i64,
    pub(super) values: usize,
}

impl RunBuilder {
    /// Appends a cell behind all others. `seen` may be in several pieces.
    pub(super) fn push<'s>(&mut self, cell: &PageCell<'_>, seen: impl Iterator<Item = &'s [u8]> + Clone) {
        let out = &mut self.entries;
        put_signed(out, cell.place.start);
        out.extend_from_slice(&cell.place.id);
        put_signed(out, cell.end.saturating_sub(cell.place.start));
        put_number(out, cell.raw_seq);
        put_signed(out, cell.changed_at);
        put_bytes(out, cell.content);
        let length: usize = seen.clone().map(<[u8]>::len).sum();
        put_number(out, length as u64);
        seen.for_each(|piece| out.extend_from_slice(piece));
        self.ended = if self.places.is_empty() { cell.end } else { self.ended.max(cell.end) };
        self.raw_seq = self.raw_seq.max(cell.raw_seq);
        self.changed_at = self.changed_at.max(cell.changed_at);
        self.values += length / seen::VALUE;
        self.places.push(cell.place);
    }
}

/// One run of several, the oldest first, in pieces of about `bytes` each.
pub(super) fn merged(runs: &[&[u8]], bytes: usize) -> Result<Vec<RunBuilder>, StoreError> {
    let mut cells = Vec::new();
    for run in runs {
        for cell in RunCells::of(run) {
            cells.push(cell?);
        }
    }
    // Of the same place the later one stays behind.
    cells.sort_by_key(|cell| cell.place);
    let mut pieces = vec![RunBuilder::default()];
    for same in cells.chunk_by(|a, b| a.place == b.place) {
        let [.., newest] = same else { continue };
        if pieces.last().is_some_and(|piece| piece.entries.len() >= bytes) {
            pieces.push(RunBuilder::default());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(newest, same.iter().map(|cell| cell.seen));
        }
    }
    Ok(pieces)
}
