//! From a stream to a checkpoint.

use std::time::Duration;

use tidemill_bus::{Acks, Delivery, Error as BusError, Subscription};
use tidemill_events::Message;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{Failure, Progressing};

/// A unit that has failed is taken to go on once it has found nothing to do for
/// this long: what it failed at comes first, and at once.
const QUIET: Duration = Duration::from_secs(1);

/// Where messages come from, in the order of their stream.
pub trait Source: Send {
    /// What can go wrong.
    type Error: Send;

    /// The next message and whatever has arrived behind it, at most `most`. The
    /// call can be given up while it waits.
    fn next_chunk(&mut self, most: usize) -> impl Future<Output = Result<Vec<Delivery>, Self::Error>> + Send;
}

impl Source for Subscription {
    type Error = BusError;

    async fn next_chunk(&mut self, most: usize) -> Result<Vec<Delivery>, BusError> {
        Self::next_chunk(self, most).await
    }
}

/// A message as it was read.
#[derive(Debug)]
pub struct Read<M> {
    /// As it came.
    pub delivery: Delivery,
    /// What the message says. `None` if it cannot be read: then it is a dead
    /// letter, and is to be acknowledged like any other message.
    pub message: Option<M>,
}

/// What became of a checkpoint.
#[derive(Debug)]
pub enum Checkpoint<L, E> {
    /// It is in the store.
    Landed(L),
    /// It is on its way, and the next messages are applied meanwhile.
    UnderWay(AbortOnDropHandle<Result<L, E>>),
}

/// What a service does with the messages of a stream.
pub trait Steps: Send {
    /// The type of the messages.
    type Message: Message + Send;
    /// What can go wrong.
    type Error: Failure;
    /// What happens beside messages, for instance that it is time to look for
    /// missing ones.
    type Event: Send;
    /// What a checkpoint leaves.
    type Landed: Send + 'static;

    /// How many more messages may come. `applied` messages are in no checkpoint
    /// yet, and one may be on its way.
    fn room(&self, applied: usize, is_under_way: bool) -> usize;

    /// A message in its type.
    fn decode(&self, delivery: &Delivery) -> Result<Self::Message, BusError> {
        delivery.decode()
    }

    /// Until when what was applied may wait for more to come into the same
    /// checkpoint, as long as there is room. It is not acknowledged before.
    fn waits_until(&self) -> Option<Instant> {
        None
    }

    /// Until when messages are left where they are, so that more come at once. They
    /// are neither decoded nor waited for meanwhile.
    fn rests_until(&self) -> Option<Instant> {
        None
    }

    /// Whether the message with this sequence was done before, and is only to
    /// be acknowledged.
    fn is_done(&self, sequence: u64) -> bool;

    /// Deals with a message that cannot be read: stores it as a dead letter, or
    /// answers the error that is to follow.
    fn unreadable(
        &mut self,
        delivery: &Delivery,
        error: BusError,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Applies messages in their order. A delivery goes into `applied` as soon
    /// as it is applied, and is acknowledged behind the next checkpoint. So an
    /// error does not undo what was applied before it.
    fn apply(
        &mut self,
        messages: Vec<Read<Self::Message>>,
        applied: &mut Vec<Delivery>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Tells others of what was applied, who need not wait until it is in the store. Called
    /// behind each [`apply`](Self::apply). What could not be told is not stored either: after
    /// an error no checkpoint follows.
    fn tell(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }

    /// Writes what was applied into the store.
    fn checkpoint(&mut self)
    -> impl Future<Output = Result<Checkpoint<Self::Landed, Self::Error>, Self::Error>> + Send;

    /// A checkpoint is in the store, and its messages are acknowledged.
    fn landed(&mut self, landed: Self::Landed) -> Result<(), Self::Error>;

    /// Waits for what happens beside messages. The call is made only while
    /// everything is in the store, and given up when messages come.
    fn event(&mut self) -> impl Future<Output = Self::Event> + Send;

    /// Deals with an event.
    fn handle(&mut self, event: Self::Event) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A checkpoint on its way, and the messages that it holds.
struct UnderWay<S: Steps> {
    handle: AbortOnDropHandle<Result<S::Landed, S::Error>>,
    deliveries: Vec<Delivery>,
}

/// What became of a checkpoint, and the messages that it holds.
type Landing<S> = (Result<<S as Steps>::Landed, <S as Steps>::Error>, Vec<Delivery>);

enum Next<S: Steps> {
    Messages(Vec<Delivery>),
    Landed(Landing<S>),
    /// What was applied has waited long enough.
    Due,
    /// It is time to tell the server what is done.
    Tell,
    Event(S::Event),
    /// After a failure, nothing has come that could fail again.
    Quiet,
    Stop,
}

/// Reads a stream until it is to stop, or until something fails: pull, decode,
/// apply, tell, checkpoint, acknowledge. One checkpoint at most is on its way. The
/// step in hand is finished in either case, so that whoever comes next need not
/// repeat it.
pub async fn consume<S: Steps, M: Source>(
    source: &mut M,
    steps: &mut S,
    stop: &CancellationToken,
    progress: &mut Progressing<'_>,
) -> Result<(), S::Error>
where
    S::Error: From<M::Error>,
{
    let acks = Acks::default();
    let mut loop_ = Loop { steps, applied: Vec::new(), under_way: None, acks, is_lost: false };
    let ended = loop_.run(source, stop, progress).await;
    let ended = loop_.finish().await.and(ended);
    // After an error the server may be away, and is not waited for.
    let told = if ended.is_ok() { loop_.acks.settle().await } else { loop_.acks.tell().await };
    if let Err(error) = told {
        tracing::debug!(%error, "the server does not know of the last messages that they are done");
    }
    ended
}

struct Loop<'s, S: Steps> {
    steps: &'s mut S,
    /// Messages that are applied. They are acknowledged once that is in the
    /// store.
    applied: Vec<Delivery>,
    under_way: Option<UnderWay<S>>,
    /// Messages that are in the store.
    acks: Acks,
    /// A checkpoint has failed, or what was applied could not be told: nothing is to be
    /// sent behind it.
    is_lost: bool,
}

impl<S: Steps> Loop<'_, S> {
    async fn run<M: Source>(
        &mut self,
        source: &mut M,
        stop: &CancellationToken,
        progress: &mut Progressing<'_>,
    ) -> Result<(), S::Error>
    where
        S::Error: From<M::Error>,
    {
        loop {
            if self.waits_until().is_none_or(|until| until <= Instant::now()) && self.checkpoint().await? {
                progress.goes_on();
            }
            match self.next(source, stop, progress.is_failing()).await? {
                Next::Messages(deliveries) => {
                    let (read, broken) = self.read(deliveries).await;
                    self.steps.apply(read, &mut self.applied).await?;
                    let told = self.steps.tell().await;
                    self.is_lost |= told.is_err();
                    told?;
                    broken?;
                }
                Next::Landed(landing) => {
                    self.land(landing).await?;
                    progress.goes_on();
                }
                Next::Due => {}
                Next::Tell => self.acks.tell_in_time().await?,
                Next::Event(event) => {
                    self.steps.handle(event).await?;
                    progress.goes_on();
                }
                Next::Quiet => progress.goes_on(),
                Next::Stop => return Ok(()),
            }
        }
    }

    /// Until when there is to be no checkpoint of what was applied.
    fn waits_until(&self) -> Option<Instant> {
        let room = self.steps.room(self.applied.len(), self.under_way.is_some());
        let waits = !self.applied.is_empty() && self.under_way.is_none() && room > 0;
        self.steps.waits_until().filter(|_| waits)
    }

    async fn next<M: Source>(
        &mut self,
        source: &mut M,
        stop: &CancellationToken,
        is_failing: bool,
    ) -> Result<Next<S>, S::Error>
    where
        S::Error: From<M::Error>,
    {
        let room = self.steps.room(self.applied.len(), self.under_way.is_some());
        let due = self.waits_until();
        let rests = self.steps.rests_until();
        let is_settled = self.applied.is_empty() && self.under_way.is_none();
        // Where a rest ends when a checkpoint is due, what has come meanwhile is to be in it.
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(Next::Stop),
            landing = landing(&mut self.under_way) => Ok(Next::Landed(landing)),
            () = at(self.acks.due()) => Ok(Next::Tell),
            deliveries = rested(rests, source, room), if room > 0 => Ok(Next::Messages(deliveries?)),
            () = at(due) => Ok(Next::Due),
            event = self.steps.event(), if is_settled => Ok(Next::Event(event)),
            () = sleep(QUIET), if is_settled && is_failing => Ok(Next::Quiet),
        }
    }

    /// Decodes messages, without those that were done before. Stops at the
    /// first that can neither be read nor be given up.
    async fn read(&mut self, deliveries: Vec<Delivery>) -> (Vec<Read<S::Message>>, Result<(), S::Error>) {
        let mut read = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            if self.steps.is_done(delivery.sequence) {
                self.applied.push(delivery);
                continue;
            }
            let message = match self.steps.decode(&delivery) {
                Ok(message) => Some(message),
                Err(error) => match self.steps.unreadable(&delivery, error).await {
                    Ok(()) => None,
                    broken => return (read, broken),
                },
            };
            read.push(Read { delivery, message });
        }
        (read, Ok(()))
    }

    /// Sends what was applied into the store, unless a checkpoint is on its way
    /// already. Answers whether this call has stored it.
    async fn checkpoint(&mut self) -> Result<bool, S::Error> {
        if self.applied.is_empty() || self.under_way.is_some() {
            return Ok(false);
        }
        let landed = match self.steps.checkpoint().await {
            Err(error) => Err(error),
            Ok(Checkpoint::Landed(landed)) => Ok(landed),
            Ok(Checkpoint::UnderWay(handle)) => {
                self.under_way = Some(UnderWay { handle, deliveries: std::mem::take(&mut self.applied) });
                return Ok(false);
            }
        };
        let deliveries = std::mem::take(&mut self.applied);
        self.land((landed, deliveries)).await.map(|()| true)
    }

    async fn land(&mut self, (landed, deliveries): Landing<S>) -> Result<(), S::Error> {
        let is_stored = landed.is_ok();
        let landed = landed.and_then(|landed| self.steps.landed(landed));
        self.is_lost |= landed.is_err();
        if is_stored {
            deliveries.into_iter().for_each(|delivery| self.acks.add(delivery));
            self.acks.tell_in_time().await?;
        }
        landed
    }

    /// Waits until everything applied is in the store; what is on its way there alone, if
    /// nothing is to be sent behind it.
    async fn finish(&mut self) -> Result<(), S::Error> {
        loop {
            if self.under_way.is_some() {
                let landing = landing(&mut self.under_way).await;
                self.land(landing).await?;
            }
            if self.is_lost || self.applied.is_empty() {
                return Ok(());
            }
            self.checkpoint().await?;
        }
    }
}

/// Waits for the checkpoint on its way. If a call is given up, the next one
/// goes on waiting.
async fn landing<S: Steps>(under_way: &mut Option<UnderWay<S>>) -> Landing<S> {
    let Some(UnderWay { handle, deliveries }) = under_way else { return std::future::pending().await };
    let landed = joined(handle.await);
    let deliveries = std::mem::take(deliveries);
    *under_way = None;
    (landed, deliveries)
}

/// The next messages, after a rest. The call can be given up while it waits.
async fn rested<M: Source>(until: Option<Instant>, source: &mut M, room: usize) -> Result<Vec<Delivery>, M::Error> {
    if let Some(until) = until {
        sleep_until(until).await;
    }
    source.next_chunk(room).await
}

/// Waits for a moment. There may be none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The answer of a task of ours. If that task has panicked, so does this one;
/// nobody else ends it.
fn joined<T, E: Failure>(done: Result<Result<T, E>, tokio::task::JoinError>) -> Result<T, E> {
    match done {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(BusError::Ack(error.to_string()).into()),
        },
    }
}
