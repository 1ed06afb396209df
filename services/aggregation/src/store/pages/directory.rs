//! Which pages a partition has. Its owner keeps this in memory, so that it needs
//! no statement to find a page, nor to know that a window is new.

use std::collections::{BTreeMap, HashMap};

use super::run::{CellKind, CellPlace};
use crate::fold::cell::{CellId, Hashes};

/// Cells whose ids are remembered, in a partition: some 16 bytes each.
const MAX_KNOWN: usize = 200_000;

/// A page: cells of one kind that lie next to each other, in one run or several.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CellPage {
    pub(super) id: i64,
    /// The place of its last cell. That of the first is its key.
    pub(super) last: CellPlace,
    /// When the last of its windows ends.
    pub(super) ended: i64,
    pub(super) changed_at: i64,
    /// The oldest first.
    pub(super) runs: Vec<StoredRun>,
}

/// A run of a page, and how many bytes its cells take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StoredRun {
    pub(super) run: i64,
    pub(super) bytes: usize,
}

impl CellPage {
    pub(super) fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.bytes).sum()
    }
}

/// Pages by their first cell; no two of them overlap.
pub(super) type KindPages = BTreeMap<CellPlace, CellPage>;

/// The pages of a partition, as of its last checkpoint.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) kinds: BTreeMap<CellKind, KindPages>,
    /// Pages and runs have numbers that are never given again.
    pub(super) next: i64,
    known: KnownCells,
    /// From which end of a window on cells of an earlier release may be rows of
    /// their own; `None` where none is.
    pub(super) rows_from: Option<i64>,
}

/// A page as it stands after a checkpoint.
#[derive(Debug)]
pub(super) struct PageChange {
    pub(super) kind: CellKind,
    /// The key that it had; none where it is new.
    pub(super) before: Option<CellPlace>,
    /// Its key and itself; none where it is no more.
    pub(super) after: Option<(CellPlace, CellPage)>,
    /// Cells that were added to it, or all that are in it.
    pub(super) cells: Vec<CellId>,
    pub(super) are_all: bool,
}

impl Directory {
    /// The page that has a cell, if any has it.
    pub(super) fn page_of(&mut self, kind: &CellKind, place: CellPlace) -> Option<i64> {
        let (_, page) = self.kinds.get(kind)?.range(..=place).next_back()?;
        if place > page.last || !self.known.may_have(page.id, &place.id) {
            return None;
        }
        self.known.touch(page.id);
        Some(page.id)
    }

    /// Takes in what a checkpoint did.
    pub(super) fn apply(&mut self, changes: Vec<PageChange>, next: i64) {
        for PageChange { kind, before, .. } in &changes {
            if let (Some(pages), Some(before)) = (self.kinds.get_mut(kind), before) {
                pages.remove(before);
            }
        }
        for PageChange { kind, after, cells, are_all, .. } in changes {
            if let Some((first, page)) = after {
                self.known.add(page.id, cells, are_all);
                self.kinds.entry(kind).or_default().insert(first, page);
            }
        }
        self.next = next;
        self.known.shrink(MAX_KNOWN);
    }

    /// All cells of a page were read.
    pub(super) fn read_all(&mut self, page: i64, cells: Vec<CellId>) {
        self.known.add(page, cells, true);
        self.known.shrink(MAX_KNOWN);
    }
}

/// Of some pages, which cells they have.
#[derive(Debug, Default)]
struct KnownCells {
    pages: HashMap<i64, KnownPage>,
    count: usize,
    clock: u64,
}

#[derive(Debug, Default)]
struct KnownPage {
    ids: Hashes,
    touched: u64,
}

/// Eight bytes of an id: two cells that share them are told apart by reading.
fn hash(id: &CellId) -> u64 {
    let [bytes @ .., _, _, _, _, _, _, _, _] = *id;
    u64::from_le_bytes(bytes)
}

impl KnownCells {
    fn may_have(&self, page: i64, id: &CellId) -> bool {
        self.pages.get(&page).is_none_or(|known| known.ids.contains(&hash(id)))
    }

    fn touch(&mut self, page: i64) {
        self.clock += 1;
        if let Some(known) = self.pages.get_mut(&page) {
            known.touched = self.clock;
        }
    }

    /// Some cells of a page, which alone say nothing, or all that were in it at some
    /// time.
    fn add(&mut self, page: i64, cells: Vec<CellId>, are_all: bool) {
        if are_all || self.pages.contains_key(&page) {
            let known = self.pages.entry(page).or_default();
            let before = known.ids.len();
            known.ids.extend(cells.iter().map(hash));
            self.count += known.ids.len() - before;
        }
        self.touch(page);
    }

    /// Forgets pages that nobody asked for longest.
    fn shrink(&mut self, most: usize) {
        if self.count <= most {
            return;
        }
        let mut ages: Vec<_> = self.pages.iter().map(|(page, known)| (known.touched, *page)).collect();
        ages.sort_unstable();
        for (_, page) in ages {
            if self.count <= most / 10 * 9 {
                return;
            }
            self.count -= self.pages.remove(&page).map_or(0, |known| known.ids.len());
        }
    }
}
