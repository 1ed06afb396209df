//! Dead letters in the read model: the list, what was ordered for them, and
//! what came of it.
//!
//! Where a letter stands is kept beside the list and not in it: after the
//! database was lost, the log may settle a letter before the list has it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::{Error, placeholders};
use uuid::Uuid;

use super::{BLOCK, Statement, Store, time, unsigned, upsert};
use crate::{
    books,
    dead_letters::{Act, Action, ActionFilter, Filter, Kind, Letter, Progress, RedriveRequest, State},
};

const LETTERS: &str = "SELECT l.letter, s.state, s.raw_seq, s.failed_as, s.action FROM dead_letters l
    LEFT JOIN dead_letter_states s ON s.letter = l.sequence";

/// A letter, and the action that brought it where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The letter.
    pub letter: Letter,
    /// The action's id; `None` where there was none.
    pub action: Option<Uuid>,
}

/// A redrive that is yet to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSend {
    /// The action's id.
    pub id: Uuid,
    /// The letter's sequence.
    pub letter: u64,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The mended event; empty where the letter's own body goes.
    pub body: Vec<u8>,
}

/// A discard whose letter is yet to leave the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToDelete {
    /// The action's id.
    pub id: Uuid,
    /// The letter's sequence.
    pub letter: u64,
}

/// Which way letters are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The newest first, below a sequence.
    Before(Option<u64>),
    /// The oldest first, above a sequence.
    After(u64),
}

/// The sequences of those letters, in stream order, that are repetitions of
/// others: a publish that is tried again after the stream has forgotten its id
/// puts the letter there twice.
pub(super) async fn repetitions(connection: &mut AnyConnection, letters: &[&Letter]) -> Result<BTreeSet<u64>, Error> {
    let mut known = BTreeSet::new();
    for some in letters.chunks(BLOCK) {
        let sql = format!("SELECT id FROM dead_letters WHERE id IN ({})", numbered(1, some.len()));
        let statement = sqlx::query(AssertSqlSafe(sql)).persistent(some.len() == BLOCK);
        let statement = some.iter().fold(statement, |s, letter| s.bind(letter.id.clone()));
        for row in statement.fetch_all(&mut *connection).await? {
            known.insert(row.try_get::<String, _>(0)?);
        }
    }
    let is_known = |letter: &&&Letter| !known.insert(letter.id.clone());
    Ok(letters.iter().filter(is_known).map(|letter| letter.sequence).collect())
}

/// Puts letters on the list.
pub(super) async fn add(connection: &mut AnyConnection, letters: &[&Letter]) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(letters.len());
    for letter in letters {
        rows.push((letter, serde_json::to_string(letter).map_err(|_| Error::Malformed("dead letter"))?));
    }
    upsert(
        connection,
        "dead_letters (sequence, service, code, failed_at, letter, source, id)",
        7,
        "(sequence) DO NOTHING",
        &rows,
        |statement, (letter, json)| {
            statement
                .bind(letter.sequence.cast_signed())
                .bind(letter.service.clone())
                .bind(letter.code.clone())
                .bind(letter.failed_at.millis())
                .bind(json.clone())
                .bind(books::known_source(letter.source.clone().unwrap_or_default()))
                .bind(letter.id.clone())
        },
    )
    .await
}

/// The events of letters are in the log: the `RAW` sequence by letter.
pub(super) async fn settle_accepted(
    connection: &mut AnyConnection,
    redriven: &BTreeMap<u64, u64>,
    now: Timestamp,
) -> Result<(), Error> {
    let rows: Vec<_> = redriven.iter().collect();
    upsert(
        connection,
        "dead_letter_states (letter, state, action, raw_seq, changed_at)",
        5,
        "(letter) DO UPDATE SET state = excluded.state, raw_seq = excluded.raw_seq, changed_at = excluded.changed_at",
        &rows,
        |statement, (letter, raw_seq)| {
            statement
                .bind(letter.cast_signed())
                .bind(State::Accepted.as_str())
                .bind("")
                .bind(raw_seq.cast_signed())
                .bind(now.millis())
        },
    )
    .await?;
    settle_actions(connection, Progress::Accepted, "raw_seq", redriven, now).await
}

/// Letters whose events failed once more, as these.
pub(super) async fn settle_failed(
    connection: &mut AnyConnection,
    letters: &[&Letter],
    now: Timestamp,
) -> Result<(), Error> {
    let failed: BTreeMap<u64, u64> =
        letters.iter().filter_map(|letter| Some((letter.redriven_from?, letter.sequence))).collect();
    let rows: Vec<_> = failed.iter().collect();
    upsert(
        connection,
        "dead_letter_states (letter, state, action, failed_as, changed_at)",
        5,
        // Of two orders, or of several events, some may have been accepted: that
        // stands, and the others are in the new letter.
        "(letter) DO UPDATE SET failed_as = excluded.failed_as, changed_at = excluded.changed_at,
         state = CASE WHEN dead_letter_states.state = 'accepted' THEN 'accepted' ELSE excluded.state END",
        &rows,
        |statement, (letter, failed_as)| {
            statement
                .bind(letter.cast_signed())
                .bind(State::FailedAgain.as_str())
                .bind("")
                .bind(failed_as.cast_signed())
                .bind(now.millis())
        },
    )
    .await?;
    settle_actions(connection, Progress::FailedAgain, "failed_as", &failed, now).await
}

/// Settles what is under way for letters; `column` gets what came of each.
async fn settle_actions(
    connection: &mut AnyConnection,
    state: Progress,
    column: &'static str,
    outcomes: &BTreeMap<u64, u64>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut by_outcome: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    outcomes.iter().for_each(|(letter, outcome)| by_outcome.entry(*outcome).or_default().push(*letter));
    for (outcome, letters) in by_outcome {
        for some in letters.chunks(BLOCK) {
            let sql = format!(
                "UPDATE dead_letter_actions SET state = $1, {column} = $2, settled_at = $3
                 WHERE kind = 'redrive' AND state IN ('requested', 'sent') AND letter IN ({})",
                numbered(4, some.len())
            );
            let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            let statement = statement.bind(state.as_str()).bind(outcome.cast_signed()).bind(now.millis());
            some.iter().fold(statement, |s, letter| s.bind(letter.cast_signed())).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

impl Store {
    /// Dead letters that a filter lets through.
    pub async fn dead_letters(&self, filter: &Filter, page: Page, limit: u16) -> Result<Vec<Found>, Error> {
        let (above, below, order) = match page {
            Page::Before(before) => (i64::MIN, before.and_then(|s| i64::try_from(s).ok()).unwrap_or(i64::MAX), "DESC"),
            Page::After(after) => (i64::try_from(after).unwrap_or(i64::MAX), i64::MAX, "ASC"),
        };
        let sql = format!(
            "{LETTERS} WHERE ($1 = '' OR l.service = $1) AND ($2 = '' OR l.code = $2) AND ($3 = '' OR l.source = $3)
             AND l.failed_at >= $4 AND l.failed_at < $5 AND ($6 = '' OR COALESCE(s.state, 'dead') = $6)
             AND l.sequence > $7 AND l.sequence < $8 ORDER BY l.sequence {order} LIMIT $9"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(filter.service.clone().unwrap_or_default())
            .bind(filter.code.clone().unwrap_or_default())
            .bind(filter.source.clone().unwrap_or_default())
            .bind(filter.since.map_or(i64::MIN, Timestamp::millis))
            .bind(filter.until.map_or(i64::MAX, Timestamp::millis))
            .bind(filter.state.map_or("", State::as_str))
            .bind(above)
            .bind(below)
            .bind(i64::from(limit))
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(found).collect()
    }

    /// Dead letters by their sequences, those that are known.
    pub async fn dead_letters_at(&self, sequences: &BTreeSet<u64>) -> Result<BTreeMap<u64, Found>, Error> {
        let sequences: Vec<i64> = sequences.iter().filter_map(|s| i64::try_from(*s).ok()).collect();
        let mut letters = BTreeMap::new();
        for some in sequences.chunks(BLOCK) {
            let sql = format!("{LETTERS} WHERE l.sequence IN ({})", numbered(1, some.len()));
            let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            let rows = some.iter().fold(statement, |s, n| s.bind(*n)).fetch_all(self.database.pool()).await?;
            for row in &rows {
                let found = found(row)?;
                letters.insert(found.letter.sequence, found);
            }
        }
        Ok(letters)
    }

    /// Writes an order for letters down; answers those for which it was still
    /// allowed. Whether it is allowed is asked again in the same transaction,
    /// so that of two orders for one letter one is refused.
    pub async fn order(&self, order: &RedriveRequest, letters: &[u64]) -> Result<BTreeSet<u64>, Error> {
        let (_turn, mut tx) = self.begin().await?;
        let state = match order.kind {
            Kind::Redrive => State::Redriving,
            Kind::Discard => State::Discarded,
        };
        let allowed = match (order.force, order.kind) {
            (false, _) => "dead_letter_states.state IN ('dead', 'failed_again')",
            (true, Kind::Redrive) => "1 = 1",
            (true, Kind::Discard) => "dead_letter_states.state <> 'accepted'",
        };
        let mut ordered = BTreeSet::new();
        for some in letters.chunks(BLOCK) {
            let sql = format!(
                "INSERT INTO dead_letter_states (letter, state, action, changed_at) VALUES {} ON CONFLICT (letter)
                 DO UPDATE SET state = excluded.state, action = excluded.action, changed_at = excluded.changed_at
                 WHERE {allowed} RETURNING letter",
                placeholders(some.len(), 4)
            );
            let bind = |statement: Statement<'static>, letter: &u64| {
                statement
                    .bind(letter.cast_signed())
                    .bind(state.as_str())
                    .bind(order.action(*letter).to_string())
                    .bind(order.at.millis())
            };
            let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            for row in some.iter().fold(statement, bind).fetch_all(&mut *tx).await? {
                ordered.insert(unsigned(&row, 0)?);
            }
        }
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
                    .bind(Progress::Requested.as_str())
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
    pub async fn unmasked(&self, letter: u64, request: Uuid, key: &str, now: Timestamp) -> Result<(), Error> {
        let (_turn, mut tx) = self.begin().await?;
        sqlx::query(
            "INSERT INTO dead_letter_actions (id, request, letter, kind, state, ordered_by, key_id, reason, ordered_at,
             body, settled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9, $10)",
        )
        .bind(request.to_string())
        .bind(request.to_string())
        .bind(i64::try_from(letter).map_err(|_| Error::Malformed("sequence"))?)
        .bind(Act::Unmask.as_str())
        .bind(Progress::Done.as_str())
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
    pub async fn redrives_to_send(&self, limit: u16) -> Result<Vec<ToSend>, Error> {
        let rows = sqlx::query(
            "SELECT id, letter, ordered_by, ordered_at, body FROM dead_letter_actions WHERE kind = 'redrive'
             AND state = 'requested' ORDER BY number LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let to_send = |row: &AnyRow| {
            Ok(ToSend {
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
    pub async fn discards_to_do(&self, limit: u16) -> Result<Vec<ToDelete>, Error> {
        let rows = sqlx::query(
            "SELECT id, letter FROM dead_letter_actions WHERE kind = 'discard' AND state = 'requested'
             ORDER BY number LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(|row| Ok(ToDelete { id: uuid(row, 0)?, letter: unsigned(row, 1)? })).collect()
    }

    /// Letters are discarded, and gone from the stream.
    pub async fn discards_done(&self, ids: &[Uuid], now: Timestamp) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let (_turn, mut tx) = self.begin().await?;
        for some in ids.chunks(BLOCK) {
            let sql = format!(
                "UPDATE dead_letter_actions SET state = 'done', settled_at = $1
                 WHERE kind = 'discard' AND state = 'requested' AND id IN ({})",
                numbered(2, some.len())
            );
            let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(now.millis());
            some.iter().fold(statement, |s, id| s.bind(id.to_string())).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Redrives are on their way. One that is settled by now stays so.
    pub async fn redrives_sent(&self, ids: &[Uuid]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let (_turn, mut tx) = self.begin().await?;
        for some in ids.chunks(BLOCK) {
            let sql = format!(
                "UPDATE dead_letter_actions SET state = 'sent' WHERE state = 'requested' AND id IN ({})",
                numbered(1, some.len())
            );
            let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            some.iter().fold(statement, |s, id| s.bind(id.to_string())).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// A redrive will never be sent: its letter is dead as before.
    pub async fn redrive_lost(&self, id: Uuid, letter: u64, now: Timestamp) -> Result<(), Error> {
        let (_turn, mut tx) = self.begin().await?;
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
    pub async fn actions(&self, filter: &ActionFilter, limit: u16) -> Result<Vec<Action>, Error> {
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
        .bind(filter.state.map_or("", Progress::as_str))
        .bind(filter.before.and_then(|number| i64::try_from(number).ok()).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(action).collect()
    }

    /// How many letters of an order have come how far.
    pub async fn order_progress(&self, request: Uuid) -> Result<BTreeMap<String, u64>, Error> {
        let rows = sqlx::query("SELECT state, COUNT(*) FROM dead_letter_actions WHERE request = $1 GROUP BY state")
            .bind(request.to_string())
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, unsigned(row, 1)?))).collect()
    }

    /// Forgets dead letters that failed before `letters`, when the stream has
    /// forgotten them too, with where they stood; and what was ordered before
    /// `actions`. The books keep their count.
    pub async fn forget_dead_letters(&self, letters: Timestamp, actions: Timestamp) -> Result<(), Error> {
        let (_turn, mut tx) = self.begin().await?;
        for (sql, horizon) in [
            ("DELETE FROM dead_letters WHERE failed_at < $1", letters),
            (
                "DELETE FROM dead_letter_states WHERE changed_at < $1
                 AND letter NOT IN (SELECT sequence FROM dead_letters)",
                letters,
            ),
            ("DELETE FROM dead_letter_actions WHERE ordered_at < $1", actions),
        ] {
            sqlx::query(sql).bind(horizon.millis()).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// `$4,$5,$6`: `count` places from `first` on.
fn numbered(first: usize, count: usize) -> String {
    (first..first + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(",")
}

fn found(row: &AnyRow) -> Result<Found, Error> {
    let mut letter: Letter = serde_json::from_str(row.try_get(0)?).map_err(|_| Error::Malformed("dead letter"))?;
    if let Some(state) = row.try_get::<Option<&str>, _>(1)? {
        letter.state = state.parse().map_err(|_| Error::Malformed("state of a dead letter"))?;
    }
    letter.raw_sequence = optional(row, 2)?;
    letter.failed_again_as = optional(row, 3)?;
    let action = row.try_get::<Option<&str>, _>(4)?.and_then(|id| id.parse().ok());
    Ok(Found { letter, action })
}

fn action(row: &AnyRow) -> Result<Action, Error> {
    let malformed = |_| Error::Malformed("action");
    Ok(Action {
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

fn uuid(row: &AnyRow, column: usize) -> Result<Uuid, Error> {
    row.try_get::<&str, _>(column)?.parse().map_err(|_| Error::Malformed("id"))
}

fn optional(row: &AnyRow, column: usize) -> Result<Option<u64>, Error> {
    let number = row.try_get::<Option<i64>, _>(column)?;
    number.map(|number| u64::try_from(number).map_err(|_| Error::Malformed("sequence"))).transpose()
}
