//! The all-in-one: every service in one process, on a real nats-server, with
//! SQLite stores and a built-in metrics store.

mod jaeger;
mod local;
mod settings;

use std::{
    fs::{DirBuilder, Permissions},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tidemill_embedded::NatsServer;
use tidemill_service::{Context, StartError};

pub use jaeger::Jaeger;
pub(crate) use local::url;
pub use local::{Extras, LocalSuite, told_to_end};
use settings::Settings;

/// How long each service may take to drain.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// The services whose spans the all-in-one exports, each under its own name;
/// `shop` is the customer that the demo plays.
pub const TRACED_SERVICES: [&str; 6] = ["ingestion", "enrichment", "aggregation", "alert", "reporting", "shop"];

/// How the all-in-one is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folder for the log and every store.
    pub folder: PathBuf,
    /// Folder with keys; without one everybody may do everything.
    pub keys: Option<PathBuf>,
    /// Port of ingestion; enrichment, aggregation and alert listen on the next
    /// three. 0 takes free ones.
    pub port: u16,
    /// Port of reporting, 0 for a free one.
    pub reporting_port: u16,
    /// Slack incoming webhook.
    pub slack_webhook: Option<String>,
    /// MMDB file with countries by address.
    pub geoip: Option<PathBuf>,
    /// Reference file with products and customers.
    pub reference: Option<PathBuf>,
    /// Address of the Jaeger UI, for links.
    pub jaeger: Option<String>,
}

/// A running all-in-one.
pub struct Suite {
    /// Where ingestion listens.
    pub ingestion: SocketAddr,
    /// Where enrichment listens.
    pub enrichment: SocketAddr,
    /// Where aggregation listens.
    pub aggregation: SocketAddr,
    /// Where alert listens.
    pub alert: SocketAddr,
    /// Where reporting listens: API and dashboard.
    pub reporting: SocketAddr,
    /// In the order of the chain, which is the order of draining.
    contexts: [Context; 5],
    nats: NatsServer,
}

impl Suite {
    /// Starts everything, and answers when every service is serving.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let nats = NatsServer::start(&folder(&options.folder, "nats")?, 0).await.map_err(StartError::new)?;
        let settings = Settings::new(options, &nats.url())?;
        let contexts = ["ingestion", "enrichment", "aggregation", "alert", "reporting"].map(Context::new);
        let [ingestion, enrichment, aggregation, alert, reporting] = contexts.each_ref().map(Clone::clone);
        let (ingestion, enrichment, aggregation, alert, reporting) = tokio::try_join!(
            tidemill_ingestion::start(settings.ingestion()?, ingestion),
            tidemill_enrichment::start(settings.enrichment()?, enrichment),
            tidemill_aggregation::start(settings.aggregation()?, aggregation),
            tidemill_alert::start(settings.alert()?, alert),
            tidemill_reporting::start(settings.reporting()?, reporting),
        )?;
        Ok(Self {
            ingestion: ingestion.address,
            enrichment: enrichment.address,
            aggregation: aggregation.address,
            alert: alert.address,
            reporting: reporting.address,
            contexts,
            nats,
        })
    }

    /// Waits until a service or NATS ends by itself, and says which and why.
    pub async fn failed(&mut self) -> String {
        let contexts = &self.contexts;
        let ended = futures::future::select_all(contexts.iter().map(|context| Box::pin(context.shutdown.cancelled())));
        tokio::select! {
            ((), index, _) = ended => {
                let context = &contexts[index];
                format!("{}: {}", context.service, context.failure().unwrap_or("stopped"))
            }
            status = self.nats.ended() => {
                format!("nats-server: {}", status.map_or_else(|e| e.to_string(), |s| s.to_string()))
            }
        }
    }

    /// Drains the services in the order of the chain, so that each finishes
    /// what the one before gave it, then ends NATS. Answers whether all
    /// drained in time.
    pub async fn stop(self) -> bool {
        let mut drained = true;
        for context in &self.contexts {
            context.shutdown.cancel();
            drained &= context.drained(DRAIN_DEADLINE).await;
        }
        self.nats.stop().await;
        drained
    }
}

/// A folder of the suite's own, for its owner alone.
fn folder(parent: &Path, name: &str) -> Result<PathBuf, StartError> {
    let path = parent.join(name);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    // It may be there from an earlier release.
    made.and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o700)))
        .map_err(|e| StartError::new(format!("{}: {e}", path.display())))?;
    // nats-server is started with absolute paths.
    path.canonicalize().map_err(|e| StartError::new(format!("{}: {e}", path.display())))
}
