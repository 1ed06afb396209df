//! How the service's work is shared among its replicas: each stream is
//! followed by one of them, into the read model that all of them serve.

use std::fmt;

use tidemill_events::Durable;

/// A stream that one replica follows at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Window totals and outcomes.
    Metrics,
    /// Batches of the log, for the books.
    Log,
    /// Dead letters.
    DeadLetters,
    /// Transitions of alerts.
    Alerts,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Metrics, Self::Log, Self::DeadLetters, Self::Alerts];

    /// Its name: of the lease, of its position in the read model, in readiness
    /// and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Log => "log",
            Self::DeadLetters => "dead-letters",
            Self::Alerts => "alerts",
        }
    }

    /// The consumer that it reads by.
    pub const fn durable(self) -> Durable {
        match self {
            Self::Metrics => Durable::ReportingMetrics,
            Self::Log => Durable::ReportingRaw,
            Self::DeadLetters => Durable::ReportingDlq,
            Self::Alerts => Durable::ReportingAlerts,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A range of a stream, without a gap: the messages behind `after`, up to
/// `last`.
///
/// Folds go by it. One that does not follow what is folded already changes
/// nothing, so that a replica which was paused while another took over leaves
/// no message out and counts none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceRange {
    /// The sequence before the first message.
    pub after: u64,
    /// The sequence of the last one.
    pub last: u64,
}
