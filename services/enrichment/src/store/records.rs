//! What is known of products, customers, countries and rates.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Currency, Timestamp, text::has_control};
use tidemill_store::{Error as StoreError, SqlValues, for_keys, refused};

use super::{Store, signed, unsigned};
use crate::reference::{RecordAttributes, RecordChange, RecordKind};

/// The accepted changes of each id, the oldest first.
pub(super) type Histories = HashMap<String, Vec<RecordChange>>;

impl Store {
    /// The number of accepted changes of reference data.
    pub(crate) async fn version(&self) -> Result<u64, StoreError> {
        let version =
            sqlx::query_scalar("SELECT version FROM reference_version").fetch_one(self.database.pool()).await?;
        unsigned(version)
    }

    /// What changed after `version`, at most `limit` of it.
    pub(crate) async fn changed_ids(
        &self,
        version: u64,
        limit: usize,
    ) -> Result<Vec<(RecordKind, String)>, StoreError> {
        let rows = sqlx::query("SELECT kind, id FROM reference_changes WHERE version > $1 ORDER BY version LIMIT $2")
            .bind(signed(version))
            .bind(signed(limit as u64))
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(|row| Ok((kind(row.try_get(0)?)?, row.try_get(1)?))).collect()
    }

    /// What was accepted for these ids; those without anything are left out.
    /// They come from events, so they may be any text. Of one that is no name, or
    /// that the database cannot hold, nothing is known: on every database alike.
    pub(crate) async fn histories(&self, kind: RecordKind, ids: &[&str]) -> Result<Histories, StoreError> {
        let names: Vec<&str> = ids.iter().copied().filter(|id| !has_control(id)).collect();
        self.known_of(kind, names).await
    }

    pub(super) async fn known_of(&self, kind: RecordKind, mut ids: Vec<&str>) -> Result<Histories, StoreError> {
        match self.ask(kind, &ids).await {
            Err(error) if error.is_refusal() => {}
            answer => return answer,
        }
        let trial = |places: Vec<usize>| {
            let some: Vec<&str> = places.iter().map(|place| ids[*place]).collect();
            async move { self.ask(kind, &some).await.map(drop) }
        };
        let refused = refused(ids.len(), trial, StoreError::is_refusal).await?;
        tracing::warn!(%kind, ids = refused.len(), "ids that the database cannot hold: nothing is known of them");
        for place in refused.into_iter().rev() {
            ids.remove(place);
        }
        self.ask(kind, &ids).await
    }

    async fn ask(&self, kind: RecordKind, ids: &[&str]) -> Result<Histories, StoreError> {
        let mut connection = self.database.pool().acquire().await?;
        histories(&mut connection, kind, ids).await
    }

    /// What was accepted for every id of a kind.
    pub(crate) async fn histories_of(&self, kind: RecordKind) -> Result<Histories, StoreError> {
        let rows = sqlx::query(
            "SELECT id, version, valid_from, attributes, claimed_at, base FROM reference_changes \
             WHERE kind = $1 ORDER BY version",
        )
        .bind(kind.as_str())
        .fetch_all(self.database.pool())
        .await?;
        by_id(&rows)
    }

    /// The ids of a kind that come after `after`, in their order.
    pub(crate) async fn ids(&self, kind: RecordKind, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT id FROM reference_changes WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(kind.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?)
    }
}

pub(super) async fn histories(
    connection: &mut AnyConnection,
    kind: RecordKind,
    ids: &[&str],
) -> Result<Histories, StoreError> {
    let sql = "SELECT id, version, valid_from, attributes, claimed_at, base FROM reference_changes \
               WHERE kind = ? AND id IN (?) ORDER BY version";
    by_id(&for_keys(connection, sql, &SqlValues::new().bind(kind.as_str()), ids.iter().copied()).await?)
}

fn by_id(rows: &[AnyRow]) -> Result<Histories, StoreError> {
    let mut histories = Histories::new();
    for row in rows {
        let attributes: String = row.try_get(3)?;
        histories.entry(row.try_get(0)?).or_default().push(RecordChange {
            version: unsigned(row.try_get(1)?)?,
            valid_from: row.try_get::<Option<i64>, _>(2)?.map(Timestamp::saturating_from_millis),
            attributes: serde_json::from_str::<RecordAttributes>(&attributes)
                .map_err(|_| StoreError::Malformed("attributes"))?,
            claimed_at: row.try_get::<Option<i64>, _>(4)?.map(Timestamp::saturating_from_millis),
            base: currency(row.try_get(5)?)?,
        });
    }
    Ok(histories)
}

/// A base currency, where one is stored.
pub(super) fn currency(stored: Option<String>) -> Result<Option<Currency>, StoreError> {
    stored.map(|code| code.parse().map_err(|_| StoreError::Malformed("base"))).transpose()
}

fn kind(text: &str) -> Result<RecordKind, StoreError> {
    RecordKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(StoreError::Malformed("kind"))
}
