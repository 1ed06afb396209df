//! The all-in-one as a command runs it: with traces, until the command is done
//! or somebody ends it, and with a folder that goes where none was named.

use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use tidemill_domain::Currency;
use tidemill_service::{
    StartError, TelemetryConfig,
    telemetry::{LogFormat, Telemetry},
};
use tokio::time::timeout;
use url::Url;

use super::{ending::Ending, folder::Folder, jaeger::Jaeger, options::Options, services::Suite};
use crate::{
    arguments::Local,
    client::{Client, Keys},
};

/// The services whose spans the all-in-one exports, each under its own name;
/// `shop` is the customer that the demo plays.
pub const TRACED_SERVICES: [&str; 6] = ["ingestion", "enrichment", "aggregation", "alert", "reporting", "shop"];
/// How long a suite that is to end may go on starting: one that has started ends
/// in order.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// What a command adds to a suite.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Slack webhook, where the arguments name none.
    pub(crate) slack: Option<String>,
    /// Products and customers, as the YAML of a reference file.
    pub(crate) catalogue: Option<String>,
}

/// Where a running suite is.
#[derive(Debug, Clone)]
pub(crate) struct Whereabouts {
    ingestion: SocketAddr,
    reporting: SocketAddr,
    /// The trace collector and its UI.
    pub(crate) jaeger: Jaeger,
    data: PathBuf,
    /// The data go at the end.
    is_passing: bool,
    /// The folder of keys, where it has one.
    keys: Option<PathBuf>,
}

/// A suite and its traces.
struct LocalSuite {
    suite: Suite,
    jaeger: Jaeger,
    telemetry: Telemetry,
}

impl Local {
    /// Free ports, a temporary folder, few traces: for a suite that only its
    /// starter uses.
    pub(crate) fn private() -> Self {
        Self {
            data: None,
            keys: None,
            port: 0,
            reporting_port: 0,
            jaeger_port: 0,
            slack_webhook: None,
            geoip: None,
            currency: Currency::EUR,
            sample_ratio: 0.01,
            log: "warn".into(),
        }
    }
}

/// Starts a suite, works with it and ends it in order; `None` if somebody had it
/// end before the work was done. A second signal ends it at once. Whatever
/// happens, no server and no temporary folder is left.
pub(crate) async fn with_suite<T>(
    local: &Local,
    extras: Extras,
    work: impl AsyncFnOnce(Whereabouts) -> Result<T, Box<dyn Error>>,
) -> Result<Option<T>, Box<dyn Error>> {
    let mut ending = Ending::new()?;
    let folder = Folder::new(local.data.as_deref())?;
    let outcome = in_folder(local, extras, &folder, &mut ending, work).await;
    folder.close();
    outcome
}

async fn in_folder<T>(
    local: &Local,
    extras: Extras,
    folder: &Folder,
    ending: &mut Ending,
    work: impl AsyncFnOnce(Whereabouts) -> Result<T, Box<dyn Error>>,
) -> Result<Option<T>, Box<dyn Error>> {
    let mut start = pin!(LocalSuite::start(local, extras, folder.path()));
    let (mut suite, is_told) = tokio::select! {
        suite = &mut start => (suite?, false),
        () = ending.told() => {
            let started = timeout(START_PATIENCE, start).await;
            let late = |_| format!("told to end while it started; after {} s it was not ready to", START_PATIENCE.as_secs());
            (started.map_err(late)??, true)
        }
    };
    let whereabouts = suite.whereabouts(folder, local.keys.clone());
    let outcome = if is_told {
        Ok(None)
    } else {
        tokio::select! {
            outcome = work(whereabouts) => outcome.map(Some),
            why = suite.suite.failed() => Err(why.into()),
            () = ending.told() => Ok(None),
        }
    };
    if matches!(outcome, Ok(None)) {
        tell!("draining …");
    }
    tokio::select! {
        drained = suite.stop() => if !drained {
            tell!("tidemill: not everything drained in time");
        },
        () = ending.told() => return Err("ended before everything had drained".into()),
    }
    outcome
}

impl LocalSuite {
    async fn start(local: &Local, extras: Extras, folder: &Path) -> Result<Self, StartError> {
        Self::start_at(local, extras, folder).await.map_err(|error| match error.is_port_taken() {
            true => StartError::new(format!(
                "{error}; take other ports by --port, --reporting-port and --jaeger-port (0 is a free one)"
            )),
            false => error,
        })
    }

    async fn start_at(local: &Local, extras: Extras, folder: &Path) -> Result<Self, StartError> {
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
        let options = Options {
            folder: folder.to_owned(),
            keys: local.keys.clone(),
            port: local.port,
            reporting_port: local.reporting_port,
            slack_webhook: local.slack_webhook.clone().or(extras.slack),
            reference: None,
            catalogue: extras.catalogue,
            geoip: local.geoip.clone(),
            currency: Some(local.currency),
            jaeger: Some(format!("http://{}", jaeger.ui)),
        };
        Ok(Self { suite: Suite::start(&options).await?, jaeger, telemetry })
    }

    fn whereabouts(&self, folder: &Folder, keys: Option<PathBuf>) -> Whereabouts {
        Whereabouts {
            ingestion: self.suite.ingestion,
            reporting: self.suite.reporting,
            jaeger: self.jaeger,
            data: folder.path().to_owned(),
            is_passing: matches!(folder, Folder::Passing(_)),
            keys,
        }
    }

    /// Drains and ends everything.
    async fn stop(self) -> bool {
        let drained = self.suite.stop().await;
        self.telemetry.shutdown().await;
        drained
    }
}

impl Whereabouts {
    /// A client of it.
    pub(crate) fn client(&self, keys: Keys) -> Client {
        Client::new(url(self.ingestion), url(self.reporting), keys)
    }

    /// Tells a person where to look.
    pub(crate) fn print(&self) {
        say!("Dashboard   http://{}", self.reporting);
        say!("API         http://{}/v1/metrics  (OpenAPI: /openapi.json)", self.reporting);
        say!("Events      http://{}/v1/events", self.ingestion);
        say!("Jaeger      http://{}", self.jaeger.ui);
        say!("Data        {}{}", self.data.display(), if self.is_passing { "  (removed at the end)" } else { "" });
        match &self.keys {
            Some(folder) => say!("Keys        {}", folder.display()),
            None => {
                say!("Keys        none: whoever reaches these ports may do everything; --keys DIR asks for keys")
            }
        }
    }
}

#[allow(clippy::expect_used, reason = "an address and port make a URL")]
pub(crate) fn url(address: SocketAddr) -> Url {
    format!("http://{address}").parse().expect("a socket address is a host and port")
}
