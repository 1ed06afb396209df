//! The orders that are remembered, and what was done to them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error as StoreError, SqlValues, for_keys, insert_rows};

use super::{Store, signed, unsigned};
use crate::{
    duplicates::EventKey,
    orders::{BatchChanges, EffectPlace, KeptChanges, OrderKey, RememberedOrder},
};

/// What a checkpoint stores of a partition's orders.
#[derive(Clone, Copy)]
pub(crate) struct OrdersCheckpoint<'a> {
    pub(crate) changed: &'a HashMap<OrderKey, RememberedOrder>,
    pub(crate) kept: &'a [KeptChanges],
    /// Orders that nothing happened to since then are forgotten.
    pub(crate) forget_before: Option<Timestamp>,
    /// What was done in batches of before is not asked for any more.
    pub(crate) prune_before: Option<Timestamp>,
}

impl Store {
    /// Of these orders, what is remembered.
    pub(crate) async fn orders(
        &self,
        partition: Partition,
        keys: &HashSet<OrderKey>,
    ) -> Result<HashMap<OrderKey, RememberedOrder>, StoreError> {
        let mut connection = self.database.pool().acquire().await?;
        let sql = "SELECT id, touched, body FROM orders WHERE partition = ? AND id IN (?)";
        let partition = SqlValues::new().bind(i64::from(partition.index()));
        let keys = keys.iter().map(|key| key.to_bytes().to_vec());
        let mut found = HashMap::new();
        for row in for_keys(&mut connection, sql, &partition, keys).await? {
            let touched = Timestamp::saturating_from_millis(row.try_get(1)?);
            found.insert(key(&row)?, RememberedOrder { touched, order: read(row.try_get(2)?)? });
        }
        Ok(found)
    }

    /// The orders of which something was told, and that have not come.
    pub(crate) async fn waiting_orders(&self, partition: Partition) -> Result<HashSet<OrderKey>, StoreError> {
        let rows = sqlx::query("SELECT id FROM orders WHERE partition = $1 AND placed = 0")
            .bind(i64::from(partition.index()))
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(key).collect()
    }

    /// What the events of a batch did to orders that were there.
    pub(crate) async fn order_changes(&self, partition: Partition, raw_seq: u64) -> Result<BatchChanges, StoreError> {
        let body = sqlx::query_scalar("SELECT body FROM order_changes WHERE partition = $1 AND raw_seq = $2")
            .bind(i64::from(partition.index()))
            .bind(signed(raw_seq))
            .fetch_optional(self.database.pool())
            .await?;
        body.map_or_else(|| Ok(BatchChanges::new()), read)
    }

    /// Of these events, those that did something to an order that was there, and
    /// where that stands; as far as ingestion took them in since then.
    pub(crate) async fn order_effects(
        &self,
        partition: Partition,
        events: &BTreeSet<EventKey>,
        since: Timestamp,
    ) -> Result<BTreeMap<EventKey, EffectPlace>, StoreError> {
        let sql = "SELECT event, raw_seq, place FROM order_events WHERE partition = ? AND ingested_at >= ? \
                   AND event IN (?)";
        let others = SqlValues::new().bind(i64::from(partition.index())).bind(since.millis());
        let keys = events.iter().map(|event| event.to_bytes().to_vec());
        let mut connection = self.database.pool().acquire().await?;
        let mut found = BTreeMap::new();
        for row in for_keys(&mut connection, sql, &others, keys).await? {
            let event: Vec<u8> = row.try_get(0)?;
            let event = event.try_into().map(EventKey::from_bytes).map_err(|_| StoreError::Malformed("event"))?;
            let place: i64 = row.try_get(2)?;
            let place = usize::try_from(place).map_err(|_| StoreError::Malformed("place"))?;
            found.insert(event, EffectPlace { raw_seq: unsigned(row.try_get(1)?)?, place });
        }
        Ok(found)
    }
}

pub(super) async fn keep(
    connection: &mut AnyConnection,
    partition: Partition,
    orders: &OrdersCheckpoint<'_>,
) -> Result<(), StoreError> {
    let partition = i64::from(partition.index());
    upsert(connection, partition, orders.changed).await?;
    insert_changes(connection, partition, orders.kept).await?;
    upsert_events(connection, partition, orders.kept).await?;
    for (table, time, before) in [
        ("orders", "touched", orders.forget_before),
        ("order_changes", "ingested_at", orders.prune_before),
        ("order_events", "ingested_at", orders.prune_before),
    ] {
        let Some(before) = before else { continue };
        let sql = format!("DELETE FROM {table} WHERE partition = $1 AND {time} < $2");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(partition).bind(before.millis()).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn upsert(
    connection: &mut AnyConnection,
    partition: i64,
    orders: &HashMap<OrderKey, RememberedOrder>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(orders.len());
    for (key, RememberedOrder { touched, order }) in orders {
        let row = SqlValues::new()
            .bind(partition)
            .bind(key.to_bytes().to_vec())
            .bind(touched.millis())
            .bind(i64::from(order.is_placed()))
            .bind(written(order)?);
        rows.push(row);
    }
    let conflict = "ON CONFLICT (partition, id) \
         DO UPDATE SET touched = excluded.touched, placed = excluded.placed, body = excluded.body";
    insert_rows(connection, "orders (partition, id, touched, placed, body)", conflict, rows).await?;
    Ok(())
}

async fn insert_changes(
    connection: &mut AnyConnection,
    partition: i64,
    kept: &[KeptChanges],
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(kept.len());
    for KeptChanges { raw_seq, ingested_at, changes, .. } in kept {
        let row = SqlValues::new().bind(partition).bind(signed(*raw_seq)).bind(ingested_at.millis());
        rows.push(row.bind(written(changes)?));
    }
    insert_rows(connection, "order_changes (partition, raw_seq, ingested_at, body)", "", rows).await?;
    Ok(())
}

/// An event that was forgotten as one that came before may do something once more.
async fn upsert_events(connection: &mut AnyConnection, partition: i64, kept: &[KeptChanges]) -> Result<(), StoreError> {
    let of_batch = |kept: &'_ KeptChanges| {
        let (raw_seq, ingested_at) = (signed(kept.raw_seq), kept.ingested_at.millis());
        kept.events.clone().into_iter().map(move |(event, place)| (event, (raw_seq, place, ingested_at)))
    };
    // Of one event the last counts: a statement takes each row once.
    let events: BTreeMap<EventKey, _> = kept.iter().flat_map(of_batch).collect();
    let mut rows = Vec::with_capacity(events.len());
    for (event, (raw_seq, place, ingested_at)) in events {
        let place = i64::try_from(place).map_err(|_| StoreError::Malformed("place"))?;
        let row = SqlValues::new().bind(partition).bind(event.to_bytes().to_vec()).bind(raw_seq);
        rows.push(row.bind(place).bind(ingested_at));
    }
    let conflict = "ON CONFLICT (partition, event) DO UPDATE SET raw_seq = excluded.raw_seq, place = excluded.place, \
         ingested_at = excluded.ingested_at";
    insert_rows(connection, "order_events (partition, event, raw_seq, place, ingested_at)", conflict, rows).await?;
    Ok(())
}

fn key(row: &AnyRow) -> Result<OrderKey, StoreError> {
    let bytes: Vec<u8> = row.try_get(0)?;
    bytes.try_into().map(OrderKey::from_bytes).map_err(|_| StoreError::Malformed("id"))
}

/// As bytes, so that a database takes any text in it.
fn written(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|_| StoreError::Malformed("body"))
}

fn read<T: DeserializeOwned>(body: Vec<u8>) -> Result<T, StoreError> {
    serde_json::from_slice(&body).map_err(|_| StoreError::Malformed("body"))
}
