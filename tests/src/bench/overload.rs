//! More than the suite can do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Bench, generator::Load, machine::rounded, reference_job, report::float, scale::Scale, suite::Suite, whole,
};
use crate::error::Error;

/// Of what the suite can sustain, what it is offered where it is to turn senders away.
const OVERLOAD: f64 = 3.0;
/// Bytes that readers may have before them there, so that it does so within seconds:
/// by default it takes in what half of a stream holds, a gigabyte.
const OVERLOAD_BACKLOG: u64 = 16 << 20;

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
        let load = Load { events, rate: Some(rate), connections: 64, ..reference_job() };
        let load = self.generator.run(suite, &load).await?;
        self.told("three times as much", &load);
        let parts = suite.usage().await?.parts;
        let megabytes = |bytes| rounded(float(bytes) / f64::from(1 << 20));
        Ok(OverloadFigures {
            offered_per_s: rate,
            acknowledged_per_s: load.acknowledged_per_s,
            events_per_s: load.events_per_s,
            turned_away: load.repeated_requests,
            recovered_s: rounded(load.seconds - load.send_seconds),
            peak_rss_mb: parts.iter().map(|(part, usage)| ((*part).to_owned(), megabytes(usage.peak_rss))).collect(),
        })
    }
}
