//! The all-in-one as a command runs it: with traces, until the command is done
//! or somebody ends it, and with a folder that goes where none was named.

use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use tidemill_service::{
    StartError, TelemetryConfig,
    telemetry::{LogFormat, Telemetry},
};
use tokio::time::timeout;
use url::Url;

use super::{
    KeyVariables, ending::Ending, folder::Folder, jaeger::Jaeger, keys, lake::JoinedLake, options::Options,
    services::Suite,
};
use crate::{
    client::{Client, Keys},
    profile::ProfilePart,
    shop_file::ShopFile,
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
    /// Slack webhook.
    pub(crate) slack: Option<String>,
    /// Keys that the environment gives.
    pub(crate) keys: KeyVariables,
    /// Products and customers, as the YAML of a reference file.
    pub(crate) catalogue: Option<String>,
}

/// Where a running suite is.
#[derive(Debug, Clone)]
pub(crate) struct Whereabouts {
    ingestion: SocketAddr,
    /// Where there is one.
    recommendation: Option<SocketAddr>,
    /// Where there is one.
    reporting: Option<SocketAddr>,
    /// Where there is one.
    lake: Option<SocketAddr>,
    /// The trace collector and its UI.
    pub(crate) jaeger: Jaeger,
    data: PathBuf,
    /// The data go at the end.
    is_passing: bool,
    /// The folder of keys, where it has one.
    keys: Option<PathBuf>,
    /// Whether it asks for keys at all.
    is_guarded: bool,
}

/// A suite and its traces.
struct LocalSuite {
    suite: Suite,
    /// Where the profile has one.
    lake: Option<JoinedLake>,
    jaeger: Jaeger,
    telemetry: Telemetry,
}

/// Starts a suite, works with it and ends it in order; `None` if somebody had it
/// end before the work was done. A second signal ends it at once. Whatever
/// happens, no server and no temporary folder is left.
pub(crate) async fn with_suite<T>(
    settings: &ShopFile,
    extras: Extras,
    work: impl AsyncFnOnce(Whereabouts) -> Result<T, Box<dyn Error>>,
) -> Result<Option<T>, Box<dyn Error>> {
    let mut ending = Ending::new()?;
    let folder = Folder::new(settings.data.as_deref())?;
    let outcome = in_folder(settings, extras, &folder, &mut ending, work).await;
    folder.close();
    outcome
}

async fn in_folder<T>(
    settings: &ShopFile,
    extras: Extras,
    folder: &Folder,
    ending: &mut Ending,
    work: impl AsyncFnOnce(Whereabouts) -> Result<T, Box<dyn Error>>,
) -> Result<Option<T>, Box<dyn Error>> {
    let is_guarded = settings.keys.folder.is_some() || !extras.keys.is_empty();
    let mut start = pin!(LocalSuite::start(settings, extras, folder.path()));
    let (mut suite, is_told) = tokio::select! {
        suite = &mut start => (suite?, false),
        () = ending.told() => {
            let started = timeout(START_PATIENCE, start).await;
            let late = |_| format!("told to end while it started; after {} s it was not ready to", START_PATIENCE.as_secs());
            (started.map_err(late)??, true)
        }
    };
    let whereabouts = suite.whereabouts(folder, settings.keys.folder.clone(), is_guarded);
    let outcome = if is_told {
        Ok(None)
    } else {
        tokio::select! {
            outcome = work(whereabouts) => outcome.map(Some),
            why = suite.failed() => Err(why.into()),
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
    async fn start(settings: &ShopFile, extras: Extras, folder: &Path) -> Result<Self, StartError> {
        Self::start_at(settings, extras, folder).await.map_err(|error| match error.is_port_taken() {
            true => StartError::new(format!(
                "{error}; take other ports by --port, --reporting-port and --jaeger-port (0 is a free one)"
            )),
            false => error,
        })
    }

    async fn start_at(settings: &ShopFile, extras: Extras, folder: &Path) -> Result<Self, StartError> {
        let jaeger = Jaeger::start(settings.http.jaeger_port).await?;
        let telemetry = Telemetry::init(
            &TelemetryConfig {
                otlp_endpoint: Some(format!("http://{}", jaeger.otlp)),
                sample_ratio: settings.sample_ratio,
                log: settings.log.clone(),
                // A person started it, wherever its output goes.
                log_format: LogFormat::Text,
            },
            &TRACED_SERVICES,
        )?;
        for told in settings.keys.folder.iter().flat_map(|folder| keys::readable_by_others(folder)) {
            tell!("tidemill: {told}");
        }
        let options = Options {
            folder: folder.to_owned(),
            key_variables: extras.keys,
            slack_webhook: extras.slack,
            catalogue: extras.catalogue,
            jaeger: Some(format!("http://{}", jaeger.ui)),
            ..Options::of(settings)
        };
        let suite = Suite::start(&options).await?;
        let lake = match suite.settings.profile().is_some_and(|profile| profile.has(ProfilePart::Lake)) {
            true => Some(JoinedLake::start(&suite, folder).await?),
            false => None,
        };
        Ok(Self { suite, lake, jaeger, telemetry })
    }

    /// Waits until a part ends by itself, and says which and why.
    async fn failed(&mut self) -> String {
        match &mut self.lake {
            None => self.suite.failed().await,
            Some(lake) => tokio::select! {
                why = self.suite.failed() => why,
                why = lake.ended() => why,
            },
        }
    }

    fn whereabouts(&self, folder: &Folder, keys: Option<PathBuf>, is_guarded: bool) -> Whereabouts {
        Whereabouts {
            ingestion: self.suite.ingestion,
            recommendation: listens(self.suite.recommendation),
            reporting: listens(self.suite.reporting),
            lake: self.lake.as_ref().map(|lake| lake.address),
            jaeger: self.jaeger,
            data: folder.path().to_owned(),
            is_passing: matches!(folder, Folder::Passing(_)),
            keys,
            is_guarded,
        }
    }

    /// Drains and ends everything.
    async fn stop(self) -> bool {
        // Before NATS ends, which it reads.
        let lake = match self.lake {
            Some(lake) => lake.stop().await,
            None => true,
        };
        let drained = self.suite.stop().await;
        self.telemetry.shutdown().await;
        drained && lake
    }
}

impl Whereabouts {
    /// A client of it.
    pub(crate) fn client(&self, keys: Keys) -> Client {
        // Whoever asks for one runs every service.
        Client::new(url(self.ingestion), url(self.reporting.unwrap_or(self.ingestion)), keys)
    }

    /// Tells a person where to look.
    pub(crate) fn print(&self) {
        if let Some(reporting) = self.reporting {
            say!("Dashboard   http://{reporting}");
            say!("API         http://{reporting}/v1/metrics  (OpenAPI: /openapi.json)");
        }
        say!("Events      http://{}/v1/events", self.ingestion);
        if let Some(recommendation) = self.recommendation {
            say!("Recommended http://{recommendation}/v1/recommendations");
        }
        if let Some(lake) = self.lake {
            say!("Lake        http://{lake}  (tidemill sql --lake-url http://{lake} \"…\")");
        }
        say!("Jaeger      http://{}", self.jaeger.ui);
        say!("Data        {}{}", self.data.display(), if self.is_passing { "  (removed at the end)" } else { "" });
        match &self.keys {
            Some(folder) => say!("Keys        {}", folder.display()),
            None if self.is_guarded => say!("Keys        of the environment (TIDEMILL_AUTH__…)"),
            None => {
                say!("Keys        none: whoever reaches these ports may do everything; --keys DIR asks for keys")
            }
        }
    }
}

/// Where a service listens, unless it does not run.
fn listens(address: SocketAddr) -> Option<SocketAddr> {
    Some(address).filter(|address| address.port() != 0)
}

#[allow(clippy::expect_used, reason = "an address and port make a URL")]
pub(crate) fn url(address: SocketAddr) -> Url {
    format!("http://{address}").parse().expect("a socket address is a host and port")
}
