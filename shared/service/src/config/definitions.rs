//! Section `definitions`, which services that know metrics have.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `definitions`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DefinitionsConfig {
    /// Folder of metric definitions (`*.yaml`), the same for every service; the
    /// defaults without one.
    pub metrics: Option<PathBuf>,
}
