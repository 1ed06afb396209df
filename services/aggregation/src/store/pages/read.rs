//! What is read from pages.

use std::collections::{BTreeMap, HashMap};

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellGroup, CellMetric, CellUpdate};
use tidemill_store::{Error as StoreError, SqlValues, for_keys};
use tidemill_totals::Totals;

use super::{
    Pages, WantedWindow,
    directory::{CellPage, Directory, StoredRun},
    run::{CellKind, CellPlace, PageCell, RunCells},
    state::{CellContent, content},
};
use crate::{
    error::Error,
    fold::{
        cell::{Cell, CellId, CellKey, MeasureState},
        session::TimeSpan,
    },
    store::{Store, cell_id, first_points::FirstPoints, seen},
};

/// Pages read by one statement.
const PAGES_AT_ONCE: usize = 20;

impl Store {
    /// The pages of a partition that was claimed.
    pub(crate) async fn pages(&self, partition: Partition) -> Result<Pages, Error> {
        self.call(async {
            let index = i64::from(partition.index());
            let sql = "SELECT page, run, metric, version, dimensions, first_start, first_id, last_start, last_id, \
                       window_end, changed_at, size FROM cell_pages WHERE partition = $1 ORDER BY page, run";
            let rows = sqlx::query(sql).bind(index).fetch_all(self.database.pool()).await.map_err(StoreError::from)?;
            let mut directory = directory(&rows)?;
            let sql = "SELECT 1 FROM cells WHERE partition = $1 AND session_group IS NULL LIMIT 1";
            let old = sqlx::query(sql).bind(index).fetch_optional(self.database.pool()).await;
            directory.rows_from = old.map_err(StoreError::from)?.map(|_| i64::MIN);
            Ok(Pages { directory: directory.into(), moves: tokio::sync::Mutex::default(), rules: self.rules })
        })
        .await
    }

    /// The windows among these that the store has, ready to be added to.
    pub(crate) async fn windows(
        &self,
        pages: &Pages,
        partition: Partition,
        wanted: &[WantedWindow<'_>],
    ) -> Result<HashMap<CellId, Cell>, Error> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let guard = pages.moves.lock().await;
        let (mut by_page, mut rows): (BTreeMap<i64, Vec<CellId>>, Vec<CellId>) = Default::default();
        {
            let mut directory = pages.directory();
            for window in wanted {
                match directory.page_of(window.metric.cell_metric(), window.place()) {
                    Some(page) => by_page.entry(page).or_default().push(window.id),
                    None if directory.rows_from.is_some() => rows.push(window.id),
                    None => {}
                }
            }
        }
        let mut found = HashMap::new();
        let by_page: Vec<_> = by_page.into_iter().collect();
        for some in by_page.chunks(PAGES_AT_ONCE) {
            let numbers: Vec<i64> = some.iter().map(|(page, _)| *page).collect();
            let stored = self.call(async { Ok(self.runs(partition, &numbers).await?) }).await?;
            let mut wanted: Vec<CellId> = some.iter().flat_map(|(_, ids)| ids).copied().collect();
            wanted.sort_unstable();
            for page in pages_of(&stored) {
                let ids = read_cells(page, &wanted, &mut found)?;
                pages.directory().read_all(page[0].page, ids);
            }
        }
        if pages.directory().rows_from.is_some() {
            // One that shares eight bytes of its id with another may be a row, too.
            rows.extend(wanted.iter().map(|wanted| wanted.id).filter(|id| !found.contains_key(id)));
            found.extend(self.cells(&rows).await?);
        }
        drop(guard);
        Ok(found)
    }

    /// Pages with cells that changed after `raw_seq`.
    pub(in crate::store) async fn pages_after(
        &self,
        partition: Partition,
        raw_seq: u64,
    ) -> Result<Vec<Vec<i64>>, StoreError> {
        let sql = "SELECT DISTINCT page FROM cell_pages WHERE partition = $1 AND raw_seq > $2 ORDER BY page";
        let query = sqlx::query(sql).bind(i64::from(partition.index())).bind(raw_seq.cast_signed());
        let rows = query.fetch_all(self.database.pool()).await?;
        let pages = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        Ok(pages.chunks(PAGES_AT_ONCE).map(<[i64]>::to_vec).collect())
    }

    /// The cells of pages that changed after `raw_seq`, as readers get them.
    pub(in crate::store) async fn page_updates(
        &self,
        partition: Partition,
        pages: &[i64],
        raw_seq: u64,
    ) -> Result<Vec<CellUpdate>, StoreError> {
        let mut updates = Vec::new();
        for page in pages_of(&self.runs(partition, pages).await?) {
            let Some(first) = page.first() else { continue };
            for cell in newest(page)?.into_values().filter(|cell| cell.raw_seq > raw_seq) {
                updates.push(update(&first.kind, &cell)?);
            }
        }
        Ok(updates)
    }

    async fn runs(&self, partition: Partition, pages: &[i64]) -> Result<Vec<StoredPageRun>, StoreError> {
        let mut connection = self.database.pool().acquire().await?;
        runs(&mut connection, partition, pages).await
    }
}

async fn runs(
    connection: &mut AnyConnection,
    partition: Partition,
    pages: &[i64],
) -> Result<Vec<StoredPageRun>, StoreError> {
    let sql =
        "SELECT page, run, metric, version, dimensions, entries FROM cell_pages WHERE partition = ? AND page IN (?)";
    let partition = SqlValues::new().bind(i64::from(partition.index()));
    let rows = for_keys(connection, sql, &partition, pages.iter().copied()).await?;
    let mut runs = rows.iter().map(page_run).collect::<Result<Vec<_>, _>>()?;
    runs.sort_unstable_by_key(|run| (run.page, run.run));
    Ok(runs)
}

/// The points of a metric's pages.
pub(in crate::store) async fn read_points(
    connection: &mut AnyConnection,
    first: &mut FirstPoints<'_>,
    span: TimeSpan,
) -> Result<(), StoreError> {
    let sql = "SELECT partition, page, MIN(first_start) FROM cell_pages WHERE metric = $1 AND version = $2 \
               GROUP BY partition, page HAVING MAX(last_start) >= $3 AND MIN(first_start) < $4 \
               ORDER BY MIN(first_start), partition, page";
    let query = sqlx::query(sql).bind(&first.metric.name).bind(first.metric.version());
    let rows = query.bind(span.from.millis()).bind(span.to.millis()).fetch_all(&mut *connection).await?;
    for row in &rows {
        let partition = super::super::partition(row, 0)?;
        if !first.may_take(Timestamp::saturating_from_millis(row.try_get(2)?)) {
            break;
        }
        let stored = runs(connection, partition, &[row.try_get(1)?]).await?;
        let Some(run) = stored.first() else { continue };
        for cell in newest(&stored)?.into_values() {
            if (span.from.millis()..span.to.millis()).contains(&cell.place.start) {
                first.add(&update(&run.kind, &cell)?, partition);
            }
        }
    }
    Ok(())
}

/// A run as its row has it.
struct StoredPageRun {
    page: i64,
    run: i64,
    kind: CellKind,
    entries: Vec<u8>,
}

fn kind(row: &AnyRow) -> Result<CellKind, StoreError> {
    let dimensions: String = row.try_get(4)?;
    let dimensions = serde_json::from_str(&dimensions).map_err(|_| StoreError::Malformed("dimensions"))?;
    Ok(CellMetric { name: row.try_get(2)?, version: row.try_get(3)?, dimensions }.into())
}

fn page_run(row: &AnyRow) -> Result<StoredPageRun, StoreError> {
    Ok(StoredPageRun { page: row.try_get(0)?, run: row.try_get(1)?, kind: kind(row)?, entries: row.try_get(5)? })
}

fn pages_of(runs: &[StoredPageRun]) -> impl Iterator<Item = &[StoredPageRun]> {
    runs.chunk_by(|a, b| a.page == b.page)
}

fn directory(rows: &[AnyRow]) -> Result<Directory, StoreError> {
    let mut directory = Directory::default();
    let number = |row: &AnyRow, column: usize| row.try_get::<i64, _>(column).map_err(StoreError::from);
    let mut pages: BTreeMap<i64, (CellKind, CellPlace, CellPage)> = BTreeMap::new();
    for row in rows {
        let (id, run) = (number(row, 0)?, number(row, 1)?);
        let first = CellPlace { start: number(row, 5)?, id: cell_id(row, 6)? };
        let last = CellPlace { start: number(row, 7)?, id: cell_id(row, 8)? };
        let (ended, changed_at) = (number(row, 9)?, number(row, 10)?);
        let bytes = usize::try_from(number(row, 11)?).map_err(|_| StoreError::Malformed("size"))?;
        let run = StoredRun { run, bytes };
        directory.next = directory.next.max(id).max(run.run);
        if let Some((_, known, page)) = pages.get_mut(&id) {
            *known = first.min(*known);
            page.last = last.max(page.last);
            page.ended = ended.max(page.ended);
            page.changed_at = changed_at.max(page.changed_at);
            page.runs.push(run);
        } else {
            pages.insert(id, (kind(row)?, first, CellPage { id, last, ended, changed_at, runs: vec![run] }));
        }
    }
    for (kind, first, page) in pages.into_values() {
        directory.kinds.entry(kind).or_default().insert(first, page);
    }
    Ok(directory)
}

/// Each cell of a page as its newest run has it.
fn newest(page: &[StoredPageRun]) -> Result<BTreeMap<CellPlace, PageCell<'_>>, StoreError> {
    let mut cells = BTreeMap::new();
    for cell in page.iter().flat_map(|run| RunCells::of(&run.entries)) {
        let cell = cell?;
        cells.insert(cell.place, cell);
    }
    Ok(cells)
}

/// Adds those of a page that are wanted, whose ids are in order; answers all that
/// the page has.
fn read_cells(
    page: &[StoredPageRun],
    wanted: &[CellId],
    found: &mut HashMap<CellId, Cell>,
) -> Result<Vec<CellId>, StoreError> {
    let mut ids = Vec::new();
    let mut cells: HashMap<CellId, (PageCell<'_>, Vec<&[u8]>)> = HashMap::new();
    for cell in page.iter().flat_map(|run| RunCells::of(&run.entries)) {
        let cell = cell?;
        ids.push(cell.place.id);
        if wanted.binary_search(&cell.place.id).is_ok() {
            let known = cells.entry(cell.place.id).or_insert_with(|| (cell, Vec::new()));
            known.0 = cell;
            known.1.push(cell.seen);
        }
    }
    let Some(first) = page.first() else { return Ok(ids) };
    for (id, (stored, seen)) in cells {
        let CellUpdate { group, start, end, totals: Totals(totals), exemplar, .. } = update(&first.kind, &stored)?;
        let mut measures: Vec<_> = totals.into_iter().map(MeasureState::of).collect();
        for piece in seen {
            seen::add(piece, &mut measures)?;
        }
        let key = CellKey { group, start, end };
        let raw_seq = stored.raw_seq;
        let cell =
            Cell { key, group: None, settled: None, measures, raw_seq, exemplar, dirty: false, fresh: Vec::new() };
        found.insert(id, cell);
    }
    Ok(ids)
}

fn update(kind: &CellKind, cell: &PageCell<'_>) -> Result<CellUpdate, StoreError> {
    let CellContent { values, totals, exemplar } = content(cell.content, kind.dimensions.len())?;
    Ok(CellUpdate {
        group: CellGroup { metric: kind.clone(), values: values.into() },
        start: Timestamp::saturating_from_millis(cell.place.start),
        end: Timestamp::saturating_from_millis(cell.end),
        totals,
        exemplar,
        retracted: false,
    })
}
