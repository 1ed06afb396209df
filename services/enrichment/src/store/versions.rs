//! Changes of what is known: each makes a version.

use std::collections::HashMap;

use sqlx::AnyConnection;
use tidemill_domain::Timestamp;
use tidemill_store::{Error as StoreError, SqlValues, insert_rows};

use super::{
    Store,
    records::{Histories, histories},
    signed, unsigned,
};
use crate::{
    error::Error,
    reference::{Record, RecordChange, RecordKind, RecordVerdict, ReferenceFile, decide},
};

impl Store {
    /// Takes in records, in their order, and says what became of each.
    pub(crate) async fn accept(
        &self,
        records: &[Record],
        earliest: Timestamp,
    ) -> Result<Vec<RecordVerdict>, StoreError> {
        let mut transaction = self.database.begin().await?;
        let verdicts = accept(&mut transaction, records, earliest).await?;
        transaction.commit().await?;
        Ok(verdicts)
    }

    /// Takes in a file, if its content is not what was loaded last.
    pub(crate) async fn load(
        &self,
        file: &ReferenceFile,
        earliest: Timestamp,
    ) -> Result<Option<Vec<RecordVerdict>>, Error> {
        let mut transaction = self.database.begin().await?;
        // This row is the writers' turn, also among replicas that start at once.
        lock_version(&mut transaction).await?;
        let sql = "INSERT INTO reference_files (path, digest) VALUES ($1, $2)
                   ON CONFLICT (path) DO UPDATE SET digest = excluded.digest
                   WHERE reference_files.digest <> excluded.digest";
        let fresh = sqlx::query(sql)
            .bind(&file.path)
            .bind(&file.digest)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        if fresh.rows_affected() == 0 {
            return Ok(None);
        }
        let verdicts = accept(&mut transaction, &file.records, earliest).await?;
        if let Some(at) = verdicts.iter().position(|verdict| *verdict == RecordVerdict::TooEarly) {
            let Record { kind, id, .. } = &file.records[at];
            let reason = format!(
                "{kind} {id:?}: {}, or behind its last one, if it is a rate: what was is never changed",
                Error::TooEarly { earliest }
            );
            return Err(Error::definition(&file.path, reason));
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(Some(verdicts))
    }
}

/// Takes the version row for the rest of the transaction.
async fn lock_version(connection: &mut AnyConnection) -> Result<u64, StoreError> {
    let version = sqlx::query_scalar("UPDATE reference_version SET version = version RETURNING version")
        .fetch_one(connection)
        .await?;
    unsigned(version)
}

async fn accept(
    connection: &mut AnyConnection,
    records: &[Record],
    earliest: Timestamp,
) -> Result<Vec<RecordVerdict>, StoreError> {
    let version = lock_version(connection).await?;
    let mut accepted: HashMap<RecordKind, Histories> = HashMap::new();
    for kind in RecordKind::ALL {
        let ids: Vec<&str> = records.iter().filter(|r| r.kind == kind).map(|r| r.id.as_str()).collect();
        accepted.insert(kind, histories(connection, kind, &ids).await?);
    }
    let mut newest = version;
    let mut changes: Vec<(&Record, RecordChange)> = Vec::new();
    let mut verdicts = Vec::with_capacity(records.len());
    for record in records {
        let history = accepted.entry(record.kind).or_default().entry(record.id.clone()).or_default();
        let is_new = history.first().is_none_or(|first| first.version > version);
        let verdict = decide(history, is_new, record, earliest, newest + 1);
        if let RecordVerdict::Changed(number, valid_from) = verdict {
            newest = number;
            let change = RecordChange { version: number, valid_from, attributes: record.attributes.clone() };
            history.push(change.clone());
            changes.push((record, change));
        }
        verdicts.push(verdict);
    }
    insert_changes(connection, &changes).await?;
    sqlx::query("UPDATE reference_version SET version = $1").bind(signed(newest)).execute(connection).await?;
    Ok(verdicts)
}

async fn insert_changes(connection: &mut AnyConnection, changes: &[(&Record, RecordChange)]) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(changes.len());
    for (record, change) in changes {
        let attributes = serde_json::to_string(&change.attributes).map_err(|_| StoreError::Malformed("attributes"))?;
        let row = SqlValues::new()
            .bind(record.kind.as_str())
            .bind(record.id.as_str())
            .bind(signed(change.version))
            .bind(change.valid_from.map(Timestamp::millis))
            .bind(attributes);
        rows.push(row);
    }
    insert_rows(connection, "reference_changes (kind, id, version, valid_from, attributes)", "", rows).await?;
    Ok(())
}
