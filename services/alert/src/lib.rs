//! The alert service: evaluates rules over events and window totals, records
//! what fires, and tells Slack.
//!
//! `rules` are data: over window totals, or over single events. `evaluate` finds
//! out what fires. `stage` reads the log, and records alerts, state and position
//! in one transaction of the `store`. From there the `outbox` publishes
//! transitions and posts messages.
//!
//! Replicas share three units of work (`unit`), each done by one of them at a
//! time.

mod alert;
mod app;
mod config;
mod dependencies;
mod error;
mod evaluate;
mod http;
pub mod measured;
mod outbox;
pub mod replay;
mod rules;
mod stage;
mod state;
mod store;
mod telemetry;
mod unit;
mod upkeep;
mod wake;

use std::sync::{Arc, OnceLock};

use tidemill_definitions::Metrics;
use tidemill_service::{Access, Conditions, Context, Handle, Role, Server, Service, StartError, Starting};

use self::{
    alert::Notification,
    app::App,
    dependencies::{Dependencies, until_done},
    outbox::Webhook,
    store::Store,
    telemetry::Telemetry,
    unit::AlertUnit,
    wake::Wake,
};

pub use self::{
    config::Config,
    rules::{BUILT_IN_AMOUNTS, RuleMeta, Rules},
};

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct AlertService;

impl Service for AlertService {
    const NAME: &'static str = "alert";
    type Config = Config;

    /// Starts the service; it runs in the context until shutdown. Dependencies
    /// that are away are waited for; a wrong rule or configuration is an error.
    fn start(config: Config, context: Context) -> Starting {
        Box::pin(begin(config, context))
    }

    fn check(config: &Config) -> Result<(), StartError> {
        config.check()?;
        defined(config).map(drop)
    }
}

/// What files define: the metrics, and the rules, which look at them.
fn defined(config: &Config) -> Result<(Metrics, Rules), StartError> {
    let metrics = Metrics::load(config.definitions.metrics.as_deref()).map_err(StartError::new)?;
    let rules = Rules::load(&config.rules, &metrics).map_err(StartError::new)?;
    Ok((metrics, rules))
}

async fn begin(config: Config, context: Context) -> Result<Handle, StartError> {
    config.check()?;
    let (metrics, rules) = defined(&config)?;
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
        notification: if webhook.is_some() { Notification::Pending } else { Notification::Off },
        dependencies,
        wake: Wake::default(),
        owned: OnceLock::new(),
        units: Conditions::new(&context.health, "unit"),
        consumers: Conditions::new(&context.health, "consumer"),
        gaps: Conditions::new(&context.health, "enriched_gap"),
        telemetry,
        context: context.clone(),
    });
    let shared = app.clone();
    let work = move |lease| stage::work(shared.clone(), webhook.clone(), lease);
    let owned = tidemill_ownership::share(&context, &bus, AlertUnit::ALL, work);
    app.owned.get_or_init(|| owned);
    server.install(http::routes(&access, app.clone()))?;
    context.spawn("watch", upkeep::watch(app.clone()));
    context.spawn("prune", upkeep::prune(app));
    Ok(Handle { address: server.address() })
}
