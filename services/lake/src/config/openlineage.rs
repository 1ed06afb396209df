//! Who is told of runs.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_service::StartError;

/// Section `openlineage`: without an address nobody is told.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OpenLineageConfig {
    /// The address that run events are sent to, for instance `http://marquez:5000/api/v1/lineage`.
    pub(crate) url: Option<String>,
    /// A key for it, sent as a bearer token. Give it by environment or by a file.
    #[serde(skip_serializing)]
    #[schemars(extend("writeOnly" = true))]
    pub(crate) key: Option<String>,
    /// Namespace of the jobs. Two suites that tell one catalogue need two.
    pub(crate) namespace: String,
    /// Seconds that the address may take for an event.
    pub(crate) timeout_seconds: u32,
}

impl Default for OpenLineageConfig {
    fn default() -> Self {
        Self { url: None, key: None, namespace: "tidemill".into(), timeout_seconds: 5 }
    }
}

/// Without what is secret.
impl fmt::Debug for OpenLineageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, key: _, namespace, timeout_seconds } = self;
        f.debug_struct("OpenLineageConfig")
            .field("url", url)
            .field("namespace", namespace)
            .field("timeout_seconds", timeout_seconds)
            .finish_non_exhaustive()
    }
}

impl OpenLineageConfig {
    /// The address, where there is one.
    pub(crate) fn address(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }

    /// The key, where there is one.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.key.as_deref().filter(|key| !key.is_empty())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let is_address = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if self.address().is_some_and(|url| !is_address(url)) {
            return Err(StartError::new("openlineage.url must begin with http:// or https://"));
        }
        match self.namespace.trim().is_empty() {
            true => Err(StartError::new("openlineage.namespace must be a name")),
            false => Ok(()),
        }
    }
}
