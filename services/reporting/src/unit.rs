//! How replicas share the work: one of them follows each stream, into the read
//! model that all of them serve.

use std::fmt;

use tidemill_events::Durable;

/// A stream that one replica follows at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StreamUnit {
    /// Window totals and outcomes.
    Metrics,
    /// Batches of the log, for the books.
    Log,
    /// Dead letters.
    DeadLetters,
    /// Transitions of alerts.
    Alerts,
    /// Window totals of generations beside the live one.
    Generations,
}

impl StreamUnit {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Metrics, Self::Log, Self::DeadLetters, Self::Alerts, Self::Generations];

    /// Its name: of the lease, of its position in the read model, in readiness
    /// and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Log => "log",
            Self::DeadLetters => "dead-letters",
            Self::Alerts => "alerts",
            Self::Generations => "generations",
        }
    }

    /// The consumer that it reads by.
    pub(crate) const fn durable(self) -> Durable {
        match self {
            Self::Metrics => Durable::ReportingMetrics,
            Self::Log => Durable::ReportingRaw,
            Self::DeadLetters => Durable::ReportingDlq,
            Self::Alerts => Durable::ReportingAlerts,
            Self::Generations => Durable::ReportingGenerations,
        }
    }
}

impl fmt::Display for StreamUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A range of a stream, without a gap: the messages behind `after`, up to
/// `last`.
///
/// A fold that does not follow what is folded already changes nothing. So a
/// replica that was paused while another took over leaves no message out, and
/// counts none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceRange {
    /// The sequence before the first message.
    pub(crate) after: u64,
    /// The sequence of the last one.
    pub(crate) last: u64,
}
