//! Aggregation: from enriched events to window totals.
//!
//! The replicas share the partitions among them. The owner of a partition reads
//! its enriched batches in the order of the log (`stage`): the `fold` turns
//! events into window totals and outcomes, and a snapshot of what changed is
//! published, written to the metrics store and checkpointed (`store`) while
//! the fold goes on.

mod config;
mod error;
mod fold;
mod http;
#[doc(hidden)]
pub mod measured;
pub mod replay;
mod stage;
mod store;
mod telemetry;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use tidemill_definitions::Metrics;
use tidemill_events::Durable;
use tidemill_service::{Access, Conditions, Context, Handle, Role, Server, Service, StartError, Starting};

pub use config::Config;

use crate::{error::Error, http::Api, stage::ConsumerContext, store::Store, telemetry::Telemetry};

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct AggregationService;

impl Service for AggregationService {
    const NAME: &'static str = "aggregation";
    type Config = Config;

    /// Starts the service: reads the definitions, waits for its dependencies and
    /// consumes its share of the partitions.
    fn start(config: Config, context: Context) -> Starting {
        Box::pin(begin(config, context))
    }

    fn check(config: &Config) -> Result<(), StartError> {
        config.check()?;
        Metrics::load(config.definitions.metrics.as_deref()).map(drop).map_err(StartError::new)
    }
}

async fn begin(config: Config, context: Context) -> Result<Handle, StartError> {
    config.check()?;
    let metrics = Arc::new(Metrics::load(config.definitions.metrics.as_deref()).map_err(StartError::new)?);
    let telemetry = Telemetry::register(&context.registry);
    let access = Access::start(&config.auth, &context, &[Role::Read])?;
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let open_store = || Store::open(&config.store, context.breaker("store"));
    let store = context.retry("store", open_store, Error::is_transient).await?;
    let metrics_store = config.metrics_store.influx().map_err(StartError::new)?;
    let api = Api { store: store.clone(), influx: metrics_store.clone(), metrics: metrics.clone() };
    server.install(http::routes(&access, api))?;
    let shared = Arc::new(ConsumerContext {
        context: context.clone(),
        bus: bus.clone(),
        store: store.clone(),
        metrics_store,
        metrics,
        windows: Arc::new(config.windows),
        ceiling: config.dead_letters,
        telemetry: telemetry.clone(),
        conditions: Conditions::new(&context.health, "partition"),
        gaps: Conditions::new(&context.health, "enriched_gap"),
    });
    let partitions = bus.partitions().all();
    let owned = tidemill_ownership::share(&context, &bus, partitions, move |lease| stage::run(shared.clone(), lease));
    context.spawn("measure", telemetry::measure(context.clone(), store, telemetry.clone()));
    let lag = move |partition, waiting| telemetry.lag(partition, waiting);
    let durable = |partition| Some(Durable::Aggregation(partition));
    context.spawn("lag", tidemill_stage::watch(context.clone(), bus, owned, "standing_partition", durable, lag));
    Ok(Handle { address: server.address() })
}
