//! What events claim of customers, stored together with the batches that they are in:
//! a batch that is read again has left its changes already, or none of them.

use std::collections::HashMap;

use sqlx::AnyConnection;
use tidemill_domain::Timestamp;
use tidemill_store::Error as StoreError;

use super::{
    PartitionCheckpoint, Store, checkpoint,
    records::histories,
    signed, unsigned,
    versions::{insert_changes, lock_version, set_version},
};
use crate::{
    error::Error,
    reference::{CustomerClaim, RecordChange, RecordKind, claimed, claimed_from},
};

/// What was claimed since the last checkpoint.
pub(crate) struct ClaimsCheckpoint<'a> {
    /// By the customer's id, in the log's order.
    pub(crate) claims: &'a HashMap<String, Vec<CustomerClaim>>,
    /// From when a change may hold that is made now.
    pub(crate) earliest: &'a (dyn Fn() -> Timestamp + Sync),
    /// Customers that may be known by claims alone.
    pub(crate) most_customers: u64,
}

/// How many records became what.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClaimsOutcome {
    pub(crate) changed: u64,
    /// Those that the database refuses.
    pub(crate) refused: u64,
    /// New ones beyond the most that there may be.
    pub(crate) beyond: u64,
}

impl Store {
    /// Writes a checkpoint and what was claimed until then, as a whole or not at all.
    pub(crate) async fn checkpoint_with_claims(
        &self,
        checkpoint: &PartitionCheckpoint<'_>,
        claims: &ClaimsCheckpoint<'_>,
    ) -> Result<ClaimsOutcome, Error> {
        // Most say what is known. They are told apart before the writers' turn is taken.
        let all: Vec<&str> = claims.claims.keys().map(String::as_str).collect();
        let known = self.histories(RecordKind::Customer, &all).await?;
        let accepted = |id: &String| known.get(id).map(Vec::as_slice).unwrap_or_default();
        let mut ids: Vec<&String> =
            claims.claims.iter().filter(|(id, told)| claimed(accepted(id), told).is_some()).map(|(id, _)| id).collect();
        ids.sort_unstable();
        let mut transaction = self.database.begin().await?;
        checkpoint::write(&mut transaction, checkpoint).await?;
        let outcome = match ids.is_empty() {
            true => ClaimsOutcome::default(),
            false => keep(&mut transaction, claims, &ids).await?,
        };
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(outcome)
    }
}

/// Stores what these customers' claims make. What the database refuses is left out, and
/// does not keep the others from it.
async fn keep(
    connection: &mut AnyConnection,
    claims: &ClaimsCheckpoint<'_>,
    ids: &[&String],
) -> Result<ClaimsOutcome, StoreError> {
    match attempt(connection, claims, ids).await {
        Err(error) if error.is_refusal() => {}
        kept => return kept,
    }
    let mut all = ClaimsOutcome::default();
    for id in ids {
        match attempt(connection, claims, &[*id]).await {
            Ok(ClaimsOutcome { changed, refused, beyond }) => {
                all.changed += changed;
                all.refused += refused;
                all.beyond += beyond;
            }
            Err(error) if error.is_refusal() => all.refused += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Within a savepoint: after an error, what was written before it is still to be
/// committed.
async fn attempt(
    connection: &mut AnyConnection,
    claims: &ClaimsCheckpoint<'_>,
    ids: &[&String],
) -> Result<ClaimsOutcome, StoreError> {
    sqlx::query("SAVEPOINT claims").execute(&mut *connection).await?;
    match write(connection, claims, ids).await {
        Err(error) if error.is_refusal() => {
            sqlx::query("ROLLBACK TO SAVEPOINT claims").execute(&mut *connection).await?;
            sqlx::query("RELEASE SAVEPOINT claims").execute(connection).await?;
            Err(error)
        }
        Err(error) => Err(error),
        Ok(outcome) => {
            sqlx::query("RELEASE SAVEPOINT claims").execute(connection).await?;
            Ok(outcome)
        }
    }
}

async fn write(
    connection: &mut AnyConnection,
    claims: &ClaimsCheckpoint<'_>,
    ids: &[&String],
) -> Result<ClaimsOutcome, StoreError> {
    let mut newest = lock_version(connection).await?;
    // Only now: others may have had their turns meanwhile.
    let earliest = (claims.earliest)();
    let mut customers = claimed_customers(connection).await?;
    let before = customers;
    let names: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let known = histories(connection, RecordKind::Customer, &names).await?;
    let mut outcome = ClaimsOutcome::default();
    let mut changes = Vec::new();
    for id in ids {
        let accepted = known.get(*id).map(Vec::as_slice).unwrap_or_default();
        let told = claims.claims.get(*id).map(Vec::as_slice).unwrap_or_default();
        let Some(record) = claimed(accepted, told) else { continue };
        if accepted.is_empty() {
            if customers >= claims.most_customers {
                outcome.beyond += 1;
                continue;
            }
            customers += 1;
        }
        newest += 1;
        outcome.changed += 1;
        let change = RecordChange {
            version: newest,
            valid_from: claimed_from(accepted, earliest),
            attributes: record.attributes,
            claimed_at: Some(record.claimed_at),
            base: None,
        };
        changes.push((RecordKind::Customer, *id, change));
    }
    insert_changes(connection, &changes).await?;
    set_version(connection, newest).await?;
    if customers > before {
        let sql = "UPDATE reference_version SET claimed_customers = $1";
        sqlx::query(sql).bind(signed(customers)).execute(connection).await?;
    }
    Ok(outcome)
}

async fn claimed_customers(connection: &mut AnyConnection) -> Result<u64, StoreError> {
    unsigned(sqlx::query_scalar("SELECT claimed_customers FROM reference_version").fetch_one(connection).await?)
}
