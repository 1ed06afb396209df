//! Where an owner's results go: NATS and the metrics store.

use tidemill_bus::Bus;
use tidemill_domain::{Outage as _, Partition};
use tidemill_events::{DeadLetter, DecodeError, Encoded, HeaderSource, LateBatch, Message, MetricsUpdate, StreamName};
use tidemill_metrics_store::{MetricsStore, Point};
use tidemill_ownership::Lease;
use tidemill_service::Breaker;

use crate::{
    Error,
    flush::{Outlet, Published},
    telemetry::Telemetry,
};

/// The way out of one partition.
pub(crate) struct NatsOutlet {
    pub(crate) bus: Bus,
    pub(crate) nats: Breaker,
    pub(crate) metrics_store: MetricsStore,
    pub(crate) metrics_breaker: Breaker,
    pub(crate) lease: Lease<Partition>,
    pub(crate) telemetry: Telemetry,
    /// The sequence in `METRICS` of the partition's last message; 0 for none.
    pub(crate) tail: u64,
}

impl NatsOutlet {
    async fn publish(&self, message: &(impl Message + Sync)) -> Result<u64, Error> {
        match self.nats.call(self.bus.publish(message)).await {
            Ok(stored) => Ok(stored.sequence),
            Err(tidemill_bus::Error::Conflict { .. }) => Err(Error::MetricsTail),
            Err(error) => Err(error.into()),
        }
    }
}

impl Outlet for NatsOutlet {
    async fn totals(&mut self, totals: Published) -> Result<(), Error> {
        self.tail = self.publish(&Following { totals, tail: self.tail }).await?;
        Ok(())
    }

    async fn late(&mut self, late: &LateBatch) -> Result<(), Error> {
        self.publish(late).await.map(|_| ())
    }

    async fn letter(&mut self, letter: &DeadLetter) -> Result<(), Error> {
        self.telemetry.dead_letter(letter);
        self.publish(letter).await.map(|_| ())
    }

    /// Waits for a metrics store that is away, for as long as the partition is
    /// this replica's: what would be done again is the same.
    async fn points(&mut self, points: &[Point]) -> Result<(), Error> {
        loop {
            let written = self.metrics_breaker.call(async { Ok(self.metrics_store.write(points).await?) }).await;
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

/// Totals that NATS takes only right behind the partition's last ones.
/// `METRICS` is not synced to disk, so a crash may take its end away while this
/// process lives on; then these are refused, rather than leave a gap behind
/// them, and opening the partition afresh publishes the lost ones again.
pub(crate) struct Following {
    pub(crate) totals: Published,
    tail: u64,
}

/// On METRICS: [`Published::after`].
const AFTER: &str = "Tm-Raw-Prev";

impl Message for Following {
    const STREAM: StreamName = MetricsUpdate::STREAM;
    const VERSION: u32 = MetricsUpdate::VERSION;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let mut encoded = self.totals.update.encode()?;
        encoded.headers.push((AFTER, self.totals.after.to_string()));
        encoded.headers.push(("Nats-Expected-Last-Subject-Sequence", self.tail.to_string()));
        Ok(encoded)
    }

    fn decode(headers: &impl HeaderSource, payload: bytes::Bytes) -> Result<Self, DecodeError> {
        // Without it, nothing is certain.
        let after = headers.get(AFTER).and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok(Self { totals: Published { update: MetricsUpdate::decode(headers, payload)?, after }, tail: 0 })
    }
}
