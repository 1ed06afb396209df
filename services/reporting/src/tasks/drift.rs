//! Tells how far the stream and the batch views differ: as metrics of this process, and as events of the suite, which
//! rules can look at.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_domain::Timestamp;
use tidemill_events::{MeasuredEvent, MeasuredFigure, QualityMeasured};
use tidemill_store::answered;
use tokio::time::{MissedTickBehavior, interval};

use crate::{batch::LandedView, config::DriftConfig, error::Error, state::Reporting};

const INTERVAL: Duration = Duration::from_secs(10);
/// Who tells the events.
const SERVICE: &str = "reporting";

/// Tells until shutdown.
pub(super) async fn run(reporting: Arc<Reporting>, config: DriftConfig) -> Result<(), Infallible> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Timestamp::EPOCH;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
        if let Err(error) = tell(&reporting, config, &mut told).await {
            tracing::debug!(%error, "it is not known whether batch and stream differ");
        }
    }
}

async fn tell(reporting: &Reporting, config: DriftConfig, told: &mut Timestamp) -> Result<(), Error> {
    let views = answered(reporting.store.landed_views()).await?;
    let counts = answered(reporting.store.drift_counts()).await?;
    let is_told = config.interval_seconds > 0;
    let measured_at = reporting.now().floor_to(i64::from(config.interval_seconds.max(1)) * 1000);
    for view in &views {
        // Versions that are no more in force have no views any more.
        let is_live = reporting.metric(&view.metric).is_ok_and(|live| live.version == view.version);
        let key = (view.metric.clone(), view.version.clone());
        let differ = counts.get(&key).copied().unwrap_or_default();
        if is_live {
            reporting.telemetry.drift.seen(&view.metric, differ, view.computed_at);
            if is_told && measured_at > *told {
                let event = event(view, differ, measured_at).map_err(tidemill_bus::Error::from)?;
                reporting.bus.publish(&event).await?;
            }
        }
    }
    *told = measured_at;
    Ok(())
}

/// Its id follows from what it tells, so that replicas tell it once.
fn event(view: &LandedView, differ: u64, measured_at: Timestamp) -> Result<MeasuredEvent, serde_json::Error> {
    let table = format!("batch.{}", view.metric);
    let figure = MeasuredFigure {
        measure: "drift_cells".into(),
        contract: None,
        rule: None,
        severity: None,
        #[allow(clippy::cast_precision_loss, reason = "there are at most some thousands")]
        value: differ as f64,
        checked: Some(view.compared),
        threshold: Some(0.0),
        good: Some(differ == 0),
    };
    let id = format!("{table}-{}", measured_at.millis());
    let (layer, version) = ("batch".into(), view.number);
    let data = QualityMeasured { layer, table, version, measured_at, figures: vec![figure] };
    MeasuredEvent::new(SERVICE, &id, QualityMeasured::TYPE, measured_at, &data)
}
