//! Takes events in over HTTP and writes them to the log.
//!
//! The way of a request is the recipe in `http/intake.rs`: authenticate, limit,
//! inflate, split into events, parse, normalise, validate, write to the log
//! and answer with a verdict on each event. A 202 comes after the log has the
//! events; an event that is not taken in is kept with its reason. Dead letters
//! that are sent again come the same way, from a stream (`redrive.rs`).

mod batcher;
mod client_address;
mod config;
mod dead_letters;
mod error;
mod formats;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod inflate;
mod limits;
mod normalise;
mod parse;
mod redrive;
mod rejections;
mod room;
mod schema;
mod segment;
mod tally;
mod telemetry;
mod validate;

use std::{convert::Infallible, hash::RandomState, net::SocketAddr, sync::Arc, time::Duration};

use tidemill_bus::Bus;
use tidemill_service::{Access, Context, Role, Server, StartError, Starting};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

pub use config::{
    ClientIp, Config, CorsConfig, DeadLettersConfig, LimitsConfig, PublishConfig, SchemasConfig, SenderConfig,
    UnknownTypes,
};

use crate::{
    batcher::Log,
    dead_letters::{Budgets, DeadLetters},
    http::Intake,
    limits::Limits,
    redrive::Redrives,
    room::Room,
    schema::Schemas,
    tally::Tally,
    telemetry::Telemetry,
    validate::Validator,
};

/// How long an accepted event is remembered, to tell its sender of a repeat.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A running service.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Starts the service, and waits until it serves. Its tasks live in the
/// context; on shutdown they end after the last request is answered.
pub fn start(config: Config, context: Context) -> Starting<Handle> {
    Box::pin(begin(config, context))
}

async fn begin(config: Config, context: Context) -> Result<Handle, StartError> {
    config.check()?;
    let schemas = Schemas::load(&config.schemas)?;
    let access = Access::start(&config.auth, &context, &[Role::Write])?;
    let server = Server::start(&context, &config.http, http::ApiDoc::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let intake = Arc::new(intake(&config, &context, &bus, schemas));
    let follower = (intake.clone(), context.clone(), bus.clone());
    tidemill_ownership::share(&context, &bus, [Redrives], move |lease| {
        let (intake, context, bus) = follower.clone();
        redrive::run(intake, context, bus, lease)
    });
    server.install_for_pages(http::routes(&access, intake, &config.cors.origins)?)?;
    Ok(Handle { address: server.address() })
}

fn intake(config: &Config, context: &Context, bus: &Bus, schemas: Schemas) -> Intake {
    let telemetry = Arc::new(Telemetry::new(&context.registry));
    let limits = Arc::new(Limits::new(&config.limits));
    let answered = after_the_last_answer(context, &limits);
    let log = Log::start(context, bus, &config.publish, &telemetry, &answered);
    let dead_letters = Arc::new(DeadLetters {
        context: context.clone(),
        bus: bus.clone(),
        deadline: Duration::from_millis(config.publish.deadline_ms),
        budgets: Budgets::new(&config.dead_letters),
        room: Arc::new(Room::default()),
        tally: Arc::new(Tally::default()),
        personal: schemas.personal().more(),
        telemetry: telemetry.clone(),
    });
    let room = room::watch(dead_letters.room.clone(), context.clone(), bus.clone(), telemetry.clone());
    context.spawn("dead letters", room);
    context.spawn("tally", tally::run(dead_letters.clone(), answered));
    Intake {
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
        recent: moka::sync::Cache::builder()
            .max_capacity(config.limits.remembered_events)
            .time_to_live(REMEMBERED)
            .build(),
        limits,
        log,
        telemetry,
    }
}

/// Cancelled when the service is to stop and every request is answered.
fn after_the_last_answer(context: &Context, limits: &Arc<Limits>) -> CancellationToken {
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
