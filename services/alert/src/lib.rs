//! The alert service: evaluates rules over events and window totals, records
//! what fires, and tells Slack.
//!
//! A rule is data ([`rules`]): over window totals ([`metric_rules`]) or over
//! single events ([`event_rules`]). A consumer ([`consumer`]) records alerts,
//! state and its position in one transaction; from the store the outbox
//! ([`notify`]) publishes transitions and posts messages ([`slack`]).

pub mod backoff;
pub mod config;
pub mod consumer;
pub mod counters;
pub mod error;
pub mod event_rules;
pub mod http;
pub mod metric_rules;
pub mod notify;
pub mod rules;
pub mod slack;
pub mod store;
pub mod telemetry;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use tidemill_bus::Bus;
use tidemill_definitions::Metrics;
use tidemill_domain::Partition;
use tidemill_events::Durable;
use tidemill_service::{Context, Server, StartError};
use tokio::time::sleep;

use backoff::Backoff;
pub use config::Config;
use consumer::{EventStage, Ledger, MetricStage, Reader};
use error::Error;
use event_rules::EventRules;
use metric_rules::MetricRules;
use notify::{Notifier, Wake};
use rules::Rules;
use slack::Webhook;
use store::{Consumer, Notification, Saved, Store};
use telemetry::Telemetry;

/// How often consumers' lag is asked for.
const LAG_INTERVAL: Duration = Duration::from_secs(5);
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
pub async fn start(config: Config, context: Context) -> Result<Handle, StartError> {
    config.check()?;
    let metrics = Metrics::load(config.definitions.metrics.as_deref()).map_err(StartError::new)?;
    let rules = Arc::new(Rules::load(config.rules.folder.as_deref(), &metrics).map_err(StartError::new)?);
    let webhook = Webhook::new(&config.slack)?;
    let telemetry = Arc::new(Telemetry::register(&context.registry));
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let (store, saved) = open(&config, &context).await.map_err(StartError::new)?;
    server.install(http::routes(store.clone(), rules.clone(), context.clock.clone()));

    let ledger = Ledger {
        store: store.clone(),
        wake: Wake::default(),
        notification: if webhook.is_some() { Notification::Pending } else { Notification::Off },
        telemetry: telemetry.clone(),
    };
    let metric_rules = MetricRules::new(rules.metric.clone(), &metrics, &saved, telemetry.clone());
    let stage = MetricStage { rules: metric_rules, clock: context.clock.clone() };
    spawn(&context, "metrics", reader(&context, &bus, Durable::AlertMetrics, stage, &ledger).run());
    let event_rules = Arc::new(EventRules::new(rules.event.clone(), &saved, telemetry.clone()));
    for partition in bus.partitions().all() {
        let floor = saved.progress.get(&(Consumer::Events, partition)).map_or(0, |progress| progress.raw_seq);
        let clock = context.clock.clone();
        let stage = EventStage { rules: event_rules.clone(), partition, floor, clock, telemetry: telemetry.clone() };
        spawn(&context, "events", reader(&context, &bus, Durable::AlertEvents(partition), stage, &ledger).run());
    }
    let publisher = notify::publish(context.clone(), bus.clone(), store.clone(), ledger.wake.clone());
    spawn(&context, "publisher", publisher);
    if let Some(webhook) = webhook {
        let settings = (&config.slack, &config.links);
        let notifier = Notifier::new(context.clone(), store.clone(), webhook, settings, ledger.wake, telemetry.clone());
        spawn(&context, "notifier", notifier.run());
    } else {
        tracing::info!("slack.webhook_url is not set: alerts are recorded and published only");
    }
    context.spawn("lag", watch_lag(context.clone(), bus, telemetry));
    spawn(&context, "prune", prune(context.clone(), store));
    Ok(Handle { address: server.address() })
}

/// The store and what it kept, however long it takes.
async fn open(config: &Config, context: &Context) -> Result<(Store, Saved), Error> {
    let mut attempts = Backoff::new(context, "store");
    loop {
        let opened = match Store::open(&config.store).await {
            Ok(store) => store.load().await.map(|saved| (store, saved)),
            Err(error) => Err(error),
        };
        match opened {
            Ok(opened) => {
                attempts.succeeded();
                return Ok(opened);
            }
            Err(error) => attempts.failed(error).await?,
        }
    }
}

fn spawn(context: &Context, name: &'static str, task: impl Future<Output = Result<(), Error>> + Send + 'static) {
    context.spawn(name, async { Error::unless_shut_down(task.await) });
}

fn reader<S>(context: &Context, bus: &Bus, durable: Durable, stage: S, ledger: &Ledger) -> Reader<S> {
    Reader { context: context.clone(), bus: bus.clone(), durable, stage, ledger: ledger.clone(), unreadable: 0 }
}

async fn watch_lag(context: Context, bus: Bus, telemetry: Arc<Telemetry>) -> Result<(), Infallible> {
    let partitions: Vec<Partition> = bus.partitions().all().collect();
    while !pause(&context, LAG_INTERVAL).await {
        let mut events = 0;
        for partition in &partitions {
            events += bus.lag(Durable::AlertEvents(*partition)).await.unwrap_or_default();
        }
        telemetry.lag(Consumer::Events, events);
        telemetry.lag(Consumer::Metrics, bus.lag(Durable::AlertMetrics).await.unwrap_or_default());
    }
    Ok(())
}

async fn prune(context: Context, store: Store) -> Result<(), Error> {
    loop {
        match store.prune(context.clock.now().plus_millis(-KEPT_MILLIS)).await.map_err(Error::from) {
            Ok(_) => {}
            Err(error) if error.is_transient() => tracing::warn!(%error, "old alerts could not be forgotten"),
            Err(error) => return Err(error),
        }
        if pause(&context, PRUNE_INTERVAL).await {
            return Ok(());
        }
    }
}

/// Waits; answers whether the service is to stop.
async fn pause(context: &Context, length: Duration) -> bool {
    tokio::select! {
        () = sleep(length) => false,
        () = context.shutdown.cancelled() => true,
    }
}
