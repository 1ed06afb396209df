//! The built-in store: points in a SQLite file.

use std::collections::BTreeMap;

use sqlx::{Row, migrate::Migrator};
use tidemill_domain::Timestamp;
use tidemill_store::{Database, Error as StoreError, SqlValues, insert_rows};

use crate::{Error, FieldValue, Point};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Points in a database of their own.
#[derive(Debug, Clone)]
pub struct BuiltinStore {
    database: Database,
}

impl BuiltinStore {
    /// Opens, or makes, the database.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let config = tidemill_store::Config { url: url.into(), max_connections: 4 };
        Ok(Self { database: Database::open(&config, &SQLITE, &POSTGRES).await? })
    }

    pub(crate) async fn write(&self, points: &[Point]) -> Result<(), Error> {
        // One statement must not name a row twice; the last word counts.
        let mut rows: BTreeMap<(&str, String, i64), String> = BTreeMap::new();
        for point in points {
            let tags = serde_json::to_string(&point.tags).map_err(|_| StoreError::Malformed("tags"))?;
            let fields = serde_json::to_string(&point.fields).map_err(|_| StoreError::Malformed("fields"))?;
            rows.insert((&point.measurement, tags, point.time.millis()), fields);
        }
        let rows = rows.into_iter().map(|((measurement, tags, time), fields)| {
            SqlValues::new().bind(measurement).bind(tags).bind(time).bind(fields)
        });
        let mut transaction = self.database.begin().await?;
        let conflict = "ON CONFLICT (measurement, tags, time) DO UPDATE SET fields = excluded.fields";
        insert_rows(&mut transaction, "points (measurement, tags, time, fields)", conflict, rows).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    pub(crate) async fn read(
        &self,
        measurement: &str,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Point>, Error> {
        let rows = sqlx::query(
            "SELECT tags, time, fields FROM points WHERE measurement = $1 AND time >= $2 AND time < $3 \
             ORDER BY time, tags LIMIT $4",
        )
        .bind(measurement)
        .bind(from.millis())
        .bind(to.millis())
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await
        .map_err(StoreError::from)?;
        let point = |row: sqlx::any::AnyRow| -> Result<Point, StoreError> {
            let (tags, time, fields): (String, i64, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let fields: BTreeMap<String, FieldValue> =
                serde_json::from_str(&fields).map_err(|_| StoreError::Malformed("fields"))?;
            Ok(Point {
                measurement: measurement.into(),
                tags: serde_json::from_str(&tags).map_err(|_| StoreError::Malformed("tags"))?,
                fields,
                time: Timestamp::saturating_from_millis(time),
            })
        };
        Ok(rows.into_iter().map(point).collect::<Result<_, _>>()?)
    }
}
