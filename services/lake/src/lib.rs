//! The lake: keeps what comes through the log as tables that any engine reads.
//!
//! `stage` reads the log, one unit of work (`unit`) at a time: events as they came,
//! rejected bodies, and enriched events. `bronze` and `silver` turn them into rows,
//! `committer` puts rows of all units into one version of a table, and the `store`
//! has what decides what is late.

mod beats;
mod bronze;
mod committer;
mod config;
mod error;
mod gold;
mod http;
mod shared;
mod silver;
mod stage;
mod store;
mod telemetry;
mod unit;
mod upkeep;

use std::sync::Arc;

use tidemill_batch_views::{Gold, SqlEngine};
use tidemill_definitions::Metrics;
use tidemill_lake_tables::{Lake, LakeErrorKind};
use tidemill_service::{Access, Conditions, Context, Handle, Role, Server, Service, StartError, Starting};

pub use config::Config;

use crate::{beats::Beats, committer::Committers, shared::Shared, store::Store, telemetry::Telemetry, unit::LakeUnit};

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct LakeService;

impl Service for LakeService {
    const NAME: &'static str = "lake";
    type Config = Config;

    /// Starts the service: waits for its dependencies, and reads its share of the log.
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
    let telemetry = Telemetry::register(&context.registry);
    let access = Access::start(&config.auth, &context, &[Role::Read])?;
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let open_store = || Store::open(&config.store);
    let store = context.retry("store", open_store, tidemill_store::Error::is_transient).await?;
    let name = async || store.lake_name(config.lake.id.as_deref(), context.new_id()).await;
    let name = context.retry("store", name, tidemill_store::Error::is_transient).await?;
    let lake = Lake::open(&config.lake.storage()).map_err(StartError::new)?.owned_by(&name);
    let properties = config.lake.properties(name);
    let committers = Committers::start(&context, &lake, &properties, &telemetry);
    let metrics = Metrics::load(config.definitions.metrics.as_deref()).map_err(StartError::new)?;
    let metrics: Vec<_> = metrics.iter().cloned().map(Arc::new).collect();
    let gold = Arc::new(Gold::of(&metrics).map_err(StartError::new)?);
    let engine = Arc::new(SqlEngine::new(lake.clone(), metrics, config.sql.limits()).map_err(StartError::new)?);
    let api = http::LakeApi { committers: committers.clone(), engine: engine.clone() };
    server.install(http::routes(&access, api))?;
    // Before it takes a share of the log: what it cannot write others may.
    context.retry("lake", async || lake.claim().await, |error| error.kind() != LakeErrorKind::Internal).await?;
    let partitions = bus.partitions();
    let units = LakeUnit::all(partitions);
    let shared = Arc::new(Shared {
        beats: Beats::new(&config),
        buffer: config.lake.buffer_of_each(units.len()),
        rules: config.windows,
        nats: context.breaker("nats"),
        store_breaker: context.breaker("store"),
        units: Conditions::new(&context.health, "unit"),
        gaps: Conditions::new(&context.health, "enriched_gap"),
        upkeep: config.upkeep,
        lake,
        properties,
        bus: bus.clone(),
        store,
        committers,
        telemetry: telemetry.clone(),
    });
    let owned = tidemill_ownership::share(&context, &bus, units, move |lease| stage::run(shared.clone(), lease));
    let others = owned.clone();
    let is_ours = move || others.contains(LakeUnit::Upkeep);
    context.spawn("gold", gold::keep(context.clone(), gold, engine, config.gold.every(), is_ours, telemetry.clone()));
    let lag = move |unit, waiting| telemetry.lag(unit, waiting);
    let durable = |unit: LakeUnit| unit.durable();
    context.spawn("lag", tidemill_stage::watch(context.clone(), bus, owned, "standing_unit", durable, lag));
    Ok(Handle { address: server.address() })
}
