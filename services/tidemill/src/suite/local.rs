//! The all-in-one as a command runs it: with traces, and a folder that goes
//! with it where none was named.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemill_service::{
    StartError, TelemetryConfig,
    telemetry::{LogFormat, Telemetry},
};
use url::Url;

use super::{folder, jaeger::Jaeger, options::Options, services::Suite};
use crate::{
    arguments::Local,
    client::{Client, Keys},
};

/// The services whose spans the all-in-one exports, each under its own name;
/// `shop` is the customer that the demo plays.
pub const TRACED_SERVICES: [&str; 6] = ["ingestion", "enrichment", "aggregation", "alert", "reporting", "shop"];

/// What a command adds to a suite.
#[derive(Debug, Default)]
pub struct Extras {
    /// Slack webhook, where the arguments name none.
    pub slack: Option<String>,
    /// Products and customers, as the YAML of a reference file.
    pub reference: Option<String>,
}

/// Waits until a person or a supervisor has the suite end. nats-server would
/// outlive a process that dies of a signal.
pub async fn told_to_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal,
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

/// A suite, its traces and its folder.
pub struct LocalSuite {
    /// The services.
    pub suite: Suite,
    /// The trace collector and its UI.
    pub jaeger: Jaeger,
    telemetry: Telemetry,
    folder: Folder,
    /// The folder of keys, where it has one.
    keys: Option<PathBuf>,
}

/// Where its data are.
enum Folder {
    /// Named by the user, and kept.
    Kept(PathBuf),
    /// Made for this run, and removed at its end. Its name cannot be guessed and
    /// nobody else can look in, so that nobody can have put anything there.
    Passing(TempDir),
}

impl Folder {
    fn new(named: Option<&Path>) -> Result<Self, StartError> {
        match named {
            Some(folder) => Ok(Self::Kept(folder.to_owned())),
            None => tempfile::Builder::new()
                .prefix("tidemill-")
                .tempdir()
                .map(Self::Passing)
                .map_err(|e| StartError::new(format!("a temporary folder: {e}"))),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Passing(folder) => folder.path(),
        }
    }

    /// Ends it where nobody is to keep it.
    fn close(self) {
        match self {
            Self::Kept(_) => {}
            Self::Passing(folder) => {
                let path = folder.path().to_owned();
                if let Err(error) = folder.close() {
                    eprintln!("tidemill: {}: {error}", path.display());
                }
            }
        }
    }
}

impl Local {
    /// Free ports, a temporary folder, few traces: for a suite that only its
    /// starter uses.
    pub fn private() -> Self {
        Self {
            data: None,
            keys: None,
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
        Self::start_at(local, extras).await.map_err(|error| match error.is_port_taken() {
            true => StartError::new(format!(
                "{error}; take other ports by --port, --reporting-port and --jaeger-port (0 is a free one)"
            )),
            false => error,
        })
    }

    async fn start_at(local: &Local, extras: Extras) -> Result<Self, StartError> {
        let jaeger = Jaeger::start(local.jaeger_port).await?;
        let telemetry = Telemetry::init(
            &TelemetryConfig {
                otlp_endpoint: Some(format!("http://{}", jaeger.otlp)),
                sample_ratio: local.sample_ratio,
                log: local.log.clone(),
                // A person started it, wherever its output goes.
                log_format: LogFormat::Text,
            },
            &TRACED_SERVICES,
        )?;
        let folder = Folder::new(local.data.as_deref())?;
        let reference = extras.reference.map(|text| write_reference(folder.path(), &text)).transpose()?;
        let options = Options {
            folder: folder.path().to_owned(),
            keys: local.keys.clone(),
            port: local.port,
            reporting_port: local.reporting_port,
            slack_webhook: local.slack_webhook.clone().or(extras.slack),
            reference,
            geoip: local.geoip.clone(),
            jaeger: Some(format!("http://{}", jaeger.ui)),
        };
        match Suite::start(&options).await {
            Ok(suite) => Ok(Self { suite, jaeger, telemetry, folder, keys: options.keys }),
            Err(error) => {
                folder.close();
                Err(error)
            }
        }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(url(self.suite.ingestion), url(self.suite.reporting), Keys::default())
    }

    /// Tells a person where to look.
    pub fn print_addresses(&self) {
        println!("Dashboard   http://{}", self.suite.reporting);
        println!("API         http://{}/v1/metrics  (OpenAPI: /openapi.json)", self.suite.reporting);
        println!("Events      http://{}/v1/events", self.suite.ingestion);
        println!("Jaeger      http://{}", self.jaeger.ui);
        let fate = match self.folder {
            Folder::Kept(_) => "",
            Folder::Passing(_) => "  (removed at the end)",
        };
        println!("Data        {}{fate}", self.folder.path().display());
        match &self.keys {
            Some(folder) => println!("Keys        {}", folder.display()),
            None => {
                println!("Keys        none: whoever reaches these ports may do everything; --keys DIR asks for keys")
            }
        }
    }

    /// Drains and ends everything.
    pub async fn stop(self) -> bool {
        let drained = self.suite.stop().await;
        self.telemetry.shutdown().await;
        self.folder.close();
        drained
    }
}

fn write_reference(parent: &Path, text: &str) -> Result<PathBuf, StartError> {
    let path = folder::private(parent, "reference")?.join("catalogue.yaml");
    std::fs::write(&path, text).map_err(|e| StartError::new(format!("{}: {e}", path.display())))?;
    Ok(path)
}

#[allow(clippy::expect_used, reason = "an address and port make a URL")]
pub(crate) fn url(address: std::net::SocketAddr) -> Url {
    format!("http://{address}").parse().expect("a socket address is a host and port")
}
