//! The part of a checkpoint's transaction that writes pages.

use sqlx::{AnyConnection, Row};
use tidemill_domain::Partition;
use tidemill_store::{Error as StoreError, SqlValues, for_keys, insert_rows};

use super::{
    PageRules, Pages,
    bytes::MALFORMED,
    directory::{CellPage, PageChange, StoredRun},
    fresh::FreshCells,
    plan::{PlannedRun, forgotten, founded, joined_from, share_out, with_run},
    run::{CellKind, CellPlace, RunBuilder, merged},
};

/// Bytes that a checkpoint reads at most to join runs, if it writes few itself; else
/// four times what it writes. What is not joined is when its page changes next.
const JOINED_BYTES: usize = 4 << 20;
/// Pages that one checkpoint deletes at most, because they are not kept any longer.
const FORGOTTEN_AT_ONCE: usize = 64;
const ROW: &str = "cell_pages (partition, page, run, metric, version, dimensions, first_start, first_id, last_start, \
                   last_id, window_end, raw_seq, changed_at, cells, seen, size, entries)";

/// What a checkpoint does to the pages.
#[derive(Debug, Default)]
pub(super) struct PagePlan {
    writes: Vec<PlannedWrite>,
    forgotten: Vec<(CellKind, CellPlace, i64)>,
    next: i64,
}

#[derive(Debug)]
struct PlannedWrite {
    kind: CellKind,
    cells: RunBuilder,
    page: Option<(CellPlace, CellPage)>,
    /// The first of its runs that become one with the cells.
    joined: Option<usize>,
}

/// What it did, to be known once it is committed.
#[derive(Debug, Default)]
pub(super) struct PlannedRows {
    pub(super) changes: Vec<PageChange>,
    pub(super) next: i64,
}

impl PagePlan {
    /// Whether cells are read elsewhere afterwards.
    pub(super) fn has_moves(&self, rules: PageRules) -> bool {
        let is_split = |write: &PlannedWrite| write.joined == Some(0) && write.is_large(rules);
        !self.forgotten.is_empty() || self.writes.iter().any(is_split)
    }
}

impl PlannedWrite {
    fn is_large(&self, rules: PageRules) -> bool {
        let stored = self.page.as_ref().map_or(0, |(_, page)| page.bytes());
        stored + self.cells.entries.len() > rules.page_bytes * 2
    }
}

impl Pages {
    /// Works out where cells go. What ended before the first time and was told of
    /// before the second is not kept.
    pub(super) fn plan(&self, cells: &FreshCells, kept: Option<(i64, i64)>) -> PagePlan {
        let directory = self.directory();
        let none = Default::default();
        let (mut writes, mut to_join) = (Vec::new(), JOINED_BYTES.max(cells.size() * 4));
        for fresh in &cells.kinds {
            let pages = directory.kinds.get(&fresh.kind).unwrap_or(&none);
            for PlannedRun { cells, page } in share_out(pages, cells.cells(fresh), self.rules) {
                let page = page.and_then(|first| Some((first, pages.get(&first)?.clone())));
                let mut joined = None;
                if let Some((_, page)) = page.as_ref().filter(|_| to_join > 0) {
                    let sizes = page.runs.iter().map(|run| run.bytes).chain([cells.entries.len()]);
                    joined = joined_from(&sizes.collect::<Vec<_>>(), self.rules);
                    let read: usize = page.runs.iter().skip(joined.unwrap_or(usize::MAX)).map(|run| run.bytes).sum();
                    to_join = to_join.saturating_sub(read);
                }
                writes.push(PlannedWrite { kind: fresh.kind.clone(), cells, page, joined });
            }
        }
        let touched = |place: &CellPlace, kind: &CellKind| {
            writes
                .iter()
                .any(|write| write.kind == *kind && write.page.as_ref().is_some_and(|(first, _)| first == place))
        };
        let forgotten = kept.map_or_else(Vec::new, |(ended_before, told_before)| {
            forgotten(&directory, ended_before, told_before, FORGOTTEN_AT_ONCE)
        });
        let forgotten = forgotten.into_iter().filter(|(kind, first, _)| !touched(first, kind)).collect();
        PagePlan { writes, forgotten, next: directory.next }
    }
}

/// Carries a plan out.
pub(super) async fn write(
    connection: &mut AnyConnection,
    partition: Partition,
    plan: PagePlan,
    rules: PageRules,
) -> Result<PlannedRows, StoreError> {
    let mut rows = PageRows { partition: i64::from(partition.index()), next: plan.next, rows: Vec::new() };
    let mut changes = Vec::new();
    for (kind, first, page) in plan.forgotten {
        rows.delete(connection, page, i64::MIN).await?;
        changes.push(PageChange { kind, before: Some(first), after: None, cells: Vec::new(), are_all: false });
    }
    for write in plan.writes {
        match (&write.page, write.joined) {
            (None, _) => changes.push(rows.found(&write.kind, None, &write.cells)?),
            (Some((first, page)), None) => changes.push(rows.append(&write.kind, *first, page, &write.cells, None)?),
            (Some((first, page)), Some(from)) => {
                let pieces = rows.joined(connection, &write, page, from, rules).await?;
                let [one, further @ ..] = pieces.as_slice() else { return Err(MALFORMED) };
                if from > 0 {
                    changes.push(rows.append(&write.kind, *first, page, one, Some(from))?);
                    continue;
                }
                let kept = rows.found(&write.kind, Some(page.id), one)?;
                changes.push(PageChange { before: Some(*first), ..kept });
                for piece in further {
                    changes.push(rows.found(&write.kind, None, piece)?);
                }
            }
        }
    }
    insert_rows(connection, ROW, "", rows.rows).await?;
    Ok(PlannedRows { changes, next: rows.next })
}

/// Rows that are to be written.
struct PageRows {
    partition: i64,
    next: i64,
    rows: Vec<SqlValues>,
}

impl PageRows {
    fn number(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    /// A page of one run: a new one, or what becomes of one that is there.
    fn found(&mut self, kind: &CellKind, page: Option<i64>, cells: &RunBuilder) -> Result<PageChange, StoreError> {
        let page = page.unwrap_or_else(|| self.number());
        let run = self.push(kind, page, cells)?;
        founded(kind, page, run, cells).ok_or(MALFORMED)
    }

    /// One more run, in place of those from `joined` on.
    fn append(
        &mut self,
        kind: &CellKind,
        first: CellPlace,
        page: &CellPage,
        cells: &RunBuilder,
        joined: Option<usize>,
    ) -> Result<PageChange, StoreError> {
        let run = self.push(kind, page.id, cells)?;
        let run = StoredRun { run, bytes: cells.entries.len() };
        let after = with_run(page, first, run, cells, joined.unwrap_or(page.runs.len()));
        let ids = cells.places.iter().map(|place| place.id).collect();
        Ok(PageChange { kind: kind.clone(), before: Some(first), after: Some(after), cells: ids, are_all: false })
    }

    fn push(&mut self, kind: &CellKind, page: i64, cells: &RunBuilder) -> Result<i64, StoreError> {
        let dimensions = serde_json::to_string(&kind.dimensions).map_err(|_| StoreError::Malformed("dimensions"))?;
        let (Some(first), Some(last)) = (cells.places.first(), cells.places.last()) else { return Err(MALFORMED) };
        let run = self.number();
        let row = SqlValues::new()
            .bind(self.partition)
            .bind(page)
            .bind(run)
            .bind(&kind.name)
            .bind(&kind.version)
            .bind(dimensions)
            .bind(first.start)
            .bind(first.id.to_vec())
            .bind(last.start)
            .bind(last.id.to_vec())
            .bind(cells.ended)
            .bind(cells.raw_seq.cast_signed())
            .bind(cells.changed_at)
            .bind(cells.places.len() as i64)
            .bind(cells.values as i64)
            .bind(cells.entries.len() as i64)
            .bind(cells.entries.as_slice());
        self.rows.push(row);
        Ok(run)
    }

    /// Takes runs of a page out of the store, and makes one of them and the new cells;
    /// of a whole page that is large, several.
    async fn joined(
        &self,
        connection: &mut AnyConnection,
        write: &PlannedWrite,
        page: &CellPage,
        from: usize,
        rules: PageRules,
    ) -> Result<Vec<RunBuilder>, StoreError> {
        let first = page.runs.get(from).map_or(i64::MAX, |run| run.run);
        let sql = "SELECT entries FROM cell_pages WHERE partition = $1 AND page = $2 AND run >= $3 ORDER BY run";
        let query = sqlx::query(sql).bind(self.partition).bind(page.id).bind(first);
        let stored = query.fetch_all(&mut *connection).await?;
        let stored = stored.iter().map(|row| row.try_get::<Vec<u8>, _>(0)).collect::<Result<Vec<_>, _>>()?;
        if stored.len() != page.runs.len() - from {
            return Err(StoreError::Malformed("cell pages"));
        }
        self.delete(connection, page.id, first).await?;
        let runs = stored.iter().map(Vec::as_slice).chain([write.cells.entries.as_slice()]);
        let bytes = if from == 0 && write.is_large(rules) { rules.page_bytes } else { usize::MAX };
        merged(&runs.collect::<Vec<_>>(), bytes)
    }

    async fn delete(&self, connection: &mut AnyConnection, page: i64, from: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM cell_pages WHERE partition = ? AND run >= ? AND page IN (?)";
        for_keys(connection, sql, &SqlValues::new().bind(self.partition).bind(from), [page]).await?;
        Ok(())
    }
}
