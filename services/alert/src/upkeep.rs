//! What every replica does beside its units.

use std::{fmt, sync::Arc, time::Duration};

use tidemill_bus::Progress;
use tidemill_events::Durable;
use tidemill_service::Standstill;
use tidemill_store::answered;

use crate::{
    app::App,
    dependencies::{pause, until_done},
    error::{Error, unless_stopped},
    unit::AlertUnit,
};

/// How often consumers' lag is asked for.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
/// Alerts are forgotten when they are so old: as long as ALERTS keeps them.
const KEPT_MILLIS: i64 = 30 * 24 * 3_600_000;

/// A consumer of a unit, by its name in the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct UnitConsumer(AlertUnit, String);

impl fmt::Display for UnitConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

/// Measures how far this replica's units are behind, and whether they move. It
/// also asks after a store that was away, because a replica without units would
/// never notice that it is back.
pub(crate) async fn watch(app: Arc<App>) -> Result<(), Error> {
    let stop = &app.context.shutdown;
    let standstill = Standstill::new(&app.context.health, "standing_consumer");
    while !pause(WATCH_INTERVAL, stop).await {
        for unit in [AlertUnit::Events, AlertUnit::Metrics] {
            app.telemetry.lag(unit, if app.owns(unit) { lag(&app, unit, &standstill).await } else { None });
        }
        standstill.retain(|UnitConsumer(unit, _)| app.owns(*unit));
        if app.dependencies.store.is_open() {
            unless_stopped(until_done(&app.dependencies.store, stop, || answered(app.store.ping())).await)?;
        }
    }
    Ok(())
}

/// Messages that a unit's consumers have yet to acknowledge; `None` where the
/// server does not say. Notes which of them stand still.
async fn lag(app: &App, unit: AlertUnit, standstill: &Standstill<UnitConsumer>) -> Option<u64> {
    let durables: Vec<Durable> = match unit {
        AlertUnit::Events => app.bus.partitions().all().map(Durable::AlertEvents).collect(),
        AlertUnit::Metrics => vec![Durable::AlertMetrics],
        AlertUnit::Outbox => Vec::new(),
    };
    let mut sum = 0;
    for durable in durables {
        let Progress { reached, waiting } = app.bus.progress(durable).await.ok()?;
        standstill.look(UnitConsumer(unit, durable.name()), reached, waiting);
        sum += waiting;
    }
    Some(sum)
}

/// Forgets old alerts: on every replica, since it changes nothing to do it
/// twice.
pub(crate) async fn prune(app: Arc<App>) -> Result<(), Error> {
    let stop = &app.context.shutdown;
    loop {
        let before = app.context.clock.now().plus_millis(-KEPT_MILLIS);
        unless_stopped(until_done(&app.dependencies.store, stop, || answered(app.store.prune(before))).await)?;
        if pause(PRUNE_INTERVAL, stop).await {
            return Ok(());
        }
    }
}
