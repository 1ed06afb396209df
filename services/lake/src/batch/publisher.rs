//! Where batch views go: to reporting, by the stream of generations.

use std::{collections::VecDeque, time::Duration};

use tidemill_batch_views::ViewPart;
use tidemill_bus::Bus;
use tidemill_domain::{GenerationName, Partition, Timestamp};
use tidemill_events::{BatchView, Durable, GenerationInputs, GenerationUpdate, MetricsUpdate};
use tokio::time::{Instant, sleep};

use super::error::BatchError;

/// Messages after which it is looked whether the reader keeps up.
const LOOK_AFTER: u32 = 8;
/// Messages of ours that may wait for the reader. The stream forgets its oldest messages when it is full, so it
/// must not get there before they are read; and what waits is folded at once, while the stream's totals wait.
const MOST_UNREAD: usize = 16;
/// How long to wait before the next look.
const WAIT: Duration = Duration::from_millis(100);
/// How long the reader may take to get that far.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the views of one run.
pub(super) struct ViewPublisher {
    bus: Bus,
    as_of: Timestamp,
    /// Messages so far: each has a name of its own.
    part: u32,
    /// Where those stand in the stream that may not have been read.
    unread: VecDeque<u64>,
}

impl ViewPublisher {
    pub(super) const fn new(bus: Bus, as_of: Timestamp) -> Self {
        Self { bus, as_of, part: 0, unread: VecDeque::new() }
    }

    /// What the views are computed by.
    pub(super) async fn inputs(&mut self, inputs: GenerationInputs) -> Result<(), BatchError> {
        self.publish(Some(inputs), None, self.status(Partition::new(0), 0)).await
    }

    /// Totals of a view.
    pub(super) async fn part(&mut self, view: &BatchView, part: ViewPart) -> Result<(), BatchError> {
        let ViewPart { partition, raw_seq, cells } = part;
        let update = MetricsUpdate { cells, ..self.status(partition, raw_seq) };
        self.publish(None, Some(view.clone()), update).await
    }

    /// A view is told: what it covers.
    pub(super) async fn end(&mut self, view: BatchView) -> Result<(), BatchError> {
        self.publish(None, Some(view), self.status(Partition::new(0), 0)).await
    }

    /// All views are told: how far silver is in them.
    pub(super) async fn reached(
        &mut self,
        sequences: impl Iterator<Item = (Partition, u64)>,
    ) -> Result<(), BatchError> {
        for (partition, raw_seq) in sequences {
            self.publish(None, None, self.status(partition, raw_seq)).await?;
        }
        Ok(())
    }

    fn status(&self, partition: Partition, raw_seq: u64) -> MetricsUpdate {
        MetricsUpdate {
            partition,
            raw_seq,
            raw_prev: 0,
            part: self.part,
            as_of: self.as_of,
            watermark: None,
            idle: true,
            cells: Vec::new(),
            books: Vec::new(),
            redriven: Vec::new(),
            counting: Vec::new(),
            trace: None,
        }
    }

    async fn publish(
        &mut self,
        inputs: Option<GenerationInputs>,
        view: Option<BatchView>,
        update: MetricsUpdate,
    ) -> Result<(), BatchError> {
        if self.part.is_multiple_of(LOOK_AFTER) {
            self.wait_for_reader().await?;
        }
        self.part += 1;
        let message = GenerationUpdate { generation: GenerationName::batch(), inputs, view, update };
        self.unread.push_back(self.bus.publish(&message).await?.sequence);
        Ok(())
    }

    async fn wait_for_reader(&mut self) -> Result<(), BatchError> {
        let until = Instant::now() + PATIENCE;
        loop {
            // While the reader has no consumer, it is starting.
            if let Ok(progress) = self.bus.progress(Durable::ReportingGenerations).await {
                self.unread.retain(|sequence| *sequence > progress.reached);
                if self.unread.len() <= MOST_UNREAD {
                    return Ok(());
                }
            }
            if Instant::now() >= until {
                return Err(BatchError::NotRead);
            }
            sleep(WAIT).await;
        }
    }
}
