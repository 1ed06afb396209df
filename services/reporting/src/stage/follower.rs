//! Follows one stream.

use std::marker::PhantomData;

use bytes::Bytes;
use tidemill_bus::{Bus, Delivery, Error as BusError};
use tidemill_events::{DeadLetter, Message, StreamName};
use tidemill_ownership::Lease;
use tidemill_service::Breaker;
use tidemill_stage::{Checkpoint, DeadLetters, Failure, LoadPace, Progressing, Read, Steps, Work, consume, supervise};
use tidemill_store::answered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::recipe::Recipe;
use crate::{
    error::Error,
    state::Reporting,
    store::Folded,
    unit::{SequenceRange, StreamUnit},
};

/// Messages that one transaction folds at most.
const CHUNK: usize = 256;

/// Follows a stream for as long as this replica owns it.
pub(super) async fn follow<R: Recipe>(reporting: &Reporting, lease: &Lease<StreamUnit>) -> Result<(), Error> {
    let Reporting { context, bus, conditions, .. } = reporting;
    let follower = StreamFollower::<R> {
        reporting,
        stop: lease.stop().clone(),
        store: context.breaker("store"),
        nats: context.breaker("nats"),
        letters: DeadLetters::new(context, bus, R::Message::STREAM, reporting.dead_letters),
        anew: false,
        recipe: PhantomData,
    };
    supervise(follower, lease.unit(), lease.stop(), conditions).await
}

struct StreamFollower<'r, R: Recipe> {
    reporting: &'r Reporting,
    stop: CancellationToken,
    store: Breaker,
    nats: Breaker,
    letters: DeadLetters,
    /// Whether the stream is to be read from its start: the read model lacks
    /// messages that the consumer will not hand out again.
    anew: bool,
    recipe: PhantomData<fn() -> R>,
}

impl<R: Recipe> Work for StreamFollower<'_, R> {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let bus = &self.reporting.bus;
        let opened = async {
            let reached = self.reached().await?;
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
        let mut open = StreamTask { follower: self, reached, pace: LoadPace::new(R::PACE.0, R::PACE.1) };
        consume(&mut subscription, &mut open, &stop, progress).await
    }

    fn failed(&mut self, error: &Error) {
        tracing::warn!(consumer = R::UNIT.name(), code = error.code().as_str(), %error, "paused; opening the stream afresh");
        self.anew |= matches!(error, Error::Missing { .. });
    }
}

impl<R: Recipe> StreamFollower<'_, R> {
    /// The sequence up to which the stream is folded.
    ///
    /// Where a stream ends before that, it is another one, and so are its messages: nothing
    /// of it is folded. A derived stream is not synced to disk, though. It may have lost its
    /// end with the power, and its writer makes that again.
    async fn reached(&self) -> Result<u64, Error> {
        let Reporting { store, bus, .. } = self.reporting;
        let reached = async |unit| self.store.call(answered(store.reached(unit))).await;
        // Of any stream: they are about what the log has.
        let of_log = reached(StreamUnit::Log).await?.unwrap_or_default();
        self.nats.call(bus.has_reached(StreamName::Raw, of_log)).await?;
        let reached = reached(R::UNIT).await?.unwrap_or_default();
        let stream = R::Message::STREAM;
        match self.nats.call(bus.has_reached(stream, reached)).await {
            Err(BusError::ForeignLog { .. }) if stream.is_derived() => {
                let end = self.nats.call(bus.end(stream)).await?;
                tracing::warn!(%stream, reached, end, "the stream has lost its end, and is read from there");
                self.store.call(answered(store.go_back(R::UNIT, end))).await?;
                Ok(reached.min(end))
            }
            compared => Ok(compared.map(|()| reached)?),
        }
    }
}

/// A stream in work.
struct StreamTask<'f, 'r, R: Recipe> {
    follower: &'f StreamFollower<'r, R>,
    /// The sequence up to which it is folded.
    reached: u64,
    pace: LoadPace,
}

impl<R: Recipe> Steps for StreamTask<'_, '_, R> {
    type Message = R::Message;
    type Error = Error;
    type Event = std::convert::Infallible;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        CHUNK.saturating_sub(applied)
    }

    fn rests_until(&self) -> Option<Instant> {
        Some(self.pace.until())
    }

    /// What was folded before changes nothing. It may also be what is missing.
    fn is_done(&self, _: u64) -> bool {
        false
    }

    async fn unreadable(&mut self, delivery: &Delivery, error: tidemill_bus::Error) -> Result<(), Error> {
        // What was given up before is not given up again.
        if delivery.sequence <= self.reached {
            return Ok(());
        }
        self.follower.letters.admit(1, 1)?;
        self.dead_letter(delivery, &delivery.sequence.to_string(), &error.into(), delivery.payload()).await
    }

    /// A fold is a transaction of the read model: what is applied is kept.
    async fn apply(&mut self, read: Vec<Read<R::Message>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        if read.is_empty() {
            return Ok(());
        }
        let StreamFollower { reporting, letters, .. } = self.follower;
        let (begun, is_full) = (Instant::now(), read.len() == CHUNK);
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
        match is_full {
            true => self.pace.hurry(),
            false => self.pace.done(begun),
        }
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
    /// Folds a range that the database has refused, message by message. What it
    /// refuses of a message becomes a dead letter, and the rest is folded.
    async fn fold_one_by_one(&self, range: SequenceRange, deliveries: &[Delivery]) -> Result<(), Error> {
        let StreamFollower { reporting, letters, .. } = self.follower;
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
                        self.dead_letter(delivery, &name, &error, body).await?;
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
    async fn dead_letter(&self, delivery: &Delivery, name: &str, error: &Error, body: Bytes) -> Result<(), Error> {
        let StreamFollower { reporting, letters, .. } = self.follower;
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

/// The last sequence of a chunk, once it is sure that nothing is left out
/// between `reached` and it. Messages that the consumer has handed to another
/// replica are still in the stream; those that the stream has forgotten are
/// not.
async fn last_of<R: Recipe>(bus: &Bus, reached: u64, chunk: &[Delivery]) -> Result<u64, Error> {
    let mut last = reached;
    let subjects = R::UNIT.durable().filter();
    for delivery in chunk {
        if delivery.sequence > last + 1 {
            // Discarded letters leave holes anywhere. What counts is whether
            // the gap still holds a message, readable or not.
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
