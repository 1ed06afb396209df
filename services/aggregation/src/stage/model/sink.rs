//! Sinks in memory. They fail or hang on command.

use std::sync::Arc;

use tidemill_events::{DeadLetter, LateBatch, MetricsUpdate};
use tidemill_metrics_store::Point;
use tokio::sync::{Mutex, oneshot};

use super::{
    case::Fault,
    world::{Shared, World, lock},
};
use crate::{
    error::Error,
    stage::sink::{PointSink, Sink},
};

/// What an owner meets while it sends its messages.
pub(super) enum Fate {
    Well,
    Crash(Fault),
    Hang(Fault, Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>),
}

/// Where an owner tells readers, and where it writes points: its messages are counted together.
#[derive(Clone)]
pub(super) struct ModelSink {
    pub(super) world: Shared,
    pub(super) owner: u32,
    /// Messages in the stream, as far as this owner knows.
    pub(super) tail: usize,
    sending: Arc<Mutex<Sending>>,
}

struct Sending {
    sent: u8,
    fate: Fate,
}

impl ModelSink {
    pub(super) fn new(world: Shared, owner: u32, tail: usize) -> Self {
        Self { world, owner, tail, sending: Arc::new(Mutex::new(Sending { sent: 0, fate: Fate::Well })) }
    }

    /// Messages are counted from here on, and meet this.
    pub(super) async fn meets(&self, fate: Fate) {
        *self.sending.lock().await = Sending { sent: 0, fate };
    }

    /// Sends one message, unless its fate comes first.
    async fn send(&self, effect: impl FnOnce(&mut World) -> Result<(), Error> + Send) -> Result<(), Error> {
        let mut sending = self.sending.lock().await;
        let at = sending.sent;
        sending.sent += 1;
        sending.meet(at, false).await?;
        effect(&mut lock(&self.world))?;
        sending.meet(at, true).await
    }
}

impl Sending {
    async fn meet(&mut self, at: u8, after: bool) -> Result<(), Error> {
        let is_now = |fault: &Fault| fault.at == at && fault.after == after;
        match &mut self.fate {
            // Any error ends the owner.
            Fate::Crash(fault) if is_now(fault) => Err(Error::MetricsTail),
            Fate::Hang(fault, channel) if is_now(fault) => {
                if let Some((hanging, wake)) = channel.take() {
                    let _ = hanging.send(());
                    let _ = wake.await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Sink for ModelSink {
    async fn totals(&mut self, update: MetricsUpdate) -> Result<(), Error> {
        let tail = self.tail;
        self.send(|world| {
            if world.stream.len() != tail {
                return Err(Error::MetricsTail);
            }
            world.stream.push(update.clone());
            world.published.push(update.clone());
            Ok(())
        })
        .await?;
        self.tail = tail + 1;
        Ok(())
    }

    async fn late(&mut self, late: &LateBatch) -> Result<(), Error> {
        let late = late.clone();
        self.send(|world| {
            let known = world.late.insert(late.raw_seq, late.clone());
            assert!(known.is_none_or(|known| known == late), "a repetition says the same");
            Ok(())
        })
        .await
    }

    async fn letter(&mut self, letter: &DeadLetter) -> Result<(), Error> {
        let id = letter.id.clone();
        self.send(|world| {
            world.letters.insert(id);
            Ok(())
        })
        .await
    }
}

impl PointSink for ModelSink {
    async fn points(&self, points: &[Point]) -> Result<(), Error> {
        let points = points.to_vec();
        self.send(|world| {
            for point in points {
                let tags = point.tags.clone().into_iter().collect();
                world.points.insert((point.measurement.clone(), tags, point.time.millis()), point);
            }
            Ok(())
        })
        .await
    }

    fn is_owner(&self) -> bool {
        lock(&self.world).owner == self.owner
    }
}
