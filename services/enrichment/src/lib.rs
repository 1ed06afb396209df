//! Marks duplicates and adds what is known of customer, product and place.
//!
//! Reads `RAW` and writes `ENRICHED`, partition by partition; what an event
//! becomes depends on the log and on versioned reference data alone. See
//! [`config`](config::Config) for what can be set, and the service's
//! `reference/` folder for what can be known.

pub mod config;

mod backfill;
mod bulk;
mod consumer;
mod country;
mod duplicates;
mod enrich;
mod error;
mod geo;
mod http;
mod records;
mod reference;
mod store;
mod telemetry;
#[cfg(test)]
mod testing;

use std::{convert::Infallible, net::SocketAddr, path::Path, sync::Arc};

use tidemill_events::Durable;
use tidemill_service::{Access, Conditions, Context, Role, Server, StartError, Starting};
use tidemill_stage::{Disposition, Failure};
use tokio::time::{MissedTickBehavior, interval};
use utoipa::OpenApi;

pub use config::Config;

use crate::{
    consumer::Shared, country::Countries, error::Error, geo::Geo, reference::Reference, store::Store,
    telemetry::Metrics,
};

/// A running service; its tasks live in the context.
#[derive(Debug)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Starts the service. Answers once it works, or with what is wrong in its
/// configuration; a dependency that is away is waited for.
pub fn start(config: Config, context: Context) -> Starting<Handle> {
    Box::pin(begin(config, context))
}

async fn begin(config: Config, context: Context) -> Result<Handle, StartError> {
    config.validate().map_err(StartError::new)?;
    let countries = countries(config.geo.countries.as_deref()).map_err(StartError::new)?;
    let geo = Geo::open(config.geo.mmdb.as_deref()).map_err(StartError::new)?;
    let files = records::read_files(&config.reference.files).map_err(StartError::new)?;

    let access = Access::start(&config.auth, &context, &[Role::Operate])?;
    let server = Server::start(&context, &config.http, http::Description::openapi()).await?;
    let metrics = Arc::new(Metrics::new(&context.registry));
    let store = context.retry("store", async || Store::open(&config.store).await, tidemill_store::Error::is_transient);
    let store = Arc::new(store.await?);
    let reference = Arc::new(Reference::new(store.clone(), countries, &config.reference, metrics.clone()));
    let lead_millis = config.reference.lead_millis();
    let load = async || reference.load(&files, context.clock.now().plus_millis(lead_millis)).await;
    context.retry("reference", load, may_pass).await?;

    let api = http::Api {
        store: store.clone(),
        reference: reference.clone(),
        clock: context.clock.clone(),
        lead_millis,
        turns: bulk::Turns::default(),
    };
    server.install(http::routes(&access, api))?;
    context.spawn("reference", follow(reference.clone(), context.clone(), config.reference.poll()));

    let bus = context.connect_bus(&config.nats).await?;
    let shared = Arc::new(Shared {
        bus: bus.clone(),
        store,
        reference,
        geo,
        limits: config.duplicates.limits(),
        ceiling: config.dead_letters,
        metrics,
        nats: context.breaker("nats"),
        store_breaker: context.breaker("store"),
        context: context.clone(),
        conditions: Conditions::new(&context.health, "partition"),
    });
    let consumers = shared.clone();
    let work = move |lease| consumer::run(lease, consumers.clone());
    let owned = tidemill_ownership::share(&context, &bus, bus.partitions().all(), work);
    let lag = move |partition, waiting| shared.metrics.lag(partition, waiting);
    let durable = |partition| Some(Durable::Enrichment(partition));
    context.spawn("lag", tidemill_stage::watch(context.clone(), bus, owned, "standing_partition", durable, lag));
    Ok(Handle { address: server.address() })
}

fn countries(file: Option<&Path>) -> Result<Countries, Error> {
    let Some(file) = file else { return Countries::built_in() };
    let name = file.display().to_string();
    let yaml =
        std::fs::read_to_string(file).map_err(|e| Error::Definition { file: name.clone(), reason: e.to_string() })?;
    Countries::parse(&name, &yaml)
}

fn may_pass(error: &Error) -> bool {
    error.disposition() == Disposition::Retry
}

/// Learns of changes to reference data until shutdown.
async fn follow(reference: Arc<Reference>, context: Context, poll: std::time::Duration) -> Result<(), Infallible> {
    let mut ticks = interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        match reference.refresh().await {
            Ok(()) => context.health.ready("reference"),
            Err(error) => context.health.unready("reference", error.to_string()),
        }
    }
}
