//! Checkpoints: a partition's state, at one position of the log, in one
//! transaction.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Row, any::AnyRow, migrate::Migrator};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Config, Database, Error as StoreError, placeholders, rows_per_statement};
use tidemill_totals::{Measure, Totals};

use crate::{
    Error,
    cell::{Cell, CellId, CellKey, Hashes, MeasureState},
    config::Windows,
    state::{BooksKey, Outcomes, PartitionState, SourceClock},
};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The service's own database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
}

impl Store {
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { database: Database::open(config, &SQLITE, &POSTGRES).await? })
    }

    /// A partition's position as of its last checkpoint. Cells and books are
    /// loaded when an event needs them.
    pub(crate) async fn load(
        &self,
        partition: Partition,
        windows: &Windows,
        now: Timestamp,
    ) -> Result<PartitionState, Error> {
        let mut state = PartitionState::new(partition, windows.clone());
        let index = i64::from(partition.index());
        let pool = self.database.pool();
        let floor = sqlx::query("SELECT floor FROM partitions WHERE partition = $1")
            .bind(index)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::from)?;
        if let Some(row) = floor {
            state.floor = unsigned(&row, 0)?;
        }
        let clocks = sqlx::query("SELECT source, newest FROM clocks WHERE partition = $1")
            .bind(index)
            .fetch_all(pool)
            .await
            .map_err(StoreError::from)?;
        for row in clocks {
            let newest = Timestamp::saturating_from_millis(row.try_get(1).map_err(StoreError::from)?);
            state.clocks.insert(row.try_get(0).map_err(StoreError::from)?, SourceClock { newest, heard_at: now });
        }
        Ok(state)
    }

    /// The books among `keys` that the store has.
    pub(crate) async fn books(
        &self,
        partition: Partition,
        keys: &[BooksKey],
    ) -> Result<Vec<(BooksKey, Outcomes)>, Error> {
        let mut books = Vec::new();
        for (source, hour) in keys {
            let sql = "SELECT source, hour, counted, late, duplicate FROM books \
                       WHERE partition = $1 AND source = $2 AND hour = $3";
            let query = sqlx::query(sql).bind(i64::from(partition.index())).bind(source).bind(hour.millis());
            let row = query.fetch_optional(self.database.pool()).await.map_err(StoreError::from)?;
            books.extend(row.as_ref().map(outcomes).transpose()?);
        }
        Ok(books)
    }

    /// All books of a partition.
    pub(crate) async fn all_books(&self, partition: Partition) -> Result<Vec<(BooksKey, Outcomes)>, Error> {
        let rows = sqlx::query("SELECT source, hour, counted, late, duplicate FROM books WHERE partition = $1")
            .bind(i64::from(partition.index()))
            .fetch_all(self.database.pool())
            .await
            .map_err(StoreError::from)?;
        Ok(rows.iter().map(outcomes).collect::<Result<_, _>>()?)
    }

    /// The cells of a partition that changed after `raw_seq`.
    pub(crate) async fn cells_after(&self, partition: Partition, raw_seq: u64) -> Result<Vec<CellId>, Error> {
        let rows = sqlx::query("SELECT id FROM cells WHERE partition = $1 AND raw_seq > $2")
            .bind(i64::from(partition.index()))
            .bind(raw_seq.cast_signed())
            .fetch_all(self.database.pool())
            .await
            .map_err(StoreError::from)?;
        Ok(rows.iter().map(cell_id).collect::<Result<_, _>>()?)
    }

    /// The cells among `ids` that the store has.
    pub(crate) async fn cells(&self, ids: &[CellId]) -> Result<HashMap<CellId, Cell>, Error> {
        let mut cells = HashMap::new();
        for chunk in ids.chunks(rows_per_statement(1)) {
            let list = placeholders(1, chunk.len());
            let sql = format!(
                "SELECT id, metric, version, window_start, window_end, dimensions, totals, raw_seq, exemplar \
                 FROM cells WHERE id IN {list}"
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for id in chunk {
                query = query.bind(id.to_vec());
            }
            for row in query.fetch_all(self.database.pool()).await.map_err(StoreError::from)? {
                cells.insert(cell_id(&row)?, cell(&row)?);
            }
            let sql = format!("SELECT cell, measure, hash FROM seen WHERE cell IN {list}");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for id in chunk {
                query = query.bind(id.to_vec());
            }
            for row in query.fetch_all(self.database.pool()).await.map_err(StoreError::from)? {
                let hash: i64 = row.try_get(2).map_err(StoreError::from)?;
                let measure = usize::try_from(unsigned(&row, 1)?).unwrap_or(usize::MAX);
                let state = cells.get_mut(&cell_id(&row)?).and_then(|cell: &mut Cell| cell.measures.get_mut(measure));
                match state {
                    Some(MeasureState::Keyed(seen)) => {
                        seen.insert(hash.cast_unsigned());
                    }
                    _ => return Err(StoreError::Malformed("distinct value").into()),
                }
            }
        }
        Ok(cells)
    }

    /// Writes what has changed since the last checkpoint, and the position
    /// that it belongs to, in one transaction.
    pub(crate) async fn checkpoint(&self, state: &PartitionState) -> Result<(), Error> {
        let index = i64::from(state.partition.index());
        let mut transaction = self.database.pool().begin().await.map_err(StoreError::from)?;
        let connection = &mut *transaction;
        let cells: Vec<_> = state.dirty_cells().collect();
        for chunk in cells.chunks(rows_per_statement(10)) {
            let sql = format!(
                "INSERT INTO cells (id, partition, metric, version, window_start, window_end, dimensions, totals, \
                 raw_seq, exemplar) VALUES {} ON CONFLICT (id) DO UPDATE SET totals = excluded.totals, \
                 raw_seq = excluded.raw_seq, exemplar = excluded.exemplar",
                placeholders(chunk.len(), 10)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (id, cell) in chunk {
                let dimensions =
                    serde_json::to_string(&cell.key.dimensions).map_err(|_| StoreError::Malformed("dimensions"))?;
                let totals = serde_json::to_string(&cell.totals()).map_err(|_| StoreError::Malformed("totals"))?;
                query = query
                    .bind(id.to_vec())
                    .bind(index)
                    .bind(&cell.key.metric)
                    .bind(&cell.key.version)
                    .bind(cell.key.start.millis())
                    .bind(cell.key.end.millis())
                    .bind(dimensions)
                    .bind(totals)
                    .bind(cell.raw_seq.cast_signed())
                    .bind(cell.exemplar.map(|trace| trace.to_string()));
            }
            query.execute(&mut *connection).await.map_err(StoreError::from)?;
        }
        let seen: Vec<_> = cells
            .iter()
            .flat_map(|(id, cell)| cell.fresh.iter().map(move |(measure, hash)| (*id, *measure, *hash)))
            .collect();
        for chunk in seen.chunks(rows_per_statement(3)) {
            let sql = format!(
                "INSERT INTO seen (cell, measure, hash) VALUES {} ON CONFLICT (cell, measure, hash) DO NOTHING",
                placeholders(chunk.len(), 3)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (id, measure, hash) in chunk {
                query = query.bind(id.to_vec()).bind((*measure as u64).cast_signed()).bind(hash.cast_signed());
            }
            query.execute(&mut *connection).await.map_err(StoreError::from)?;
        }
        let books: Vec<_> = state.dirty_books.iter().filter_map(|key| Some((key, state.books.get(key)?))).collect();
        for chunk in books.chunks(rows_per_statement(6)) {
            let sql = format!(
                "INSERT INTO books (partition, source, hour, counted, late, duplicate) VALUES {} \
                 ON CONFLICT (partition, source, hour) DO UPDATE SET counted = excluded.counted, \
                 late = excluded.late, duplicate = excluded.duplicate",
                placeholders(chunk.len(), 6)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for ((source, hour), outcomes) in chunk {
                query = query
                    .bind(index)
                    .bind(source)
                    .bind(hour.millis())
                    .bind(outcomes.counted.cast_signed())
                    .bind(outcomes.late.cast_signed())
                    .bind(outcomes.duplicate.cast_signed());
            }
            query.execute(&mut *connection).await.map_err(StoreError::from)?;
        }
        let clocks: Vec<_> = state.clocks.iter().collect();
        for chunk in clocks.chunks(rows_per_statement(3)) {
            let sql = format!(
                "INSERT INTO clocks (partition, source, newest) VALUES {} \
                 ON CONFLICT (partition, source) DO UPDATE SET newest = excluded.newest",
                placeholders(chunk.len(), 3)
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (source, clock) in chunk {
                query = query.bind(index).bind(*source).bind(clock.newest.millis());
            }
            query.execute(&mut *connection).await.map_err(StoreError::from)?;
        }
        sqlx::query(
            "INSERT INTO partitions (partition, floor) VALUES ($1, $2) \
             ON CONFLICT (partition) DO UPDATE SET floor = excluded.floor",
        )
        .bind(index)
        .bind(state.floor.cast_signed())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }
}

fn outcomes(row: &AnyRow) -> Result<(BooksKey, Outcomes), StoreError> {
    let hour = Timestamp::saturating_from_millis(row.try_get(1)?);
    let outcomes = Outcomes { counted: unsigned(row, 2)?, late: unsigned(row, 3)?, duplicate: unsigned(row, 4)? };
    Ok(((row.try_get(0)?, hour), outcomes))
}

fn unsigned(row: &AnyRow, column: usize) -> Result<u64, StoreError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| StoreError::Malformed("count"))
}

fn cell_id(row: &AnyRow) -> Result<CellId, StoreError> {
    let id: Vec<u8> = row.try_get(0)?;
    id.try_into().map_err(|_| StoreError::Malformed("cell id"))
}

fn cell(row: &AnyRow) -> Result<Cell, StoreError> {
    let (dimensions, totals): (String, String) = (row.try_get(5)?, row.try_get(6)?);
    let totals: Totals = serde_json::from_str(&totals).map_err(|_| StoreError::Malformed("totals"))?;
    let exemplar: Option<String> = row.try_get(8)?;
    let state = |measure| match measure {
        Measure::DistinctKeyed(_) => MeasureState::Keyed(Hashes::default()),
        plain => MeasureState::Plain(plain),
    };
    Ok(Cell {
        key: CellKey {
            metric: row.try_get(1)?,
            version: row.try_get(2)?,
            start: Timestamp::saturating_from_millis(row.try_get(3)?),
            end: Timestamp::saturating_from_millis(row.try_get(4)?),
            dimensions: serde_json::from_str(&dimensions).map_err(|_| StoreError::Malformed("dimensions"))?,
        },
        measures: totals.0.into_iter().map(state).collect(),
        raw_seq: unsigned(row, 7)?,
        exemplar: exemplar.and_then(|text| text.parse().ok()),
        dirty: false,
        fresh: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use tidemill_definitions::Metrics;
    use tidemill_events::EnrichedBatch;
    use tidemill_testkit::{Postgres, skipped, tempdir};

    use super::*;
    use crate::state::parse;

    fn batch(raw_seq: u64, customers: &[u32]) -> EnrichedBatch {
        let line = |customer: &u32| {
            format!(
                r#"{{"specversion":"1.0","id":"x","source":"s, \"q\"","type":"invoice.line","time":"2010-12-01T08:26:00Z","data":{{"invoice":"i{customer}","quantity":2,"unit_price":1.005,"customer_id":"c{customer}","country":"DE"}},"enriched":{{"refdata":1,"region":"Europe"}}}}"#
            ) + "\n"
        };
        EnrichedBatch {
            partition: Partition::new(3),
            raw_seq,
            raw_prev: raw_seq - 1,
            ingested_at: Timestamp::saturating_from_millis(1_700_000_000_000),
            refdata: 1,
            count: customers.len() as u32,
            lines: customers.iter().map(line).collect::<String>().into(),
            trace: None,
        }
    }

    /// Applying, checkpointing and loading in any place gives what applying
    /// alone gives.
    async fn a_restart_changes_nothing(config: Config) {
        let metrics = Metrics::load(None).expect("the defaults load");
        let store = Store::open(&config).await.expect("opens");
        let windows = Windows::default();
        let now = Timestamp::EPOCH;
        let batches = [batch(1, &[1, 2]), batch(5, &[2, 3]), batch(9, &[3, 4, 1])];
        let mut straight = PartitionState::new(Partition::new(3), windows.clone());
        for batch in &batches {
            straight.apply(parse(batch, &metrics), now);
            let mut state = store.load(Partition::new(3), &windows, now).await.expect("loads");
            let parsed = parse(batch, &metrics);
            let ids: Vec<CellId> = parsed.cells().collect();
            state.cells = store.cells(&ids).await.expect("loads cells");
            let books: Vec<BooksKey> = parsed.books().into_iter().collect();
            state.books.extend(store.books(Partition::new(3), &books).await.expect("loads books"));
            state.apply(parsed, now);
            store.checkpoint(&state).await.expect("writes");
            store.checkpoint(&state).await.expect("writing again is harmless");
        }
        let loaded = store.load(Partition::new(3), &windows, now).await.expect("loads");
        assert_eq!(loaded.floor, 9);
        assert_eq!(loaded.clocks, straight.clocks);
        let books = store.all_books(Partition::new(3)).await.expect("loads books");
        assert_eq!(books.into_iter().collect::<HashMap<_, _>>(), straight.books);
        let ids: Vec<CellId> = straight.cells.keys().copied().collect();
        let cells = store.cells(&ids).await.expect("loads cells");
        assert_eq!(cells.len(), straight.cells.len());
        for (id, cell) in &straight.cells {
            assert_eq!((&cells[id].key, cells[id].totals()), (&cell.key, cell.totals()));
        }
        assert!(store.cells(&[[0; 16]]).await.expect("answers").is_empty());
        let other = store.load(Partition::new(4), &windows, now).await.expect("loads");
        assert_eq!(other.floor, 0, "partitions are apart");
        assert!(store.all_books(Partition::new(4)).await.expect("answers").is_empty());
        let after = |raw_seq| store.cells_after(Partition::new(3), raw_seq);
        assert_eq!((after(8).await.expect("answers").len(), after(9).await.expect("answers").len()), (1, 0));
    }

    #[tokio::test]
    async fn a_restart_changes_nothing_on_sqlite() {
        let folder = tempdir();
        let url = format!("sqlite://{}/aggregation.db", folder.path().display());
        a_restart_changes_nothing(Config { url, max_connections: 4 }).await;
    }

    #[tokio::test]
    async fn a_restart_changes_nothing_on_postgres() {
        let Some(server) = Postgres::start().await else {
            return skipped("a_restart_changes_nothing_on_postgres", "no PostgreSQL is installed");
        };
        a_restart_changes_nothing(Config { url: server.url(), max_connections: 4 }).await;
    }
}
