//! Takes events in over HTTP and writes them to the log.
//!
//! The way of a request is the recipe in `intake/take_in.rs`: take a place, find
//! out the format, read the body, validate its events, store them. A 202 comes
//! after the log has the events (`log`); an event that is not taken in is kept
//! with its reason (`dead_letters`). Dead letters that are sent again, and what the
//! suite's own services tell, come the same way, from streams (`stage.rs`).

mod config;
mod dead_letters;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod intake;
mod limits;
mod log;
mod recent;
mod retry;
mod stage;
mod telemetry;
#[cfg(test)]
mod testing;

use std::{convert::Infallible, hash::RandomState, sync::Arc, time::Duration};

use tidemill_bus::Bus;
use tidemill_service::{Access, Context, Handle, Role, Server, Service, StartError, Starting};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use config::{BacklogOf, ClientIp, Config};
pub use intake::schema::{SchemaRegistry, built_in_schemas};

use crate::{
    dead_letters::{Budgets, DeadLetterWriter, LetterRoom, RejectedTally, counts, room},
    intake::{take_in::EventIntake, validate::Validator},
    limits::{Backlog, RequestLimits, UndecidedLimits, watch_backlog},
    log::LogWriter,
    recent::RecentEvents,
    stage::Inlet,
    telemetry::Telemetry,
};

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct IngestionService;

impl Service for IngestionService {
    const NAME: &'static str = "ingestion";
    type Config = Config;

    /// Starts the service, and waits until it serves. Its tasks live in the
    /// context; on shutdown they end after the last request is answered.
    fn start(config: Config, context: Context) -> Starting {
        Box::pin(async move {
            let schemas = SchemaRegistry::load(&config)?;
            begin(config, context, schemas).await
        })
    }

    fn check(config: &Config) -> Result<(), StartError> {
        config.check()?;
        SchemaRegistry::load(config).map(drop)
    }
}

impl IngestionService {
    /// Starts the service with schemas that its starter may exchange.
    pub fn start_with(config: Config, context: Context, schemas: SchemaRegistry) -> Starting {
        Box::pin(begin(config, context, schemas))
    }
}

async fn begin(config: Config, context: Context, schemas: SchemaRegistry) -> Result<Handle, StartError> {
    config.check()?;
    let access = Access::start(&config.auth, &context, &[Role::Write])?;
    let server = Server::start(&context, &config.http, http::description()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let intake = Arc::new(intake(&config, &context, &bus, schemas));
    let follower = (intake.clone(), context.clone(), bus.clone());
    tidemill_ownership::share(&context, &bus, Inlet::ALL, move |lease| {
        let (intake, context, bus) = follower.clone();
        stage::run(intake, context, bus, lease)
    });
    server.install_for_pages(http::routes(&access, intake, &config.cors.origins)?)?;
    Ok(Handle { address: server.address() })
}

fn intake(config: &Config, context: &Context, bus: &Bus, schemas: SchemaRegistry) -> EventIntake {
    let telemetry = Arc::new(Telemetry::new(&context.registry));
    let limits = Arc::new(RequestLimits::new(&config.limits));
    let answered = after_the_last_answer(context, &limits);
    let log = LogWriter::start(context, bus, &config.publish, &telemetry, &answered);
    let dead_letters = Arc::new(DeadLetterWriter {
        context: context.clone(),
        bus: bus.clone(),
        deadline: Duration::from_millis(config.publish.deadline_ms),
        budgets: Budgets::new(&config.dead_letters),
        room: Arc::new(LetterRoom::default()),
        tally: Arc::new(RejectedTally::default()),
        schemas: schemas.clone(),
        telemetry: telemetry.clone(),
    });
    let room = room::watch(dead_letters.room.clone(), context.clone(), bus.clone(), telemetry.clone());
    context.spawn("dead letters", room);
    context.spawn("tally", counts::run(dead_letters.clone(), answered));
    let backlog = Arc::new(Backlog::new(config.limits.backlog_bytes));
    let of = config.limits.backlog_of.clone();
    context.spawn("backlog", watch_backlog(backlog.clone(), of, context.clone(), bus.clone(), telemetry.clone()));
    EventIntake {
        origins: config.cors.origins.clone(),
        sender: config.sender.clone(),
        validator: Validator {
            context: context.clone(),
            limits: limits.clone(),
            limits_config: config.limits.clone(),
            batch_bytes: config.publish.batch_bytes,
            schemas,
            partitions: bus.partitions(),
            hasher: RandomState::new(),
        },
        dead_letters,
        recent: RecentEvents::new(config.limits.remembered_events, Instant::now()),
        limits,
        undecided: UndecidedLimits::new(config),
        backlog,
        log,
        telemetry,
    }
}

/// Cancelled when the service is to stop and every request is answered.
fn after_the_last_answer(context: &Context, limits: &Arc<RequestLimits>) -> CancellationToken {
    let answered = CancellationToken::new();
    let (shutdown, limits, done) = (context.shutdown.clone(), limits.clone(), answered.clone());
    context.spawn("drain", async move {
        shutdown.cancelled().await;
        limits.drain().await;
        done.cancel();
        Ok::<_, Infallible>(())
    });
    answered
}
