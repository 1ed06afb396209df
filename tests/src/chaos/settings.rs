//! Each replica's configuration: the text that an operator would write.

use std::{net::SocketAddr, path::Path};

use super::influx;
use crate::service::Service;

/// Events that one replica of alert tells Slack of in a minute: none goes into
/// a summary, so that each can be looked for.
const MESSAGES_PER_MINUTE: u32 = 100_000;

/// The folder of the lake's tables, in that of the run.
pub(super) const LAKE: &str = "lake";
/// Rules of recommendation by which nothing is left out, preferred or filled up: answers
/// are what the index says.
pub(super) const RULES: (&str, &str) = ("recommendation.yaml", "exclude: []\nboost: []\nfallbacks: []\n");

/// What a replica's configuration is made of.
pub(super) struct Settings<'a> {
    /// Whose it is.
    pub(super) service: Service,
    /// Where it listens.
    pub(super) listen: SocketAddr,
    /// Its way to NATS, with the password.
    pub(super) nats: String,
    /// Its way to PostgreSQL.
    pub(super) postgres: Option<SocketAddr>,
    /// Its way to InfluxDB, where there is one.
    pub(super) influx: Option<SocketAddr>,
    /// Where alerts are posted.
    pub(super) slack: &'a str,
    /// The folder of the run.
    pub(super) folder: &'a Path,
}

impl Settings<'_> {
    /// As TOML.
    pub(super) fn toml(&self) -> String {
        let mut sections = vec![
            section("http", &[("listen", quoted(&self.listen.to_string()))]),
            section("auth", &[("open", true.to_string())]),
            section("nats", &[("url", quoted(&self.nats))]),
            section("telemetry", &[("log", quoted("info")), ("log_format", quoted("json"))]),
        ];
        if let Some(postgres) = self.postgres {
            sections.push(section("store", &[("url", database(postgres, self.service.name()))]));
            if self.service == Service::Aggregation {
                sections.push(self.metrics_store(postgres));
            }
        }
        if self.service == Service::Alert {
            let limit = MESSAGES_PER_MINUTE.to_string();
            sections.push(section("slack", &[("webhook_url", quoted(self.slack)), ("messages_per_minute", limit)]));
        }
        match self.service {
            Service::Recommendation => {
                sections.push(section("rules", &[("file", path(&self.folder.join("config").join(RULES.0)))]));
                sections.push(section("measure", &[("interval_seconds", 0.to_string())]));
            }
            Service::Reporting => sections.push(section("drift", &[("interval_seconds", 0.to_string())])),
            Service::Lake => sections.extend(self.lake()),
            _ => {}
        }
        sections.concat()
    }

    /// Everything happens often, so that faults are likely to come into the midst of it. What is
    /// measured is no part of it: the log has what was sent and no more.
    fn lake(&self) -> [String; 6] {
        let every = |name, seconds: u32| section(name, &[("every_seconds", seconds.to_string())]);
        let interval = ("checkpoint_interval", 3.to_string());
        [
            section("lake", &[("url", path(&self.folder.join(LAKE))), interval]),
            every("bronze", 1),
            every("silver", 1),
            every("gold", 5),
            every("quality", 0),
            section("upkeep", &[("every_minutes", 1.to_string()), ("least_files", 4.to_string())]),
        ]
    }

    fn metrics_store(&self, postgres: SocketAddr) -> String {
        match self.influx {
            Some(influx) => section(
                "metrics_store",
                &[
                    ("kind", quoted("influxdb")),
                    ("url", quoted(&format!("http://{influx}"))),
                    ("org", quoted(influx::ORG)),
                    ("bucket", quoted(influx::BUCKET)),
                    ("token", quoted(influx::TOKEN)),
                ],
            ),
            // A SQLite file could not be shared by processes that are killed.
            None => section("metrics_store", &[("kind", quoted("builtin")), ("url", database(postgres, "metrics"))]),
        }
    }
}

fn section(name: &str, values: &[(&str, String)]) -> String {
    let lines: String = values.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("[{name}]\n{lines}")
}

fn database(server: SocketAddr, name: &str) -> String {
    quoted(&format!("postgres://tidemill@{server}/{name}"))
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
