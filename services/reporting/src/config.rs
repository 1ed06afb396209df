//! Settings of the service.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_service::{
    AuthConfig, CeilingConfig, DefinitionsConfig, HttpConfig, ServiceConfig, StartError, TelemetryConfig,
};

use crate::calendar::Zone;

#[cfg(test)]
mod tests;

const DAY_MILLIS: i64 = 24 * 3_600_000;

/// The settings.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where API and dashboard listen.
    pub http: HttpConfig,
    /// The message log.
    #[serde(default)]
    pub nats: tidemill_bus::Config,
    /// The read model.
    pub store: tidemill_store::Config,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// Who may read, and who may handle dead letters.
    #[serde(default, skip_serializing)]
    pub auth: AuthConfig,
    /// Definitions of the metrics.
    #[serde(default)]
    pub definitions: DefinitionsConfig,
    /// Live updates.
    #[serde(default)]
    pub live: LiveConfig,
    /// What one request may ask for.
    #[serde(default)]
    pub limits: AnswerLimitsConfig,
    /// When to stand still rather than make dead letters.
    #[serde(default)]
    pub dead_letters: CeilingConfig,
    /// Logging in to the page.
    #[serde(default)]
    pub session: SessionConfig,
    /// Where other parts of the suite are reached by a browser.
    #[serde(default)]
    pub links: PageLinksConfig,
    /// Whose days are meant.
    #[serde(default)]
    pub calendar: CalendarConfig,
    /// Whether stream and batch views agree.
    #[serde(default)]
    pub drift: DriftConfig,
    /// How long totals are kept that the lake has too.
    #[serde(default)]
    pub retention: KeptTotalsConfig,
}

/// Section `live`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LiveConfig {
    /// Clients of the stream at once; more are answered 503.
    pub clients: u16,
    /// Of them, those of one address (of IPv6, of one /64 network); more are
    /// answered 429. Addresses in `http.shared_networks` are held to no share.
    pub clients_per_address: NonZeroU32,
    /// Proxies in front of the service, each of which appends to
    /// `X-Forwarded-For` the address that it was called from: a client's address
    /// is what the outermost of them saw. With 0, it is the connection's.
    pub trusted_proxies: usize,
    /// Least milliseconds between two updates.
    pub interval_millis: u64,
}

impl Default for LiveConfig {
    fn default() -> Self {
        let clients_per_address = NonZeroU32::MIN.saturating_add(31);
        Self { clients: 256, clients_per_address, trusted_proxies: 0, interval_millis: 50 }
    }
}

/// Section `limits`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerLimitsConfig {
    /// Points in one answer.
    pub points: usize,
    /// Stored totals that one answer may be made of: those that are read, of a
    /// window, or rolled up of an hour or a day.
    pub cells: usize,
}

impl Default for AnswerLimitsConfig {
    fn default() -> Self {
        Self { points: 50_000, cells: 5_000_000 }
    }
}

/// Section `session`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Whether browsers reach the page by https alone. Without it, a login that
    /// a proxy marks so in `X-Forwarded-Proto` gets a cookie that is never sent
    /// in the clear.
    pub https: bool,
}

/// Section `calendar`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarConfig {
    /// The zone of the shop, by its name in the IANA database, for instance
    /// `Europe/Berlin`: its days are meant where a question names no zone.
    pub zone: Zone,
}

/// Section `drift`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DriftConfig {
    /// Seconds between two events that tell how many totals of a batch view differ from the
    /// stream's, for rules to look at; 0 to tell none. `/metrics` tells it in any case.
    pub interval_seconds: u32,
}

impl Default for DriftConfig {
    fn default() -> Self {
        Self { interval_seconds: 60 }
    }
}

/// Section `retention`: totals of old windows leave the read model, of metrics that have batch
/// views. Their past stays in the lake.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeptTotalsConfig {
    /// Days (of UTC) that totals of windows are kept, by when a window starts; 0 keeps all, else at
    /// least 8. What was given up does not come back when this is raised.
    pub days: u32,
}

impl KeptTotalsConfig {
    /// The streams have the days before, and events may be as late.
    const LEAST: u32 = 8;

    /// The first instant of the windows that are kept; `None` where all are.
    pub(crate) fn since(self, now: Timestamp) -> Option<Timestamp> {
        (self.days > 0).then(|| now.plus_millis(-i64::from(self.days) * DAY_MILLIS).floor_to(DAY_MILLIS))
    }
}

/// Section `links`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PageLinksConfig {
    /// Jaeger's user interface, for instance `http://localhost:16686`.
    pub jaeger: Option<String>,
    /// Ingestion's API, for instance `http://localhost:7070`.
    pub ingestion: Option<String>,
}

impl Config {
    /// Checks what the types do not say.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let positive = [
            ("live.clients", u64::from(self.live.clients)),
            ("live.interval_millis", self.live.interval_millis),
            ("limits.points", self.limits.points as u64),
            ("limits.cells", self.limits.cells as u64),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(StartError::new(format!("{name} must be at least 1")));
        }
        let least = KeptTotalsConfig::LEAST;
        match (1..least).contains(&self.retention.days) {
            true => Err(StartError::new(format!(
                "retention.days must be 0, or at least {least}: the log has the days before"
            ))),
            false => Ok(()),
        }
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
