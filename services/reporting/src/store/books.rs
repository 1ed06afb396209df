//! Both sides of the books.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::{
    Store,
    sql::{time, unsigned, upsert},
};
use crate::{
    books::{BookLine, IntakeCounts},
    read_model::MetricsFold,
};

#[cfg(test)]
pub(super) mod tests;

/// Adds sums to the log's side of the books.
pub(super) async fn add_intake(
    connection: &mut AnyConnection,
    sums: BTreeMap<(String, Timestamp), IntakeCounts>,
) -> Result<(), Error> {
    let sums: Vec<_> = sums.into_iter().collect();
    upsert(
        connection,
        "intake (source, hour, accepted, rejected, dead_lettered)",
        5,
        "(source, hour) DO UPDATE SET accepted = intake.accepted + excluded.accepted,
         rejected = intake.rejected + excluded.rejected,
         dead_lettered = intake.dead_lettered + excluded.dead_lettered",
        &sums,
        |statement, ((source, hour), intake)| {
            statement
                .bind(source.clone())
                .bind(hour.millis())
                .bind(intake.accepted.cast_signed())
                .bind(intake.rejected.cast_signed())
                .bind(intake.dead_lettered.cast_signed())
        },
    )
    .await
}

/// Writes gathered outcomes to aggregation's side of the books. What is stored
/// and reaches further stays.
pub(super) async fn write_outcomes(connection: &mut AnyConnection, fold: &MetricsFold) -> Result<(), Error> {
    let outcomes: Vec<_> = fold.outcomes.iter().collect();
    upsert(
        connection,
        "outcomes (source, hour, shard, raw_seq, counted, late, duplicate, repeated)",
        8,
        "(source, hour, shard) DO UPDATE SET raw_seq = excluded.raw_seq, counted = excluded.counted,
         late = excluded.late, duplicate = excluded.duplicate, repeated = excluded.repeated
         WHERE excluded.raw_seq > outcomes.raw_seq",
        &outcomes,
        |statement, ((source, hour, partition), outcome)| {
            statement
                .bind(source.clone())
                .bind(hour.millis())
                .bind(i64::from(partition.index()))
                .bind(outcome.raw_seq.cast_signed())
                .bind(outcome.counted.cast_signed())
                .bind(outcome.late.cast_signed())
                .bind(outcome.duplicate.cast_signed())
                .bind(outcome.repeated.cast_signed())
        },
    )
    .await
}

impl Store {
    /// Either side's lines of the books, by source.
    pub(crate) async fn book_lines(&self) -> Result<Vec<(String, BookLine)>, Error> {
        let pool = self.database.pool();
        let intake = sqlx::query(
            "SELECT source, CAST(SUM(accepted) AS BIGINT), CAST(SUM(rejected) AS BIGINT),
             CAST(SUM(dead_lettered) AS BIGINT) FROM intake GROUP BY source",
        );
        let outcomes = sqlx::query(
            "SELECT source, CAST(SUM(counted) AS BIGINT), CAST(SUM(late) AS BIGINT),
             CAST(SUM(duplicate) AS BIGINT), CAST(SUM(repeated) AS BIGINT) FROM outcomes GROUP BY source",
        );
        let intake = intake.fetch_all(pool).await?;
        let outcomes = outcomes.fetch_all(pool).await?;
        let intake = intake.iter().map(|row| Ok((row.try_get(0)?, intake_line(row, 1)?)));
        let outcomes = outcomes.iter().map(|row| Ok((row.try_get(0)?, outcomes_line(row, 1)?)));
        intake.chain(outcomes).collect()
    }

    /// Either side's lines of the books, by source and hour, from an hour on.
    pub(crate) async fn book_hours(&self, from: Timestamp) -> Result<Vec<((String, Timestamp), BookLine)>, Error> {
        let pool = self.database.pool();
        let intake = sqlx::query("SELECT source, hour, accepted, rejected, dead_lettered FROM intake WHERE hour >= $1");
        let outcomes = sqlx::query(
            "SELECT source, hour, CAST(SUM(counted) AS BIGINT), CAST(SUM(late) AS BIGINT),
             CAST(SUM(duplicate) AS BIGINT), CAST(SUM(repeated) AS BIGINT) FROM outcomes WHERE hour >= $1
             GROUP BY source, hour",
        );
        let intake = intake.bind(from.millis()).fetch_all(pool).await?;
        let outcomes = outcomes.bind(from.millis()).fetch_all(pool).await?;
        let key = |row: &AnyRow| Ok::<_, Error>((row.try_get(0)?, time(row.try_get(1)?)));
        let intake = intake.iter().map(|row| Ok((key(row)?, intake_line(row, 2)?)));
        let outcomes = outcomes.iter().map(|row| Ok((key(row)?, outcomes_line(row, 2)?)));
        intake.chain(outcomes).collect()
    }
}

fn intake_line(row: &AnyRow, first: usize) -> Result<BookLine, Error> {
    let (accepted, rejected, dead_lettered) =
        (unsigned(row, first)?, unsigned(row, first + 1)?, unsigned(row, first + 2)?);
    Ok(BookLine::intake(IntakeCounts { accepted, rejected, dead_lettered }))
}

fn outcomes_line(row: &AnyRow, first: usize) -> Result<BookLine, Error> {
    let [counted, late, duplicate, repeated] = [0, 1, 2, 3].map(|column| unsigned(row, first + column));
    Ok(BookLine::outcomes(counted?, late?, duplicate?, repeated?))
}
