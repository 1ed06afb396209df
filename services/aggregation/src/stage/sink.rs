//! Where an owner's results go.

use tidemill_bus::{Bus, Published};
use tidemill_domain::{Outage as _, Partition};
use tidemill_events::{DeadLetter, LateBatch, Message, MetricsUpdate};
use tidemill_metrics_store::{InfluxStore, Point};
use tidemill_ownership::Lease;
use tidemill_service::Breaker;

use crate::{error::Error, telemetry::Telemetry};

/// Where readers are told.
pub(crate) trait Sink: Send {
    /// Totals, for readers. Fails where the last message of the partition is
    /// not the one that this owner published last.
    fn totals(&mut self, update: MetricsUpdate) -> impl Future<Output = Result<(), Error>> + Send;
    /// Events that came too late.
    fn late(&mut self, late: &LateBatch) -> impl Future<Output = Result<(), Error>> + Send;
    /// An event that cannot be counted.
    fn letter(&mut self, letter: &DeadLetter) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Where points go: a copy of the totals, that whoever comes last overwrites.
pub(crate) trait PointSink: Send + Sync {
    /// Points of the metrics store.
    fn points(&self, points: &[Point]) -> impl Future<Output = Result<(), Error>> + Send;
    /// Whether nobody else can own the partition yet.
    fn is_owner(&self) -> bool;
}

/// NATS, for one partition.
pub(crate) struct NatsSink {
    pub(crate) bus: Bus,
    pub(crate) nats: Breaker,
    pub(crate) telemetry: Telemetry,
    /// The sequence in `METRICS` of the partition's last message; 0 for none.
    pub(crate) tail: u64,
}

impl NatsSink {
    async fn publish(&self, message: &(impl Message + Sync)) -> Result<Published, Error> {
        Ok(self.nats.call(self.bus.publish(message)).await?)
    }
}

impl Sink for NatsSink {
    /// Behind the partition's last totals or not at all: if a crash of the
    /// server took those away, these would leave a gap, and opening the
    /// partition afresh publishes the lost ones again.
    async fn totals(&mut self, update: MetricsUpdate) -> Result<(), Error> {
        match self.nats.call(self.bus.publish_after(&update, self.tail)).await {
            Ok(published) => self.tail = published.sequence,
            Err(tidemill_bus::Error::Conflict { .. }) => return Err(Error::MetricsTail),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn late(&mut self, late: &LateBatch) -> Result<(), Error> {
        self.publish(late).await.map(|_| ())
    }

    async fn letter(&mut self, letter: &DeadLetter) -> Result<(), Error> {
        self.telemetry.dead_letter(letter);
        self.publish(letter).await.map(|_| ())
    }
}

/// InfluxDB, for one partition. Without it, points are read from the checkpoints.
pub(crate) struct InfluxSink {
    pub(crate) store: InfluxStore,
    pub(crate) breaker: Breaker,
    pub(crate) lease: Lease<Partition>,
    pub(crate) telemetry: Telemetry,
}

impl PointSink for InfluxSink {
    /// Waits for a metrics store that is away, for as long as the partition is
    /// this replica's: what would be done again is the same.
    async fn points(&self, points: &[Point]) -> Result<(), Error> {
        loop {
            let written = self.breaker.call(async { Ok(self.store.write(points).await?) }).await;
            match written {
                // InfluxDB will not take these points, however often they are
                // sent. The totals themselves are published, so what stops
                // here is a copy for charts; it must not stop the log.
                Err(Error::MetricsStore(tidemill_metrics_store::Error::Refused(reason))) => {
                    self.telemetry.points_refused(points.len(), &reason);
                    return Ok(());
                }
                Err(error) if error.is_outage() && self.is_owner() && !self.lease.stop().is_cancelled() => {}
                done => return done,
            }
        }
    }

    fn is_owner(&self) -> bool {
        self.lease.is_held()
    }
}
