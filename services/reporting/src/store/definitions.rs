//! Definitions of metrics, in every version that was ever known.

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::{
    Store,
    sql::{time, upsert},
};
use crate::{
    catalogue::{Metric, Version},
    read_model::MetricsFold,
};

#[cfg(test)]
pub(super) mod tests;

/// Notes since when the versions in a fold have data.
pub(super) async fn note_data(connection: &mut AnyConnection, fold: &MetricsFold, now: Timestamp) -> Result<(), Error> {
    let versions: Vec<_> = fold.cells.versions().map(|(version, _)| version).collect();
    upsert(
        connection,
        "versions (metric, version, definition, data_since)",
        4,
        "(metric, version) DO UPDATE SET data_since = excluded.data_since WHERE versions.data_since = 0",
        &versions,
        |statement, (metric, version)| {
            statement.bind(metric.to_string()).bind(version.to_string()).bind("").bind(now.millis())
        },
    )
    .await
}

/// Remembers a definition.
pub(super) async fn save(connection: &mut AnyConnection, metric: &Metric) -> Result<(), Error> {
    let json = serde_json::to_string(metric).map_err(|_| Error::Malformed("definition"))?;
    sqlx::query(
        "INSERT INTO versions (metric, version, definition, data_since) VALUES ($1, $2, $3, 0)
         ON CONFLICT (metric, version) DO UPDATE SET definition = excluded.definition",
    )
    .bind(&metric.name)
    .bind(&metric.version)
    .bind(json)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Remembers definitions, so that their data stays readable once they change.
    pub(crate) async fn save_definitions(&self, metrics: impl Iterator<Item = &Metric>) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
        for metric in metrics {
            save(&mut tx, metric).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Every version of every metric that is known.
    pub(crate) async fn versions(&self) -> Result<Vec<Version>, Error> {
        let rows = sqlx::query("SELECT metric, version, definition, data_since FROM versions")
            .fetch_all(self.database.pool())
            .await?;
        let version = |row: &AnyRow| {
            let definition: String = row.try_get(2)?;
            let data_since: i64 = row.try_get(3)?;
            Ok(Version {
                metric: row.try_get(0)?,
                version: row.try_get(1)?,
                definition: match definition.as_str() {
                    "" => None,
                    json => Some(serde_json::from_str(json).map_err(|_| Error::Malformed("definition"))?),
                },
                data_since: (data_since != 0).then(|| time(data_since)),
            })
        };
        rows.iter().map(version).collect()
    }
}
