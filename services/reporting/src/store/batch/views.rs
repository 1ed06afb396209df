//! What batch views cover.

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_store::Error;

use crate::{
    batch::LandedView,
    catalogue::Metric,
    read_model::VersionName,
    store::{
        Store,
        sql::{time, unsigned},
    },
};

/// What has come of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ArrivedCells {
    pub(super) cells: u64,
    pub(super) compared: u64,
}

/// Adds what has come of a view.
pub(super) async fn arrived(
    connection: &mut AnyConnection,
    (metric, version): &VersionName,
    number: u64,
    cells: u64,
    compared: u64,
) -> Result<(), Error> {
    let sql = "INSERT INTO batch_arrivals (metric, version, number, cells, compared) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (metric, version) DO UPDATE SET
         cells = excluded.cells + CASE WHEN batch_arrivals.number = excluded.number THEN batch_arrivals.cells
             ELSE 0 END,
         compared = excluded.compared + CASE WHEN batch_arrivals.number = excluded.number
             THEN batch_arrivals.compared ELSE 0 END,
         number = excluded.number WHERE excluded.number >= batch_arrivals.number";
    let query = sqlx::query(sql).bind(metric.to_string()).bind(version.to_string()).bind(number.cast_signed());
    query.bind(cells.cast_signed()).bind(compared.cast_signed()).execute(connection).await?;
    Ok(())
}

/// What has come of a view so far.
pub(super) async fn arrived_of(
    connection: &mut AnyConnection,
    (metric, version): &VersionName,
    number: u64,
) -> Result<ArrivedCells, Error> {
    let sql = "SELECT cells, compared FROM batch_arrivals WHERE metric = $1 AND version = $2 AND number = $3";
    let query = sqlx::query(sql).bind(metric.to_string()).bind(version.to_string()).bind(number.cast_signed());
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(ArrivedCells::default()) };
    Ok(ArrivedCells { cells: unsigned(&row, 0)?, compared: unsigned(&row, 1)? })
}

/// A view has come to its end.
pub(super) async fn write(connection: &mut AnyConnection, view: &LandedView) -> Result<(), Error> {
    let reaches = serde_json::to_string(&view.reaches).map_err(|_| Error::Malformed("reaches"))?;
    let sql = "INSERT INTO batch_views (metric, version, number, since, computed_at, landed_at, reaches, compared)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (metric, version) DO UPDATE SET
         number = excluded.number, since = excluded.since, computed_at = excluded.computed_at,
         landed_at = excluded.landed_at, reaches = excluded.reaches, compared = excluded.compared
         WHERE excluded.number > batch_views.number";
    sqlx::query(sql)
        .bind(view.metric.clone())
        .bind(view.version.clone())
        .bind(view.number.cast_signed())
        .bind(view.since.millis())
        .bind(view.computed_at.millis())
        .bind(view.landed_at.millis())
        .bind(reaches)
        .bind(view.compared.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// The newest batch view of each version of a metric.
    pub(crate) async fn landed_views(&self) -> Result<Vec<LandedView>, Error> {
        let sql = "SELECT metric, version, number, since, computed_at, landed_at, reaches, compared FROM batch_views
             ORDER BY metric, version";
        let rows = sqlx::query(sql).fetch_all(self.database.pool()).await?;
        rows.iter().map(view).collect()
    }

    /// That of one of them.
    pub(crate) async fn landed_view(&self, metric: &Metric) -> Result<Option<LandedView>, Error> {
        let sql = "SELECT metric, version, number, since, computed_at, landed_at, reaches, compared FROM batch_views
             WHERE metric = $1 AND version = $2";
        let query = sqlx::query(sql).bind(metric.name.clone()).bind(metric.version.clone());
        query.fetch_optional(self.database.pool()).await?.map(|row| view(&row)).transpose()
    }
}

fn view(row: &AnyRow) -> Result<LandedView, Error> {
    Ok(LandedView {
        metric: row.try_get(0)?,
        version: row.try_get(1)?,
        number: unsigned(row, 2)?,
        since: time(row.try_get(3)?),
        computed_at: time(row.try_get(4)?),
        landed_at: time(row.try_get(5)?),
        reaches: serde_json::from_str(row.try_get(6)?).map_err(|_| Error::Malformed("reaches"))?,
        compared: unsigned(row, 7)?,
    })
}
