//! What was ordered for dead letters, and how far it has come.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::{Error, SqlValues, for_keys, insert_rows};
use uuid::Uuid;

use super::{
    Store,
    sql::{optional, time, unsigned, upsert, uuid},
};
use crate::dead_letters::{Act, ActionFilter, ActionProgress, ActionRequest, LetterAction, LetterState, RequestKind};

#[cfg(test)]
pub(super) mod tests;

/// A redrive that is yet to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedriveToSend {
    /// The action's id.
    pub(crate) id: Uuid,
    /// The letter's sequence.
    pub(crate) letter: u64,
    /// Who ordered it.
    pub(crate) by: String,
    /// When.
    pub(crate) at: Timestamp,
    /// The mended event; empty where the letter's own body goes.
    pub(crate) body: Vec<u8>,
}

/// A discard whose letter is yet to leave the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiscardToDo {
    /// The action's id.
    pub(crate) id: Uuid,
    /// The letter's sequence.
    pub(crate) letter: u64,
}

/// What became of the events of an order behind the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OrderOutcomes {
    /// Letters of which it is known.
    pub(crate) letters: u64,
    /// Events that are in the totals.
    pub(crate) counted: u64,
    /// Events of a time of which nothing is kept any more.
    pub(crate) late: u64,
    /// Events that had been counted before.
    pub(crate) duplicate: u64,
}

impl Store {
    /// Writes an order for letters down; answers the letters for which it was
    /// still allowed. The same transaction checks that, so that of two orders
    /// for one letter one is refused.
    pub async fn order(&self, order: &ActionRequest, letters: &[u64]) -> Result<BTreeSet<u64>, Error> {
        let mut tx = self.database.begin().await?;
        let state = match order.kind {
            RequestKind::Redrive => LetterState::Redriving,
            RequestKind::Discard => LetterState::Discarded,
        };
        let allowed = match (order.force, order.kind) {
            (false, _) => "dead_letter_states.state IN ('dead', 'failed_again')",
            (true, RequestKind::Redrive) => "1 = 1",
            (true, RequestKind::Discard) => "dead_letter_states.state <> 'accepted'",
        };
        let conflict = format!(
            "ON CONFLICT (letter) DO UPDATE SET state = excluded.state, action = excluded.action,
             changed_at = excluded.changed_at WHERE {allowed} RETURNING letter"
        );
        let rows = letters.iter().map(|letter| {
            SqlValues::new()
                .bind(letter.cast_signed())
                .bind(state.as_str())
                .bind(order.action(*letter).to_string())
                .bind(order.at.millis())
        });
        let into = "dead_letter_states (letter, state, action, changed_at)";
        let changed = insert_rows(&mut tx, into, &conflict, rows).await?;
        let ordered: BTreeSet<u64> = changed.iter().map(|row| unsigned(row, 0)).collect::<Result<_, _>>()?;
        let rows: Vec<u64> = ordered.iter().copied().collect();
        upsert(
            &mut tx,
            "dead_letter_actions (id, request, letter, kind, state, ordered_by, key_id, reason, ordered_at, body)",
            10,
            "(id) DO NOTHING",
            &rows,
            |statement, letter| {
                statement
                    .bind(order.action(*letter).to_string())
                    .bind(order.request.to_string())
                    .bind(letter.cast_signed())
                    .bind(order.kind.as_str())
                    .bind(ActionProgress::Requested.as_str())
                    .bind(order.by.clone())
                    .bind(order.key.clone())
                    .bind(order.reason.clone())
                    .bind(order.at.millis())
                    .bind(order.body.clone())
            },
        )
        .await?;
        tx.commit().await?;
        Ok(ordered)
    }

    /// Writes down that a letter is shown with what is personal in it.
    pub(crate) async fn unmasked(&self, letter: u64, request: Uuid, key: &str, now: Timestamp) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO dead_letter_actions (id, request, letter, kind, state, ordered_by, key_id, reason, ordered_at,
             body, settled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9, $10)",
        )
        .bind(request.to_string())
        .bind(request.to_string())
        .bind(i64::try_from(letter).map_err(|_| Error::Malformed("sequence"))?)
        .bind(Act::Unmask.as_str())
        .bind(ActionProgress::Done.as_str())
        .bind(key.to_owned())
        .bind(key.to_owned())
        .bind(now.millis())
        .bind(Vec::new())
        .bind(now.millis())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Redrives that are yet to be sent, the oldest first.
    pub(crate) async fn redrives_to_send(&self, limit: u16) -> Result<Vec<RedriveToSend>, Error> {
        let rows = sqlx::query(
            "SELECT id, letter, ordered_by, ordered_at, body FROM dead_letter_actions WHERE kind = 'redrive'
             AND state = 'requested' ORDER BY number LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let to_send = |row: &AnyRow| {
            Ok(RedriveToSend {
                id: uuid(row, 0)?,
                letter: unsigned(row, 1)?,
                by: row.try_get(2)?,
                at: time(row.try_get(3)?),
                body: row.try_get(4)?,
            })
        };
        rows.iter().map(to_send).collect()
    }

    /// Discards whose letters are yet to leave the stream, the oldest first.
    pub(crate) async fn discards_to_do(&self, limit: u16) -> Result<Vec<DiscardToDo>, Error> {
        let rows = sqlx::query(
            "SELECT id, letter FROM dead_letter_actions WHERE kind = 'discard' AND state = 'requested'
             ORDER BY number LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(|row| Ok(DiscardToDo { id: uuid(row, 0)?, letter: unsigned(row, 1)? })).collect()
    }

    /// Letters are discarded, and gone from the stream.
    pub(crate) async fn discards_done(&self, ids: &[Uuid], now: Timestamp) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE dead_letter_actions SET state = 'done', settled_at = ?
                   WHERE kind = 'discard' AND state = 'requested' AND id IN (?)";
        for_keys(&mut tx, sql, &SqlValues::new().bind(now.millis()), ids.iter().map(Uuid::to_string)).await?;
        Ok(tx.commit().await?)
    }

    /// Redrives are on their way. One that is settled by now stays so.
    pub(crate) async fn redrives_sent(&self, ids: &[Uuid]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE dead_letter_actions SET state = 'sent' WHERE state = 'requested' AND id IN (?)";
        for_keys(&mut tx, sql, &SqlValues::new(), ids.iter().map(Uuid::to_string)).await?;
        Ok(tx.commit().await?)
    }

    /// A redrive will never be sent: its letter is dead as before.
    pub(crate) async fn redrive_lost(&self, id: Uuid, letter: u64, now: Timestamp) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "UPDATE dead_letter_actions SET state = 'lost', settled_at = $1 WHERE id = $2 AND state = 'requested'",
        )
        .bind(now.millis())
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE dead_letter_states SET state = 'dead', changed_at = $1
             WHERE letter = $2 AND action = $3 AND state = 'redriving'",
        )
        .bind(now.millis())
        .bind(letter.cast_signed())
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// What was ordered, the newest first.
    pub(crate) async fn actions(&self, filter: &ActionFilter, limit: u16) -> Result<Vec<LetterAction>, Error> {
        let rows = sqlx::query(
            "SELECT number, request, letter, kind, state, ordered_by, key_id, reason, ordered_at,
             CASE WHEN LENGTH(body) > 0 THEN 1 ELSE 0 END, settled_at, raw_seq, failed_as
             FROM dead_letter_actions WHERE ($1 = -1 OR letter = $1) AND ($2 = '' OR request = $2)
             AND ($3 = '' OR ordered_by = $3) AND ($4 = '' OR kind = $4) AND ($5 = '' OR state = $5) AND number < $6
             ORDER BY number DESC LIMIT $7",
        )
        .bind(filter.letter.map_or(-1, |letter| i64::try_from(letter).unwrap_or(i64::MAX)))
        .bind(filter.request.map(|request| request.to_string()).unwrap_or_default())
        .bind(filter.by.clone().unwrap_or_default())
        .bind(filter.kind.map_or("", Act::as_str))
        .bind(filter.state.map_or("", ActionProgress::as_str))
        .bind(filter.before.and_then(|number| i64::try_from(number).ok()).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(action).collect()
    }

    /// How many letters of an order have come how far.
    pub(crate) async fn order_progress(&self, request: Uuid) -> Result<BTreeMap<String, u64>, Error> {
        let rows = sqlx::query("SELECT state, COUNT(*) FROM dead_letter_actions WHERE request = $1 GROUP BY state")
            .bind(request.to_string())
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, unsigned(row, 1)?))).collect()
    }

    /// What became of an order's events behind the log, as far as it is known.
    pub(crate) async fn order_outcomes(&self, request: Uuid) -> Result<OrderOutcomes, Error> {
        // A sum is numeric in PostgreSQL, which no row of any database gives as a number.
        let sql = "SELECT COUNT(DISTINCT action), CAST(COALESCE(SUM(counted), 0) AS BIGINT),
                   CAST(COALESCE(SUM(late), 0) AS BIGINT), CAST(COALESCE(SUM(duplicate), 0) AS BIGINT)
                   FROM redriven WHERE action IN (SELECT id FROM dead_letter_actions WHERE request = $1)";
        let row = sqlx::query(sql).bind(request.to_string()).fetch_one(self.database.pool()).await?;
        Ok(OrderOutcomes {
            letters: unsigned(&row, 0)?,
            counted: unsigned(&row, 1)?,
            late: unsigned(&row, 2)?,
            duplicate: unsigned(&row, 3)?,
        })
    }
}

fn action(row: &AnyRow) -> Result<LetterAction, Error> {
    let malformed = |_| Error::Malformed("action");
    Ok(LetterAction {
        number: unsigned(row, 0)?,
        request: uuid(row, 1)?,
        letter: unsigned(row, 2)?,
        kind: row.try_get::<&str, _>(3)?.parse().map_err(malformed)?,
        state: row.try_get::<&str, _>(4)?.parse().map_err(malformed)?,
        by: row.try_get(5)?,
        key: row.try_get(6)?,
        reason: row.try_get(7)?,
        at: time(row.try_get(8)?),
        mended: row.try_get::<i64, _>(9)? != 0,
        settled_at: row.try_get::<Option<i64>, _>(10)?.map(time),
        raw_sequence: optional(row, 11)?,
        failed_again_as: optional(row, 12)?,
    })
}
