//! Generations: what each is counted by, how far it is, and which version of a metric is
//! served.

pub(super) mod outcomes;
mod retire;
mod served;
mod sides;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use retire::Retired;
pub(crate) use sides::ComparedModel;

use std::{borrow::Cow, collections::BTreeMap};

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_definitions::Metrics;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::GenerationInputs;
use tidemill_store::Error;

use super::{
    Store, definitions,
    sql::{partition, time, unsigned, upsert},
};
use crate::{catalogue::Metric, generations::GenerationsFold, watermark::PartitionProgress};

/// A generation, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredGeneration {
    /// Its name.
    pub(crate) name: String,
    /// What it is counted by.
    pub(crate) inputs: GenerationInputs,
    /// When reporting first heard of it.
    pub(crate) known_at: Timestamp,
    /// When it was retired.
    pub(crate) retired_at: Option<Timestamp>,
    /// When it is to be retired, since something else answers in its place.
    pub(crate) retire_at: Option<Timestamp>,
}

/// Keeps what generations are counted by, and the definitions of their metrics. Answers the
/// fold without those that are retired.
pub(super) async fn write_inputs<'f>(
    connection: &mut AnyConnection,
    fold: &'f GenerationsFold,
    now: Timestamp,
) -> Result<Cow<'f, GenerationsFold>, Error> {
    let retired = served::retired(connection).await?;
    let fold = match fold.is_of(|name| retired.contains(name)) {
        true => Cow::Owned(fold.clone().without(|name| retired.contains(name))),
        false => Cow::Borrowed(fold),
    };
    for (name, inputs) in &fold.inputs {
        let json = serde_json::to_string(inputs).map_err(|_| Error::Malformed("inputs"))?;
        let sql = "INSERT INTO generations (name, inputs, known_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
        sqlx::query(sql).bind(name.as_str()).bind(json).bind(now.millis()).execute(&mut *connection).await?;
        let texts: Vec<_> = inputs.definitions.iter().map(|of| (of.file.clone(), of.text.clone())).collect();
        match Metrics::of_files(&texts) {
            Ok(metrics) => {
                for definition in metrics.iter() {
                    let metric = Metric::from(definition);
                    let version = name.version_of(&metric.version);
                    definitions::save(connection, &Metric { version, ..metric }).await?;
                }
            }
            // Of another release. Its totals are kept, and can be asked once they are known.
            Err(error) => tracing::warn!(generation = %name, %error, "the definitions of a generation are not known"),
        }
    }
    Ok(fold)
}

/// Writes how far generations are. What is stored and newer stays.
pub(super) async fn write_progress(connection: &mut AnyConnection, fold: &GenerationsFold) -> Result<(), Error> {
    let progress: Vec<_> = fold.progress.iter().collect();
    upsert(
        connection,
        "generation_progress (generation, shard, raw_seq, as_of, part, watermark, idle)",
        7,
        "(generation, shard) DO UPDATE SET raw_seq = excluded.raw_seq, as_of = excluded.as_of, part = excluded.part,
         watermark = excluded.watermark, idle = excluded.idle
         WHERE (excluded.raw_seq, excluded.as_of, excluded.part)
             > (generation_progress.raw_seq, generation_progress.as_of, generation_progress.part)",
        &progress,
        |statement, ((generation, partition), progress)| {
            statement
                .bind(generation.to_string())
                .bind(i64::from(partition.index()))
                .bind(progress.raw_seq.cast_signed())
                .bind(progress.as_of.millis())
                .bind(i64::from(progress.part))
                .bind(progress.watermark.map(Timestamp::millis))
                .bind(i64::from(progress.idle))
        },
    )
    .await
}

/// How far a generation is in each partition.
async fn progress(
    connection: &mut AnyConnection,
    generation: &str,
) -> Result<BTreeMap<Partition, PartitionProgress>, Error> {
    let sql = "SELECT shard, raw_seq, as_of, part, watermark, idle FROM generation_progress WHERE generation = $1";
    let rows = sqlx::query(sql).bind(generation.to_owned()).fetch_all(connection).await?;
    let read = |row: &AnyRow| {
        let progress = PartitionProgress {
            raw_seq: unsigned(row, 1)?,
            as_of: time(row.try_get(2)?),
            part: u32::try_from(row.try_get::<i64, _>(3)?).map_err(|_| Error::Malformed("part"))?,
            watermark: row.try_get::<Option<i64>, _>(4)?.map(time),
            idle: row.try_get::<i64, _>(5)? != 0,
        };
        Ok((partition(row.try_get(0)?)?, progress))
    };
    rows.iter().map(read).collect()
}

impl Store {
    /// All generations, by name.
    pub(crate) async fn generations(&self) -> Result<Vec<StoredGeneration>, Error> {
        let sql = "SELECT name, inputs, known_at, retired_at, retire_at FROM generations ORDER BY name";
        let rows = sqlx::query(sql).fetch_all(self.database.pool()).await?;
        let read = |row: &AnyRow| {
            let inputs = serde_json::from_str(row.try_get(1)?).map_err(|_| Error::Malformed("inputs"))?;
            let retired_at = row.try_get::<Option<i64>, _>(3)?.map(time);
            let retire_at = row.try_get::<Option<i64>, _>(4)?.map(time);
            let (name, known_at) = (row.try_get(0)?, time(row.try_get(2)?));
            Ok(StoredGeneration { name, inputs, known_at, retired_at, retire_at })
        };
        rows.iter().map(read).collect()
    }

    /// How far a generation is in each partition.
    pub(crate) async fn generation_progress(
        &self,
        generation: &str,
    ) -> Result<BTreeMap<Partition, PartitionProgress>, Error> {
        progress(&mut *self.database.pool().acquire().await?, generation).await
    }
}
