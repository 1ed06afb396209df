//! What an operator sets.

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_service::{
    AuthConfig, CeilingConfig, DefinitionsConfig, HttpConfig, ServiceConfig, StartError, TelemetryConfig,
};

/// Seconds that one call to Slack may take. The most is a little less than
/// [`tidemill_ownership`] waits for a replica that gives its work back.
const CALL_SECONDS: RangeInclusive<u64> = 1..=7;

/// The configuration of the alert service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub(crate) http: HttpConfig,
    /// The log.
    #[serde(default)]
    pub(crate) nats: tidemill_bus::Config,
    /// Its own database.
    pub(crate) store: tidemill_store::Config,
    /// Logs and traces.
    #[serde(default)]
    pub(crate) telemetry: TelemetryConfig,
    /// Who may read alerts and rules.
    #[serde(default, skip_serializing)]
    pub(crate) auth: AuthConfig,
    /// The rules.
    #[serde(default)]
    pub(crate) rules: RulesConfig,
    /// The metrics that rules look at.
    #[serde(default)]
    pub(crate) definitions: DefinitionsConfig,
    /// Where alerts are sent.
    #[serde(default)]
    pub(crate) slack: SlackConfig,
    /// Where a message's buttons lead.
    #[serde(default)]
    pub(crate) links: AlertLinksConfig,
    /// When to halt rather than give up more messages that cannot be read.
    #[serde(default)]
    pub(crate) dead_letters: CeilingConfig,
}

impl ServiceConfig for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

/// Section `rules`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RulesConfig {
    /// Folder of rules (`*.yaml`, one a file). Without it the rules that
    /// Tidemill comes with.
    pub(crate) folder: Option<PathBuf>,
    /// YAML file that says what rules over events call amounts and lists, in
    /// place of the built-in one. A rule may have names of its own.
    pub(crate) amounts: Option<PathBuf>,
}

/// Section `slack`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SlackConfig {
    /// Address of an incoming webhook. Give it by environment: who knows it
    /// can post. Without one alerts are recorded and published, not sent.
    #[serde(skip_serializing)]
    pub(crate) webhook_url: Option<Secret>,
    /// Seconds that one call may take, 1 to 7: a replica that gives its work
    /// back is waited for a little longer than that.
    pub(crate) timeout_seconds: u64,
    /// Messages per rule and minute; what fires beyond is told in one summary.
    pub(crate) messages_per_minute: usize,
    /// Hours after which a notification that could not be delivered is given up.
    pub(crate) give_up_after_hours: u32,
}

impl Default for SlackConfig {
    fn default() -> Self {
        Self { webhook_url: None, timeout_seconds: 5, messages_per_minute: 10, give_up_after_hours: 24 }
    }
}

impl SlackConfig {
    /// The webhook's address, where there is one.
    pub(crate) fn webhook(&self) -> Option<&str> {
        self.webhook_url.as_ref().map(Secret::expose).filter(|url| !url.is_empty())
    }

    /// How long one call may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// How long delivery is tried, in milliseconds.
    pub(crate) fn give_up_after_millis(&self) -> i64 {
        i64::from(self.give_up_after_hours) * 3_600_000
    }
}

/// Section `links`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AlertLinksConfig {
    /// Address of the Jaeger UI as people's browsers reach it, for instance
    /// `http://127.0.0.1:16686`.
    pub(crate) jaeger: Option<String>,
    /// Address of the dashboard, likewise.
    pub(crate) dashboard: Option<String>,
    /// Address of the lake, likewise: alerts about figures of its tables lead there.
    pub(crate) lake: Option<String>,
}

impl Config {
    /// What no type says about the values.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let is_address = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if self.slack.webhook().is_some_and(|url| !is_address(url)) {
            return Err(StartError::new("slack.webhook_url must begin with https:// (or http://)"));
        }
        let AlertLinksConfig { jaeger, dashboard, lake } = &self.links;
        for (key, url) in [("links.jaeger", jaeger), ("links.dashboard", dashboard), ("links.lake", lake)] {
            if url.as_deref().is_some_and(|url| !url.is_empty() && !is_address(url)) {
                return Err(StartError::new(format!("{key} must begin with http:// or https://")));
            }
        }
        if !CALL_SECONDS.contains(&self.slack.timeout_seconds) {
            let (from, to) = CALL_SECONDS.into_inner();
            return Err(StartError::new(format!("slack.timeout_seconds must be {from} to {to}")));
        }
        if self.slack.messages_per_minute == 0 {
            return Err(StartError::new("slack.messages_per_minute must be at least 1"));
        }
        Ok(())
    }
}

/// A text that is shown to nobody.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("writeOnly" = true))]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for the one place that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests;
