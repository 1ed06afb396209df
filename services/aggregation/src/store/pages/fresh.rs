//! The cells of a checkpoint, written down and in the order of their places.

use std::{ops::Range, sync::Arc};

use tidemill_events::CellUpdate;
use tidemill_store::Error as StoreError;

use super::{
    run::{CellKind, CellPlace, PageCell},
    state::put_content,
};
use crate::{
    fold::{
        cell::CellId,
        changes::{ChangedCell, PartitionChanges},
    },
    store::seen,
};

/// Cells, by what they are of.
#[derive(Debug, Default)]
pub(super) struct FreshCells {
    pub(super) kinds: Vec<FreshKind>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct FreshKind {
    pub(super) kind: CellKind,
    cells: Vec<FreshCell>,
}

#[derive(Debug)]
struct FreshCell {
    place: CellPlace,
    end: i64,
    raw_seq: u64,
    changed_at: i64,
    content: Range<usize>,
    seen: Range<usize>,
    /// What a row of an earlier release has seen of it.
    seen_before: Vec<u8>,
}

/// A cell that is to be written down.
pub(super) struct UnwrittenCell<'c> {
    pub(super) id: CellId,
    pub(super) update: &'c CellUpdate,
    pub(super) raw_seq: u64,
    pub(super) changed_at: i64,
    pub(super) fresh: &'c [(usize, u64)],
    pub(super) seen_before: Vec<u8>,
}

impl FreshCells {
    /// The windows among the cells that changed.
    pub(super) fn of(changes: &PartitionChanges) -> Result<Self, StoreError> {
        let (mut cells, changed_at) = (Self::default(), changes.published_at().millis());
        for ChangedCell { id, raw_seq, update, fresh, .. } in windows(changes) {
            let (id, raw_seq, seen_before) = (*id, *raw_seq, Vec::new());
            cells.push(UnwrittenCell { id, update, raw_seq, changed_at, fresh, seen_before })?;
        }
        cells.sort();
        Ok(cells)
    }

    pub(super) fn push(&mut self, cell: UnwrittenCell<'_>) -> Result<(), StoreError> {
        let UnwrittenCell { id, update, raw_seq, changed_at, fresh, seen_before } = cell;
        let start = self.bytes.len();
        put_content(&mut self.bytes, &update.group.values, &update.totals, update.exemplar)?;
        let content = start..self.bytes.len();
        seen::pack(&mut self.bytes, fresh);
        let seen = content.end..self.bytes.len();
        let place = CellPlace { start: update.start.millis(), id };
        let cell = FreshCell { place, end: update.end.millis(), raw_seq, changed_at, content, seen, seen_before };
        self.kind(&update.group.metric).cells.push(cell);
        Ok(())
    }

    /// They are few.
    fn kind(&mut self, kind: &CellKind) -> &mut FreshKind {
        let is_same = |known: &FreshKind| Arc::ptr_eq(&known.kind, kind) || known.kind == *kind;
        let at = self.kinds.iter().position(is_same).unwrap_or_else(|| {
            self.kinds.push(FreshKind { kind: kind.clone(), cells: Vec::new() });
            self.kinds.len() - 1
        });
        &mut self.kinds[at]
    }

    pub(super) fn sort(&mut self) {
        self.kinds.iter_mut().for_each(|kind| kind.cells.sort_unstable_by_key(|cell| cell.place));
    }

    /// The cells of a kind, with what a row of an earlier release has seen of each.
    pub(super) fn cells<'f>(&'f self, kind: &'f FreshKind) -> impl Iterator<Item = (PageCell<'f>, &'f [u8])> {
        kind.cells.iter().map(|cell| {
            let stored = PageCell {
                place: cell.place,
                end: cell.end,
                raw_seq: cell.raw_seq,
                changed_at: cell.changed_at,
                content: &self.bytes[cell.content.clone()],
                seen: &self.bytes[cell.seen.clone()],
            };
            (stored, cell.seen_before.as_slice())
        })
    }

    /// About how many bytes they take.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// What changed that is no session.
pub(super) fn windows(changes: &PartitionChanges) -> impl Iterator<Item = &ChangedCell> {
    changes.cells.iter().filter(|cell| cell.group.is_none())
}
