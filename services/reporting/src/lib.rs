//! Reporting: serves the numbers.
//!
//! It reads window totals, alerts, and the headers of the log and of the dead
//! letters into a read model of its own ([`consumer`]), and answers from that:
//! series and totals, the books, alerts, the health of the chain, and a page
//! that follows all of them live. It has dead letters sent again ([`redrive`]).
//!
//! Any number of replicas may share a PostgreSQL: each stream is followed by
//! one of them ([`unit`]), and all of them serve what is folded ([`refresh`]).

pub mod alerts;
pub mod books;
pub mod catalogue;
pub mod config;
pub mod consumer;
pub mod dead_letters;
pub mod error;
pub mod health;
pub mod http;
pub mod live;
pub mod masking;
pub mod page;
pub mod publisher;
pub mod query;
pub mod read_model;
pub mod redrive;
pub mod refresh;
pub mod state;
pub mod store;
pub mod telemetry;
pub mod unit;
pub mod watermark;

#[cfg(test)]
mod testing;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use tidemill_definitions::Metrics;
use tidemill_events::StreamName;
use tidemill_service::{Access, Context, Role, Server, StartError, Starting};
use tokio::time::{MissedTickBehavior, interval};

pub use config::Config;
pub use error::Error;

use crate::{catalogue::Catalogue, state::Reporting, store::Store, unit::Unit};

const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// How long it is remembered who had what done with which dead letter.
const ACTIONS_KEPT_DAYS: i64 = 400;
const DAY_MILLIS: i64 = 24 * 3_600_000;

/// A running service.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Starts the service: reads the definitions, waits for its dependencies,
/// serves, and follows the streams.
pub fn start(config: Config, context: Context) -> Starting<Handle> {
    Box::pin(begin(config, context))
}

async fn begin(config: Config, context: Context) -> Result<Handle, StartError> {
    config.check()?;
    let metrics = Metrics::load(config.definitions.metrics.as_deref()).map_err(StartError::new)?;
    // Said before anybody can ask.
    context.health.unready(refresh::NAME, "not read yet");
    let access = Access::start(&config.auth, &context, &[Role::Read, Role::Operate])?.with_sessions();
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let open = async || Opened::new(&config.store, &metrics).await;
    let Opened { store, catalogue, standing } =
        context.retry("store", open, tidemill_store::Error::is_transient).await?;
    let reporting = Reporting::new(context.clone(), bus.clone(), store, config, access, catalogue, standing);
    server.install(http::routes(reporting.clone()))?;
    let follower = reporting.clone();
    let owned =
        tidemill_ownership::share(&context, &bus, Unit::ALL, move |lease| consumer::run(follower.clone(), lease));
    let durable = |unit: Unit| Some(unit.durable());
    context
        .spawn("standstill", tidemill_stage::watch(context.clone(), bus, owned, "standing_stream", durable, |_, _| {}));
    context.spawn(refresh::NAME, refresh::run(reporting.clone()));
    context.spawn("redrive", redrive::run(reporting.clone()));
    context.spawn("publisher", publisher::run(reporting.clone()));
    context.spawn("health", health::run(reporting.clone()));
    context.spawn("housekeeping", keep_house(reporting));
    Ok(Handle { address: server.address() })
}

/// The store, and what it holds at the start.
struct Opened {
    store: Store,
    catalogue: Catalogue,
    standing: store::Standing,
}

impl Opened {
    async fn new(config: &tidemill_store::Config, metrics: &Metrics) -> Result<Self, tidemill_store::Error> {
        let store = Store::open(config).await?;
        store.save_definitions(Catalogue::new(metrics, Vec::new()).defined()).await?;
        let catalogue = Catalogue::new(metrics, store.versions().await?);
        let standing = store.standing().await?;
        Ok(Self { store, catalogue, standing })
    }
}

/// Forgets dead letters that their stream has forgotten. Every replica does:
/// the second finds nothing left.
async fn keep_house(reporting: Arc<Reporting>) -> Result<(), Infallible> {
    let kept = i64::try_from(StreamName::Dlq.max_age().as_millis()).unwrap_or(i64::MAX);
    let mut ticks = interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
        let now = reporting.now();
        let (letters, actions) = (now.plus_millis(-kept), now.plus_millis(-ACTIONS_KEPT_DAYS * DAY_MILLIS));
        if let Err(error) = reporting.store.forget_dead_letters(letters, actions).await {
            tracing::warn!(%error, "old dead letters could not be forgotten; trying again in an hour");
        }
    }
}
