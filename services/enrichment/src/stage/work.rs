//! Opening a partition, and reading it until it is given back.

use std::sync::Arc;

use tidemill_domain::Partition;
use tidemill_events::{Durable, StreamName};
use tidemill_ownership::Lease;
use tidemill_stage::{DeadLetters, Failure, Progressing, Work, consume, supervise};
use tokio_util::sync::CancellationToken;

use super::steps::EnrichSteps;
use crate::{backfill, error::Error, partition::OpenPartition, resources::Resources};

/// A partition, for as long as it is this replica's.
struct PartitionWork {
    partition: Partition,
    resources: Arc<Resources>,
    stop: CancellationToken,
    dead_letters: DeadLetters,
}

/// Enriches a partition until it is to be given back.
pub(crate) async fn run(lease: Lease<Partition>, resources: Arc<Resources>) -> Result<(), Error> {
    let Resources { context, bus, telemetry, conditions, ceiling, .. } = &*resources;
    let (partition, stop) = (lease.unit(), lease.stop().clone());
    let dead_letters = DeadLetters::new(context, bus, StreamName::Raw, *ceiling);
    let work = PartitionWork { partition, resources: resources.clone(), stop, dead_letters };
    conditions.set(partition, "it is being opened");
    let ended = supervise(work, partition, lease.stop(), conditions).await;
    telemetry.forget(partition);
    ended
}

impl Work for PartitionWork {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let Resources { bus, nats, .. } = &*self.resources;
        let opened = async {
            let mut partition = OpenPartition::open(self.partition, self.resources.clone()).await?;
            backfill::make_up(&mut partition, &self.stop).await?;
            backfill::answer(&mut partition, &self.stop).await?;
            // The store says where to go on. A backup that it was restored from
            // is older than what the server takes for done.
            let subscription = bus.subscribe_behind(Durable::Enrichment(self.partition), partition.floor);
            let subscription = nats.call(subscription).await?;
            Ok::<_, Error>((partition, subscription))
        };
        let Some(opened) = self.stop.run_until_cancelled(opened).await else { return Ok(()) };
        let (partition, mut subscription) = opened?;
        progress.opened();
        let mut steps = EnrichSteps::new(partition, &self.dead_letters, &self.stop);
        consume(&mut subscription, &mut steps, &self.stop, progress).await
    }

    fn failed(&mut self, error: &Error) {
        tracing::warn!(partition = %self.partition, %error, code = error.code().as_str(), "partition stopped; opening it afresh");
        self.resources.telemetry.retry(error.code());
    }
}
