//! The clocks of sources, and what was left out, as of a place in the log.

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_lateness::{ClockChanges, EventName, StoredClock, StoredClocks, kept_millis};
use tidemill_store::{Error, SqlValues, for_keys, insert_rows};

use super::Store;

/// Events that one checkpoint forgets at most.
const FORGOTTEN_AT_ONCE: i64 = 500;
const DAY: i64 = 24 * 3_600_000;

/// What is known of a partition's sources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LatenessState {
    /// The last batch of `RAW` that it knows; 0 for none.
    pub(crate) floor: u64,
    pub(crate) clocks: StoredClocks,
    /// Whether any events were left out.
    pub(crate) has_left_out: bool,
}

/// What became of that up to a batch.
#[derive(Debug, Clone)]
pub(crate) struct LatenessChanges {
    pub(crate) partition: Partition,
    /// The floor that these are changes of.
    pub(crate) after: u64,
    pub(crate) floor: u64,
    pub(crate) clocks: ClockChanges,
    pub(crate) left_out: Vec<(EventName, Option<Timestamp>)>,
    /// The log's clock.
    pub(crate) log_time: Timestamp,
}

impl Store {
    /// What is known of a partition's sources.
    pub(crate) async fn lateness(&self, partition: Partition) -> Result<LatenessState, Error> {
        let index = i64::from(partition.index());
        let mut snapshot = self.database.snapshot().await?;
        let query = sqlx::query("SELECT floor, furthest FROM partitions WHERE partition = $1").bind(index);
        let Some(row) = query.fetch_optional(&mut *snapshot).await? else { return Ok(LatenessState::default()) };
        let furthest: Option<i64> = row.try_get(1)?;
        let floor = unsigned(&row, 0)?;
        let query = sqlx::query("SELECT source, newest, met FROM clocks WHERE partition = $1").bind(index);
        let rows = query.fetch_all(&mut *snapshot).await?;
        let clock =
            |row: &AnyRow| Ok(StoredClock { source: row.try_get(0)?, newest: time(row, 1)?, met: unsigned(row, 2)? });
        let clocks = rows.iter().map(clock).collect::<Result<_, Error>>()?;
        let query = sqlx::query("SELECT since FROM left_out WHERE partition = $1 LIMIT 1").bind(index);
        let has_left_out = query.fetch_optional(&mut *snapshot).await?.is_some();
        let furthest = furthest.map(Timestamp::saturating_from_millis);
        Ok(LatenessState { floor, clocks: StoredClocks { clocks, furthest }, has_left_out })
    }

    /// Forgets a partition: it begins again with the log.
    pub(crate) async fn forget(&self, partition: Partition) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        for table in ["partitions", "clocks", "left_out"] {
            let sql = format!("DELETE FROM {table} WHERE partition = $1");
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(partition.index()));
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Of these events, those that were left out, and when.
    pub(crate) async fn left_out(
        &self,
        partition: Partition,
        events: &[EventName],
    ) -> Result<Vec<(EventName, Timestamp)>, Error> {
        let sql = "SELECT event, since FROM left_out WHERE partition = $1 AND event = $2";
        let mut known = Vec::new();
        for event in events {
            let query = sqlx::query(sql).bind(i64::from(partition.index())).bind(event.to_vec());
            if let Some(row) = query.fetch_optional(self.database.pool()).await? {
                known.push((*event, time(&row, 1)?));
            }
        }
        Ok(known)
    }

    /// Moves a partition on. Answers whether it stood where the changes begin: else
    /// another replica has gone on, or gone back.
    pub(crate) async fn move_on(&self, changes: &LatenessChanges) -> Result<bool, Error> {
        let mut transaction = self.database.begin().await?;
        let index = i64::from(changes.partition.index());
        sqlx::query("INSERT INTO partitions (partition, floor) VALUES ($1, 0) ON CONFLICT (partition) DO NOTHING")
            .bind(index)
            .execute(&mut *transaction)
            .await?;
        let sql = "UPDATE partitions SET floor = $1, furthest = $2 WHERE partition = $3 AND floor = $4";
        let moved = sqlx::query(sql)
            .bind(changes.floor.cast_signed())
            .bind(changes.clocks.furthest.map(Timestamp::millis))
            .bind(index)
            .bind(changes.after.cast_signed())
            .execute(&mut *transaction)
            .await?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        write_clocks(&mut transaction, index, &changes.clocks).await?;
        write_left_out(&mut transaction, index, changes).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

async fn write_clocks(connection: &mut AnyConnection, index: i64, changes: &ClockChanges) -> Result<(), Error> {
    let dropped = "DELETE FROM clocks WHERE partition = ? AND source IN (?)";
    for_keys(connection, dropped, &SqlValues::new().bind(index), &changes.dropped).await?;
    let row = |StoredClock { source, newest, met }: &StoredClock| {
        SqlValues::new().bind(index).bind(source).bind(newest.millis()).bind(met.cast_signed())
    };
    let (into, conflict) = (
        "clocks (partition, source, newest, met)",
        "ON CONFLICT (partition, source) DO UPDATE SET newest = excluded.newest, met = excluded.met",
    );
    insert_rows(connection, into, conflict, changes.moved.iter().map(row)).await?;
    Ok(())
}

async fn write_left_out(connection: &mut AnyConnection, index: i64, changes: &LatenessChanges) -> Result<(), Error> {
    let counted = changes.left_out.iter().filter(|(_, since)| since.is_none()).map(|(event, _)| event.to_vec());
    let delete = "DELETE FROM left_out WHERE partition = ? AND event IN (?)";
    for_keys(connection, delete, &SqlValues::new().bind(index), counted).await?;
    let rows = changes
        .left_out
        .iter()
        .filter_map(|(event, since)| Some(SqlValues::new().bind(index).bind(event.to_vec()).bind((*since)?.millis())));
    let conflict = "ON CONFLICT (partition, event) DO UPDATE SET since = excluded.since";
    insert_rows(connection, "left_out (partition, event, since)", conflict, rows).await?;
    // A day later than they count for nothing, since batches are not quite in the
    // order of their times.
    let forgotten = changes.log_time.plus_millis(-kept_millis() - DAY).millis();
    let sql = "DELETE FROM left_out WHERE partition = $1 AND event IN \
               (SELECT event FROM left_out WHERE partition = $1 AND since < $2 LIMIT $3)";
    sqlx::query(sql).bind(index).bind(forgotten).bind(FORGOTTEN_AT_ONCE).execute(&mut *connection).await?;
    Ok(())
}

fn time(row: &AnyRow, column: usize) -> Result<Timestamp, Error> {
    Ok(Timestamp::saturating_from_millis(row.try_get(column)?))
}

fn unsigned(row: &AnyRow, column: usize) -> Result<u64, Error> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| Error::Malformed("count"))
}
