//! What a load came to: for a person, and as one line of JSON.

use serde::Serialize;
use tidemill_domain::Timestamp;

use super::{compare::Compared, histogram::Quantiles};
use crate::client::Outcomes;

/// The last line of a run.
#[derive(Debug, Serialize)]
pub(super) struct LoadSummary {
    /// Events that were sent, each once as far as totals are concerned.
    pub(super) sent: u64,
    /// Events in a request.
    pub(super) batch: u32,
    /// Events a second that were to be sent; `null` for as fast as it goes.
    pub(super) rate: Option<u32>,
    /// Wall clock at which the first request was due, Unix milliseconds.
    pub(super) started_ms: i64,
    /// Event time of the first event.
    pub(super) begin: Timestamp,
    /// Events a second that were acknowledged, while it sent.
    pub(super) acknowledged_per_s: f64,
    /// Events a second from the first request until the books balanced.
    pub(super) events_per_s: f64,
    pub(super) send_seconds: f64,
    pub(super) seconds: f64,
    /// From when a request was to be sent until it was acknowledged.
    pub(super) accepted_ms: Option<Quantiles>,
    /// From when a probe was to be sent until the live stream showed it.
    pub(super) visible_ms: Option<Quantiles>,
    /// Requests that were sent again.
    pub(super) repeated_requests: u64,
    /// Bytes of all events.
    pub(super) bytes: u64,
    /// Processor seconds of this program until the books balanced.
    pub(super) cpu_s: Option<f64>,
    pub(super) counted: u64,
    pub(super) late: u64,
    pub(super) duplicate: u64,
    pub(super) dead_lettered: u64,
    pub(super) balanced: bool,
    pub(super) equals_truth: bool,
    /// What was compared.
    pub(super) metric: String,
    pub(super) measures: Vec<String>,
    pub(super) cells: u64,
    /// Totals that are not as they must be.
    pub(super) different: u64,
}

impl LoadSummary {
    /// Tells a person.
    pub(super) fn print(&self, compared: &Compared) {
        say!(
            "sent       {} events in {:.1} s, {:.0} a second; {} requests were sent again",
            self.sent,
            self.send_seconds,
            self.acknowledged_per_s,
            self.repeated_requests
        );
        say!("balanced   after {:.1} s, {:.0} events a second", self.seconds, self.events_per_s);
        for (what, quantiles, of) in
            [("accepted", self.accepted_ms, "requests"), ("visible", self.visible_ms, "probes")]
        {
            if let Some(quantiles) = quantiles {
                say!("{what:9}  {quantiles} {of}");
            }
        }
        say!(
            "totals     {}: {} of {} windows and groups are right ({})",
            self.metric,
            self.cells.saturating_sub(self.different),
            self.cells,
            self.measures.join(", ")
        );
        for example in &compared.examples {
            say!("           {example}");
        }
        if !self.equals_truth && self.different == 0 {
            say!(
                "           of {} events {} are counted, {} late, {} duplicates and {} dead letters",
                self.sent,
                self.counted,
                self.late,
                self.duplicate,
                self.dead_lettered
            );
        }
    }
}

/// Whether every event is counted, and every total as it must be.
pub(super) fn equals_truth(books: &Outcomes, sent: u64, compared: &Compared) -> bool {
    // A request that was sent again, after an answer was lost, makes duplicates.
    books.counted == sent
        && books.late == 0
        && books.dead_lettered == 0
        && compared.different == 0
        && compared.cells > 0
}

/// Rounded for people and files.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Processor seconds of this process; unknown where the system does not tell.
pub(super) fn own_cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    // Linux tells in hundredths of a second, whatever its clock.
    Some(f64::from(ticks()? + ticks()?) / 100.0)
}
