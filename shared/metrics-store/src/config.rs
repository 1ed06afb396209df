//! Settings of the metrics store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, InfluxStore};

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
    /// The built-in store: points are read from the checkpoints, and written
    /// nowhere.
    Builtin {
        /// Where an earlier release wrote points. It is opened no more, and need
        /// not be given.
        #[serde(default, skip_serializing)]
        #[schemars(extend("writeOnly" = true))]
        url: Option<String>,
    },
}

impl Config {
    /// InfluxDB, where that is the store. It is not called yet.
    pub fn influx(&self) -> Result<Option<InfluxStore>, Error> {
        match self {
            Self::InfluxDb { url, org, bucket, token } => InfluxStore::new(url, org, bucket, token).map(Some),
            Self::Builtin { .. } => Ok(None),
        }
    }
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
