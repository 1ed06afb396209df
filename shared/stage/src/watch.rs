//! Whether the units of a replica move.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use tidemill_bus::{Bus, Progress};
use tidemill_events::Durable;
use tidemill_ownership::{Owned, Unit};
use tidemill_service::{Context, Standstill};
use tokio::time::{MissedTickBehavior, interval};

/// How often the units are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Watches the units that this replica owns. Every few seconds it tells `lag` how
/// many messages wait for each, and once, with `None`, that one is no longer this
/// replica's: it may have been given back while it was asked for. Readiness names,
/// under `what`, the units that do not move.
pub async fn watch<U: Unit>(
    context: Context,
    bus: Bus,
    owned: Owned<U>,
    what: &'static str,
    durable: impl Fn(U) -> Option<Durable>,
    lag: impl Fn(U, Option<u64>),
) -> Result<(), Infallible> {
    let standstill = Standstill::new(&context.health, what);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = BTreeSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        standstill.retain(|unit| owned.contains(*unit));
        for unit in owned.units() {
            let Some(durable) = durable(unit) else { continue };
            match bus.progress(durable).await {
                Ok(Progress { reached, waiting }) => {
                    lag(unit, Some(waiting));
                    told.insert(unit);
                    standstill.look(unit, reached, waiting);
                }
                // Not made yet, or NATS is away: readiness says so.
                Err(error) => tracing::debug!(%unit, %error, "lag is unknown"),
            }
        }
        told.retain(|unit| {
            let is_owned = owned.contains(*unit);
            if !is_owned {
                lag(*unit, None);
            }
            is_owned
        });
    }
}
