//! The services side by side, and their nats-server.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures::future::{select_all, try_join_all};

use tidemill_aggregation::AggregationService;
use tidemill_alert::AlertService;
use tidemill_embedded::NatsServer;
use tidemill_enrichment::EnrichmentService;
use tidemill_ingestion::{IngestionService, SchemaRegistry};
use tidemill_recommendation::{RecommendationService, RulesInUse};
use tidemill_reporting::ReportingService;
use tidemill_service::{Context, Service, StartError, Starting};

use super::{
    folder::{self, FolderLock},
    member::SuiteMember,
    options::Options,
    settings::Settings,
    watched::{Digests, WatchedFiles},
};

/// How long each service may take to drain.
pub(super) const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// Where a service listens that does not run.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What services exchange while they run.
pub(super) struct ExchangedParts {
    pub(super) schemas: SchemaRegistry,
    pub(super) rules: RulesInUse,
}

impl ExchangedParts {
    fn load(settings: &Settings) -> Result<Self, StartError> {
        let schemas = SchemaRegistry::load(&settings.ingestion()?)?;
        Ok(Self { schemas, rules: RulesInUse::load(&settings.recommendation()?)? })
    }
}

/// A running all-in-one. A service that its profile does not have has port 0.
pub struct Suite {
    /// Where ingestion listens.
    pub ingestion: SocketAddr,
    /// Where enrichment listens.
    pub enrichment: SocketAddr,
    /// Where aggregation listens.
    pub aggregation: SocketAddr,
    /// Where alert listens.
    pub alert: SocketAddr,
    /// Where recommendation listens.
    pub recommendation: SocketAddr,
    /// Where reporting listens: API and dashboard.
    pub reporting: SocketAddr,
    /// Those that run.
    pub(super) members: Vec<SuiteMember>,
    /// One for each of [`SuiteMember::ALL`].
    pub(super) contexts: [Context; 6],
    pub(super) settings: Settings,
    pub(super) exchanged: ExchangedParts,
    pub(super) files: WatchedFiles,
    /// The definitions that the services work with.
    pub(super) in_use: Digests,
    pub(super) nats: NatsServer,
    /// Given up last.
    _lock: FolderLock,
}

impl Suite {
    /// Starts everything, and answers when every service is serving.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let lock = FolderLock::take(&options.folder)?;
        // Before anybody reads them, so that no change is missed.
        let files = WatchedFiles::of(options);
        let nats = NatsServer::start(&folder::private(&options.folder, "nats")?, 0).await.map_err(StartError::new)?;
        let mut settings = Settings::new(options, &nats.url())?;
        let exchanged = ExchangedParts::load(&settings)?;
        let members = SuiteMember::of(options.profile);
        let contexts = contexts(&members);
        let begin = |member: &SuiteMember| start(*member, &settings, &exchanged, contexts[*member as usize].clone());
        let handles = try_join_all(members.iter().map(begin).collect::<Result<Vec<_>, _>>()?).await?;
        let mut addresses = [NOWHERE; 6];
        members.iter().zip(handles).for_each(|(member, handle)| addresses[*member as usize] = handle.address);
        settings.keep_ports(addresses.map(|address| address.port()));
        let [ingestion, enrichment, aggregation, alert, recommendation, reporting] = addresses;
        let in_use = files.digests().clone();
        Ok(Self {
            ingestion,
            enrichment,
            aggregation,
            alert,
            recommendation,
            reporting,
            members,
            contexts,
            settings,
            exchanged,
            files,
            in_use,
            nats,
            _lock: lock,
        })
    }

    /// Waits until a service or NATS ends by itself, and says which and why.
    pub(super) async fn ended(&mut self) -> String {
        let contexts: Vec<&Context> = self.members.iter().map(|member| &self.contexts[*member as usize]).collect();
        let ended = select_all(contexts.iter().map(|context| Box::pin(context.shutdown.cancelled())));
        tokio::select! {
            ((), index, _) = ended => {
                let context = contexts[index];
                format!("{}: {}", context.service, context.failure().unwrap_or("stopped"))
            }
            status = self.nats.ended() => {
                format!("nats-server: {}", status.map_or_else(|e| e.to_string(), |s| s.to_string()))
            }
        }
    }

    /// Where NATS is: for a service that joins.
    pub fn nats_url(&self) -> String {
        self.nats.url()
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

/// A context for each service. The dashboard asks for recommendations where it comes from.
fn contexts(members: &[SuiteMember]) -> [Context; 6] {
    let mut contexts = SuiteMember::ALL.map(|member| Context::new(member.name()));
    if !members.contains(&SuiteMember::Recommendation) {
        return contexts;
    }
    let recommendation = contexts[SuiteMember::Recommendation as usize].clone();
    let reporting = &mut contexts[SuiteMember::Reporting as usize];
    *reporting = reporting.clone().with_guest("/v1/recommendations", &recommendation);
    contexts
}

/// Begins to start a service.
pub(super) fn start(
    member: SuiteMember,
    settings: &Settings,
    exchanged: &ExchangedParts,
    context: Context,
) -> Result<Starting, StartError> {
    Ok(match member {
        SuiteMember::Ingestion => {
            IngestionService::start_with(settings.ingestion()?, context, exchanged.schemas.clone())
        }
        SuiteMember::Enrichment => EnrichmentService::start(settings.enrichment()?, context),
        SuiteMember::Aggregation => AggregationService::start(settings.aggregation()?, context),
        SuiteMember::Alert => AlertService::start(settings.alert()?, context),
        SuiteMember::Recommendation => {
            RecommendationService::start_with(settings.recommendation()?, context, exchanged.rules.clone())
        }
        SuiteMember::Reporting => ReportingService::start(settings.reporting()?, context),
    })
}
