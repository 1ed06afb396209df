//! Changes of what is known: each makes a version.

use std::collections::HashMap;

use sqlx::AnyConnection;
use tidemill_definitions::DefinitionError;
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

    /// Takes in a file, if its content is not what was loaded last. A record that is not
    /// in it any more stays known.
    pub(crate) async fn load(&self, file: &ReferenceFile, earliest: Timestamp) -> Result<Option<LoadedFile>, Error> {
        let mut transaction = self.database.begin().await?;
        // This row is the writers' turn, also among replicas that start at once.
        lock_version(&mut transaction).await?;
        let (before, names) = (names(&mut transaction, &file.path).await?, file.names());
        let sql = "INSERT INTO reference_files (path, digest, records) VALUES ($1, $2, $3)
                   ON CONFLICT (path) DO UPDATE SET digest = excluded.digest, records = excluded.records
                   WHERE reference_files.digest <> excluded.digest";
        let fresh = sqlx::query(sql)
            .bind(&file.path)
            .bind(&file.digest)
            .bind(names.iter().flat_map(|name| name.to_be_bytes()).collect::<Vec<u8>>())
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        if fresh.rows_affected() == 0 {
            return Ok(None);
        }
        let verdicts = accept(&mut transaction, &file.records, earliest).await?;
        let too_early = |(at, verdict): (usize, &RecordVerdict)| match verdict {
            RecordVerdict::TooEarly(last_rate) => Some((at, *last_rate)),
            RecordVerdict::Changed(..) | RecordVerdict::Unchanged(_) => None,
        };
        if let Some((at, last_rate)) = verdicts.iter().enumerate().find_map(too_early) {
            let Record { kind, id, .. } = &file.records[at];
            let reason = format!("{kind} {id:?}: {}", Error::TooEarly { earliest, last_rate });
            let line = file.lines.get(at).copied().flatten();
            return Err(DefinitionError::new(&file.path, line, reason).into());
        }
        transaction.commit().await.map_err(StoreError::from)?;
        let kept = before.iter().filter(|name| names.binary_search(name).is_err()).count();
        Ok(Some(LoadedFile { verdicts, kept }))
    }
}

/// What became of a file whose content was new.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoadedFile {
    /// Of each record.
    pub(crate) verdicts: Vec<RecordVerdict>,
    /// Records that were in the file when it was last loaded, and are not any more.
    pub(crate) kept: usize,
}

/// The names of the records that a file had when it was last loaded.
async fn names(connection: &mut AnyConnection, path: &str) -> Result<Vec<u64>, StoreError> {
    let names: Option<Option<Vec<u8>>> = sqlx::query_scalar("SELECT records FROM reference_files WHERE path = $1")
        .bind(path)
        .fetch_optional(connection)
        .await?;
    match names.flatten().unwrap_or_default().as_chunks() {
        (names, []) => Ok(names.iter().copied().map(u64::from_be_bytes).collect()),
        _ => Err(StoreError::Malformed("records")),
    }
}

/// Takes the version row for the rest of the transaction.
pub(super) async fn lock_version(connection: &mut AnyConnection) -> Result<u64, StoreError> {
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
        let mut of_kind = histories(connection, kind, &ids).await?;
        // What events claim does not bind a person.
        of_kind.values_mut().for_each(|changes| changes.retain(|change| change.claimed_at.is_none()));
        accepted.insert(kind, of_kind);
    }
    let mut newest = version;
    let mut changes = Vec::new();
    let mut verdicts = Vec::with_capacity(records.len());
    for record in records {
        let history = accepted.entry(record.kind).or_default().entry(record.id.clone()).or_default();
        let is_new = history.first().is_none_or(|first| first.version > version);
        let verdict = decide(history, is_new, record, earliest, newest + 1);
        if let RecordVerdict::Changed(number, valid_from) = verdict {
            newest = number;
            let attributes = record.attributes.clone();
            let change = RecordChange { version: number, valid_from, attributes, claimed_at: None };
            history.push(change.clone());
            changes.push((record.kind, &record.id, change));
        }
        verdicts.push(verdict);
    }
    insert_changes(connection, &changes).await?;
    set_version(connection, newest).await?;
    Ok(verdicts)
}

pub(super) async fn set_version(connection: &mut AnyConnection, newest: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE reference_version SET version = $1").bind(signed(newest)).execute(connection).await?;
    Ok(())
}

/// Stores changes, each of the record of this kind and id.
pub(super) async fn insert_changes(
    connection: &mut AnyConnection,
    changes: &[(RecordKind, &String, RecordChange)],
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(changes.len());
    for (kind, id, change) in changes {
        let attributes = serde_json::to_string(&change.attributes).map_err(|_| StoreError::Malformed("attributes"))?;
        let row = SqlValues::new()
            .bind(kind.as_str())
            .bind(id.as_str())
            .bind(signed(change.version))
            .bind(change.valid_from.map(Timestamp::millis))
            .bind(attributes)
            .bind(change.claimed_at.map(Timestamp::millis));
        rows.push(row);
    }
    insert_rows(connection, "reference_changes (kind, id, version, valid_from, attributes, claimed_at)", "", rows)
        .await?;
    Ok(())
}
