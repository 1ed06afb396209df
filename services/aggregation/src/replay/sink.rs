//! Where the totals of a generation go: to reporting, by a stream of their own.

use std::{collections::HashSet, time::Duration};

use tidemill_bus::Bus;
use tidemill_domain::GenerationName;
use tidemill_events::{DeadLetter, Durable, GenerationInputs, GenerationUpdate, LateBatch, MetricsUpdate};
use tidemill_service::Breaker;
use tokio::time::sleep;

use crate::{error::Error, stage::sink::Sink};

/// Messages after which it is looked whether the reader keeps up.
const LOOK_AFTER: u32 = 32;
/// Messages that the reader may be behind, as many as it folds at once; and more of them while they take less than
/// this part of the stream's room. The stream forgets its oldest messages when it is full, so it must not get there
/// before they are read.
const UNREAD: u64 = 256;
const MOST_UNREAD: u64 = 2048;
const ROOM: (u64, u64) = (1, 4);
/// How long to wait before the next look.
const WAIT: Duration = Duration::from_millis(50);

/// The sink of one partition of a generation. What is late or no event is set aside by the
/// live services; here it is left out.
pub(crate) struct GenerationSink {
    pub(crate) bus: Bus,
    pub(crate) nats: Breaker,
    pub(crate) generation: GenerationName,
    /// The sequence in `GENERATIONS` of the partition's last message; 0 for none.
    pub(crate) tail: u64,
    /// Messages since it was last looked whether the reader keeps up.
    pub(crate) unlooked: u32,
}

impl GenerationSink {
    /// Publishes an update, with what the generation is counted by where that is to be told.
    pub(crate) async fn publish(
        &mut self,
        update: MetricsUpdate,
        inputs: Option<GenerationInputs>,
    ) -> Result<(), Error> {
        self.unlooked += 1;
        if self.unlooked >= LOOK_AFTER {
            self.wait_for_reader().await;
            self.unlooked = 0;
        }
        let message = GenerationUpdate { generation: self.generation.clone(), inputs, view: None, update };
        match self.nats.call(self.bus.publish_after(&message, self.tail)).await {
            Ok(published) => self.tail = published.sequence,
            Err(tidemill_bus::Error::Conflict { .. }) => return Err(Error::MetricsTail),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Waits until reporting has read most of what was published. While it has no consumer,
    /// it is starting.
    async fn wait_for_reader(&self) {
        while !self.has_room().await.unwrap_or(false) {
            sleep(WAIT).await;
        }
    }

    async fn has_room(&self) -> Result<bool, tidemill_bus::Error> {
        let reader = Durable::ReportingGenerations;
        let lag = self.bus.lag(reader).await?;
        if lag <= UNREAD || lag > MOST_UNREAD {
            return Ok(lag <= UNREAD);
        }
        Ok(self.bus.unread(reader.stream(), &HashSet::from([reader.name()])).await?.is_below(ROOM))
    }
}

impl Sink for GenerationSink {
    async fn totals(&mut self, update: MetricsUpdate) -> Result<(), Error> {
        // Its books tell which events were late for it alone. What was sent again is of the live aggregation's, and
        // a trace of a live event has nothing to do with a replay.
        let update = MetricsUpdate { redriven: Vec::new(), trace: None, ..update };
        self.publish(update, None).await
    }

    async fn late(&mut self, _: &LateBatch) -> Result<(), Error> {
        Ok(())
    }

    async fn letter(&mut self, _: &DeadLetter) -> Result<(), Error> {
        Ok(())
    }
}
