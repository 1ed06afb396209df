//! How to reach NATS, and how large the log may grow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `nats`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Server addresses, separated by commas.
    pub url: String,
    /// User name, where the server asks for one.
    pub user: Option<String>,
    /// Password that goes with `user`. Give it by environment.
    #[serde(skip_serializing)]
    pub password: Option<String>,
    /// Partitions of the log (1 to 1024). Fixed once events are stored.
    pub partitions: u16,
    /// Replicas of each stream: 1, or 3 on a cluster of three servers.
    pub replicas: u8,
    /// Bytes that the log (`RAW`) may take on disk. When it is full,
    /// ingestion answers 503 rather than forget. The other streams are sized
    /// in proportion: `ENRICHED` a half, `METRICS` and `DLQ` a quarter, `LATE`
    /// an eighth, `ALERTS` and `REDRIVE` a sixteenth.
    pub log_bytes: u64,
    /// Seconds to wait for an answer of the server.
    pub timeout_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".into(),
            user: None,
            password: None,
            partitions: 8,
            replicas: 1,
            log_bytes: 4 << 30,
            timeout_seconds: 5,
        }
    }
}
