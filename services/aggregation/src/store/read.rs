//! What is read back: a partition's position, and the parts of its state that
//! a batch needs.

use std::collections::{BTreeMap, HashMap};

use sqlx::{Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellGroup, CellUpdate};
use tidemill_lateness::{EventName, StoredClock, StoredClocks};
use tidemill_store::{Error as StoreError, SqlValues, for_keys};
use tidemill_totals::Totals;

use super::{Store, StoredRows, cell_id, seen, unsigned};
use crate::{
    error::Error,
    fold::{
        books::{BooksKey, EventOutcomes},
        cell::{Cell, CellId, CellKey, GroupId, MeasureState},
        session::TimeSpan,
    },
};

pub(super) const CELL: &str =
    "id, metric, version, window_start, window_end, dimensions, totals, raw_seq, exemplar, session_group";

/// Rows read at once to be published or written again.
const ROWS_AT_ONCE: usize = 4_000;

/// Where some cells are that changed.
#[derive(Debug)]
pub(crate) enum ChangedPart {
    /// Rows of their own.
    Rows(Vec<CellId>),
    /// Among those of these pages.
    Pages(Vec<i64>),
}

impl Store {
    /// The clocks of a partition's sources.
    pub(crate) async fn clocks(&self, partition: Partition) -> Result<StoredClocks, Error> {
        self.call(async {
            let index = i64::from(partition.index());
            let query = sqlx::query("SELECT source, newest, met FROM clocks WHERE partition = $1").bind(index);
            let rows = query.fetch_all(self.database.pool()).await.map_err(StoreError::from)?;
            let clock = |row: &AnyRow| {
                Ok(StoredClock { source: row.try_get(0)?, newest: time(row, 1)?, met: unsigned(row, 2)? })
            };
            let clocks = rows.iter().map(clock).collect::<Result<_, StoreError>>()?;
            let query = sqlx::query("SELECT furthest FROM partitions WHERE partition = $1").bind(index);
            let row = query.fetch_optional(self.database.pool()).await.map_err(StoreError::from)?;
            let furthest: Option<Option<i64>> = row.map(|row| row.try_get(0)).transpose().map_err(StoreError::from)?;
            Ok(StoredClocks { clocks, furthest: furthest.flatten().map(Timestamp::saturating_from_millis) })
        })
        .await
    }

    /// Whether events of a partition were left out.
    pub(crate) async fn has_left_out(&self, partition: Partition) -> Result<bool, Error> {
        self.call(async {
            let query = sqlx::query("SELECT since FROM left_out WHERE partition = $1 LIMIT 1");
            let row = query.bind(i64::from(partition.index())).fetch_optional(self.database.pool()).await;
            Ok(row.map_err(StoreError::from)?.is_some())
        })
        .await
    }

    /// Of these events, those that were left out, and when.
    pub(crate) async fn left_out(
        &self,
        partition: Partition,
        events: &[EventName],
    ) -> Result<Vec<(EventName, Timestamp)>, Error> {
        self.call(async {
            let sql = "SELECT event, since FROM left_out WHERE partition = ? AND event IN (?)";
            let partition = SqlValues::new().bind(i64::from(partition.index()));
            let rows = self.for_ids(sql, &partition, events).await?;
            let known = |row: &AnyRow| {
                let event: Vec<u8> = row.try_get(0)?;
                Ok((event.try_into().map_err(|_| StoreError::Malformed("event"))?, time(row, 1)?))
            };
            Ok(rows.iter().map(known).collect::<Result<_, StoreError>>()?)
        })
        .await
    }

    /// The books among `keys` that the store has.
    pub(crate) async fn books(
        &self,
        partition: Partition,
        keys: &[BooksKey],
    ) -> Result<Vec<(BooksKey, EventOutcomes)>, Error> {
        self.call(async {
            let mut books = Vec::new();
            for (source, hour) in keys {
                let sql = "SELECT source, hour, counted, late, duplicate, repeated FROM books \
                           WHERE partition = $1 AND source = $2 AND hour = $3";
                let query = sqlx::query(sql).bind(i64::from(partition.index())).bind(source).bind(hour.millis());
                let row = query.fetch_optional(self.database.pool()).await.map_err(StoreError::from)?;
                books.extend(row.as_ref().map(outcomes).transpose()?);
            }
            Ok(books)
        })
        .await
    }

    /// All books of a partition.
    pub(crate) async fn all_books(&self, partition: Partition) -> Result<Vec<(BooksKey, EventOutcomes)>, Error> {
        self.call(async {
            let sql = "SELECT source, hour, counted, late, duplicate, repeated FROM books WHERE partition = $1";
            let rows = sqlx::query(sql).bind(i64::from(partition.index())).fetch_all(self.database.pool()).await;
            Ok(rows.map_err(StoreError::from)?.iter().map(outcomes).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The cells among `ids` that the store has as rows, ready to be added to.
    pub(crate) async fn cells(&self, ids: &[CellId]) -> Result<HashMap<CellId, Cell>, Error> {
        self.call(async {
            let mut cells = HashMap::new();
            for row in self.cell_rows(ids).await? {
                cells.insert(cell_id(&row, 0)?, cell(&row)?);
            }
            self.read_seen(ids, &mut cells).await?;
            Ok(cells)
        })
        .await
    }

    /// The sessions of these groups that touch a span.
    pub(crate) async fn sessions(&self, groups: &[GroupId], span: TimeSpan) -> Result<Vec<CellId>, Error> {
        self.call(async {
            let sql = "SELECT id FROM cells WHERE window_end > ? AND window_start < ? AND session_group IN (?)";
            let span = SqlValues::new().bind(span.from.millis()).bind(span.to.millis());
            let rows = self.for_ids(sql, &span, groups).await?;
            Ok(rows.iter().map(|row| cell_id(row, 0)).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Where the cells of a partition are that changed after `raw_seq`.
    pub(crate) async fn cells_after(&self, partition: Partition, raw_seq: u64) -> Result<Vec<ChangedPart>, Error> {
        self.call(async {
            let query = sqlx::query("SELECT id FROM cells WHERE partition = $1 AND raw_seq > $2");
            let query = query.bind(i64::from(partition.index())).bind(raw_seq.cast_signed());
            let rows = query.fetch_all(self.database.pool()).await.map_err(StoreError::from)?;
            let ids = rows.iter().map(|row| cell_id(row, 0)).collect::<Result<Vec<_>, _>>()?;
            let rows = ids.chunks(ROWS_AT_ONCE).map(|ids| ChangedPart::Rows(ids.to_vec()));
            let pages = self.pages_after(partition, raw_seq).await?.into_iter().map(ChangedPart::Pages);
            Ok(rows.chain(pages).collect())
        })
        .await
    }

    /// Cells that changed after `raw_seq`, as readers get them. Nothing may be
    /// checkpointed since it was found out where they are.
    pub(crate) async fn updates(
        &self,
        partition: Partition,
        part: &ChangedPart,
        raw_seq: u64,
    ) -> Result<Vec<CellUpdate>, Error> {
        self.call(async {
            Ok(match part {
                ChangedPart::Rows(ids) => self.cell_rows(ids).await?.iter().map(update).collect::<Result<_, _>>()?,
                ChangedPart::Pages(pages) => self.page_updates(partition, pages, raw_seq).await?,
            })
        })
        .await
    }

    /// What was taken back after `raw_seq`, as readers get it.
    pub(crate) async fn retractions_after(&self, partition: Partition, raw_seq: u64) -> Result<Vec<CellUpdate>, Error> {
        self.call(async {
            let query = sqlx::query("SELECT cell FROM retractions WHERE partition = $1 AND raw_seq > $2");
            let query = query.bind(i64::from(partition.index())).bind(raw_seq.cast_signed());
            let rows = query.fetch_all(self.database.pool()).await.map_err(StoreError::from)?;
            let cell = |row: &AnyRow| {
                let text: String = row.try_get(0)?;
                serde_json::from_str(&text).map_err(|_| StoreError::Malformed("retraction"))
            };
            Ok(rows.iter().map(cell).collect::<Result<_, StoreError>>()?)
        })
        .await
    }

    /// How much there is. A cell that changed counts again until the runs of its page
    /// are joined.
    pub(crate) async fn size(&self) -> Result<StoredRows, Error> {
        self.call(async {
            let sql = "SELECT (SELECT COUNT(*) FROM cells) + \
                       (SELECT CAST(COALESCE(SUM(cells), 0) AS BIGINT) FROM cell_pages), \
                       (SELECT CAST(COALESCE(SUM(LENGTH(hashes)), 0) / 10 AS BIGINT) FROM seen_values) + \
                       (SELECT CAST(COALESCE(SUM(seen), 0) AS BIGINT) FROM cell_pages), \
                       (SELECT COUNT(*) FROM books), (SELECT COUNT(*) FROM clocks)";
            let row = sqlx::query(sql).fetch_one(self.database.pool()).await.map_err(StoreError::from)?;
            Ok(StoredRows {
                cells: unsigned(&row, 0)?,
                values: unsigned(&row, 1)?,
                books: unsigned(&row, 2)?,
                sources: unsigned(&row, 3)?,
            })
        })
        .await
    }

    async fn for_ids(&self, sql: &str, others: &SqlValues, ids: &[[u8; 16]]) -> Result<Vec<AnyRow>, StoreError> {
        let mut connection = self.database.pool().acquire().await?;
        for_keys(&mut connection, sql, others, ids.iter().map(|id| &id[..])).await
    }

    async fn cell_rows(&self, ids: &[CellId]) -> Result<Vec<AnyRow>, StoreError> {
        let sql = format!("SELECT {CELL} FROM cells WHERE id IN (?)");
        self.for_ids(&sql, &SqlValues::new(), ids).await
    }

    /// What the exact distinct counts of these cells have seen.
    async fn read_seen(&self, ids: &[CellId], cells: &mut HashMap<CellId, Cell>) -> Result<(), StoreError> {
        let sql = "SELECT cell, hashes FROM seen_values WHERE cell IN (?)";
        for row in self.for_ids(sql, &SqlValues::new(), ids).await? {
            let Some(cell) = cells.get_mut(&cell_id(&row, 0)?) else { continue };
            let hashes: Vec<u8> = row.try_get(1)?;
            seen::add(&hashes, &mut cell.measures)?;
        }
        Ok(())
    }
}

pub(super) fn time(row: &AnyRow, column: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::saturating_from_millis(row.try_get(column)?))
}

fn outcomes(row: &AnyRow) -> Result<(BooksKey, EventOutcomes), StoreError> {
    let outcomes = EventOutcomes {
        counted: unsigned(row, 2)?,
        late: unsigned(row, 3)?,
        duplicate: unsigned(row, 4)?,
        repeated: unsigned(row, 5)?,
    };
    Ok(((row.try_get(0)?, time(row, 1)?), outcomes))
}

pub(super) fn update(row: &AnyRow) -> Result<CellUpdate, StoreError> {
    let (dimensions, totals): (String, String) = (row.try_get(5)?, row.try_get(6)?);
    let exemplar: Option<String> = row.try_get(8)?;
    let (metric, version): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    let dimensions: BTreeMap<String, String> =
        serde_json::from_str(&dimensions).map_err(|_| StoreError::Malformed("dimensions"))?;
    Ok(CellUpdate {
        group: CellGroup::new(&metric, &version, dimensions),
        start: time(row, 3)?,
        end: time(row, 4)?,
        totals: serde_json::from_str(&totals).map_err(|_| StoreError::Malformed("totals"))?,
        exemplar: exemplar.and_then(|text| text.parse().ok()),
        retracted: false,
    })
}

fn cell(row: &AnyRow) -> Result<Cell, StoreError> {
    let CellUpdate { group: of, start, end, totals: Totals(totals), exemplar, .. } = update(row)?;
    let group: Option<Vec<u8>> = row.try_get(9)?;
    let group = group.map(GroupId::try_from).transpose().map_err(|_| StoreError::Malformed("session group"))?;
    Ok(Cell {
        key: CellKey { group: of, start, end },
        group,
        settled: group.map(|_| start),
        measures: totals.into_iter().map(MeasureState::of).collect(),
        raw_seq: unsigned(row, 7)?,
        exemplar,
        dirty: false,
        fresh: Vec::new(),
    })
}
