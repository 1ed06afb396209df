//! The one transaction that moves a partition on.

use std::collections::BTreeMap;

use sqlx::{Any, AnyConnection, Transaction};
use tidemill_domain::Timestamp;
use tidemill_events::StreamName;
use tidemill_lateness::StoredClock;
use tidemill_store::{Error as StoreError, SqlValues, for_keys, insert_rows};

use super::{
    PartitionClaim, Store, cell_id, fenced,
    pages::{Pages, WrittenPages},
    rows::delete_cells,
    seen,
};
use crate::{
    error::Error,
    fold::{
        books::{BooksKey, EventOutcomes},
        cell::{CellId, published_id},
        changes::{ChangedCell, PartitionChanges, Retraction},
    },
};

/// Cells that one checkpoint deletes at most, because they are not kept any
/// longer.
const FORGOTTEN_AT_ONCE: i64 = 500;
const DAY: i64 = 24 * 3_600_000;

const CELLS: &str = "cells (id, partition, metric, version, window_start, window_end, dimensions, totals, raw_seq, \
     exemplar, session_group, changed_at)";
const CELLS_UPDATE: &str = "ON CONFLICT (id) DO UPDATE SET window_start = excluded.window_start, \
     window_end = excluded.window_end, totals = excluded.totals, raw_seq = excluded.raw_seq, \
     exemplar = excluded.exemplar, changed_at = excluded.changed_at";
const BOOKS_UPDATE: &str = "ON CONFLICT (partition, source, hour) DO UPDATE SET counted = excluded.counted, \
     late = excluded.late, duplicate = excluded.duplicate, repeated = excluded.repeated";

impl Store {
    /// Writes what has changed since the last checkpoint, and the position
    /// that it belongs to. Writing it again is harmless. Whoever is not the
    /// owner any more writes nothing.
    pub(crate) async fn checkpoint(
        &self,
        changes: &PartitionChanges,
        claim: &PartitionClaim,
        pages: &Pages,
    ) -> Result<(), Error> {
        self.call(async {
            let (transaction, written) = self.written(changes, claim, pages).await?;
            transaction.commit().await.map_err(StoreError::from)?;
            written.committed();
            Ok(())
        })
        .await
    }

    /// Whether a checkpoint could be written. Nothing is.
    pub(crate) async fn try_checkpoint(
        &self,
        changes: &PartitionChanges,
        claim: &PartitionClaim,
        pages: &Pages,
    ) -> Result<(), Error> {
        self.call(async {
            let (transaction, _) = self.written(changes, claim, pages).await?;
            Ok(transaction.rollback().await.map_err(StoreError::from)?)
        })
        .await
    }

    async fn written<'p>(
        &self,
        changes: &PartitionChanges,
        claim: &PartitionClaim,
        pages: &'p Pages,
    ) -> Result<(Transaction<'_, Any>, WrittenPages<'p>), Error> {
        let prepared = pages.prepare(changes, changes.log_time.map(told_before)).await?;
        let mut transaction = self.database.begin().await?;
        // First, so that nobody can claim the partition until all is written:
        // the row stays locked.
        let sql = "UPDATE partitions SET floor = $1, furthest = $4, log_time = COALESCE($5, log_time) \
                   WHERE partition = $2 AND epoch = $3 AND floor BETWEEN $1 AND $6";
        let moved = sqlx::query(sql)
            .bind(fenced(changes.floor))
            .bind(i64::from(changes.partition.index()))
            .bind(claim.epoch)
            .bind(changes.clocks.furthest.map(Timestamp::millis))
            .bind(changes.log_time.map(Timestamp::millis))
            .bind(changes.floor.cast_signed())
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        if moved.rows_affected() == 0 {
            return Err(Error::Superseded);
        }
        let pages = prepared.write(&mut transaction, changes).await?;
        write(&mut transaction, changes).await?;
        Ok((transaction, pages))
    }
}

async fn write(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    delete_cells(connection, &changes.gone).await?;
    write_sessions(connection, changes).await?;
    write_seen(connection, changes).await?;
    write_retractions(connection, changes).await?;
    write_books(connection, changes).await?;
    write_clocks(connection, changes).await?;
    write_left_out(connection, changes).await?;
    if let Some(log_time) = changes.log_time {
        forget(connection, changes, log_time).await?;
    }
    Ok(())
}

/// Sessions, which are rows of their own.
async fn write_sessions(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let (partition, changed_at) = (i64::from(changes.partition.index()), changes.published_at().millis());
    let mut rows = Vec::new();
    for ChangedCell { id, group, raw_seq, update, .. } in sessions(changes) {
        let dimensions: BTreeMap<&str, &str> = update.group.dimensions().collect();
        let dimensions = serde_json::to_string(&dimensions).map_err(|_| StoreError::Malformed("dimensions"))?;
        let totals = serde_json::to_string(&update.totals).map_err(|_| StoreError::Malformed("totals"))?;
        let row = SqlValues::new()
            .bind(id.to_vec())
            .bind(partition)
            .bind(update.metric())
            .bind(update.version())
            .bind(update.start.millis())
            .bind(update.end.millis())
            .bind(dimensions)
            .bind(totals)
            .bind(raw_seq.cast_signed())
            .bind(update.exemplar.map(|trace| trace.to_string()))
            .bind(group.map(|group| group.to_vec()))
            .bind(changed_at);
        rows.push(row);
    }
    insert_rows(connection, CELLS, CELLS_UPDATE, rows).await?;
    Ok(())
}

async fn write_seen(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let floor = changes.floor.cast_signed();
    let fresh = sessions(changes).filter(|cell| !cell.fresh.is_empty());
    let rows = fresh.map(|cell| SqlValues::new().bind(cell.id.to_vec()).bind(floor).bind(seen::packed(&cell.fresh)));
    // The same checkpoint, written again.
    let conflict = "ON CONFLICT (cell, floor) DO NOTHING";
    insert_rows(connection, "seen_values (cell, floor, hashes)", conflict, rows).await?;
    Ok(())
}

async fn write_retractions(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(changes.retractions.len());
    for Retraction { raw_seq, cell } in &changes.retractions {
        let text = serde_json::to_string(cell).map_err(|_| StoreError::Malformed("retraction"))?;
        let row = SqlValues::new()
            .bind(published_id(changes.partition, cell).to_vec())
            .bind(i64::from(changes.partition.index()))
            .bind(raw_seq.cast_signed())
            .bind(changes.published_at().millis())
            .bind(text);
        rows.push(row);
    }
    let into = "retractions (id, partition, raw_seq, noted_at, cell)";
    insert_rows(connection, into, "ON CONFLICT (id) DO NOTHING", rows).await?;
    Ok(())
}

async fn write_books(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let partition = i64::from(changes.partition.index());
    let row = |((source, hour), outcomes): &(BooksKey, EventOutcomes)| {
        SqlValues::new()
            .bind(partition)
            .bind(source)
            .bind(hour.millis())
            .bind(outcomes.counted.cast_signed())
            .bind(outcomes.late.cast_signed())
            .bind(outcomes.duplicate.cast_signed())
            .bind(outcomes.repeated.cast_signed())
    };
    let into = "books (partition, source, hour, counted, late, duplicate, repeated)";
    insert_rows(connection, into, BOOKS_UPDATE, changes.books.iter().map(row)).await?;
    Ok(())
}

async fn write_clocks(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let partition = i64::from(changes.partition.index());
    let dropped = "DELETE FROM clocks WHERE partition = ? AND source IN (?)";
    for_keys(connection, dropped, &SqlValues::new().bind(partition), &changes.clocks.dropped).await?;
    let row = |StoredClock { source, newest, met }: &StoredClock| {
        SqlValues::new().bind(partition).bind(source).bind(newest.millis()).bind(met.cast_signed())
    };
    let (into, conflict) = (
        "clocks (partition, source, newest, met)",
        "ON CONFLICT (partition, source) DO UPDATE SET newest = excluded.newest, met = excluded.met",
    );
    insert_rows(connection, into, conflict, changes.clocks.moved.iter().map(row)).await?;
    Ok(())
}

async fn write_left_out(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let partition = i64::from(changes.partition.index());
    let counted = changes.left_out.iter().filter(|(_, since)| since.is_none()).map(|(event, _)| event.to_vec());
    let delete = "DELETE FROM left_out WHERE partition = ? AND event IN (?)";
    for_keys(connection, delete, &SqlValues::new().bind(partition), counted).await?;
    let rows = changes.left_out.iter().filter_map(|(event, since)| {
        Some(SqlValues::new().bind(partition).bind(event.to_vec()).bind((*since)?.millis()))
    });
    let conflict = "ON CONFLICT (partition, event) DO UPDATE SET since = excluded.since";
    insert_rows(connection, "left_out (partition, event, since)", conflict, rows).await?;
    Ok(())
}

fn sessions(changes: &PartitionChanges) -> impl Iterator<Item = &ChangedCell> {
    changes.cells.iter().filter(|cell| cell.group.is_some())
}

/// Readers need not be told again of what they were told before this time.
fn told_before(log_time: Timestamp) -> i64 {
    let kept = i64::try_from(StreamName::Metrics.max_age().as_millis()).unwrap_or(i64::MAX);
    log_time.plus_millis(-kept).millis()
}

/// Deletes some of what no event can change any more, and what readers need
/// not be told again: METRICS itself keeps nothing for longer.
async fn forget(
    connection: &mut AnyConnection,
    changes: &PartitionChanges,
    log_time: Timestamp,
) -> Result<(), StoreError> {
    let partition = i64::from(changes.partition.index());
    let told_before = told_before(log_time);
    if let Some(ended_before) = changes.forgotten_before {
        let sql = "SELECT id FROM cells WHERE partition = $1 AND window_end <= $2 AND changed_at < $3 \
                   ORDER BY window_end LIMIT $4";
        let query = sqlx::query(sql).bind(partition).bind(ended_before.millis()).bind(told_before);
        let rows = query.bind(FORGOTTEN_AT_ONCE).fetch_all(&mut *connection).await?;
        let ids: Vec<CellId> = rows.iter().map(|row| cell_id(row, 0)).collect::<Result<_, _>>()?;
        delete_cells(connection, &ids).await?;
    }
    let sql = "DELETE FROM retractions WHERE id IN (SELECT id FROM retractions WHERE partition = $1 AND noted_at < $2 \
               LIMIT $3)";
    sqlx::query(sql).bind(partition).bind(told_before).bind(FORGOTTEN_AT_ONCE).execute(&mut *connection).await?;
    // A day later than they count for nothing, since batches are not quite in the
    // order of their times.
    let forgotten = log_time.plus_millis(-tidemill_lateness::kept_millis() - DAY).millis();
    let sql = "DELETE FROM left_out WHERE partition = $1 AND event IN \
               (SELECT event FROM left_out WHERE partition = $1 AND since < $2 LIMIT $3)";
    sqlx::query(sql).bind(partition).bind(forgotten).bind(FORGOTTEN_AT_ONCE).execute(&mut *connection).await?;
    Ok(())
}
