//! From the streams into the read model: one recipe a stream.
//!
//! Each chunk is decoded, folded in one transaction, and acknowledged. What
//! was folded and not acknowledged comes again and changes nothing.

use std::{collections::BTreeMap, convert::Infallible, future::Future, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::try_join_all;
use tidemill_bus::{Bus, Delivery, Progress, ack_all};
use tidemill_domain::{Backoff, Partition};
use tidemill_events::{AlertTransition, DeadLetter, Durable, Events, Message, MetricsUpdate, RawBatch, TraceParent};
use tidemill_ownership::{Lease, Owned};
use tidemill_service::{Breaker, Ceiling, Standstill, trace};
use tidemill_store::{answered, refused};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::Span;

use crate::{
    books::{self, Entry},
    dead_letters::Letter,
    error::{Disposition, Error},
    read_model::MetricsFold,
    state::Reporting,
    store::Folded,
    unit::{Stretch, Unit},
};

/// Messages that one transaction folds at most.
const CHUNK: usize = 256;
/// How often it is looked whether streams move.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What a dead letter keeps of its body: with its headers it has to fit a message.
const DEAD_LETTER_BYTES: usize = 256 << 10;
/// Under which name readiness says that a consumer has halted.
const CEILING: &str = "dead_letter_ceiling";

/// What is done with a stream's messages.
pub trait Recipe: Send + Sync + 'static {
    /// The unit of work that it is.
    const UNIT: Unit;
    /// What the messages are.
    type Message: Message + Send + Sync;

    /// Takes messages, with their stream sequences, into the read model. They
    /// are those of the stretch that can be read.
    fn fold(
        reporting: &Reporting,
        stretch: Stretch,
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
        Unit::Metrics => Follower::<Metrics>::new(&reporting, lease).run().await,
        Unit::Log => Follower::<Log>::new(&reporting, lease).run().await,
        Unit::DeadLetters => Follower::<DeadLetters>::new(&reporting, lease).run().await,
        Unit::Alerts => Follower::<Alerts>::new(&reporting, lease).run().await,
    }
}

/// Looks every few seconds whether the streams that this replica follows move.
pub async fn watch(reporting: Arc<Reporting>, owned: Owned<Unit>) -> Result<(), Infallible> {
    let standstill = Standstill::new(&reporting.context.health, "standing_stream");
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
        standstill.retain(|unit| owned.contains(*unit));
        for unit in owned.units() {
            if let Ok(Progress { reached, waiting }) = reporting.bus.progress(unit.durable()).await {
                standstill.look(unit, reached, waiting);
            }
        }
    }
}

struct Follower<'r, R: Recipe> {
    reporting: &'r Reporting,
    lease: Lease<Unit>,
    store: Breaker,
    nats: Breaker,
    ceiling: Ceiling,
    /// Whether the stream is to be read from its start: the read model misses
    /// something of it that the consumer will not hand out again.
    anew: bool,
    recipe: PhantomData<fn() -> R>,
}

/// A chunk of messages, apart by whether they can be read.
struct Decoded<M> {
    messages: Vec<(u64, M)>,
    readable: Vec<Delivery>,
    unreadable: Vec<Delivery>,
}

impl<'r, R: Recipe> Follower<'r, R> {
    fn new(reporting: &'r Reporting, lease: Lease<Unit>) -> Self {
        Self {
            lease,
            store: reporting.context.breaker("store"),
            nats: reporting.context.breaker("nats"),
            ceiling: Ceiling::new(reporting.dead_letters),
            reporting,
            anew: false,
            recipe: PhantomData,
        }
    }

    /// What is away is waited for; a fault of ours ends it.
    async fn run(mut self) -> Result<(), Error> {
        let (health, name) = (&self.reporting.context.health, R::UNIT.name());
        let stop = self.lease.stop().clone();
        let ended = loop {
            let Err(error) = self.follow().await else { break Ok(()) };
            match error.disposition() {
                Disposition::Retry => {
                    tracing::warn!(consumer = name, code = error.code(), %error, "paused; trying again");
                    health.unready(name, error.to_string());
                }
                Disposition::Hold => {
                    tracing::error!(consumer = name, code = error.code(), %error, "halted until a restart");
                    health.unready(CEILING, error.to_string());
                    stop.cancelled().await;
                    health.forget(CEILING);
                    break Ok(());
                }
                Disposition::DeadLetter | Disposition::Halt => break Err(error),
            }
            match &error {
                Error::Store(_) => self.store.trip(&error),
                Error::Bus(_) => self.nats.trip(&error),
                _ => self.anew |= matches!(error, Error::Missing { .. }),
            }
            tokio::select! {
                () = sleep(Backoff::FIRST) => {}
                () = stop.cancelled() => break Ok(()),
            }
        };
        health.forget(name);
        ended
    }

    /// Opens the stream, and folds it chunk by chunk.
    async fn follow(&mut self) -> Result<(), Error> {
        let Reporting { store, bus, telemetry, .. } = self.reporting;
        let stop = self.lease.stop().clone();
        let reached = async { Ok::<_, Error>(answered(store.reached(R::UNIT)).await?) };
        let Some(reached) = stop.run_until_cancelled(self.store.call(reached)).await else { return Ok(()) };
        let mut reached = reached?.unwrap_or_default();
        // The read model says where to go on. A backup that it was restored from
        // is older than what the server takes for done.
        let open = bus.subscribe_behind(R::UNIT.durable(), if self.anew { 0 } else { reached });
        let Some(subscription) = stop.run_until_cancelled(self.nats.call(open)).await else { return Ok(()) };
        let mut subscription = subscription?;
        self.anew = false;
        self.reporting.context.health.ready(R::UNIT.name());
        loop {
            let chunk = tokio::select! {
                chunk = subscription.next_chunk(CHUNK) => chunk?,
                () = stop.cancelled() => return Ok(()),
            };
            let stretch = Stretch { after: reached, last: last_of::<R>(bus, reached, &chunk).await? };
            let Some(Decoded { messages, readable, unreadable }) = self.decode(reached, chunk).await? else {
                return Ok(());
            };
            let count = messages.len();
            match answered(R::fold(self.reporting, stretch, messages)).await {
                Ok(folded) => follows::<R>(folded, stretch)?,
                Err(error) if error.is_refusal() => {
                    if !self.fold_one_by_one(stretch, &readable).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
            reached = stretch.last;
            ack_all(&readable).await?;
            try_join_all(unreadable.iter().map(Delivery::terminate)).await?;
            telemetry.folded(R::UNIT.name(), count);
        }
    }

    /// Folds a stretch that the database refused as a whole: what it refuses of
    /// each message is set aside as a dead letter, and the rest is folded.
    /// Answers whether it came to the end; not where it is to stop.
    async fn fold_one_by_one(&mut self, stretch: Stretch, readable: &[Delivery]) -> Result<bool, Error> {
        let mut reached = stretch.after;
        for delivery in readable.iter().filter(|delivery| delivery.sequence > stretch.after) {
            let stretch = Stretch { after: reached, last: delivery.sequence };
            let read = || delivery.decode::<R::Message>().map_err(Error::from);
            let folded = match answered(R::fold(self.reporting, stretch, vec![(delivery.sequence, read()?)])).await {
                Err(error) if error.is_refusal() => {
                    let (rest, refused) = R::without_refused(self.reporting, read()?, delivery.payload()).await?;
                    let dead = refused.len() as u64;
                    self.ceiling
                        .admit(dead, dead)
                        .map_err(|reached| Error::Ceiling { stream: R::Message::STREAM, reached })?;
                    for (place, body) in refused.into_iter().enumerate() {
                        let id = format!("{}-refused-{place}", delivery.sequence);
                        if !self.bury(delivery, &id, &error, body).await? {
                            return Ok(false);
                        }
                    }
                    let rest = rest.into_iter().map(|message| (delivery.sequence, message)).collect();
                    answered(R::fold(self.reporting, stretch, rest)).await?
                }
                folded => folded?,
            };
            follows::<R>(folded, stretch)?;
            reached = delivery.sequence;
        }
        let rest = Stretch { after: reached, last: stretch.last };
        follows::<R>(answered(R::fold(self.reporting, rest, Vec::new())).await?, rest)?;
        Ok(true)
    }

    /// The messages in their type. One that cannot be read goes to the dead
    /// letters and holds nothing up, unless there are too many of them. `None`
    /// where it is to stop before that is done.
    async fn decode(&mut self, reached: u64, chunk: Vec<Delivery>) -> Result<Option<Decoded<R::Message>>, Error> {
        let (messages, readable, unreadable) = Default::default();
        let mut decoded = Decoded { messages, readable, unreadable };
        for delivery in chunk {
            let message = delivery.decode::<R::Message>().map_err(Error::from);
            let admitted = self.ceiling.admit(1, u64::from(message.is_err()));
            match message {
                Ok(message) => {
                    decoded.messages.push((delivery.sequence, message));
                    decoded.readable.push(delivery);
                }
                Err(error) => {
                    admitted.map_err(|reached| Error::Ceiling { stream: R::Message::STREAM, reached })?;
                    // What was given up before is not given up again.
                    if delivery.sequence > reached && !self.give_up(&delivery, &error).await? {
                        return Ok(None);
                    }
                    decoded.unreadable.push(delivery);
                }
            }
        }
        Ok(Some(decoded))
    }

    /// Puts a message that cannot be read among the dead letters; answers
    /// whether it is there. Where it is not, it comes again.
    async fn give_up(&self, delivery: &Delivery, error: &Error) -> Result<bool, Error> {
        self.bury(delivery, &delivery.sequence.to_string(), error, delivery.payload()).await
    }

    /// Puts a message, or a part of it, among the dead letters; answers whether
    /// it is there. `name` tells it from others of the stream.
    async fn bury(&self, delivery: &Delivery, name: &str, error: &Error, body: Bytes) -> Result<bool, Error> {
        let stream = R::Message::STREAM;
        tracing::error!(consumer = R::UNIT.name(), sequence = delivery.sequence, %error, "a message is set aside");
        self.reporting.telemetry.dead_lettered(error.code());
        // What is among the dead letters already is not put there again.
        if stream == DeadLetter::STREAM {
            return Ok(true);
        }
        let letter = DeadLetter {
            id: format!("reporting-{stream}-{name}"),
            service: "reporting".into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: error.code().into(),
            reason: error.to_string(),
            pointer: None,
            stream: Some(stream.to_string()),
            sequence: Some(delivery.sequence),
            deliveries: delivery.deliveries,
            first_failed_at: self.reporting.now(),
            source: books::UNKNOWN_SOURCE.into(),
            event_id: None,
            redriven_from: None,
            personal: Vec::new(),
            trace: None,
            events: Events::One,
            body: body.slice(..body.len().min(DEAD_LETTER_BYTES)),
        };
        let complain = |error: &_| tracing::warn!(%error, "a dead letter is not stored yet; trying again");
        tokio::select! {
            stored = self.reporting.bus.publish_until_stored(&letter, complain) => stored.map(|_| true).map_err(Error::from),
            () = self.lease.stop().cancelled() => Ok(false),
        }
    }
}

fn follows<R: Recipe>(folded: Folded<()>, stretch: Stretch) -> Result<(), Error> {
    match folded {
        Folded::Done(()) => Ok(()),
        Folded::DoesNotFollow => Err(missing::<R>(stretch.after)),
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
        stretch: Stretch,
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
        let Folded::Done(change) = reporting.store.fold_metrics(stretch, &fold, now).await? else {
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
        stretch: Stretch,
        messages: Vec<(u64, RawBatch)>,
    ) -> Result<Folded<()>, Error> {
        let entries: Vec<Entry> = messages.iter().map(|(sequence, batch)| Entry::of_batch(*sequence, batch)).collect();
        // In stream order, so that the last of a partition is the furthest.
        let heads: BTreeMap<Partition, u64> =
            messages.iter().map(|(sequence, batch)| (batch.partition, *sequence)).collect();
        let redriven = messages.iter().flat_map(|(sequence, batch)| batch.redriven.iter().map(|l| (*l, *sequence)));
        let redriven: BTreeMap<u64, u64> = redriven.collect();
        let now = reporting.now();
        let Folded::Done(()) = reporting.store.fold_log(stretch, &entries, &heads, &redriven, now).await? else {
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
        stretch: Stretch,
        messages: Vec<(u64, DeadLetter)>,
    ) -> Result<Folded<()>, Error> {
        let entries: Vec<Entry> =
            messages.iter().map(|(sequence, letter)| Entry::of_letter(*sequence, letter)).collect();
        let letters: Vec<Letter> = messages.iter().map(|(sequence, letter)| Letter::new(*sequence, letter)).collect();
        let folded = reporting.store.fold_dead_letters(stretch, &entries, &letters, reporting.now()).await?;
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
        stretch: Stretch,
        messages: Vec<(u64, AlertTransition)>,
    ) -> Result<Folded<()>, Error> {
        let span = |transition: &AlertTransition| report_span(transition.trace, Self::UNIT.durable(), 0);
        let _spans: Vec<Span> = messages.iter().filter_map(|(_, transition)| span(transition)).collect();
        let Folded::Done(alerts) = reporting.store.fold_alerts(stretch, &messages).await? else {
            return Ok(Folded::DoesNotFollow);
        };
        reporting.seen.alerts_to(stretch.last);
        reporting.alerts_folded(&alerts);
        Ok(Folded::Done(()))
    }
}
