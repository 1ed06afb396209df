//! What is known of products.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::Partition;
use tidemill_store::{Error as StoreError, SqlValues, insert_rows};

use super::{Store, number, unsigned, written::ItemNews};
use crate::error::Error;

const ITEMS: &str = "items (partition_no, item, raw_seq, told_at, body)";
/// A row of 0 is of an event that tells nothing of the product.
const ITEMS_UPDATE: &str = "ON CONFLICT (partition_no, item) DO UPDATE SET raw_seq = excluded.raw_seq, \
     told_at = excluded.told_at, body = excluded.body WHERE excluded.raw_seq > 0 OR items.raw_seq = 0";
/// Rows that are read at once.
const ROWS: i64 = 5_000;

/// What an event told of a product.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct KeptItem {
    pub(crate) category: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A product, and which batch told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredItem {
    pub(crate) id: String,
    pub(crate) raw_seq: u64,
    pub(crate) item: KeptItem,
}

impl Store {
    /// What is known of products behind the one with this id, by a partition; in the
    /// order of their ids, and none at the end.
    pub(crate) async fn items(&self, partition: Partition, after: &str) -> Result<Vec<StoredItem>, Error> {
        self.call(async {
            let sql = "SELECT item, raw_seq, body FROM items WHERE partition_no = $1 AND item > $2 \
                       ORDER BY item LIMIT $3";
            let query = sqlx::query(sql).bind(number(partition)).bind(after.as_bytes().to_vec()).bind(ROWS);
            let rows = query.fetch_all(self.database.pool()).await.map_err(StoreError::from)?;
            Ok(rows.iter().map(read).collect::<Result<_, StoreError>>()?)
        })
        .await
    }
}

fn read(row: &AnyRow) -> Result<StoredItem, StoreError> {
    let malformed = || StoreError::Malformed("item");
    let (id, body): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(2)?);
    let id = String::from_utf8(id).map_err(|_| malformed())?;
    let item = serde_json::from_slice(&body).map_err(|_| malformed())?;
    Ok(StoredItem { id, raw_seq: unsigned(row, 1)?, item })
}

/// Writes what is new of products.
pub(super) async fn write(
    connection: &mut AnyConnection,
    partition: Partition,
    news: &BTreeMap<&str, ItemNews<'_>>,
) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(news.len());
    for (id, ItemNews { raw_seq, told_at, item, .. }) in news {
        let item = KeptItem { category: item.category.clone(), attributes: item.attributes.clone() };
        let body = serde_json::to_vec(&item).map_err(|_| StoreError::Malformed("item"))?;
        let row = SqlValues::new().bind(number(partition)).bind(id.as_bytes()).bind(raw_seq.cast_signed());
        rows.push(row.bind(told_at.millis()).bind(body));
    }
    insert_rows(connection, ITEMS, ITEMS_UPDATE, rows).await?;
    Ok(())
}
