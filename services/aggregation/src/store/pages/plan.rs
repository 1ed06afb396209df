//! Where the cells of a checkpoint go: into a page that is there, or a new one; and
//! which runs of a page become one.

use super::{
    PageRules,
    directory::{CellPage, Directory, KindPages, PageChange, StoredRun},
    run::{CellKind, CellPlace, PageCell, RunBuilder},
};

/// Cells that go to the same page.
#[derive(Debug)]
pub(super) struct PlannedRun {
    pub(super) cells: RunBuilder,
    /// The page that is there, by its key; none for a new one.
    pub(super) page: Option<CellPlace>,
}

/// The run that takes the next cell.
struct OpenRun {
    planned: PlannedRun,
    /// Up to here the page has cells, however full it is.
    last: Option<CellPlace>,
    bytes_before: usize,
    /// Where the next page begins.
    until: Option<CellPlace>,
}

impl OpenRun {
    fn is_before_next(&self, place: CellPlace) -> bool {
        self.until.is_none_or(|until| place < until)
    }

    fn takes(&self, place: CellPlace, rules: PageRules) -> bool {
        let is_inside = self.last.is_some_and(|last| place <= last);
        let has_room = self.bytes_before + self.planned.cells.entries.len() < rules.page_bytes;
        self.is_before_next(place) && (is_inside || has_room)
    }
}

/// Shares cells out, which are in order of their places. `seen` are distinct values
/// beside those that a cell has with it.
pub(super) fn share_out<'c>(
    pages: &KindPages,
    cells: impl Iterator<Item = (PageCell<'c>, &'c [u8])>,
    rules: PageRules,
) -> Vec<PlannedRun> {
    let (mut planned, mut open) = (Vec::new(), None::<OpenRun>);
    for (cell, seen) in cells {
        let place = cell.place;
        let mut run = match open.take() {
            Some(run) if run.takes(place, rules) => run,
            Some(full) => {
                let next = match full.is_before_next(place) {
                    true => new_page(full.until),
                    false => find(pages, place, rules),
                };
                planned.push(full.planned);
                next
            }
            None => find(pages, place, rules),
        };
        run.planned.cells.push(&cell, [cell.seen, seen].into_iter());
        open = Some(run);
    }
    planned.extend(open.map(|run| run.planned));
    planned
}

fn new_page(until: Option<CellPlace>) -> OpenRun {
    let planned = PlannedRun { cells: RunBuilder::default(), page: None };
    OpenRun { planned, last: None, bytes_before: 0, until }
}

/// The page before a place if it reaches as far or has room; in front of all pages
/// the first one if it has room; else a new one.
fn find(pages: &KindPages, place: CellPlace, rules: PageRules) -> OpenRun {
    let mut behind = pages.range(place..).filter(|(first, _)| **first != place);
    let next = behind.next();
    let (page, until) = match pages.range(..=place).next_back() {
        Some(before) => (Some(before), next),
        None => (next, behind.next()),
    };
    let until_next = next.map(|(first, _)| *first);
    let Some((first, page)) = page else { return new_page(until_next) };
    if place > page.last && page.bytes() >= rules.page_bytes || place < *first && page.bytes() >= rules.page_bytes {
        return new_page(until_next);
    }
    OpenRun {
        planned: PlannedRun { cells: RunBuilder::default(), page: Some(*first) },
        last: Some(page.last),
        bytes_before: page.bytes(),
        until: until.map(|(first, _)| *first),
    }
}

/// From which run of a page on all become one; `None` where all stay. A run is
/// joined with those behind it once these are half as large: each byte is written
/// again a few times at most, as often as the page grows threefold.
pub(super) fn joined_from(bytes: &[usize], rules: PageRules) -> Option<usize> {
    let (newest, older) = bytes.split_last()?;
    let (mut from, mut sum) = (older.len(), *newest);
    for size in older.iter().rev() {
        if *size / 2 > sum {
            break;
        }
        from -= 1;
        sum += size;
    }
    let is_many = bytes.len() - from >= rules.runs;
    // Most of a page is new: it may have to be several.
    let is_large = from == 0 && bytes.len() > 1 && sum >= rules.page_bytes * 4 && sum >= bytes.first()? * 2;
    (is_many || is_large).then_some(from)
}

/// Pages of which nothing is kept any more, some of them.
pub(super) fn forgotten(
    directory: &Directory,
    ended_before: i64,
    told_before: i64,
    most: usize,
) -> Vec<(CellKind, CellPlace, i64)> {
    let of_kind = |(kind, pages): (&CellKind, &KindPages)| {
        // Those that begin first, so that not all are looked at.
        let oldest = pages.iter().take_while(|(first, _)| first.start < ended_before).take(most);
        let over = oldest.filter(|(_, page)| page.ended <= ended_before && page.changed_at < told_before);
        over.map(|(first, page)| (kind.clone(), *first, page.id)).collect::<Vec<_>>()
    };
    directory.kinds.iter().flat_map(of_kind).take(most).collect()
}

/// The page with one more run, in place of those from `joined` on.
pub(super) fn with_run(
    page: &CellPage,
    first: CellPlace,
    run: StoredRun,
    built: &RunBuilder,
    joined: usize,
) -> (CellPlace, CellPage) {
    let (low, high) = (built.places.first().copied(), built.places.last().copied());
    let runs = page.runs.iter().take(joined).copied().chain([run]).collect();
    let page = CellPage {
        id: page.id,
        last: high.map_or(page.last, |high| high.max(page.last)),
        ended: page.ended.max(built.ended),
        changed_at: page.changed_at.max(built.changed_at),
        runs,
    };
    (low.map_or(first, |low| low.min(first)), page)
}

/// A page of one run.
pub(super) fn founded(kind: &CellKind, id: i64, run: i64, built: &RunBuilder) -> Option<PageChange> {
    let (first, last) = (*built.places.first()?, *built.places.last()?);
    let runs = vec![StoredRun { run, bytes: built.entries.len() }];
    let page = CellPage { id, last, ended: built.ended, changed_at: built.changed_at, runs };
    let cells = built.places.iter().map(|place| place.id).collect();
    Some(PageChange { kind: kind.clone(), before: None, after: Some((first, page)), cells, are_all: true })
}
