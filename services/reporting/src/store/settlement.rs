//! What became of dead letters whose events were sent again.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use tidemill_domain::Timestamp;
use tidemill_store::{Error, SqlValues, for_keys};

use super::sql::upsert;
use crate::{
    dead_letters::{ActionProgress, LetterState, ListedLetter},
    read_model::MetricsFold,
};

/// Settles letters whose events are in the log, by the `RAW` sequence of each.
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
                .bind(LetterState::Accepted.as_str())
                .bind("")
                .bind(raw_seq.cast_signed())
                .bind(now.millis())
        },
    )
    .await?;
    settle_actions(connection, ActionProgress::Accepted, "raw_seq", redriven, now).await
}

/// Settles the letters whose events failed once more, as these letters.
pub(super) async fn settle_failed(
    connection: &mut AnyConnection,
    letters: &[&ListedLetter],
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
                .bind(LetterState::FailedAgain.as_str())
                .bind("")
                .bind(failed_as.cast_signed())
                .bind(now.millis())
        },
    )
    .await?;
    settle_actions(connection, ActionProgress::FailedAgain, "failed_as", &failed, now).await
}

/// Writes what became of redriven events behind the log. Writing it again is
/// harmless.
pub(super) async fn write_outcomes(connection: &mut AnyConnection, fold: &MetricsFold) -> Result<(), Error> {
    let outcomes: Vec<_> = fold.redriven.iter().collect();
    upsert(
        connection,
        "redriven (action, shard, raw_seq, counted, late, duplicate)",
        6,
        "(action, shard, raw_seq) DO NOTHING",
        &outcomes,
        |statement, ((action, partition, raw_seq), outcome)| {
            statement
                .bind(action.clone())
                .bind(i64::from(partition.index()))
                .bind(raw_seq.cast_signed())
                .bind(outcome.counted.cast_signed())
                .bind(outcome.late.cast_signed())
                .bind(outcome.duplicate.cast_signed())
        },
    )
    .await
}

/// Settles what is under way for letters; `column` gets what came of each.
async fn settle_actions(
    connection: &mut AnyConnection,
    state: ActionProgress,
    column: &'static str,
    outcomes: &BTreeMap<u64, u64>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut by_outcome: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    outcomes.iter().for_each(|(letter, outcome)| by_outcome.entry(*outcome).or_default().push(*letter));
    for (outcome, letters) in by_outcome {
        let sql = format!(
            "UPDATE dead_letter_actions SET state = ?, {column} = ?, settled_at = ?
             WHERE kind = 'redrive' AND state IN ('requested', 'sent') AND letter IN (?)"
        );
        let settled = SqlValues::new().bind(state.as_str()).bind(outcome.cast_signed()).bind(now.millis());
        for_keys(connection, &sql, &settled, letters.into_iter().map(u64::cast_signed)).await?;
    }
    Ok(())
}
