//! Writing to the log: group commit, one batch in flight for each partition.
//!
//! An idle partition publishes at once. While a publish is in flight, what
//! arrives gathers into the next batch, so that batches grow with the load and
//! nobody waits for company.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use futures::future::try_join_all;
use tidemill_bus::Bus;
use tidemill_domain::{Partition, PartitionCount, SourceName};
use tidemill_events::{RawBatch, TraceParent};
use tidemill_service::Context;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    config::PublishConfig,
    error::Error,
    telemetry::{Telemetry, batch_span},
};

/// A batch is never larger than this.
const MAX_BATCH: usize = 256 << 10;
/// Bytes of the header that names a batch's sources, from which on it is full,
/// and that two parts together may have: NATS takes 64 KiB of headers.
const FULL_HEADER: usize = 24 << 10;
const MAX_HEADER: usize = 48 << 10;
pub(crate) const FIRST_RETRY: Duration = Duration::from_millis(50);
pub(crate) const LAST_RETRY: Duration = Duration::from_secs(1);

/// Events of one partition, one a line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Lines {
    pub(crate) text: Vec<u8>,
    pub(crate) sources: BTreeMap<SourceName, u32>,
    /// Bytes of the header that names them, at most.
    header: usize,
    /// The spans of those that are traced.
    pub(crate) traces: Vec<TraceParent>,
    /// Dead letters whose events are among them.
    pub(crate) redriven: Vec<u64>,
}

impl Lines {
    fn append(&mut self, other: &mut Self) {
        self.text.append(&mut other.text);
        self.traces.append(&mut other.traces);
        self.redriven.append(&mut other.redriven);
        for (source, count) in std::mem::take(&mut other.sources) {
            self.count(source, count);
        }
    }

    fn count(&mut self, source: SourceName, count: u32) {
        let bytes = header_bytes(&source);
        let known = self.sources.entry(source).or_insert_with(|| {
            self.header += bytes;
            0
        });
        *known += count;
    }
}

/// A source with its count in ASCII JSON, at most: what is no ASCII takes six
/// bytes for each unit of UTF-16, a quote two.
fn header_bytes(source: &SourceName) -> usize {
    let text: usize = source.as_str().chars().map(|c| if c.is_ascii() { 2 } else { 6 * c.len_utf16() }).sum();
    text + 16
}

/// The accepted events of one request, as parts that each fit a batch.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) open: BTreeMap<Partition, Lines>,
    pub(crate) full: Vec<(Partition, Lines)>,
}

impl Parts {
    /// The events are those of a dead letter.
    pub(crate) fn redriven(&mut self, letter: u64) {
        let parts = self.open.values_mut().chain(self.full.iter_mut().map(|(_, lines)| lines));
        parts.for_each(|lines| lines.redriven.push(letter));
    }

    /// Bytes of all events.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.open.values().chain(self.full.iter().map(|(_, lines)| lines));
        parts.map(|lines| lines.text.len()).sum()
    }

    /// Adds an event; `line` is without its end.
    pub(crate) fn push(
        &mut self,
        partition: Partition,
        source: SourceName,
        line: &[u8],
        trace: Option<TraceParent>,
        batch_bytes: usize,
    ) {
        let part = self.open.entry(partition).or_default();
        part.text.extend_from_slice(line);
        part.text.push(b'\n');
        part.count(source, 1);
        part.traces.extend(trace);
        if part.text.len() >= batch_bytes || part.header >= FULL_HEADER {
            self.full.extend(self.open.remove_entry(&partition));
        }
    }
}

/// A part that waits for its place in the log. Whoever gave it up has dropped
/// the receiver.
struct Pending {
    lines: Lines,
    stored: oneshot::Sender<Result<(), ()>>,
}

/// The way into the log.
pub(crate) struct Log {
    queues: Vec<mpsc::Sender<Pending>>,
    deadline: Duration,
}

impl Log {
    /// Starts a batcher for each partition. They end when `stop` is
    /// cancelled, which is to be after the last request is answered.
    pub(crate) fn start(
        context: &Context,
        bus: &Bus,
        config: &PublishConfig,
        telemetry: &Arc<Telemetry>,
        stop: &CancellationToken,
    ) -> Self {
        let start = |partition| {
            let (sender, queue) = mpsc::channel(config.queue);
            let batcher = Batcher {
                partition,
                queue,
                left_over: None,
                batch_bytes: config.batch_bytes,
                context: context.clone(),
                bus: bus.clone(),
                telemetry: telemetry.clone(),
            };
            context.spawn("batcher", batcher.run(stop.clone()));
            sender
        };
        let partitions: PartitionCount = bus.partitions();
        Self { queues: partitions.all().map(start).collect(), deadline: Duration::from_millis(config.deadline_ms) }
    }

    /// Waits until every part is in the log, at most the deadline.
    pub(crate) async fn store(&self, parts: Parts) -> Result<(), Error> {
        let parts = parts.full.into_iter().chain(parts.open);
        let stored = try_join_all(parts.map(|(partition, lines)| self.store_part(partition, lines)));
        timeout(self.deadline, stored).await.unwrap_or(Err(Error::LogUnavailable)).map(|_| ())
    }

    async fn store_part(&self, partition: Partition, lines: Lines) -> Result<(), Error> {
        let queue = self.queues.get(usize::from(partition.index())).ok_or(Error::Internal)?;
        let (stored, answer) = oneshot::channel();
        queue.send(Pending { lines, stored }).await.map_err(|_| Error::LogUnavailable)?;
        answer.await.ok().and_then(Result::ok).ok_or(Error::LogUnavailable)
    }
}

struct Batcher {
    partition: Partition,
    queue: mpsc::Receiver<Pending>,
    /// A part that did not fit the batch before.
    left_over: Option<Pending>,
    batch_bytes: usize,
    context: Context,
    bus: Bus,
    telemetry: Arc<Telemetry>,
}

/// Parts on their way together.
#[derive(Default)]
struct Batch {
    lines: Lines,
    waiting: Vec<oneshot::Sender<Result<(), ()>>>,
}

impl Batch {
    fn add(&mut self, mut part: Pending) {
        // Its request is answered 503 already: to write it all the same would
        // only make its retry a duplicate.
        if !part.stored.is_closed() {
            self.lines.append(&mut part.lines);
            self.waiting.push(part.stored);
        }
    }

    fn has_room_for(&self, part: &Pending) -> bool {
        self.lines.text.len() + part.lines.text.len() <= MAX_BATCH
            && self.lines.header + part.lines.header <= MAX_HEADER
    }

    fn settle(self, result: Result<(), ()>) {
        for stored in self.waiting {
            // Nobody listens where a request has been given up.
            let _ = stored.send(result);
        }
    }

    fn is_given_up(&self) -> bool {
        self.waiting.iter().all(oneshot::Sender::is_closed)
    }
}

impl Batcher {
    async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            let first = match self.left_over.take() {
                Some(part) => Some(part),
                None => tokio::select! {
                    part = self.queue.recv() => part,
                    () = stop.cancelled() => None,
                },
            };
            let Some(first) = first else { return Ok(()) };
            let batch = self.gather(first);
            if !batch.waiting.is_empty() {
                self.publish(batch).await;
            }
        }
    }

    /// What has arrived, up to a full batch.
    fn gather(&mut self, first: Pending) -> Batch {
        let mut batch = Batch::default();
        batch.add(first);
        while batch.lines.text.len() < self.batch_bytes && batch.lines.header < FULL_HEADER {
            match self.queue.try_recv() {
                Ok(part) if batch.has_room_for(&part) => batch.add(part),
                Ok(part) => {
                    self.left_over = Some(part);
                    break;
                }
                Err(_) => break,
            }
        }
        batch
    }

    /// Publishes until the server has the batch, or nobody waits for it.
    async fn publish(&self, mut batch: Batch) {
        let span = batch_span(self.partition, &batch.lines);
        let lines = std::mem::take(&mut batch.lines);
        let message = RawBatch {
            redriven: lines.redriven,
            batch_id: self.context.new_id(),
            partition: self.partition,
            ingested_at: self.context.clock.now(),
            sources: lines.sources.iter().map(|(source, count)| (source.to_string(), *count)).collect(),
            lines: lines.text.into(),
            trace: tidemill_service::trace::traceparent_of(&span),
        };
        let started = Instant::now();
        let mut wait = FIRST_RETRY;
        loop {
            let error = match self.bus.publish(&message).instrument(span.clone()).await {
                Ok(_) => break,
                Err(error) => error,
            };
            self.telemetry.publish_failed(&error);
            let full = matches!(error, tidemill_bus::Error::Full { .. });
            if full || !error.is_transient() || batch.is_given_up() {
                return batch.settle(Err(()));
            }
            sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
        self.telemetry.published(&message, started.elapsed());
        batch.settle(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_batches() {
        let mut parts = Parts::default();
        let source: SourceName = "shop".parse().expect("a name");
        for n in 0..5 {
            parts.push(Partition::new(n % 2), source.clone(), &[b'x'; 9], None, 20);
        }
        // Two lines of ten bytes are full.
        let full: Vec<(u16, usize)> = parts.full.iter().map(|(p, lines)| (p.index(), lines.text.len())).collect();
        assert_eq!(full, [(0, 20), (1, 20)]);
        assert_eq!(parts.open[&Partition::new(0)].sources[&source], 1);
    }

    /// NATS refuses a message with more than 64 KiB of headers, and a batch that
    /// is refused holds up its partition.
    #[test]
    fn sources_fit_the_header() {
        let sources = |range: std::ops::Range<usize>| {
            let name = |n: usize| format!("{n:04}{}", "\u{1f600}".repeat(49)).parse::<SourceName>().expect("a name");
            range.map(name).collect::<Vec<_>>()
        };
        let mut parts = Parts::default();
        for source in sources(0..300).iter().chain(&sources(0..300)) {
            parts.push(Partition::new(0), source.clone(), b"{}", None, 64 << 10);
        }
        let all: Vec<&Lines> = parts.full.iter().map(|(_, lines)| lines).chain(parts.open.values()).collect();
        assert_eq!(all.iter().map(|lines| lines.sources.values().sum::<u32>()).sum::<u32>(), 600);
        assert!(all.len() > 5);
        for lines in &all {
            let named: BTreeMap<String, u32> = lines.sources.iter().map(|(s, n)| (s.to_string(), *n)).collect();
            let header: usize =
                serde_json::to_string(&named).expect("JSON").chars().map(|c| if c.is_ascii() { 1 } else { 12 }).sum();
            assert!(header <= lines.header && lines.header < MAX_HEADER / 2 + 1024, "{header} {}", lines.header);
        }
        let pending = |lines: &Lines| {
            let copy = Lines {
                text: lines.text.clone(),
                sources: lines.sources.clone(),
                header: lines.header,
                ..Lines::default()
            };
            Pending { lines: copy, stored: oneshot::channel().0 }
        };
        let mut batch = Batch::default();
        batch.lines.append(&mut pending(all[0]).lines);
        assert!(!batch.has_room_for(&pending(all[1])) || batch.lines.header + all[1].header <= MAX_HEADER);
        batch.lines.append(&mut pending(all[0]).lines);
        assert_eq!(batch.lines.header, all[0].header, "the same sources are named once");
    }

    #[test]
    fn a_part_that_was_given_up_is_left_out() {
        let part = |text: &str| {
            let (stored, answer) = oneshot::channel();
            let source = "shop".parse().expect("a name");
            let lines = Lines { text: text.into(), sources: [(source, 1)].into(), ..Lines::default() };
            (Pending { lines, stored }, answer)
        };
        let mut batch = Batch::default();
        let (given_up, answer) = part("a\n");
        drop(answer);
        batch.add(given_up);
        let (kept, mut first) = part("b\n");
        batch.add(kept);
        let (kept, second) = part("c\n");
        batch.add(kept);
        assert_eq!(batch.lines.text, b"b\nc\n");
        assert_eq!(batch.lines.sources.values().sum::<u32>(), 2);
        drop(second);
        assert!(!batch.is_given_up());
        batch.settle(Ok(()));
        assert_eq!(first.try_recv(), Ok(Ok(())));
    }
}
