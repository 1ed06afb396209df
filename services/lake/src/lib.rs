//! The lake: keeps what comes through the log as tables that any engine reads.
//!
//! `stage` reads the log, one unit of work (`unit`) at a time: events as they came,
//! rejected bodies, and enriched events. `bronze` and `silver` turn them into rows,
//! `committer` puts rows of all units into one version of a table, and the `store`
//! has what decides what is late.

mod batch;
mod beats;
mod bronze;
mod cold;
mod committer;
mod config;
mod customers;
mod error;
mod gold;
mod http;
#[doc(hidden)]
pub mod measured;
mod openlineage;
mod quality;
mod rebuild;
mod redrive;
mod refreshes;
mod shared;
mod silver;
mod sql;
mod stage;
mod store;
mod telemetry;
mod threads;
mod unit;
mod upkeep;
mod views;

use std::sync::Arc;

use tidemill_definitions::Metrics;
use tidemill_domain::Outage;
use tidemill_lake_tables::{Lake, LakeError, LakeErrorKind, TableProperties};
use tidemill_service::{Access, Conditions, Context, Handle, Role, Server, Service, StartError, Starting};

pub use config::Config;
pub use sql::{SQL_PROCESS, answer_question};

use crate::{
    batch::BatchViews,
    beats::Beats,
    cold::ColdPlace,
    committer::Committers,
    openlineage::OpenLineage,
    quality::{ContractChecks, QualityMeter},
    rebuild::Rebuilder,
    shared::Shared,
    silver::SilverRules,
    store::Store,
    telemetry::Telemetry,
    threads::WorkThreads,
    unit::LakeUnit,
    views::LakeViews,
};

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
        SilverRules::load(&config.contracts)?;
        Metrics::load(config.definitions.metrics.as_deref()).map(drop).map_err(StartError::new)
    }
}

/// The place of the tables, and whose they are.
async fn open_lake(
    config: &Config,
    context: &Context,
    store: &Store,
    rules: &SilverRules,
) -> Result<(Lake, TableProperties), StartError> {
    let storage = config.lake.storage();
    let lake = context.retry("lake", async || Lake::open(&storage), LakeError::is_outage).await?;
    let name = async || store.lake_name(config.lake.id.as_deref(), context.new_id()).await;
    let name = context.retry("store", name, tidemill_store::Error::is_transient).await?;
    Ok((lake.owned_by(&name).with_columns(rules.columns.more().clone()), config.lake.properties(name)))
}

async fn begin(config: Config, context: Context) -> Result<Handle, StartError> {
    config.check()?;
    let silver_rules = Arc::new(SilverRules::load(&config.contracts)?);
    let telemetry = Telemetry::register(&context.registry);
    let access = Access::start(&config.auth, &context, &[Role::Read, Role::Operate])?;
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let store = context.retry("store", || Store::open(&config.store), tidemill_store::Error::is_transient).await?;
    let (lake, properties) = open_lake(&config, &context, &store, &silver_rules).await?;
    let lineage = OpenLineage::start(&config.openlineage, &lake, &config.nats.url, &context)?;
    let told = (telemetry.clone(), lineage.clone());
    let (threads, row_threads) = WorkThreads::of_tables_and_rows().map_err(StartError::new)?;
    let committers = Committers::start(&context, (&lake, &threads), &properties, &told);
    let views = LakeViews::open(&config, &lake, &properties, &silver_rules)?;
    let writers = (&lake, &properties, &committers);
    let rebuilder = Rebuilder::of(&context, bus.partitions(), &store, writers, &views, lineage);
    let sql = Arc::new(views.processes(&config, &lake, &context.instance)?);
    let api = http::LakeApi {
        bus: bus.clone(),
        committers: committers.clone(),
        engine: views.engine.clone(),
        sql: sql.clone(),
        store: store.clone(),
        clock: context.clock.clone(),
        gold: views.gold.clone(),
        rebuilder,
        rules: silver_rules.clone(),
    };
    server.install(http::routes(&access, api))?;
    // Before it takes a share of the log: what it cannot write others may.
    context.retry("lake", async || lake.claim().await, |error| error.kind() != LakeErrorKind::Internal).await?;
    let units = LakeUnit::all(bus.partitions());
    let checks = ContractChecks::new(silver_rules.contracts.clone(), sql, lake.clone());
    let meter = views.meter(config.quality, &lake, &store, &bus, checks);
    let shared = Arc::new(Shared {
        beats: Beats::new(&config),
        buffer: config.lake.buffer_of_each(units.len()),
        rules: config.windows,
        silver_rules,
        nats: context.breaker("nats"),
        store_breaker: context.breaker("store"),
        units: Conditions::new(&context.health, "unit"),
        gaps: Conditions::new(&context.health, "enriched_gap"),
        upkeep: config.upkeep,
        retention: config.retention,
        cold: views.cold.clone().map(|lake| ColdPlace { lake, config: config.lake.cold.clone() }),
        gold_paths: views.gold.paths(),
        clock: context.clock.clone(),
        lake,
        properties,
        bus: bus.clone(),
        store,
        committers,
        threads,
        row_threads,
        telemetry,
    });
    let batch = views.batch(config.batch, &context, &shared.store, &bus);
    take_share(&config, &context, units, shared, (views, meter, batch), told);
    Ok(Handle { address: server.address() })
}

/// Takes this replica's share of the work, until shutdown.
fn take_share(
    config: &Config,
    context: &Context,
    units: Vec<LakeUnit>,
    shared: Arc<Shared>,
    (views, meter, batch): (LakeViews, QualityMeter, BatchViews),
    told: (Telemetry, OpenLineage),
) {
    let (of_units, bus, telemetry) = (shared.clone(), shared.bus.clone(), told.0.clone());
    let owned = tidemill_ownership::share(context, &bus, units, move |lease| stage::run(of_units.clone(), lease));
    let others = owned.clone();
    let is_ours = move || others.contains(LakeUnit::Upkeep);
    context.spawn("redrive", redrive::keep(context.clone(), shared, is_ours.clone()));
    context.spawn("batch", batch.keep(is_ours.clone()));
    views.keep(config, context, is_ours, told);
    quality::start(context, meter, owned.clone());
    let lag = move |unit, waiting| telemetry.lag(unit, waiting);
    context.spawn("lag", tidemill_stage::watch(context.clone(), bus, owned, "standing_unit", LakeUnit::durable, lag));
}
