//! How good the index is, seen live: each click is predicted before it is learnt
//! (prequential evaluation).
//!
//! Whoever keeps a partition evaluates it, while it learns it (`cases`). What comes of it is
//! added up over a span of the log's time (`spans`), and told as an event (`evaluations`), which
//! goes through ingestion into the log like any other: metrics and rules see it there.

mod cases;
mod spans;
#[cfg(test)]
mod tests;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::MeasuredEvent;
use tokio::time::Instant;

use self::spans::OpenSpans;
pub(crate) use self::{cases::Cases, spans::EvaluatedSpan};
use crate::{config::MeasureConfig, learning::LearntBatch, model::LearntModel};

/// Whose events they are.
const SERVICE: &str = "recommendation";
/// The type of the event that tells of it.
const TYPE: &str = "recommendation.evaluated";
/// How long nothing is read before a span is taken to have ended.
const SILENCE: Duration = Duration::from_secs(10);

/// The evaluation of the partitions that this replica keeps.
#[derive(Debug)]
pub(crate) struct LiveEvaluation {
    settings: MeasureConfig,
    state: Mutex<EvaluationState>,
}

#[derive(Debug)]
struct EvaluationState {
    spans: OpenSpans,
    /// The second that goes on, and predictions that were made in it.
    budget: (Instant, u32),
}

/// The data of an event.
#[derive(Debug, Serialize)]
struct EvaluatedData {
    partition: u16,
    /// The first and the last batch of it, by their sequences in `RAW`.
    from: u64,
    to: u64,
    cutoff: usize,
    cases: u64,
    hits: u64,
    /// The sum over all cases, as a decimal; each is rounded down to six decimals.
    reciprocal_rank: String,
}

impl LiveEvaluation {
    /// Nothing is evaluated yet.
    pub(crate) fn new(settings: MeasureConfig) -> Self {
        let spans = OpenSpans::new(i64::from(settings.interval_seconds) * 1000);
        Self { settings, state: Mutex::new(EvaluationState { spans, budget: (Instant::now(), 0) }) }
    }

    /// Whether it is wanted at all.
    pub(crate) fn is_wanted(&self) -> bool {
        self.settings.interval_seconds > 0
    }

    /// Predicts the clicks of a batch that is yet to be learnt.
    pub(crate) fn predict(&self, model: &LearntModel, partition: Partition, batch: &LearntBatch) {
        let wanted = |_: &_| self.spend();
        let cases = Cases::of(model, batch, self.settings.share, wanted);
        self.state().spans.add(partition, batch.raw_seq, batch.ingested_at, cases, Instant::now());
    }

    /// Takes a prediction from the budget of the second.
    fn spend(&self) -> bool {
        let (now, mut state) = (Instant::now(), self.state());
        if now.duration_since(state.budget.0) >= Duration::from_secs(1) {
            state.budget = (now, 0);
        }
        state.budget.1 += 1;
        state.budget.1 <= self.settings.predictions_per_second
    }

    /// How long a span is.
    pub(crate) fn span(&self) -> Duration {
        Duration::from_secs(self.settings.interval_seconds.into())
    }

    /// Ends the spans that are over, of the partitions that are kept.
    pub(crate) fn close(&self, kept: &[Partition], now: Timestamp) {
        let silent_since = Instant::now().checked_sub(SILENCE.min(self.span()));
        self.state().spans.close(kept, now, silent_since);
    }

    /// A span that has ended.
    pub(crate) fn ended(&self) -> Option<EvaluatedSpan> {
        self.state().spans.ended()
    }

    /// It could not be told now.
    pub(crate) fn keep(&self, span: EvaluatedSpan) {
        self.state().spans.keep(span);
    }

    fn state(&self) -> MutexGuard<'_, EvaluationState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its id is what it covers: a partition, and a span of the log's time. Of two replicas that
/// tell of the same span, the first counts.
pub(crate) fn evaluated(span: &EvaluatedSpan) -> Result<MeasuredEvent, serde_json::Error> {
    let Cases { cases, hits, reciprocal_micros } = span.cases;
    let data = EvaluatedData {
        partition: span.partition.index(),
        from: span.from,
        to: span.to,
        cutoff: cases::CUTOFF,
        cases,
        hits,
        reciprocal_rank: format!("{}.{:06}", reciprocal_micros / cases::MICROS, reciprocal_micros % cases::MICROS),
    };
    let id = format!("{}-{}", span.partition, span.begin.millis() / 1000);
    MeasuredEvent::new(SERVICE, &id, TYPE, span.ingested_at, &data)
}
