//! Visits of customers who were forgotten before anything tied the visit to them.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use sqlx::{AnyConnection, Row};
use tidemill_domain::Timestamp;
use tidemill_store::{Error as StoreError, SqlValues, for_keys};

use super::erasures::{self, ErasureRow, NOTHING_FOR_MILLIS};
use crate::{
    error::Error,
    learning::{ErasedVisitors, LearntBatch, VisitTie, VisitorId},
};

/// Has visits forgotten that batches tie to customers of `erased`, as if somebody asked for
/// it now: whatever a replica has learnt of them meanwhile goes too. They are in `erased`
/// then.
pub(super) async fn forget(
    connection: &mut AnyConnection,
    batches: &[LearntBatch],
    erased: &mut ErasedVisitors,
    now: Timestamp,
) -> Result<(), Error> {
    let found = tied(batches, erased);
    if found.is_empty() {
        return Ok(());
    }
    erasures::of(connection, found.into_keys(), erased).await?;
    let found = tied(batches, erased);
    if found.is_empty() {
        return Ok(());
    }
    let learnt_until = erasures::take_turn(connection).await?;
    let asked_by = asked_by(connection, &found).await?;
    let number = erasures::next_number(connection, now).await?;
    let row = |(visit, tie): (&VisitorId, &VisitTie)| {
        let until = now.plus_millis(NOTHING_FOR_MILLIS).max(tie.until).max(learnt_until);
        let by = asked_by.get(&(tie.customer, tie.until)).map_or("", String::as_str);
        ErasureRow { number, visitor: *visit, until, at: now, by, is_customer: false }
    };
    let rows: Vec<ErasureRow<'_>> = found.iter().map(row).collect();
    rows.iter().for_each(|row| erased.note(row.visitor, row.until));
    erasures::insert(connection, &rows).await
}

fn tied(batches: &[LearntBatch], erased: &ErasedVisitors) -> BTreeMap<VisitorId, VisitTie> {
    let mut found: BTreeMap<VisitorId, VisitTie> = BTreeMap::new();
    for batch in batches {
        for (visit, tie) in erased.tied(batch.ingested_at, &batch.events) {
            let known = found.entry(visit).or_insert(tie);
            if known.until < tie.until {
                *known = tie;
            }
        }
    }
    found
}

/// By which key each of these erasures was asked for.
async fn asked_by(
    connection: &mut AnyConnection,
    ties: &BTreeMap<VisitorId, VisitTie>,
) -> Result<HashMap<(VisitorId, Timestamp), String>, Error> {
    let customers = ties.values().map(|tie| tie.customer.0.to_vec());
    let sql = "SELECT visitor, until, erased_by FROM erasures WHERE visitor IN (?)";
    let rows = for_keys(connection, sql, &SqlValues::new(), customers).await?;
    let asked = rows.iter().map(|row| Ok(((super::visitor(row, 0)?, super::time(row, 1)?), row.try_get(2)?)));
    Ok(asked.collect::<Result<_, StoreError>>()?)
}
