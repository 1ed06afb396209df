//! Aggregation: from enriched events to window totals.
//!
//! Per partition, in the order of the log: [`state`] folds events into window
//! totals and outcomes, [`consumer`] publishes what changed, writes it to the
//! metrics store, checkpoints and acknowledges.

pub mod config;
pub mod consumer;
pub mod state;

mod cell;
mod error;
mod http;
mod store;
mod telemetry;

use std::{net::SocketAddr, sync::Arc};

use tidemill_definitions::Metrics;
use tidemill_metrics_store::MetricsStore;
use tidemill_service::{Context, Server, StartError};

pub use config::Config;
pub use error::Error;

use crate::{consumer::PartitionConsumer, http::Api, store::Store, telemetry::Telemetry};

/// A running service.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Starts the service: reads the definitions, waits for its dependencies and
/// consumes every partition.
pub async fn start(config: Config, context: Context) -> Result<Handle, StartError> {
    config.check()?;
    let metrics = Arc::new(Metrics::load(config.definitions.metrics.as_deref()).map_err(StartError::new)?);
    let telemetry = Telemetry::register(&context.registry);
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let store = context.retry("store", || Store::open(&config.store), Error::is_transient).await?;
    let metrics_store = context
        .retry(
            "metrics_store",
            || MetricsStore::open(&config.metrics_store),
            tidemill_metrics_store::Error::is_transient,
        )
        .await?;
    server.install(http::routes(Api { metrics_store: metrics_store.clone() }));
    for partition in bus.partitions().all() {
        let consumer = PartitionConsumer {
            partition,
            context: context.clone(),
            bus: bus.clone(),
            store: store.clone(),
            metrics_store: metrics_store.clone(),
            metrics: metrics.clone(),
            windows: config.windows.clone(),
            telemetry: telemetry.clone(),
        };
        context.spawn("partition", consumer.run());
    }
    context.spawn("lag", telemetry::measure_lag(context.clone(), bus, telemetry));
    Ok(Handle { address: server.address() })
}
