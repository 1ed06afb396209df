//! The list of dead letters.
//!
//! Where a letter stands is kept beside the list and not in it: after the
//! database was lost, the log may settle a letter before the list has it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::{Error, SqlValues, for_keys};
use uuid::Uuid;

use super::{
    Store,
    sql::{optional, upsert},
};
use crate::{
    books,
    dead_letters::{LetterFilter, LetterState, ListedLetter},
};

#[cfg(test)]
pub(super) mod tests;

const LETTERS: &str = "SELECT l.letter, s.state, s.raw_seq, s.failed_as, s.action FROM dead_letters l
    LEFT JOIN dead_letter_states s ON s.letter = l.sequence";

/// A letter, and the action that brought it where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredLetter {
    /// The letter.
    pub(crate) letter: ListedLetter,
    /// The action's id; `None` where there was none.
    pub(crate) action: Option<Uuid>,
}

/// Which way letters are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetterPage {
    /// The newest first, below a sequence.
    Before(Option<u64>),
    /// The oldest first, above a sequence.
    After(u64),
}

/// The sequences of the letters that repeat others. Letters come in stream
/// order. A publish that is tried again after the stream has forgotten its id
/// stores the letter twice.
pub(super) async fn repetitions(
    connection: &mut AnyConnection,
    letters: &[&ListedLetter],
) -> Result<BTreeSet<u64>, Error> {
    let ids = letters.iter().map(|letter| letter.id.as_str());
    let rows = for_keys(connection, "SELECT id FROM dead_letters WHERE id IN (?)", &SqlValues::new(), ids).await?;
    let mut known: BTreeSet<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let is_known = |letter: &&&ListedLetter| !known.insert(letter.id.clone());
    Ok(letters.iter().filter(is_known).map(|letter| letter.sequence).collect())
}

/// Puts letters on the list.
pub(super) async fn add(connection: &mut AnyConnection, letters: &[&ListedLetter]) -> Result<(), Error> {
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

impl Store {
    /// Dead letters that a filter lets through.
    pub(crate) async fn dead_letters(
        &self,
        filter: &LetterFilter,
        page: LetterPage,
        limit: u16,
    ) -> Result<Vec<StoredLetter>, Error> {
        let (above, below, order) = match page {
            LetterPage::Before(before) => {
                (i64::MIN, before.and_then(|s| i64::try_from(s).ok()).unwrap_or(i64::MAX), "DESC")
            }
            LetterPage::After(after) => (i64::try_from(after).unwrap_or(i64::MAX), i64::MAX, "ASC"),
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
            .bind(filter.state.map_or("", LetterState::as_str))
            .bind(above)
            .bind(below)
            .bind(i64::from(limit))
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(found).collect()
    }

    /// Dead letters by their sequences, those that are known.
    pub(crate) async fn dead_letters_at(
        &self,
        sequences: &BTreeSet<u64>,
    ) -> Result<BTreeMap<u64, StoredLetter>, Error> {
        let mut connection = self.database.pool().acquire().await?;
        let sequences = sequences.iter().filter_map(|sequence| i64::try_from(*sequence).ok());
        let sql = format!("{LETTERS} WHERE l.sequence IN (?)");
        let rows = for_keys(&mut connection, &sql, &SqlValues::new(), sequences).await?;
        let letter = |row| found(row).map(|found| (found.letter.sequence, found));
        rows.iter().map(letter).collect()
    }

    /// Forgets dead letters that failed before `letters`, with where they
    /// stood: the stream has forgotten them too. Forgets what was ordered
    /// before `actions`. The books keep their count.
    pub(crate) async fn forget_dead_letters(&self, letters: Timestamp, actions: Timestamp) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
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
        sqlx::query("DELETE FROM redriven WHERE action NOT IN (SELECT id FROM dead_letter_actions)")
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

fn found(row: &AnyRow) -> Result<StoredLetter, Error> {
    let mut letter: ListedLetter =
        serde_json::from_str(row.try_get(0)?).map_err(|_| Error::Malformed("dead letter"))?;
    if let Some(state) = row.try_get::<Option<&str>, _>(1)? {
        letter.state = state.parse().map_err(|_| Error::Malformed("state of a dead letter"))?;
    }
    letter.raw_sequence = optional(row, 2)?;
    letter.failed_again_as = optional(row, 3)?;
    let action = row.try_get::<Option<&str>, _>(4)?.and_then(|id| id.parse().ok());
    Ok(StoredLetter { letter, action })
}
