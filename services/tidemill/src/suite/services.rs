//! The services side by side, and their nats-server.

use std::{net::SocketAddr, time::Duration};

use tidemill_aggregation::AggregationService;
use tidemill_alert::AlertService;
use tidemill_embedded::NatsServer;
use tidemill_enrichment::EnrichmentService;
use tidemill_ingestion::IngestionService;
use tidemill_reporting::ReportingService;
use tidemill_service::{Context, Service, StartError};

use super::{
    folder::{self, FolderLock},
    options::Options,
    settings::Settings,
};

/// How long each service may take to drain.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

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
    /// Given up last.
    _lock: FolderLock,
}

impl Suite {
    /// Starts everything, and answers when every service is serving.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let lock = FolderLock::take(&options.folder)?;
        let nats = NatsServer::start(&folder::private(&options.folder, "nats")?, 0).await.map_err(StartError::new)?;
        let settings = Settings::new(options, &nats.url())?;
        let contexts = [
            IngestionService::NAME,
            EnrichmentService::NAME,
            AggregationService::NAME,
            AlertService::NAME,
            ReportingService::NAME,
        ]
        .map(Context::new);
        let [ingestion, enrichment, aggregation, alert, reporting] = contexts.each_ref().map(Clone::clone);
        let (ingestion, enrichment, aggregation, alert, reporting) = tokio::try_join!(
            IngestionService::start(settings.ingestion()?, ingestion),
            EnrichmentService::start(settings.enrichment()?, enrichment),
            AggregationService::start(settings.aggregation()?, aggregation),
            AlertService::start(settings.alert()?, alert),
            ReportingService::start(settings.reporting()?, reporting),
        )?;
        Ok(Self {
            ingestion: ingestion.address,
            enrichment: enrichment.address,
            aggregation: aggregation.address,
            alert: alert.address,
            reporting: reporting.address,
            contexts,
            nats,
            _lock: lock,
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
