//! How a bucket is reached.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_lake_tables::S3Config;

/// Section `lake.s3`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BucketConfig {
    /// Address of a store that is not Amazon's, for instance `http://minio:9000`.
    pub(crate) endpoint: Option<String>,
    /// Region.
    pub(crate) region: Option<String>,
    /// Whether `endpoint` may be reached without TLS.
    pub(crate) allow_http: bool,
    /// Access key.
    #[serde(skip_serializing)]
    #[schemars(extend("writeOnly" = true))]
    pub(crate) access_key_id: Option<String>,
    /// Secret of the access key. Give it by a file or by environment.
    #[serde(skip_serializing)]
    #[schemars(extend("writeOnly" = true))]
    pub(crate) secret_access_key: Option<String>,
}

impl BucketConfig {
    /// By the names that the store has for them.
    pub(super) fn options(&self) -> S3Config {
        let Self { endpoint, region, allow_http, access_key_id, secret_access_key } = self;
        let mut options = BTreeMap::new();
        let given = [
            ("endpoint", endpoint),
            ("region", region),
            ("access_key_id", access_key_id),
            ("secret_access_key", secret_access_key),
        ];
        for (name, value) in given {
            options.extend(value.clone().map(|value| (name.to_owned(), value)));
        }
        if *allow_http {
            options.insert("allow_http".into(), "true".into());
        }
        S3Config(options)
    }
}

/// Without what is secret.
impl fmt::Debug for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, allow_http, .. } = self;
        write!(f, "BucketConfig {{ endpoint: {endpoint:?}, region: {region:?}, allow_http: {allow_http}, .. }}")
    }
}
