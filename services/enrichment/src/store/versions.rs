//! Changes of what is known: each makes a version.

use std::collections::{HashMap, HashSet};

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_definitions::DefinitionError;
use tidemill_domain::{Currency, Timestamp};
use tidemill_store::{Error as StoreError, SqlValues, insert_rows};

use super::{
    Store,
    records::{Histories, currency, histories},
    signed, unsigned,
};
use crate::{
    error::Error,
    reference::{Record, RecordChange, RecordKind, RecordVerdict, ReferenceFile, decide, record_name},
};

impl Store {
    /// Takes in records, in their order, and says what became of each.
    pub(crate) async fn accept(
        &self,
        records: &[Record],
        earliest: Timestamp,
    ) -> Result<Vec<RecordVerdict>, StoreError> {
        let mut transaction = self.database.begin().await?;
        let verdicts = accept(&mut transaction, self.base, records, earliest).await?;
        transaction.commit().await?;
        Ok(verdicts)
    }

    /// Says of rates and files of an earlier release that they are of this base: of none
    /// is it known, and a shop changes it seldom.
    pub(super) async fn name_bases(&self) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        lock_version(&mut transaction).await?;
        for sql in [
            "UPDATE reference_changes SET base = $1 WHERE kind = 'rate' AND base IS NULL",
            "UPDATE reference_files SET base = $1 WHERE base IS NULL",
        ] {
            sqlx::query(sql).bind(self.base.as_str()).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Takes in a file, if its content is not what was loaded last; after a change of the
    /// base its rates, also if it is. A record that is not in it any more stays known.
    pub(crate) async fn load(&self, file: &ReferenceFile, earliest: Timestamp) -> Result<Option<LoadedFile>, Error> {
        let mut transaction = self.database.begin().await?;
        // This row is the writers' turn, also among replicas that start at once.
        lock_version(&mut transaction).await?;
        let (before, names) = (loaded(&mut transaction, &file.path).await?, file.names());
        let is_new = before.digest.as_ref() != Some(&file.digest);
        let is_of_another_base = before.base.is_some_and(|before| before != self.base);
        if !is_new && !is_of_another_base {
            return Ok(None);
        }
        keep_file(&mut transaction, file, &names, self.base).await?;
        let due = |record: &Record| is_new || record.kind == RecordKind::Rate;
        let (places, records): (Vec<usize>, Vec<Record>) =
            file.records.iter().cloned().enumerate().filter(|(_, record)| due(record)).unzip();
        let verdicts = accept(&mut transaction, self.base, &records, earliest).await?;
        let too_early = |(at, verdict): (usize, &RecordVerdict)| match verdict {
            RecordVerdict::TooEarly(last_rate) => Some((at, *last_rate)),
            RecordVerdict::Changed(..) | RecordVerdict::Unchanged(_) => None,
        };
        if let Some((at, last_rate)) = verdicts.iter().enumerate().find_map(too_early) {
            let Record { kind, id, .. } = &records[at];
            let reason = format!("{kind} {id:?}: {}", Error::TooEarly { earliest, last_rate });
            let line = file.lines.get(places[at]).copied().flatten();
            return Err(DefinitionError::new(&file.path, line, reason).into());
        }
        let unused = match is_of_another_base {
            true => names_of_other_bases(&mut transaction, self.base).await?,
            false => HashSet::new(),
        };
        transaction.commit().await.map_err(StoreError::from)?;
        let is_gone = |name: &&u64| names.binary_search(name).is_err() && !unused.contains(*name);
        let kept = before.names.iter().filter(is_gone).count();
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

/// What a file was when it was last loaded; nothing, if it never was.
#[derive(Debug, Default)]
struct FileBefore {
    digest: Option<String>,
    /// The names of its records.
    names: Vec<u64>,
    base: Option<Currency>,
}

async fn loaded(connection: &mut AnyConnection, path: &str) -> Result<FileBefore, StoreError> {
    let sql = "SELECT digest, records, base FROM reference_files WHERE path = $1";
    let Some(row) = sqlx::query(sql).bind(path).fetch_optional(connection).await? else {
        return Ok(FileBefore::default());
    };
    let names = match row.try_get::<Option<Vec<u8>>, _>(1)?.unwrap_or_default().as_chunks() {
        (names, []) => names.iter().copied().map(u64::from_be_bytes).collect(),
        _ => return Err(StoreError::Malformed("records")),
    };
    Ok(FileBefore { digest: Some(row.try_get(0)?), names, base: currency(row.try_get(2)?)? })
}

/// The names of the rates that lead to other bases: they are used no more.
async fn names_of_other_bases(connection: &mut AnyConnection, base: Currency) -> Result<HashSet<u64>, StoreError> {
    let sql = "SELECT id, valid_from FROM reference_changes WHERE kind = 'rate' AND base <> $1";
    let name = |row: AnyRow| {
        let from = row.try_get::<Option<i64>, _>(1)?.map(Timestamp::saturating_from_millis);
        Ok(record_name(RecordKind::Rate, row.try_get(0)?, from))
    };
    sqlx::query(sql).bind(base.as_str()).fetch_all(connection).await?.into_iter().map(name).collect()
}

async fn keep_file(
    connection: &mut AnyConnection,
    file: &ReferenceFile,
    names: &[u64],
    base: Currency,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO reference_files (path, digest, records, base) VALUES ($1, $2, $3, $4)
               ON CONFLICT (path) DO UPDATE
               SET digest = excluded.digest, records = excluded.records, base = excluded.base";
    sqlx::query(sql)
        .bind(&file.path)
        .bind(&file.digest)
        .bind(names.iter().flat_map(|name| name.to_be_bytes()).collect::<Vec<u8>>())
        .bind(base.as_str())
        .execute(connection)
        .await?;
    Ok(())
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
    base: Currency,
    records: &[Record],
    earliest: Timestamp,
) -> Result<Vec<RecordVerdict>, StoreError> {
    let version = lock_version(connection).await?;
    let mut accepted: HashMap<RecordKind, Histories> = HashMap::new();
    for kind in RecordKind::ALL {
        let ids: Vec<&str> = records.iter().filter(|r| r.kind == kind).map(|r| r.id.as_str()).collect();
        let mut of_kind = histories(connection, kind, &ids).await?;
        // What events claim does not bind a person, nor does a rate of another base.
        let binds = |change: &RecordChange| change.claimed_at.is_none() && change.holds_in(base);
        of_kind.values_mut().for_each(|changes| changes.retain(binds));
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
            let base = (record.kind == RecordKind::Rate).then_some(base);
            let change = RecordChange { version: number, valid_from, attributes, claimed_at: None, base };
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
            .bind(change.claimed_at.map(Timestamp::millis))
            .bind(change.base.map(|base| base.to_string()));
        rows.push(row);
    }
    let table = "reference_changes (kind, id, version, valid_from, attributes, claimed_at, base)";
    insert_rows(connection, table, "", rows).await?;
    Ok(())
}
