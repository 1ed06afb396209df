//! One store for those who write and read points.

use tidemill_domain::Timestamp;

use crate::{BuiltinStore, Config, Error, InfluxStore, Point};

/// One of the two stores.
#[derive(Debug, Clone)]
pub enum MetricsStore {
    /// InfluxDB 2.
    Influx(InfluxStore),
    /// The built-in store.
    Builtin(BuiltinStore),
}

impl MetricsStore {
    /// Opens the store that the configuration names. InfluxDB is not called
    /// yet; the built-in store makes its file.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        Ok(match config {
            Config::InfluxDb { url, org, bucket, token } => Self::Influx(InfluxStore::new(url, org, bucket, token)?),
            Config::Builtin { url } => Self::Builtin(BuiltinStore::open(url).await?),
        })
    }

    /// Writes points over whatever was there with the same measurement, tags
    /// and time.
    pub async fn write(&self, points: &[Point]) -> Result<(), Error> {
        if points.is_empty() {
            return Ok(());
        }
        match self {
            Self::Influx(store) => store.write(points).await,
            Self::Builtin(store) => store.write(points).await,
        }
    }

    /// The points of a measurement from `from` until before `to`, by time and
    /// tags; at most `limit`.
    pub async fn read(
        &self,
        measurement: &str,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<Point>, Error> {
        let mut points = match self {
            Self::Influx(store) => store.read(measurement, from, to, limit).await?,
            Self::Builtin(store) => store.read(measurement, from, to, limit).await?,
        };
        points.sort_by(|a, b| (a.time, &a.tags).cmp(&(b.time, &b.tags)));
        Ok(points)
    }
}
