//! Settings of the metrics store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
