//! From the streams into the read model: one recipe a stream.
//!
//! Each chunk is decoded, folded in one transaction, and acknowledged. What
//! was folded and not acknowledged comes again and changes nothing.

use std::{collections::BTreeMap, future::Future, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use tidemill_bus::{Bus, Delivery};
use tidemill_domain::Partition;
use tidemill_events::{AlertTransition, DeadLetter, Durable, Message, MetricsUpdate, RawBatch, TraceParent};
use tidemill_ownership::Lease;
use tidemill_service::{Breaker, trace};
use tidemill_stage::{Checkpoint, DeadLetters as Letters, Failure, Progressing, Read, Steps, Work, consume, supervise};
use tidemill_store::{answered, refused};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::{
    books::Entry,
    dead_letters::Letter,
    error::Error,
    read_model::MetricsFold,
    state::Reporting,
    store::Folded,
    unit::{SequenceRange, Unit},
};

/// Messages that one transaction folds at most.
const CHUNK: usize = 256;

/// What is done with a stream's messages.
pub trait Recipe: Send + Sync + 'static {
    /// The unit of work that it is.
    const UNIT: Unit;
    /// What the messages are.
    type Message: Message + Send + Sync;

    /// Takes messages, with their stream sequences, into the read model. They
    /// are those of the range that can be read.
    fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, Self::Message)>,
    ) -> impl Future<Output = Result<Folded<()>, Error>> + Send;

    /// Takes a message apart that the database refuses: what is left of it, and
    /// what has to be set aside. Most messages are one thing, and go as a whole.
    fn without_refused(
        _: &Reporting,
        _: Self::Message,
        payload: Bytes,
    ) -> impl Future<Output = Result<(Option<Self::Message>, Vec<Bytes>), Error>> + Send {
        std::future::ready(Ok((None, vec![payload])))
    }
}

/// Follows a unit's stream for as long as this replica owns it.
pub async fn run(reporting: Arc<Reporting>, lease: Lease<Unit>) -> Result<(), Error> {
    match lease.unit() {
        Unit::Metrics => follow::<Metrics>(&reporting, &lease).await,
        Unit::Log => follow::<Log>(&reporting, &lease).await,
        Unit::DeadLetters => follow::<DeadLetters>(&reporting, &lease).await,
        Unit::Alerts => follow::<Alerts>(&reporting, &lease).await,
    }
}

async fn follow<R: Recipe>(reporting: &Reporting, lease: &Lease<Unit>) -> Result<(), Error> {
    let Reporting { context, bus, conditions, .. } = reporting;
    let follower = Follower::<R> {
        reporting,
        stop: lease.stop().clone(),
        store: context.breaker("store"),
        nats: context.breaker("nats"),
        letters: Letters::new(context, bus, R::Message::STREAM, reporting.dead_letters),
        anew: false,
        recipe: PhantomData,
    };
    supervise(follower, lease.unit(), lease.stop(), conditions).await
}

struct Follower<'r, R: Recipe> {
    reporting: &'r Reporting,
    stop: CancellationToken,
    store: Breaker,
    nats: Breaker,
    letters: Letters,
    /// Whether the stream is to be read from its start: the read model misses
    /// something of it that the consumer will not hand out again.
    anew: bool,
    recipe: PhantomData<fn() -> R>,
}

impl<R: Recipe> Work for Follower<'_, R> {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let Reporting { store, bus, .. } = self.reporting;
        let opened = async {
            let reached = self.store.call(answered(store.reached(R::UNIT))).await?.unwrap_or_default();
            // The read model says where to go on. A backup that it was restored
            // from is older than what the server takes for done.
            let open = bus.subscribe_behind(R::UNIT.durable(), if self.anew { 0 } else { reached });
            Ok::<_, Error>((reached, self.nats.call(open).await?))
        };
        let Some(opened) = self.stop.run_until_cancelled(opened).await else { return Ok(()) };
        let (reached, mut subscription) = opened?;
        self.anew = false;
        progress.opened();
        let stop = self.stop.clone();
        let mut open = StreamTask { follower: self, reached };
        consume(&mut subscription, &mut open, &stop, progress).await
    }

    fn failed(&mut self, error: &Error) {
        tracing::warn!(consumer = R::UNIT.name(), code = error.code(), %error, "paused; opening the stream afresh");
        self.anew |= matches!(error, Error::Missing { .. });
    }
}

/// A stream in work.
struct StreamTask<'f, 'r, R: Recipe> {
    follower: &'f Follower<'r, R>,
    /// The sequence up to which it is folded.
    reached: u64,
}

impl<R: Recipe> Steps for StreamTask<'_, '_, R> {
    type Message = R::Message;
    type Error = Error;
    type Event = std::convert::Infallible;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        CHUNK.saturating_sub(applied)
    }

    /// What was folded before changes nothing, and may be what is missing.
    fn is_done(&self, _: u64) -> bool {
        false
    }

    async fn unreadable(&mut self, delivery: &Delivery, error: tidemill_bus::Error) -> Result<(), Error> {
        // What was given up before is not given up again.
        if delivery.sequence <= self.reached {
            return Ok(());
        }
        self.follower.letters.admit(1, 1)?;
        self.give_up(delivery, &delivery.sequence.to_string(), &error.into(), delivery.payload()).await
    }

    /// A fold is a transaction of the read model: what is applied is kept.
    async fn apply(&mut self, read: Vec<Read<R::Message>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        if read.is_empty() {
            return Ok(());
        }
        let Follower { reporting, letters, .. } = self.follower;
        let (mut deliveries, mut messages) = (Vec::with_capacity(read.len()), Vec::with_capacity(read.len()));
        for Read { delivery, message } in read {
            if let Some(message) = message {
                // One that can be read is no reason to halt.
                letters.admit(1, 0)?;
                messages.push((delivery.sequence, message));
            }
            deliveries.push(delivery);
        }
        let range =
            SequenceRange { after: self.reached, last: last_of::<R>(&reporting.bus, self.reached, &deliveries).await? };
        let count = messages.len();
        match answered(R::fold(reporting, range, messages)).await {
            Ok(folded) => follows::<R>(folded, range)?,
            Err(error) if error.is_refusal() => self.fold_one_by_one(range, &deliveries).await?,
            Err(error) => return Err(error),
        }
        self.reached = range.last;
        applied.append(&mut deliveries);
        reporting.telemetry.folded(R::UNIT.name(), count);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<(), Error>, Error> {
        Ok(Checkpoint::Landed(()))
    }

    fn landed(&mut self, (): ()) -> Result<(), Error> {
        Ok(())
    }

    async fn event(&mut self) -> Self::Event {
        std::future::pending().await
    }

    async fn handle(&mut self, event: Self::Event) -> Result<(), Error> {
        match event {}
    }
}

impl<R: Recipe> StreamTask<'_, '_, R> {
    /// Folds a range that the database refused as a whole: what it refuses of
    /// each message is set aside as a dead letter, and the rest is folded.
    async fn fold_one_by_one(&self, range: SequenceRange, deliveries: &[Delivery]) -> Result<(), Error> {
        let Follower { reporting, letters, .. } = self.follower;
        let mut reached = range.after;
        for delivery in deliveries.iter().filter(|delivery| delivery.sequence > range.after) {
            // One that cannot be read is a dead letter already.
            let Ok(message) = delivery.decode::<R::Message>() else { continue };
            let range = SequenceRange { after: reached, last: delivery.sequence };
            let folded = match answered(R::fold(reporting, range, vec![(delivery.sequence, message)])).await {
                Err(error) if error.is_refusal() => {
                    let (rest, refused) = R::without_refused(reporting, delivery.decode()?, delivery.payload()).await?;
                    let dead = refused.len() as u64;
                    letters.admit(dead, dead)?;
                    for (place, body) in refused.into_iter().enumerate() {
                        let name = format!("{}-refused-{place}", delivery.sequence);
                        self.give_up(delivery, &name, &error, body).await?;
                    }
                    let rest = rest.into_iter().map(|message| (delivery.sequence, message)).collect();
                    answered(R::fold(reporting, range, rest)).await?
                }
                folded => folded?,
            };
            follows::<R>(folded, range)?;
            reached = delivery.sequence;
        }
        let rest = SequenceRange { after: reached, last: range.last };
        follows::<R>(answered(R::fold(reporting, rest, Vec::new())).await?, rest)
    }

    /// Puts a message, or a part of it, among the dead letters. `name` tells it
    /// from others of the stream.
    async fn give_up(&self, delivery: &Delivery, name: &str, error: &Error, body: Bytes) -> Result<(), Error> {
        let Follower { reporting, letters, .. } = self.follower;
        let stream = R::Message::STREAM;
        tracing::error!(consumer = R::UNIT.name(), sequence = delivery.sequence, %error, "a message is set aside");
        reporting.telemetry.dead_lettered(error.code());
        // What is among the dead letters already is not put there again.
        if stream == DeadLetter::STREAM {
            return Ok(());
        }
        let letter = letters.letter_of(&format!("{stream}-{name}"), delivery, error.code(), error.to_string());
        Ok(letters.store(&letter.about(body)).await?)
    }
}

fn follows<R: Recipe>(folded: Folded<()>, range: SequenceRange) -> Result<(), Error> {
    match folded {
        Folded::Done(()) => Ok(()),
        Folded::DoesNotFollow => Err(missing::<R>(range.after)),
    }
}

/// The sequence up to which a chunk goes, once it is sure that it leaves
/// nothing out behind `reached`: what the consumer has handed to somebody else
/// is still in the stream, what the stream has forgotten is not.
async fn last_of<R: Recipe>(bus: &Bus, reached: u64, chunk: &[Delivery]) -> Result<u64, Error> {
    let mut last = reached;
    let subjects = R::UNIT.durable().filter();
    for delivery in chunk {
        if delivery.sequence > last + 1 {
            // Letters that were discarded leave holes anywhere: what counts is
            // whether something is left of the gap, be it unreadable.
            let next = bus.next_at::<R::Message>(&subjects, last + 1).await?;
            if next.is_some_and(|(sequence, _)| sequence < delivery.sequence) {
                return Err(missing::<R>(last));
            }
        }
        last = last.max(delivery.sequence);
    }
    Ok(last)
}

fn missing<R: Recipe>(after: u64) -> Error {
    Error::Missing { stream: R::Message::STREAM, sequence: after + 1 }
}

/// The span of a message in the trace of the event behind it; `None` where
/// that is not recorded.
fn report_span(parent: Option<TraceParent>, durable: Durable, cells: usize) -> Option<Span> {
    let parent = parent.filter(|parent| parent.is_sampled())?;
    let span = tracing::info_span!(
        "report",
        otel.name = "report",
        otel.kind = "consumer",
        trace_id = tracing::field::Empty,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = durable.stream().as_str(),
        messaging.consumer.group.name = durable.name(),
        tidemill.cells = cells,
    );
    trace::continue_trace(&span, parent);
    Some(span)
}

/// Window totals and outcomes.
pub struct Metrics;

impl Recipe for Metrics {
    const UNIT: Unit = Unit::Metrics;
    type Message = MetricsUpdate;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, MetricsUpdate)>,
    ) -> Result<Folded<()>, Error> {
        let mut fold = MetricsFold::default();
        let mut spans = Vec::new();
        for (_, update) in messages {
            spans.extend(report_span(update.trace, Self::UNIT.durable(), update.cells.len()));
            reporting.telemetry.fresh(update.as_of, reporting.now());
            fold.observe(update);
        }
        let now = reporting.now();
        let Folded::Done(change) = reporting.store.fold_metrics(range, &fold, now).await? else {
            return Ok(Folded::DoesNotFollow);
        };
        reporting.metrics_folded(&fold, now);
        change.into_iter().for_each(|number| reporting.seen.change(number));
        reporting.telemetry.cells(fold.cells.len());
        Ok(Folded::Done(()))
    }

    /// A message holds many totals, which have nothing to do with each other.
    async fn without_refused(
        reporting: &Reporting,
        update: MetricsUpdate,
        _: Bytes,
    ) -> Result<(Option<MetricsUpdate>, Vec<Bytes>), Error> {
        let MetricsUpdate { cells, books, .. } = &update;
        let with = |places: &[usize]| {
            let cell = |place: &usize| cells.get(*place).cloned();
            let line = |place: &usize| place.checked_sub(cells.len()).and_then(|place| books.get(place)).cloned();
            MetricsUpdate {
                cells: places.iter().filter_map(cell).collect(),
                books: places.iter().filter_map(line).collect(),
                ..update.clone()
            }
        };
        let trial = |places: Vec<usize>| {
            let mut fold = MetricsFold::default();
            fold.observe(with(&places));
            async move { answered(reporting.store.try_fold_metrics(&fold)).await }
        };
        let count = cells.len() + books.len();
        let refused = refused(count, trial, tidemill_store::Error::is_refusal).await?;
        let body = |place: &usize| {
            let json = match cells.get(*place) {
                Some(cell) => serde_json::to_vec(cell),
                None => serde_json::to_vec(&books[*place - cells.len()]),
            };
            Ok(json.map_err(tidemill_bus::Error::from)?.into())
        };
        let bodies = refused.iter().map(body).collect::<Result<_, Error>>()?;
        let kept: Vec<usize> = (0..count).filter(|place| !refused.contains(place)).collect();
        Ok((Some(with(&kept)), bodies))
    }
}

/// Batches of the log, for the books.
pub struct Log;

impl Recipe for Log {
    const UNIT: Unit = Unit::Log;
    type Message = RawBatch;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, RawBatch)>,
    ) -> Result<Folded<()>, Error> {
        let entries: Vec<Entry> = messages.iter().map(|(sequence, batch)| Entry::of_batch(*sequence, batch)).collect();
        // In stream order, so that the last of a partition is the furthest.
        let heads: BTreeMap<Partition, u64> =
            messages.iter().map(|(sequence, batch)| (batch.partition, *sequence)).collect();
        let redriven = messages.iter().flat_map(|(sequence, batch)| batch.redriven.iter().map(|l| (*l, *sequence)));
        let redriven: BTreeMap<u64, u64> = redriven.collect();
        let now = reporting.now();
        let Folded::Done(()) = reporting.store.fold_log(range, &entries, &heads, &redriven, now).await? else {
            return Ok(Folded::DoesNotFollow);
        };
        reporting.log_folded(&heads);
        Ok(Folded::Done(()))
    }
}

/// Dead letters, for the books and the list.
pub struct DeadLetters;

impl Recipe for DeadLetters {
    const UNIT: Unit = Unit::DeadLetters;
    type Message = DeadLetter;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, DeadLetter)>,
    ) -> Result<Folded<()>, Error> {
        let entries: Vec<Entry> =
            messages.iter().map(|(sequence, letter)| Entry::of_letter(*sequence, letter)).collect();
        let letters: Vec<Letter> = messages.iter().map(|(sequence, letter)| Letter::new(*sequence, letter)).collect();
        let folded = reporting.store.fold_dead_letters(range, &entries, &letters, reporting.now()).await?;
        reporting.news.books_changed();
        Ok(folded)
    }
}

/// Transitions of alerts.
pub struct Alerts;

impl Recipe for Alerts {
    const UNIT: Unit = Unit::Alerts;
    type Message = AlertTransition;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, AlertTransition)>,
    ) -> Result<Folded<()>, Error> {
        let span = |transition: &AlertTransition| report_span(transition.trace, Self::UNIT.durable(), 0);
        let _spans: Vec<Span> = messages.iter().filter_map(|(_, transition)| span(transition)).collect();
        let Folded::Done(alerts) = reporting.store.fold_alerts(range, &messages).await? else {
            return Ok(Folded::DoesNotFollow);
        };
        reporting.seen.alerts_to(range.last);
        reporting.alerts_folded(&alerts);
        Ok(Folded::Done(()))
    }
}
