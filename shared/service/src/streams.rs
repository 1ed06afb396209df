//! Keeps the suite's streams and buckets there: one that was deleted is made anew by whoever
//! sees it first.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    time::Duration,
};

use tidemill_bus::{Bus, Error, Part};
use tidemill_domain::Backoff;
use tidemill_events::StreamName;
use tokio::time::sleep;

use crate::{Context, Health};

/// The line in readiness.
const STREAMS: &str = "streams";
/// How often it is looked whether all are there; up to twice as long, so that replicas do not
/// look all at once.
const EVERY: Duration = Duration::from_secs(5);
/// Where a call finds one gone it is looked at once, but not more often than this: that nobody
/// answers a call may have other reasons.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Looks every few seconds, and whenever a call finds a stream gone. Fails only where waiting
/// cannot help.
pub(crate) async fn keep(context: Context, bus: Bus) -> Result<(), Error> {
    let every = EVERY + share_of(&context.instance, EVERY);
    let mut backoff = Backoff::new();
    let mut wait = every;
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            () = bus.found_missing() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        wait = match look(&context, &bus).await {
            Ok(()) => {
                backoff.succeeded();
                every
            }
            Err(error) if error.is_transient() => backoff.failed(),
            Err(error) => return Err(error),
        };
        tokio::select! {
            () = sleep(AT_MOST_EVERY) => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
    }
}

/// A part of `whole` that is this instance's own.
fn share_of(instance: &str, whole: Duration) -> Duration {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(instance);
    whole * u32::from(hash.to_be_bytes()[0]) / u32::from(u8::MAX)
}

async fn look(context: &Context, bus: &Bus) -> Result<(), Error> {
    // Whether NATS answers at all is told by who announces the instance.
    let missing = bus.missing().await?;
    if missing.is_empty() {
        all_there(&context.health);
        return bus.same_partitions().await;
    }
    gone(context, &missing, "is being made anew");
    if let Err(error) = bus.make(&missing).await {
        gone(context, &missing, &error.to_string());
        return Err(error);
    }
    let streams = names(&missing);
    tracing::warn!(service = context.service, streams, "gone, and made anew: what was in them is lost");
    all_there(&context.health);
    Ok(())
}

fn all_there(health: &Health) {
    health.ready(STREAMS);
    health.withdraw_notice(STREAMS);
}

/// Without the log, or what it reads, a service does not do its work. What it writes it tells of
/// by itself.
fn gone(context: &Context, missing: &[Part], then: &str) {
    let needed = |part: &Part| match part {
        Part::Stream(name) => *name == StreamName::Raw || name.readers().contains(context.service),
        Part::Members | Part::Leases | Part::Requests => false,
    };
    let told = format!("gone: {}; {then}", names(missing));
    match missing.iter().any(needed) {
        true => context.health.unready(STREAMS, told),
        false => context.health.notice(STREAMS, told),
    }
}

fn names(parts: &[Part]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
