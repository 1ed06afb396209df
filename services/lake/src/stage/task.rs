//! The loop's hooks, which are the same for every unit.

use std::sync::Arc;

use tidemill_bus::{Delivery, Error as BusError};
use tidemill_events::Message;
use tidemill_stage::{Checkpoint, Read, Steps};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{error::Error, shared::Shared, unit::LakeUnit};

/// Messages that are gathered at most: the server hands out twice as many before it
/// waits for an acknowledgement.
const CHUNK: usize = 250;
/// Messages that are taken at once. A batch may be of a thousand events: so many more than fit may be gathered, and for
/// so long nobody else has the thread.
const AT_ONCE: usize = 16;

/// What becomes of a unit's messages.
pub(super) trait UnitRecipe: Send {
    /// What they are.
    type Message: Message + Send;

    /// Gathers the rows of messages, in the order of the stream.
    fn take(&mut self, messages: Vec<(&Delivery, Self::Message)>) -> impl Future<Output = Result<(), Error>> + Send;

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
    recipe: R,
    /// When the first message that is in no commit came.
    since: Option<Instant>,
}

/// Nothing has come for a while, and nothing is on its way.
pub(super) struct Lull;

impl<R: UnitRecipe> LakeTask<R> {
    pub(super) const fn new(shared: Arc<Shared>, unit: LakeUnit, recipe: R) -> Self {
        Self { shared, unit, recipe, since: None }
    }
}

impl<R: UnitRecipe> Steps for LakeTask<R> {
    type Message = R::Message;
    type Error = Error;
    type Event = Lull;
    /// How far what is stored reaches.
    type Landed = u64;

    fn room(&self, applied: usize, _: bool) -> usize {
        room(applied, self.recipe.gathered(), self.shared.buffer)
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
        self.since = self.since.or_else(|| Some(Instant::now()));
        let (mut deliveries, mut messages) = (Vec::with_capacity(read.len()), Vec::with_capacity(read.len()));
        for Read { delivery, message } in read {
            deliveries.push(delivery);
            messages.push(message);
        }
        let both = deliveries.iter().zip(messages).filter_map(|(delivery, message)| Some((delivery, message?)));
        self.recipe.take(both.collect()).await?;
        applied.append(&mut deliveries);
        // More may have come meanwhile, and is taken without a wait: others have the thread first.
        yield_now().await;
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
fn room(applied: usize, gathered: usize, most: usize) -> usize {
    if gathered < most { CHUNK.saturating_sub(applied).min(AT_ONCE) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_more_is_gathered_than_fits() {
        assert_eq!((room(0, 0, 9), room(0, 8, 9), room(0, 9, 9)), (AT_ONCE, AT_ONCE, 0));
        assert_eq!((room(CHUNK - 1, 0, 9), room(CHUNK, 0, 9), room(CHUNK + 1, 0, 9)), (1, 0, 0));
    }
}
