//! More than the suite can do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::{Clock, SystemClock};

use super::{
    Bench, MINUTE, PAST, generator::Load, machine::rounded, reference_job, report::JobFigures, scale::Scale,
    suite::Suite, whole,
};
use crate::error::Error;

/// Of what the suite can sustain, what it is offered where it is to turn senders away.
const OVERLOAD: f64 = 3.0;
/// Bytes that readers may have before them there, so that it does so within seconds:
/// by default it takes in what half of a stream holds, a gigabyte.
const OVERLOAD_BACKLOG: u64 = 16 << 20;
/// Events that the suite has counted before, as before the load that it is held against.
const WARM_UP: u64 = 80_000;

/// The reference job at three times what the suite can sustain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverloadFigures {
    /// Events a second that were to be sent.
    pub offered_per_s: u64,
    /// Events a second that were taken in, over the time of the load.
    pub acknowledged_per_s: f64,
    /// Events a second until the books balanced.
    pub events_per_s: f64,
    /// Requests that were turned away with 429 or 503, and came again.
    pub turned_away: u64,
    /// From the last acknowledgement until the books balanced.
    pub recovered_s: f64,
    /// Processor seconds for a million events, by part.
    #[serde(default)]
    pub cpu_s_per_million: BTreeMap<String, f64>,
    /// The most memory of each part.
    pub peak_rss_mb: BTreeMap<String, f64>,
}

/// The suite as it is set up for this.
pub(super) fn scale() -> Scale {
    Scale { backlog_bytes: Some(OVERLOAD_BACKLOG), ..Scale::default() }
}

impl Bench {
    /// More than it can do, from senders who come again as they are told.
    pub(super) async fn overload(&self, suite: &Suite, sustained: f64) -> Result<OverloadFigures, Error> {
        let events = whole(sustained * self.seconds);
        let rate = whole(sustained * OVERLOAD).max(1);
        // Behind the event times of what is counted later.
        let earlier = SystemClock.now().plus_millis(-PAST - i64::try_from(WARM_UP).unwrap_or_default() * MINUTE);
        let warm = Load { events: WARM_UP, begin: Some(earlier), ..reference_job() };
        self.generator.run(suite, &warm).await?;
        let load = Load { events, rate: Some(rate), connections: 64, ..reference_job() };
        let before = suite.usage().await?;
        let load = self.generator.run(suite, &load).await?;
        self.told("three times as much", &load);
        let job = JobFigures::of(&load, &before, &suite.usage().await?);
        Ok(OverloadFigures {
            offered_per_s: rate,
            acknowledged_per_s: load.acknowledged_per_s,
            events_per_s: load.events_per_s,
            turned_away: load.repeated_requests,
            recovered_s: rounded(load.seconds - load.send_seconds),
            cpu_s_per_million: job.cpu_s_per_million,
            peak_rss_mb: job.peak_rss_mb,
        })
    }
}
