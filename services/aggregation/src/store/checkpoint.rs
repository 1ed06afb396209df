//! The one transaction that moves a partition on.

use sqlx::{Any, AnyConnection, AssertSqlSafe, Transaction};
use tidemill_domain::Timestamp;
use tidemill_events::StreamName;
use tidemill_store::{Error as StoreError, placeholders, rows_per_statement};

use super::{PartitionClaim, Store, cell_id};
use crate::{
    error::Error,
    fold::{
        cell::{CellId, published_id},
        changes::{ChangedCell, PartitionChanges, Retraction},
        clocks::StoredClock,
        left_out,
    },
};

/// Cells that one checkpoint deletes at most, because they are not kept any
/// longer.
const FORGOTTEN_AT_ONCE: i64 = 500;
const DAY: i64 = 24 * 3_600_000;

impl Store {
    /// Writes what has changed since the last checkpoint, and the position
    /// that it belongs to. Writing it again is harmless. Whoever is not the
    /// owner any more writes nothing.
    pub(crate) async fn checkpoint(&self, changes: &PartitionChanges, claim: &PartitionClaim) -> Result<(), Error> {
        self.call(async {
            let transaction = self.written(changes, claim).await?;
            Ok(transaction.commit().await.map_err(StoreError::from)?)
        })
        .await
    }

    /// Whether a checkpoint could be written. Nothing is.
    pub(crate) async fn try_checkpoint(&self, changes: &PartitionChanges, claim: &PartitionClaim) -> Result<(), Error> {
        self.call(async {
            let transaction = self.written(changes, claim).await?;
            Ok(transaction.rollback().await.map_err(StoreError::from)?)
        })
        .await
    }

    async fn written(&self, changes: &PartitionChanges, claim: &PartitionClaim) -> Result<Transaction<'_, Any>, Error> {
        let mut transaction = self.database.begin().await?;
        // First, so that nobody can claim the partition until all is written:
        // the row stays locked.
        let sql = "UPDATE partitions SET floor = $1, furthest = $4, log_time = COALESCE($5, log_time) \
                   WHERE partition = $2 AND epoch = $3 AND floor <= $1";
        let moved = sqlx::query(sql)
            .bind(changes.floor.cast_signed())
            .bind(i64::from(changes.partition.index()))
            .bind(claim.epoch)
            .bind(changes.clocks.furthest.map(Timestamp::millis))
            .bind(changes.log_time.map(Timestamp::millis))
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        if moved.rows_affected() == 0 {
            return Err(Error::Superseded);
        }
        write(&mut transaction, changes).await?;
        Ok(transaction)
    }
}

async fn write(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    delete_cells(connection, &changes.gone).await?;
    write_cells(connection, changes).await?;
    write_seen(connection, &changes.cells).await?;
    write_retractions(connection, changes).await?;
    write_books(connection, changes).await?;
    write_clocks(connection, changes).await?;
    write_left_out(connection, changes).await?;
    if let Some(log_time) = changes.log_time {
        forget(connection, changes, log_time).await?;
    }
    Ok(())
}

async fn write_cells(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let changed_at = changes.published_at().millis();
    for chunk in changes.cells.chunks(rows_per_statement(12)) {
        let sql = format!(
            "INSERT INTO cells (id, partition, metric, version, window_start, window_end, dimensions, totals, raw_seq, \
             exemplar, session_group, changed_at) VALUES {} ON CONFLICT (id) DO UPDATE SET \
             window_start = excluded.window_start, window_end = excluded.window_end, totals = excluded.totals, \
             raw_seq = excluded.raw_seq, exemplar = excluded.exemplar, changed_at = excluded.changed_at",
            placeholders(chunk.len(), 12)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for ChangedCell { id, group, raw_seq, update, .. } in chunk {
            let dimensions =
                serde_json::to_string(&update.dimensions).map_err(|_| StoreError::Malformed("dimensions"))?;
            let totals = serde_json::to_string(&update.totals).map_err(|_| StoreError::Malformed("totals"))?;
            query = query
                .bind(id.to_vec())
                .bind(i64::from(changes.partition.index()))
                .bind(&update.metric)
                .bind(&update.version)
                .bind(update.start.millis())
                .bind(update.end.millis())
                .bind(dimensions)
                .bind(totals)
                .bind(raw_seq.cast_signed())
                .bind(update.exemplar.map(|trace| trace.to_string()))
                .bind(group.map(|group| group.to_vec()))
                .bind(changed_at);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_seen(connection: &mut AnyConnection, cells: &[ChangedCell]) -> Result<(), StoreError> {
    let fresh = |cell: &ChangedCell| {
        let id = cell.id;
        cell.fresh.clone().into_iter().map(move |(measure, hash)| (id, measure, hash))
    };
    let seen: Vec<(CellId, usize, u64)> = cells.iter().flat_map(fresh).collect();
    for chunk in seen.chunks(rows_per_statement(3)) {
        let sql = format!(
            "INSERT INTO seen (cell, measure, hash) VALUES {} ON CONFLICT (cell, measure, hash) DO NOTHING",
            placeholders(chunk.len(), 3)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (id, measure, hash) in chunk {
            query = query.bind(id.to_vec()).bind((*measure as u64).cast_signed()).bind(hash.cast_signed());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_retractions(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    for chunk in changes.retractions.chunks(rows_per_statement(5)) {
        let sql = format!(
            "INSERT INTO retractions (id, partition, raw_seq, noted_at, cell) VALUES {} ON CONFLICT (id) DO NOTHING",
            placeholders(chunk.len(), 5)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for Retraction { raw_seq, cell } in chunk {
            let text = serde_json::to_string(cell).map_err(|_| StoreError::Malformed("retraction"))?;
            query = query
                .bind(published_id(changes.partition, cell).to_vec())
                .bind(i64::from(changes.partition.index()))
                .bind(raw_seq.cast_signed())
                .bind(changes.published_at().millis())
                .bind(text);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_books(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    for chunk in changes.books.chunks(rows_per_statement(7)) {
        let sql = format!(
            "INSERT INTO books (partition, source, hour, counted, late, duplicate, repeated) VALUES {} \
             ON CONFLICT (partition, source, hour) DO UPDATE SET counted = excluded.counted, \
             late = excluded.late, duplicate = excluded.duplicate, repeated = excluded.repeated",
            placeholders(chunk.len(), 7)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for ((source, hour), outcomes) in chunk {
            query = query
                .bind(i64::from(changes.partition.index()))
                .bind(source)
                .bind(hour.millis())
                .bind(outcomes.counted.cast_signed())
                .bind(outcomes.late.cast_signed())
                .bind(outcomes.duplicate.cast_signed())
                .bind(outcomes.repeated.cast_signed());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_clocks(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let partition = i64::from(changes.partition.index());
    for chunk in changes.clocks.dropped.chunks(rows_per_statement(1) - 1) {
        let places: Vec<String> = (2..chunk.len() + 2).map(|place| format!("${place}")).collect();
        let sql = format!("DELETE FROM clocks WHERE partition = $1 AND source IN ({})", places.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(partition);
        for source in chunk {
            query = query.bind(source);
        }
        query.execute(&mut *connection).await?;
    }
    for chunk in changes.clocks.moved.chunks(rows_per_statement(4)) {
        let sql = format!(
            "INSERT INTO clocks (partition, source, newest, met) VALUES {} \
             ON CONFLICT (partition, source) DO UPDATE SET newest = excluded.newest, met = excluded.met",
            placeholders(chunk.len(), 4)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for StoredClock { source, newest, met } in chunk {
            query = query.bind(partition).bind(source).bind(newest.millis()).bind(met.cast_signed());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_left_out(connection: &mut AnyConnection, changes: &PartitionChanges) -> Result<(), StoreError> {
    let partition = i64::from(changes.partition.index());
    for (event, since) in &changes.left_out {
        let sql = match since {
            Some(_) => {
                "INSERT INTO left_out (partition, event, since) VALUES ($1, $2, $3) \
                 ON CONFLICT (partition, event) DO UPDATE SET since = excluded.since"
            }
            None => "DELETE FROM left_out WHERE partition = $1 AND event = $2",
        };
        let mut query = sqlx::query(sql).bind(partition).bind(event.to_vec());
        if let Some(since) = since {
            query = query.bind(since.millis());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn delete_cells(connection: &mut AnyConnection, ids: &[CellId]) -> Result<(), StoreError> {
    for chunk in ids.chunks(rows_per_statement(1)) {
        for statement in ["DELETE FROM seen WHERE cell IN", "DELETE FROM cells WHERE id IN"] {
            let sql = format!("{statement} {}", placeholders(1, chunk.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for id in chunk {
                query = query.bind(id.to_vec());
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Deletes some of what no event can change any more, and what readers need
/// not be told again: METRICS itself keeps nothing for longer.
async fn forget(
    connection: &mut AnyConnection,
    changes: &PartitionChanges,
    log_time: Timestamp,
) -> Result<(), StoreError> {
    let partition = i64::from(changes.partition.index());
    let kept = i64::try_from(StreamName::Metrics.max_age().as_millis()).unwrap_or(i64::MAX);
    let told_before = log_time.plus_millis(-kept).millis();
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
    let forgotten = log_time.plus_millis(-left_out::kept_millis() - DAY).millis();
    let sql = "DELETE FROM left_out WHERE partition = $1 AND event IN \
               (SELECT event FROM left_out WHERE partition = $1 AND since < $2 LIMIT $3)";
    sqlx::query(sql).bind(partition).bind(forgotten).bind(FORGOTTEN_AT_ONCE).execute(&mut *connection).await?;
    Ok(())
}
