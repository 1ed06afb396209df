//! Configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_lateness::EventTimeRules;
use tidemill_service::{
    AuthConfig, CeilingConfig, DefinitionsConfig, HttpConfig, ServiceConfig, StartError, TelemetryConfig,
};

/// All settings of the service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub http: HttpConfig,
    /// How to reach NATS.
    #[serde(default)]
    pub nats: tidemill_bus::Config,
    /// The service's own database: checkpoints.
    pub store: tidemill_store::Config,
    /// Where totals are read as points.
    pub metrics_store: tidemill_metrics_store::Config,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// Who may read the points.
    #[serde(default, skip_serializing)]
    pub auth: AuthConfig,
    /// Where the definitions are.
    #[serde(default)]
    pub definitions: DefinitionsConfig,
    /// Event time. What decides numbers here decides those that are yet to come:
    /// what was counted stays as it is.
    #[serde(default)]
    pub windows: Windows,
    /// When to stand still rather than make dead letters.
    #[serde(default)]
    pub dead_letters: CeilingConfig,
}

/// Section `windows`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Windows {
    /// How far behind the newest event of its source an event may be before
    /// the watermark passes it, in seconds.
    pub out_of_orderness_seconds: u32,
    /// How far behind the watermark of its source an event still corrects its
    /// window, in seconds. Later ones are kept aside and counted as late, unless
    /// they are marked as backfill. It costs no memory. Keep it shorter than
    /// enrichment's `duplicates.horizon_seconds`.
    pub allowed_lateness_seconds: u32,
    /// An event this far ahead of its ingestion, in seconds, is counted but
    /// does not move the watermark: one wrong clock must not make all others
    /// late.
    pub max_future_seconds: u32,
    /// A source that is silent for this long, in seconds, holds no window
    /// open.
    pub idle_after_seconds: u32,
    /// Sources whose watermark is kept in each partition: those that were met most
    /// recently. Another one starts afresh, so its first event is not late.
    pub max_sources: u32,
    /// Window totals kept in memory for each partition; further ones are read
    /// from the store when an event needs them.
    pub max_cells_in_memory: u32,
    /// Values that exact distinct counts keep in memory for each partition,
    /// some 32 bytes each. Further ones are read from the store with their
    /// window, so it should hold those of the windows that are filled at once.
    pub max_values_in_memory: u32,
    /// How many days of event time are kept, counted back from the newest
    /// event of the partition; 0 keeps everything. Events older than that are
    /// late, whatever their source, also those that are marked as backfill, so
    /// an import of older orders needs a longer one; totals that nothing can change any more are deleted from the
    /// service's store. What was published stays with whoever read it.
    pub retention_days: u32,
}

impl Default for Windows {
    fn default() -> Self {
        let EventTimeRules {
            out_of_orderness_seconds,
            allowed_lateness_seconds,
            max_future_seconds,
            max_sources,
            retention_days,
        } = EventTimeRules::default();
        Self {
            out_of_orderness_seconds,
            allowed_lateness_seconds,
            max_future_seconds,
            idle_after_seconds: 10,
            max_sources,
            max_cells_in_memory: 100_000,
            max_values_in_memory: 2_000_000,
            retention_days,
        }
    }
}

impl Windows {
    /// What of it decides what is late.
    pub(crate) const fn rules(&self) -> EventTimeRules {
        EventTimeRules {
            out_of_orderness_seconds: self.out_of_orderness_seconds,
            allowed_lateness_seconds: self.allowed_lateness_seconds,
            max_future_seconds: self.max_future_seconds,
            max_sources: self.max_sources,
            retention_days: self.retention_days,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let windows = &self.windows;
        if windows.max_sources == 0
            || windows.max_cells_in_memory < 1000
            || windows.max_values_in_memory < 1000
            || windows.idle_after_seconds == 0
        {
            return Err(StartError::new(
                "windows: max_sources and idle_after_seconds must be at least 1, max_cells_in_memory and \
                 max_values_in_memory at least 1000",
            ));
        }
        let lateness = u64::from(windows.allowed_lateness_seconds) + u64::from(windows.out_of_orderness_seconds);
        if windows.retention_days != 0 && u64::from(windows.retention_days) * 24 * 3600 < lateness {
            return Err(StartError::new(
                "windows: retention_days must be 0, or at least allowed_lateness_seconds and out_of_orderness_seconds \
                 together",
            ));
        }
        Ok(())
    }
}

impl ServiceConfig for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}
