//! What predictions come to, by partition and span of the log's time.

use std::collections::{BTreeMap, VecDeque};

use tidemill_domain::{Partition, Timestamp};
use tokio::time::Instant;

use super::cases::Cases;

/// Spans that wait to be told, at most: the oldest go.
const WAITING: usize = 4_096;

/// What is counted of one partition in one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EvaluatedSpan {
    pub(super) partition: Partition,
    /// When it begins, by the log's clock.
    pub(super) begin: Timestamp,
    /// The first and the last batch that was read in it, by their sequences in `RAW`.
    pub(super) from: u64,
    pub(super) to: u64,
    /// When the last was taken in.
    pub(super) ingested_at: Timestamp,
    pub(crate) cases: Cases,
}

/// Spans that go on, and those that have ended.
#[derive(Debug)]
pub(super) struct OpenSpans {
    millis: i64,
    open: BTreeMap<Partition, (EvaluatedSpan, Instant)>,
    ended: VecDeque<EvaluatedSpan>,
    /// Where the last span that has ended began: what comes late of it is not counted, for
    /// its event is told.
    last: BTreeMap<Partition, Timestamp>,
}

impl OpenSpans {
    /// Of so many milliseconds.
    pub(super) fn new(millis: i64) -> Self {
        Self { millis: millis.max(1), open: BTreeMap::new(), ended: VecDeque::new(), last: BTreeMap::new() }
    }

    /// Counts a batch into its span. One of a later span ends the one before.
    pub(super) fn add(&mut self, partition: Partition, raw_seq: u64, at: Timestamp, cases: Cases, now: Instant) {
        let begin = Timestamp::saturating_from_millis(at.millis().div_euclid(self.millis) * self.millis);
        if self.last.get(&partition).is_some_and(|last| begin <= *last) {
            return;
        }
        if self.open.get(&partition).is_some_and(|(span, _)| begin > span.begin) {
            self.end(partition);
        }
        let span =
            EvaluatedSpan { partition, begin, from: raw_seq, to: raw_seq, ingested_at: at, cases: Cases::default() };
        let (span, touched) = self.open.entry(partition).or_insert((span, now));
        (span.to, span.ingested_at, *touched) = (raw_seq, at, now);
        span.cases.merge(cases);
    }

    /// Ends what is over by the clock, and of which nothing has come since then. What is of
    /// partitions that another replica keeps is dropped.
    pub(super) fn close(&mut self, kept: &[Partition], now: Timestamp, silent_since: Option<Instant>) {
        self.open.retain(|partition, _| kept.contains(partition));
        let is_over = |(span, touched): &(EvaluatedSpan, Instant)| {
            now.millis() >= span.begin.millis().saturating_add(self.millis)
                && silent_since.is_some_and(|since| *touched <= since)
        };
        let over: Vec<Partition> = self.open.iter().filter(|(_, open)| is_over(open)).map(|(p, _)| *p).collect();
        over.into_iter().for_each(|partition| self.end(partition));
    }

    /// A span that has ended, the oldest first.
    pub(super) fn ended(&mut self) -> Option<EvaluatedSpan> {
        self.ended.pop_front()
    }

    /// It could not be told yet.
    pub(super) fn keep(&mut self, span: EvaluatedSpan) {
        self.ended.push_front(span);
    }

    /// One without a case says nothing.
    fn end(&mut self, partition: Partition) {
        let Some((span, _)) = self.open.remove(&partition) else { return };
        self.last.insert(partition, span.begin);
        if span.cases.cases > 0 {
            self.ended.push_back(span);
        }
        if self.ended.len() > WAITING {
            self.ended.pop_front();
        }
    }
}
