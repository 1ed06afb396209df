//! Marks duplicates and adds what is known of customer, product and place.
//!
//! Reads `RAW` and writes `ENRICHED`, partition by partition; what an event
//! becomes depends on the log, on versioned reference data and on the shop's
//! definition alone. See [`Config`] for the settings, `reference/` for samples of
//! reference data, and `definitions/` for what a shop calls things.

mod archive;
mod backfill;
mod batch;
mod config;
mod duplicates;
mod error;
mod event;
mod geo;
mod http;
#[doc(hidden)]
pub mod measured;
mod orders;
mod partition;
mod reference;
pub mod replay;
mod resources;
mod shop;
mod stage;
mod store;
mod telemetry;
#[cfg(test)]
mod testing;

use std::{convert::Infallible, sync::Arc};

use tidemill_events::Durable;
use tidemill_service::{Access, Context, Handle, Role, Server, Service, StartError, Starting};
use tidemill_stage::{Disposition, Failure};
use tokio::time::{MissedTickBehavior, interval};
use utoipa::OpenApi;

pub use config::{Config, DuplicatesConfig};
pub use shop::BUILT_IN as BUILT_IN_SHOP;

use crate::{
    error::Error,
    geo::{Countries, Geo},
    reference::{FileNotices, Reference, ReferenceFile},
    resources::Resources,
    shop::ShopDefinition,
    store::Store,
    telemetry::Telemetry,
};

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct EnrichmentService;

impl Service for EnrichmentService {
    const NAME: &'static str = "enrichment";
    type Config = Config;

    /// Starts the service. Answers once it works, or with what is wrong in its
    /// configuration; a dependency that is away is waited for.
    fn start(config: Config, context: Context) -> Starting {
        Box::pin(begin(config, context))
    }

    fn check(config: &Config) -> Result<(), StartError> {
        config.validate().map_err(StartError::new)?;
        Defined::load(config).map(drop)
    }
}

/// Under which `/readyz` says that a reference file is refused.
pub const REFUSED_FILE: &str = "reference_files";
/// Under which it says that a reference file lacks records that it had.
pub const KEPT_RECORDS: &str = "reference_kept";

/// What files define, read.
struct Defined {
    countries: Countries,
    geo: Geo,
    shop: ShopDefinition,
    files: Vec<ReferenceFile>,
}

impl Defined {
    fn load(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            countries: Countries::load(config.geo.countries.as_deref()).map_err(StartError::new)?,
            geo: Geo::open(config.geo.mmdb.as_deref()).map_err(StartError::new)?,
            shop: ShopDefinition::load(config.shop.definition.as_deref()).map_err(StartError::new)?,
            files: reference::read_files(&config.reference.files, config.shop.currency).map_err(StartError::new)?,
        })
    }
}

async fn begin(config: Config, context: Context) -> Result<Handle, StartError> {
    config.validate().map_err(StartError::new)?;
    let Defined { countries, geo, shop, files } = Defined::load(&config)?;

    let access = Access::start(&config.auth, &context, &[Role::Operate])?;
    let server = Server::start(&context, &config.http, http::Description::openapi()).await?;
    let telemetry = Arc::new(Telemetry::new(&context.registry));
    let store = context.retry(
        "store",
        async || Store::open(&config.store, config.shop.currency).await,
        tidemill_store::Error::is_transient,
    );
    let store = Arc::new(store.await?);
    let names = shop.records.clone();
    let reference = Reference::new(store.clone(), countries, names, &config.reference, telemetry.clone());
    let reference = Arc::new(reference);
    let lead_millis = config.reference.lead_millis();
    let load = async || reference.load(&files, context.clock.now().plus_millis(lead_millis)).await;
    tell_of_files(context.retry("reference", load, may_pass).await?, &context);
    warn_of_countries(&reference, &files);

    let api = http::Api {
        store: store.clone(),
        reference: reference.clone(),
        clock: context.clock.clone(),
        lead_millis,
        base: config.shop.currency,
        turns: http::BulkTurns::default(),
    };
    server.install(http::routes(&access, api))?;
    context.spawn("reference", follow(reference.clone(), context.clone(), config.reference.poll()));

    let bus = context.connect_bus(&config.nats).await?;
    let resources = Resources::new(&config, (shop, geo), (store, reference), (bus, context), telemetry);
    start_partitions(&Arc::new(resources));
    Ok(Handle { address: server.address() })
}

/// Has this replica work on its share of the partitions, and watches their lag.
fn start_partitions(resources: &Arc<Resources>) {
    let Resources { context, bus, .. } = &**resources;
    let shared = resources.clone();
    let work = move |lease| stage::run(lease, shared.clone());
    let owned = tidemill_ownership::share(context, bus, bus.partitions().all(), work);
    let telemetry = resources.telemetry.clone();
    let lag = move |partition, waiting| telemetry.lag(partition, waiting);
    let durable = |partition| Some(Durable::Enrichment(partition));
    let watch = tidemill_stage::watch(context.clone(), bus.clone(), owned, "standing_partition", durable, lag);
    context.spawn("lag", watch);
}

/// Says which files were not taken in as somebody may think. A shop goes on with what
/// it knew, rather than not at all.
fn tell_of_files(FileNotices { refused, kept }: FileNotices, context: &Context) {
    for reason in refused {
        tracing::warn!(%reason, "a reference file is refused, and what was known before stays");
        context.health.notice(REFUSED_FILE, format!("{reason}; what was known before stays"));
    }
    if !kept.is_empty() {
        let told = kept.join("; ");
        tracing::warn!(files = told, "records that are not in their file any more stay known");
        context.health.notice(KEPT_RECORDS, told);
    }
}

/// Says which files name countries that are in no table.
fn warn_of_countries(reference: &Reference, files: &[ReferenceFile]) {
    for file in files {
        let unknown: Vec<_> = file.records.iter().filter(|record| reference.hint(record).is_some()).collect();
        if let Some(first) = unknown.first() {
            tracing::warn!(
                file = file.path,
                records = unknown.len(),
                first = first.id,
                "records name countries that are in no table, and so tell nothing of events"
            );
        }
    }
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
