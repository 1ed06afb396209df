//! The alert service: evaluates rules over events and window totals, records
//! what fires, and tells Slack.
//!
//! A rule is data ([`rules`]): over window totals ([`metric_rules`]) or over
//! single events ([`event_rules`]). A consumer ([`consumer`]) records alerts,
//! state and its position in one transaction; from the store the outbox
//! ([`notify`]) publishes transitions and posts messages ([`slack`]).
//!
//! Replicas share three units of work ([`unit`]), each done by one of them at a
//! time ([`worker`]).

pub mod config;
pub mod consumer;
pub mod counters;
pub mod dependencies;
pub mod error;
pub mod event_rules;
pub mod http;
pub mod metric_rules;
pub mod notify;
pub mod rules;
pub mod slack;
pub mod store;
pub mod telemetry;
pub mod unit;
pub mod worker;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tidemill_bus::Progress;
use tidemill_definitions::Metrics;
use tidemill_events::Durable;
use tidemill_service::{Access, Conditions, Context, Role, Server, Standstill, StartError, Starting};
use tidemill_store::answered;

pub use config::Config;
use dependencies::{Dependencies, until_done};
use error::Error;
use notify::Wake;
use rules::Rules;
use slack::Webhook;
use store::Store;
use telemetry::Telemetry;
use unit::Unit;
use worker::{App, pause, work};

/// How often consumers' lag is asked for.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);
/// How often old alerts are forgotten, and how old they are then: as long as
/// ALERTS keeps them.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
const KEPT_MILLIS: i64 = 30 * 24 * 3_600_000;

/// A running alert service.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Starts the service; it runs in the context until shutdown. Dependencies
/// that are away are waited for; a wrong rule or configuration is an error.
pub fn start(config: Config, context: Context) -> Starting<Handle> {
    Box::pin(begin(config, context))
}

async fn begin(config: Config, context: Context) -> Result<Handle, StartError> {
    config.check()?;
    let metrics = Metrics::load(config.definitions.metrics.as_deref()).map_err(StartError::new)?;
    let rules = Arc::new(Rules::load(config.rules.folder.as_deref(), &metrics).map_err(StartError::new)?);
    let webhook = Webhook::new(&config.slack)?;
    let telemetry = Arc::new(Telemetry::register(&context.registry));
    let access = Access::start(&config.auth, &context, &[Role::Read])?;
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let dependencies = Dependencies::of(&context);
    let opened = until_done(&dependencies.store, &context.shutdown, || Store::open(&config.store)).await;
    let store = opened.map_err(StartError::new)?;
    if webhook.is_none() {
        tracing::info!("slack.webhook_url is not set: alerts are recorded and published only");
    }
    let app = Arc::new(App {
        config,
        bus: bus.clone(),
        store,
        rules,
        metrics,
        webhook,
        dependencies,
        wake: Wake::default(),
        owned: OnceLock::new(),
        units: Conditions::new(&context.health, "unit"),
        consumers: Conditions::new(&context.health, "consumer"),
        gaps: Conditions::new(&context.health, "enriched_gap"),
        telemetry,
        context: context.clone(),
    });
    let worker = app.clone();
    let owned = tidemill_ownership::share(&context, &bus, Unit::ALL, move |lease| work(worker.clone(), lease));
    app.owned.get_or_init(|| owned);
    server.install(http::routes(&access, app.store.clone(), app.rules.clone(), context.clock.clone()))?;
    context.spawn("watch", watch(app.clone()));
    context.spawn("prune", prune(app));
    Ok(Handle { address: server.address() })
}

/// A consumer of a unit, by its name in the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Consumer(Unit, String);

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

/// Measures what this replica's units are behind, and whether they move, and
/// finds out when a store that was away is back, where no unit would.
async fn watch(app: Arc<App>) -> Result<(), Error> {
    let stop = &app.context.shutdown;
    let standstill = Standstill::new(&app.context.health, "standing_consumer");
    let owns = |unit| app.owned.get().is_some_and(|owned| owned.contains(unit));
    while !pause(WATCH_INTERVAL, stop).await {
        for unit in [Unit::Events, Unit::Metrics] {
            app.telemetry.lag(unit, if owns(unit) { lag(&app, unit, &standstill).await } else { None });
        }
        standstill.retain(|Consumer(unit, _)| owns(*unit));
        if app.dependencies.store.is_open() {
            unless_stopped(until_done(&app.dependencies.store, stop, || answered(app.store.ping())).await)?;
        }
    }
    Ok(())
}

/// Messages that a unit's consumers have yet to acknowledge; `None` where the
/// server does not say. Notes which of them stand still.
async fn lag(app: &App, unit: Unit, standstill: &Standstill<Consumer>) -> Option<u64> {
    let durables: Vec<Durable> = match unit {
        Unit::Events => app.bus.partitions().all().map(Durable::AlertEvents).collect(),
        Unit::Metrics => vec![Durable::AlertMetrics],
        Unit::Outbox => Vec::new(),
    };
    let mut sum = 0;
    for durable in durables {
        let Progress { reached, waiting } = app.bus.progress(durable).await.ok()?;
        standstill.look(Consumer(unit, durable.name()), reached, waiting);
        sum += waiting;
    }
    Some(sum)
}

/// Forgets old alerts: on every replica, since it changes nothing to do it
/// twice.
async fn prune(app: Arc<App>) -> Result<(), Error> {
    let stop = &app.context.shutdown;
    loop {
        let before = app.context.clock.now().plus_millis(-KEPT_MILLIS);
        unless_stopped(until_done(&app.dependencies.store, stop, || answered(app.store.prune(before))).await)?;
        if pause(PRUNE_INTERVAL, stop).await {
            return Ok(());
        }
    }
}

fn unless_stopped<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Ok(_) | Err(Error::Stopped) => Ok(()),
        Err(error) => Err(error),
    }
}
