//! Reporting: serves the numbers.
//!
//! It reads window totals, alerts, and the headers of the log and of the dead
//! letters into a read model of its own (`stage`), and answers from that:
//! series and totals, the books, alerts, the health of the chain, and a page
//! that follows all of them live. It has dead letters sent again (`handling`).
//!
//! Any number of replicas may share a PostgreSQL: each stream is followed by
//! one of them (`unit`), and all of them serve what is folded (`tasks`).

mod alerts;
mod batch;
mod books;
mod calendar;
mod catalogue;
mod chain;
mod config;
mod counting;
mod cutover;
mod dead_letters;
mod drifting;
mod error;
mod experiments;
mod generations;
mod handling;
mod http;
mod live;
mod logins;
#[doc(hidden)]
pub mod measured;
mod parameters;
mod query;
mod range;
mod read_model;
mod stage;
mod state;
mod store;
mod tasks;
mod telemetry;
#[cfg(test)]
mod testing;
mod unit;
mod watermark;

use tidemill_definitions::Metrics;
use tidemill_service::{Access, Context, Handle, Role, Server, Service, StartError, Starting};

pub use calendar::{Zone, ZoneError};
pub use config::Config;
pub use dead_letters::{ActionRequest, RequestKind};
pub use error::Error;
pub use store::Store;

use crate::{catalogue::Catalogue, state::Reporting, store::ReadModelStanding, unit::StreamUnit};

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct ReportingService;

impl Service for ReportingService {
    const NAME: &'static str = "reporting";
    type Config = Config;

    /// Starts the service: reads the definitions, waits for its dependencies,
    /// serves, and follows the streams.
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
    let metrics = Metrics::load(config.definitions.metrics.as_deref()).map_err(StartError::new)?;
    tasks::announce(&context);
    let access = Access::start(&config.auth, &context, &[Role::Read, Role::Operate])?.with_sessions();
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let open = async || Opened::new(&config.store, &metrics).await;
    let Opened { store, catalogue, standing } =
        context.retry("store", open, tidemill_store::Error::is_transient).await?;
    let (drift, retention) = (config.drift, config.retention);
    let reporting = Reporting::new(context.clone(), bus.clone(), store, config, access, catalogue, standing);
    server.install(http::routes(reporting.clone()))?;
    let follower = reporting.clone();
    let owned =
        tidemill_ownership::share(&context, &bus, StreamUnit::ALL, move |lease| stage::run(follower.clone(), lease));
    let durable = |unit: StreamUnit| Some(unit.durable());
    context
        .spawn("standstill", tidemill_stage::watch(context.clone(), bus, owned, "standing_stream", durable, |_, _| {}));
    context.spawn("live", stage::listen(reporting.clone()));
    tasks::spawn(&reporting, drift, retention);
    Ok(Handle { address: server.address() })
}

/// The store, and what it holds at the start.
struct Opened {
    store: Store,
    catalogue: Catalogue,
    standing: ReadModelStanding,
}

impl Opened {
    async fn new(config: &tidemill_store::Config, metrics: &Metrics) -> Result<Self, tidemill_store::Error> {
        let store = Store::open(config).await?;
        store.save_definitions(Catalogue::new(metrics, Vec::new()).defined()).await?;
        let mut catalogue = Catalogue::new(metrics, store.versions().await?);
        catalogue.point(store.pointers().await?);
        let standing = store.standing().await?;
        Ok(Self { store, catalogue, standing })
    }
}
