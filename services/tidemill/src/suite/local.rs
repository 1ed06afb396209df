//! The all-in-one as a command runs it: with traces, and a folder that goes
//! with it where none was named.

use std::path::{Path, PathBuf};

use tidemill_service::{StartError, TelemetryConfig, telemetry::Telemetry};
use url::Url;

use super::{Jaeger, Options, Suite, TRACED_SERVICES};
use crate::{cli::Local, client::Client};

/// What a command adds to a suite.
#[derive(Debug, Default)]
pub struct Extras {
    /// Slack webhook, where the arguments name none.
    pub slack: Option<String>,
    /// Products and customers, as the YAML of a reference file.
    pub reference: Option<String>,
}

/// A suite, its traces and its folder.
pub struct LocalSuite {
    /// The services.
    pub suite: Suite,
    /// The trace collector and its UI.
    pub jaeger: Jaeger,
    telemetry: Telemetry,
    folder: PathBuf,
    keep: bool,
}

impl Local {
    /// Free ports, a temporary folder, few traces: for a suite that only its
    /// starter uses.
    pub fn private() -> Self {
        Self {
            data: None,
            port: 0,
            reporting_port: 0,
            jaeger_port: 0,
            slack_webhook: None,
            geoip: None,
            sample_ratio: 0.01,
            log: "warn".into(),
        }
    }
}

impl LocalSuite {
    /// Starts everything.
    pub async fn start(local: &Local, extras: Extras) -> Result<Self, StartError> {
        let jaeger = Jaeger::start(local.jaeger_port).await?;
        let telemetry = Telemetry::init(
            &TelemetryConfig {
                otlp_endpoint: Some(format!("http://{}", jaeger.otlp)),
                sample_ratio: local.sample_ratio,
                log: local.log.clone(),
                ..TelemetryConfig::default()
            },
            &TRACED_SERVICES,
        )?;
        let folder =
            local.data.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("tidemill-{}", std::process::id())));
        let reference = extras.reference.map(|text| write_reference(&folder, &text)).transpose()?;
        let options = Options {
            folder: folder.clone(),
            port: local.port,
            reporting_port: local.reporting_port,
            slack_webhook: local.slack_webhook.clone().or(extras.slack),
            reference,
            geoip: local.geoip.clone(),
            jaeger: Some(format!("http://{}", jaeger.ui)),
        };
        let keep = local.data.is_some();
        match Suite::start(&options).await {
            Ok(suite) => Ok(Self { suite, jaeger, telemetry, folder, keep }),
            Err(error) => {
                remove(&folder, keep);
                Err(error)
            }
        }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(url(self.suite.ingestion), url(self.suite.reporting), None)
    }

    /// Tells a person where to look.
    pub fn print_addresses(&self) {
        println!("Dashboard   http://{}", self.suite.reporting);
        println!("API         http://{}/v1/metrics  (OpenAPI: /openapi.json)", self.suite.reporting);
        println!("Events      http://{}/v1/events", self.suite.ingestion);
        println!("Jaeger      http://{}", self.jaeger.ui);
        println!("Data        {}{}", self.folder.display(), if self.keep { "" } else { "  (removed at the end)" });
    }

    /// Drains and ends everything.
    pub async fn stop(self) -> bool {
        let drained = self.suite.stop().await;
        self.telemetry.shutdown().await;
        remove(&self.folder, self.keep);
        drained
    }
}

fn write_reference(folder: &Path, text: &str) -> Result<PathBuf, StartError> {
    let path = super::folder(folder, "reference")?.join("catalogue.yaml");
    std::fs::write(&path, text).map_err(|e| StartError::new(format!("{}: {e}", path.display())))?;
    Ok(path)
}

fn remove(folder: &Path, keep: bool) {
    if !keep && let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("tidemill: {}: {error}", folder.display());
    }
}

#[allow(clippy::expect_used, reason = "an address and port make a URL")]
pub(crate) fn url(address: std::net::SocketAddr) -> Url {
    format!("http://{address}").parse().expect("a socket address is a host and port")
}
