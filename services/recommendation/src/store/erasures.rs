//! Who is forgotten.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use sqlx::{Any, AnyConnection, Transaction, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error as StoreError, SqlValues, for_keys, insert_rows};

use super::{Store, number, time, unsigned, visitor};
use crate::{
    error::Error,
    learning::{ErasedVisitors, VisitorId},
};

/// Visits of a customer that are forgotten with them, at most: the latest.
const MAX_VISITS: i64 = 10_000;
/// For how long after an erasure nothing of the visitor is learnt, at least.
pub(crate) const NOTHING_FOR_MILLIS: i64 = 10_000;

/// A visitor whose events are not learnt, if they were taken in up to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Erasure {
    /// In the order in which they were asked for; visits have that of their customer.
    pub(crate) number: u64,
    pub(crate) visitor: VisitorId,
    pub(crate) until: Timestamp,
}

/// What was written of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErasureWritten {
    pub(crate) number: u64,
    pub(crate) until: Timestamp,
}

/// A customer who is to be forgotten, or a visit of somebody who is not known as one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErasureOrder<'a> {
    pub(crate) customer: VisitorId,
    /// No event is learnt that was taken in before or then, at least.
    pub(crate) until: Timestamp,
    pub(crate) at: Timestamp,
    /// The last erasure that the asked replica knows of: the store may have lost it.
    pub(crate) known: u64,
    /// The name of the key by which it was asked for.
    pub(crate) by: &'a str,
}

impl Store {
    /// Forgets a customer with their visits: what is known of them is gone, and no event
    /// of theirs is kept.
    pub(crate) async fn erase(
        &self,
        order: ErasureOrder<'_>,
        partitions: impl Iterator<Item = Partition> + Send,
    ) -> Result<ErasureWritten, Error> {
        self.call(async {
            let mut transaction = self.database.begin().await?;
            // Locks the partitions, each in its turn: an owner's step is before all of
            // this, or after it. So are other erasures, and their numbers follow.
            for partition in partitions {
                let query = sqlx::query("UPDATE partitions SET epoch = epoch WHERE partition_no = $1");
                let query = query.bind(number(partition));
                query.execute(&mut *transaction).await.map_err(StoreError::from)?;
            }
            let written = write(&mut transaction, order).await?;
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(written)
        })
        .await
    }

    /// Erasures with a higher number, in their order.
    pub(crate) async fn erasures(&self, after: u64) -> Result<Vec<Erasure>, Error> {
        self.call(async {
            let mut connection = self.database.pool().acquire().await.map_err(StoreError::from)?;
            behind(&mut connection, after).await
        })
        .await
    }

    /// Writes down that the caller is about to learn what was taken in up to then. Who is
    /// forgotten behind this call is so for at least as long, and of who was before it
    /// [`erasures`](Self::erasures) tells: so the caller knows of whom it may not learn.
    pub(crate) async fn will_learn(&self, up_to: Timestamp) -> Result<(), Error> {
        self.call(async {
            let mut connection = self.database.writer().acquire().await.map_err(StoreError::from)?;
            learn_until(&mut connection, up_to).await
        })
        .await
    }

    /// Drops erasures of before then: the log has nothing any more of what they are
    /// about. The last one stays, since numbers go on from it.
    pub(crate) async fn prune_erasures(&self, before: Timestamp) -> Result<(), Error> {
        self.call(async {
            let sql = "DELETE FROM erasures WHERE erased_at < $1 AND number < (SELECT MAX(number) FROM erasures)";
            let query = sqlx::query(sql).bind(before.millis());
            query.execute(self.database.writer()).await.map_err(StoreError::from)?;
            Ok(())
        })
        .await
    }
}

/// An erasure as it is stored.
#[derive(Debug)]
pub(super) struct ErasureRow<'a> {
    pub(super) number: u64,
    pub(super) visitor: VisitorId,
    pub(super) until: Timestamp,
    pub(super) at: Timestamp,
    pub(super) by: &'a str,
    pub(super) is_customer: bool,
}

/// Erasures with a higher number, in their order.
pub(super) async fn behind(connection: &mut AnyConnection, number: u64) -> Result<Vec<Erasure>, Error> {
    let sql = "SELECT number, visitor, until FROM erasures WHERE number > $1 ORDER BY number";
    let rows = sqlx::query(sql).bind(number.cast_signed()).fetch_all(connection).await;
    let erasure =
        |row: &AnyRow| Ok(Erasure { number: unsigned(row, 0)?, visitor: visitor(row, 1)?, until: time(row, 2)? });
    Ok(rows.map_err(StoreError::from)?.iter().map(erasure).collect::<Result<_, StoreError>>()?)
}

/// Whoever is forgotten from here on is so at least until then.
pub(super) async fn learn_until(connection: &mut AnyConnection, up_to: Timestamp) -> Result<(), Error> {
    let sql = "UPDATE erasure_turns SET learnt_until = $1 WHERE learnt_until < $1";
    let query = sqlx::query(sql).bind(up_to.millis());
    query.execute(connection).await.map_err(StoreError::from)?;
    Ok(())
}

/// Waits for the turn to write erasures, to the end of the transaction: nobody learns meanwhile
/// what is newer than the answer. Behind partitions, and before all other rows.
pub(super) async fn take_turn(connection: &mut AnyConnection) -> Result<Timestamp, Error> {
    let query = sqlx::query("UPDATE erasure_turns SET turn = turn + 1 RETURNING learnt_until");
    // To the end: the statement is done only then.
    let rows = query.fetch_all(connection).await.map_err(StoreError::from)?;
    Ok(time(rows.first().ok_or(StoreError::Malformed("turn"))?, 0)?)
}

async fn write(transaction: &mut Transaction<'_, Any>, order: ErasureOrder<'_>) -> Result<ErasureWritten, Error> {
    let learnt_until = take_turn(transaction).await?;
    let number = next_number(transaction, order.at).await?.max(order.known.saturating_add(1));
    let customer = order.customer.0.to_vec();
    let sql = "SELECT visit FROM visits WHERE customer = $1 ORDER BY seen_at DESC LIMIT $2";
    let query = sqlx::query(sql).bind(customer.clone()).bind(MAX_VISITS);
    let rows = query.fetch_all(&mut **transaction).await.map_err(StoreError::from)?;
    let mut visitors = BTreeSet::from([order.customer]);
    for row in rows {
        visitors.insert(visitor(&row, 0)?);
    }
    let ErasureOrder { at, by, .. } = order;
    let until = order.until.max(learnt_until);
    let row = |visitor| ErasureRow { number, visitor, until, at, by, is_customer: visitor == order.customer };
    insert(transaction, &visitors.into_iter().map(row).collect::<Vec<_>>()).await?;
    for sql in ["DELETE FROM profiles WHERE customer = $1", "DELETE FROM visits WHERE customer = $1"] {
        let query = sqlx::query(sql).bind(customer.clone());
        query.execute(&mut **transaction).await.map_err(StoreError::from)?;
    }
    Ok(ErasureWritten { number, until })
}

/// The number behind all that are stored, and at least the time in milliseconds: a store that
/// was restored from a backup gives no number again that replicas and pages know already.
/// Nobody else may write erasures meanwhile.
pub(super) async fn next_number(connection: &mut AnyConnection, now: Timestamp) -> Result<u64, Error> {
    let query = sqlx::query("SELECT COALESCE(MAX(number), 0) + 1 FROM erasures");
    let next = unsigned(&query.fetch_one(connection).await.map_err(StoreError::from)?, 0)?;
    Ok(next.max(u64::try_from(now.millis()).unwrap_or_default()))
}

pub(super) async fn insert(connection: &mut AnyConnection, rows: &[ErasureRow<'_>]) -> Result<(), Error> {
    let values = |row: &ErasureRow<'_>| {
        let values = SqlValues::new().bind(row.number.cast_signed()).bind(row.visitor.0.to_vec());
        let values = values.bind(row.until.millis()).bind(row.at.millis()).bind(row.by);
        values.bind(i64::from(row.is_customer))
    };
    let into = "erasures (number, visitor, until, erased_at, erased_by, is_customer)";
    insert_rows(connection, into, "", rows.iter().map(values)).await?;
    Ok(())
}

/// Takes in which of these visitors are forgotten, and up to when.
pub(super) async fn of(
    connection: &mut AnyConnection,
    visitors: impl Iterator<Item = VisitorId>,
    erased: &mut ErasedVisitors,
) -> Result<(), Error> {
    let sql = "SELECT visitor, until FROM erasures WHERE visitor IN (?)";
    let rows = for_keys(connection, sql, &SqlValues::new(), visitors.map(|v| v.0.to_vec())).await?;
    for row in &rows {
        erased.note(visitor(row, 0)?, time(row, 1)?);
    }
    Ok(())
}
