//! How good the tables are: measured in each interval, kept in `gold.quality`, and told.
//!
//! What is kept is told: who ends in between leaves figures that nobody was told of, so
//! whoever begins tells those that were kept last once more.

mod checks;
mod error;
mod figures;
mod meter;
mod publish;
mod rules;
mod telemetry;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_batch_views::{MeasuredInterval, SqlError};
use tidemill_domain::Timestamp;
use tidemill_ownership::Owned;
use tidemill_service::Context;

pub(crate) use self::{checks::ContractChecks, meter::QualityMeter};
use self::{error::QualityError, telemetry::QualityTelemetry};
use crate::unit::LakeUnit;

/// Measures from now on, where that is wanted, on the replica that keeps the tables up.
pub(crate) fn start(context: &Context, meter: QualityMeter, owned: Owned<LakeUnit>) {
    let Some(every) = meter.config.every() else { return };
    let telemetry = QualityTelemetry::register(&context.registry);
    let is_ours = move || owned.contains(LakeUnit::Upkeep);
    if let Some(every) = meter.config.checks_every() {
        let checks = checks::keep(context.clone(), meter.checks.clone(), every, is_ours.clone());
        context.spawn("checks", checks);
    }
    context.spawn("quality", keep(context.clone(), Arc::new(meter), every, is_ours, telemetry));
}

/// Measures in each interval, while that is this replica's work.
async fn keep(
    context: Context,
    meter: Arc<QualityMeter>,
    every: Duration,
    is_ours: impl Fn() -> bool,
    telemetry: QualityTelemetry,
) -> Result<(), Infallible> {
    let stop = context.shutdown.clone();
    let mut before = None;
    while stop.run_until_cancelled(tokio::time::sleep(until_next(context.clock.now(), every))).await.is_some() {
        if !is_ours() {
            before = None;
            telemetry.forget();
            context.health.withdraw_notice("quality");
            continue;
        }
        let run = run(&meter, context.clock.now(), every, before.take());
        match stop.run_until_cancelled(run).await {
            None => break,
            Some(Ok(measured)) => {
                telemetry.measured(&measured);
                context.health.withdraw_notice("quality");
                before = Some(measured);
            }
            Some(Err(error)) => {
                tracing::warn!(code = error.code().as_str(), %error, "quality cannot be measured now");
                // Tables are kept and answered from: no reason to ask another one.
                context.health.notice("quality", error.to_string());
            }
        }
    }
    Ok(())
}

/// The interval that a moment is in, as Unix time of its beginning: so intervals follow one
/// another also where their length is changed.
fn interval_of(now: Timestamp, every: Duration) -> i64 {
    now.floor_to(i64::try_from(every.as_millis()).unwrap_or(i64::MAX)).millis() / 1000
}

fn until_next(now: Timestamp, every: Duration) -> Duration {
    let into = now.millis() - interval_of(now, every) * 1000;
    every.saturating_sub(Duration::from_millis(into.max(0).cast_unsigned()))
}

/// One measurement. Before the first one, and after one that failed, what was kept last
/// is told: it may not have been.
async fn run(
    meter: &Arc<QualityMeter>,
    now: Timestamp,
    every: Duration,
    before: Option<MeasuredInterval>,
) -> Result<MeasuredInterval, QualityError> {
    let before = match before {
        Some(before) => Some(before),
        None => {
            let kept = last(meter).await?;
            if let Some(kept) = &kept {
                publish::publish(&meter.bus, kept).await?;
            }
            kept
        }
    };
    let (of, interval) = (meter.clone(), interval_of(now, every));
    // On the threads of questions.
    let work = async move { Ok::<_, SqlError>(of.measure(interval, now, before.as_ref()).await) };
    meter.engine.run(work).await??;
    // As it is kept: another replica may have been first.
    let kept = last(meter).await?.ok_or_else(|| QualityError::Unwritable("none are kept".into()))?;
    publish::publish(&meter.bus, &kept).await?;
    Ok(kept)
}

/// What was kept last.
async fn last(meter: &Arc<QualityMeter>) -> Result<Option<MeasuredInterval>, QualityError> {
    let engine = meter.engine.clone();
    Ok(meter.engine.run(async move { engine.last_measured().await }).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_follow_one_another() {
        let at = Timestamp::saturating_from_millis;
        let minute = Duration::from_secs(60);
        assert_eq!(interval_of(at(1_700_000_039_999), minute), 1_699_999_980);
        assert_eq!(until_next(at(1_700_000_039_999), minute), Duration::from_millis(1));
        assert_eq!(interval_of(at(1_700_000_040_000), minute), 1_700_000_040);
        assert_eq!(until_next(at(1_700_000_040_000), minute), minute);
        assert!(interval_of(at(1_700_000_040_000), Duration::from_secs(3600)) > 1_699_990_000, "of any length");
    }
}
