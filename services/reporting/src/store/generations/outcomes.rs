//! What became of events in a generation.

use sqlx::AnyConnection;
use tidemill_store::Error;

use super::super::{
    Store,
    sql::{unsigned, upsert},
};
use crate::generations::{GenerationsFold, LateDifference};

/// Writes gathered outcomes. What is stored and reaches further stays.
pub(crate) async fn write(connection: &mut AnyConnection, fold: &GenerationsFold) -> Result<(), Error> {
    let outcomes: Vec<_> = fold.outcomes.iter().collect();
    upsert(
        connection,
        "generation_outcomes (generation, source, hour, shard, raw_seq, counted, late, duplicate)",
        8,
        "(generation, source, hour, shard) DO UPDATE SET raw_seq = excluded.raw_seq, counted = excluded.counted,
         late = excluded.late, duplicate = excluded.duplicate
         WHERE excluded.raw_seq > generation_outcomes.raw_seq",
        &outcomes,
        |statement, ((generation, source, hour, partition), outcome)| {
            statement
                .bind(generation.to_string())
                .bind(source.clone())
                .bind(hour.millis())
                .bind(i64::from(partition.index()))
                .bind(outcome.raw_seq.cast_signed())
                .bind(outcome.counted.cast_signed())
                .bind(outcome.late.cast_signed())
                .bind(outcome.duplicate.cast_signed())
        },
    )
    .await
}

impl Store {
    /// How many events were late for the live totals alone, and for a generation alone, at the least. Only
    /// what both have met as a whole is compared: hours of a source and partition of which both know as many events.
    pub(crate) async fn late_difference(&self, generation: &str) -> Result<LateDifference, Error> {
        let sql = "SELECT
             CAST(COALESCE(SUM(CASE WHEN live.late > own.late THEN live.late - own.late ELSE 0 END), 0) AS BIGINT),
             CAST(COALESCE(SUM(CASE WHEN own.late > live.late THEN own.late - live.late ELSE 0 END), 0) AS BIGINT)
             FROM generation_outcomes own JOIN outcomes live
             ON live.source = own.source AND live.hour = own.hour AND live.shard = own.shard
             WHERE own.generation = $1
             AND live.counted + live.late + live.duplicate = own.counted + own.late + own.duplicate";
        let row = sqlx::query(sql).bind(generation.to_owned()).fetch_one(self.database.pool()).await?;
        Ok(LateDifference { only_live: unsigned(&row, 0)?, only_generation: unsigned(&row, 1)? })
    }
}
