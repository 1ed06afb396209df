//! Looks up every second what other replicas have folded into the read model.
//! So each replica answers fresh and tells its clients what changed, whichever
//! of them follows the streams.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_domain::GenerationName;
use tidemill_store::answered;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    error::Error,
    read_model::MergedCellKey,
    state::Reporting,
    store::{CellChange, ReadModelStanding},
    unit::{SequenceRange, StreamUnit},
};

const INTERVAL: Duration = Duration::from_secs(1);
/// Its name in readiness.
pub(super) const NAME: &str = "read-model";

/// Looks at the read model until shutdown.
pub(super) async fn run(reporting: Arc<Reporting>) -> Result<(), Infallible> {
    let breaker = reporting.context.breaker("store");
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looked = async {
            ticks.tick().await;
            breaker.call(async { Ok::<_, Error>(answered(look(&reporting)).await?) }).await
        };
        let looked = tokio::select! {
            looked = looked => looked,
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        };
        match looked {
            Ok(()) => reporting.context.health.ready(NAME),
            Err(error) => {
                tracing::warn!(%error, "the read model could not be looked at");
                reporting.context.health.unready(NAME, error.to_string());
            }
        }
    }
}

async fn look(reporting: &Reporting) -> Result<(), tidemill_store::Error> {
    reporting.look_at_pointers().await?;
    let (change, alert) = reporting.seen.get();
    let standing = reporting.store.standing().await?;
    let reached =
        |standing: &ReadModelStanding, unit: StreamUnit| standing.reached.get(unit.name()).copied().unwrap_or_default();
    let newest = standing.change;
    let now_reached = StreamUnit::ALL.map(|unit| reached(&standing, unit));
    // Numbers go back only where the database was lost and is made anew.
    let is_new = newest < change;
    let before = reporting.standing_read(standing, is_new);
    // First what needs no further query: after a failure, this standing would
    // be no news.
    if now_reached[..3] != StreamUnit::ALL.map(|unit| reached(&before, unit))[..3] {
        reporting.news.books_changed();
    }
    if now_reached[4] != reached(&before, StreamUnit::Generations) {
        reporting.windows.doubt();
    }
    if is_new {
        reporting.hub.reset();
        reporting.seen.changes_to(newest);
    } else if newest > change {
        let range = SequenceRange { after: reached(&before, StreamUnit::Metrics), last: now_reached[0] };
        cells(reporting, change, range).await?;
    }
    if now_reached[3] > alert {
        alerts(reporting, alert, now_reached[3]).await?;
    }
    Ok(())
}

/// Cells that were changed after a change, by these messages or by those of generations.
async fn cells(reporting: &Reporting, after: u64, range: SequenceRange) -> Result<(), tidemill_store::Error> {
    let changes = reporting.store.changes_after(after).await?;
    let Some(last) = changes.last().map(|change| change.number) else { return Ok(()) };
    let is_complete = changes[0].number == after + 1 && changes.iter().all(|change| change.cells.is_some());
    let keys: Vec<_> = changes.into_iter().flat_map(|CellChange { cells, .. }| cells.unwrap_or_default()).collect();
    if keys.iter().any(|key| !reporting.has_data(key)) {
        reporting.versions_stored(reporting.store.versions().await?);
    }
    if is_complete {
        let is_known = reporting.hub.heard.is_known(range);
        // Those of generations are not heard of.
        let is_news = |key: &MergedCellKey| !is_known || GenerationName::of_version(&key.version).is_some();
        reporting.news.cells_changed(keys.into_iter().filter(is_news));
    } else {
        // Too much to tell: clients fetch it.
        reporting.hub.reset();
    }
    reporting.seen.changes_to(last);
    Ok(())
}

/// Alerts that went through transitions after one.
async fn alerts(reporting: &Reporting, after: u64, reached: u64) -> Result<(), tidemill_store::Error> {
    let alerts = reporting.store.alerts_after(after).await?;
    let last = alerts.last().map_or(reached, |(sequence, _)| *sequence);
    let alerts: Vec<_> = alerts.into_iter().map(|(_, alert)| alert).collect();
    if !alerts.is_empty() {
        reporting.alerts_folded(&alerts);
    }
    reporting.seen.alerts_to(last);
    Ok(())
}
