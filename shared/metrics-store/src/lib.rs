//! Where window totals are written for querying and charting: InfluxDB 2, or a
//! built-in store where no accounts and servers are wanted.
//!
//! A point is overwritten by one with the same measurement, tags and time, in
//! both. So what is written are cumulative totals, tagged by partition, never
//! increments: writing them again is harmless.

mod annotated;
mod builtin;
#[doc(hidden)]
pub mod fuzzing;
mod influx;
mod point;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;

pub use builtin::BuiltinStore;
pub use influx::InfluxStore;
pub use point::{FieldValue, Point};

/// Section `metrics_store`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum Config {
    /// InfluxDB 2.
    InfluxDb {
        /// Address, for instance `http://influxdb:8086`.
        #[schemars(extend("writeOnly" = true))]
        url: String,
        /// Organisation.
        org: String,
        /// Bucket.
        bucket: String,
        /// API token. Give it by a file or by environment.
        #[serde(skip_serializing)]
        #[schemars(extend("writeOnly" = true))]
        token: String,
    },
    /// The built-in store: points in a database table.
    Builtin {
        /// `sqlite:///absolute/path.db`, for one process, or for several on
        /// the same machine and local disk; never on a network file system.
        /// Replicas on several machines share a `postgres://…`, or InfluxDB.
        #[serde(skip_serializing)]
        #[schemars(extend("writeOnly" = true))]
        url: String,
    },
}

impl std::fmt::Debug for Config {
    /// Without the token, and without the address: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InfluxDb { org, bucket, .. } => {
                f.debug_struct("InfluxDb").field("org", org).field("bucket", bucket).finish_non_exhaustive()
            }
            Self::Builtin { .. } => f.debug_struct("Builtin").finish_non_exhaustive(),
        }
    }
}

/// What can go wrong with the metrics store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("metrics_store: {0}")]
    Config(String),
    /// InfluxDB could not be reached or is busy.
    #[error("InfluxDB is not available: {0}")]
    Unavailable(String),
    /// InfluxDB refused the request.
    #[error("InfluxDB refused the request: {0}")]
    Refused(String),
    /// The built-in store failed.
    #[error(transparent)]
    Builtin(#[from] tidemill_store::Error),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Config(_) | Self::Refused(_) => false,
            Self::Unavailable(_) => true,
            Self::Builtin(error) => error.is_transient(),
        }
    }
}

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
