//! The loop's hooks, which are the same for every unit.

use std::{sync::Arc, time::Duration};

use tidemill_bus::{Delivery, Error as BusError};
use tidemill_events::Message;
use tidemill_stage::{Checkpoint, Read, Steps};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{error::Error, shared::Shared, unit::LakeUnit};

/// Messages that are gathered at most: the server hands out twice as many before it
/// waits for an acknowledgement.
const CHUNK: usize = 250;
/// Messages that are taken at once, at most. A batch may be of a thousand events: so many more than fit may be gathered.
const AT_ONCE: usize = 16;
/// How long they may take. Where rules or the machine are slow, fewer are taken: a commit is made between two steps
/// alone, and what is in none is lost with the unit.
const STEP: Duration = Duration::from_secs(1);

/// What becomes of a unit's messages.
pub(super) trait UnitRecipe: Send {
    /// What they are.
    type Message: Message + Send;

    /// Gathers the rows of a message, in the order of the stream.
    fn take(&mut self, delivery: &Delivery, message: Self::Message) -> impl Future<Output = Result<(), Error>> + Send;

    /// What follows from a message that cannot be read.
    fn unreadable(&mut self, delivery: &Delivery, error: BusError) -> Result<(), Error>;

    /// Bytes that are gathered.
    fn gathered(&self) -> usize;

    /// Takes out what is gathered; the answer stores it, and says how far it reaches.
    fn commit(&mut self) -> Result<impl Future<Output = Result<u64, Error>> + Send + 'static, Error>;

    /// It is stored up to there.
    fn landed(&mut self, _reached: u64) {}

    /// When to look why nothing comes.
    fn silence(&self) -> Option<Instant> {
        None
    }

    /// Looks why nothing has come.
    fn look_around(&mut self) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A unit at work.
pub(super) struct LakeTask<R> {
    shared: Arc<Shared>,
    unit: LakeUnit,
    stop: CancellationToken,
    recipe: R,
    /// Messages that are taken at once.
    at_once: usize,
    /// When the first message that is in no commit came.
    since: Option<Instant>,
}

/// Nothing has come for a while, and nothing is on its way.
pub(super) struct Lull;

impl<R: UnitRecipe> LakeTask<R> {
    pub(super) fn new(shared: Arc<Shared>, (unit, stop): (LakeUnit, CancellationToken), recipe: R) -> Self {
        Self { shared, unit, stop, recipe, at_once: AT_ONCE, since: None }
    }
}

impl<R: UnitRecipe> Steps for LakeTask<R> {
    type Message = R::Message;
    type Error = Error;
    type Event = Lull;
    /// How far what is stored reaches.
    type Landed = u64;

    fn room(&self, applied: usize, _: bool) -> usize {
        room(applied, self.recipe.gathered(), self.shared.buffer, self.at_once)
    }

    fn waits_until(&self) -> Option<Instant> {
        self.since.map(|since| self.shared.beats.next(self.unit, since))
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    async fn unreadable(&mut self, delivery: &Delivery, error: BusError) -> Result<(), Error> {
        self.recipe.unreadable(delivery, error)
    }

    async fn apply(&mut self, read: Vec<Read<R::Message>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        let begun = Instant::now();
        self.since = self.since.or(Some(begun));
        let may_stop = may_stop(&read);
        for Read { delivery, message } in read {
            // What is taken is committed then; the rest is whoever's who has the unit next.
            if may_stop && self.stop.is_cancelled() {
                break;
            }
            if let Some(message) = message {
                self.recipe.take(&delivery, message).await?;
            }
            applied.push(delivery);
            // More may have come meanwhile, and is taken without a wait: others have the thread first.
            yield_now().await;
        }
        self.at_once = next_step(self.at_once, begun.elapsed());
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<u64, Error>, Error> {
        self.since = None;
        let commit = self.recipe.commit()?;
        Ok(Checkpoint::UnderWay(AbortOnDropHandle::new(tokio::spawn(commit))))
    }

    fn landed(&mut self, reached: u64) -> Result<(), Error> {
        self.recipe.landed(reached);
        Ok(())
    }

    async fn event(&mut self) -> Lull {
        match self.recipe.silence() {
            Some(moment) => sleep_until(moment).await,
            None => std::future::pending().await,
        }
        Lull
    }

    async fn handle(&mut self, _: Lull) -> Result<(), Error> {
        self.recipe.look_around().await
    }
}

/// How many more messages are taken, where so many wait for a commit, of so many bytes of at most.
fn room(applied: usize, gathered: usize, most: usize, at_once: usize) -> usize {
    if gathered < most { CHUNK.saturating_sub(applied).min(at_once) } else { 0 }
}

/// Whether some of these may be left to others: not where one that cannot be read is passed over already, and with it
/// all before it would be.
fn may_stop<M>(read: &[Read<M>]) -> bool {
    read.iter().all(|read| read.message.is_some())
}

/// How many messages are taken at once after so many took so long.
fn next_step(at_once: usize, took: Duration) -> usize {
    if took > STEP {
        (at_once / 2).max(1)
    } else if took < STEP / 4 {
        (at_once * 2).min(AT_ONCE)
    } else {
        at_once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_more_is_gathered_than_fits() {
        let room = |applied, gathered| super::room(applied, gathered, 9, AT_ONCE);
        assert_eq!((room(0, 0), room(0, 8), room(0, 9)), (AT_ONCE, AT_ONCE, 0));
        assert_eq!((room(CHUNK - 1, 0), room(CHUNK, 0), room(CHUNK + 1, 0)), (1, 0, 0));
        assert_eq!(super::room(0, 0, 9, 2), 2);
    }

    #[test]
    fn steps_that_take_long_are_made_smaller_and_grow_again() {
        let slow = |at_once| next_step(at_once, STEP * 2);
        assert_eq!((slow(AT_ONCE), slow(3), slow(1)), (AT_ONCE / 2, 1, 1), "never none at all");
        assert_eq!(next_step(4, STEP / 2), 4);
        assert_eq!((next_step(1, STEP / 8), next_step(AT_ONCE, STEP / 8)), (2, AT_ONCE));
    }
}
