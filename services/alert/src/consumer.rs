//! Reading the log: take, read, evaluate, record, acknowledge.

use std::sync::Arc;

use tidemill_bus::{Bus, Delivery, Subscription, ack_all};
use tidemill_domain::{Partition, SharedClock};
use tidemill_events::{DeadLetter, Durable, EnrichedBatch, Message, MetricsUpdate};
use tidemill_service::Context;

use crate::{
    backoff::Backoff,
    error::Error,
    event_rules::EventRules,
    metric_rules::MetricRules,
    notify::Wake,
    store::{Changes, Consumer, Notification, Progress, Store},
    telemetry::Telemetry,
};

/// Messages of one step, and so of one transaction.
const CHUNK: usize = 32;
/// Unreadable messages in a row that halt a consumer.
const DEAD_LETTER_CEILING: u32 = 100;

/// What a consumer does with the messages it reads.
pub trait Stage: Send + 'static {
    /// What it reads.
    type Message: Message + Send;
    /// Which of the two it is.
    const CONSUMER: Consumer;

    /// Evaluates messages, in the order of the stream. What it answers is
    /// recorded before anything else happens.
    fn evaluate(&mut self, messages: Vec<Self::Message>) -> Changes;
}

/// Event rules over one partition of `ENRICHED`.
pub struct EventStage {
    /// The rules, which all partitions share.
    pub rules: Arc<EventRules>,
    /// The partition.
    pub partition: Partition,
    /// The `RAW` sequence up to which it is done; 0 for nothing yet.
    pub floor: u64,
    /// What time it is.
    pub clock: SharedClock,
    /// Where gaps are told.
    pub telemetry: Arc<Telemetry>,
}

impl Stage for EventStage {
    type Message = EnrichedBatch;
    const CONSUMER: Consumer = Consumer::Events;

    fn evaluate(&mut self, batches: Vec<EnrichedBatch>) -> Changes {
        let mut changes = Changes::default();
        for batch in batches {
            // At or below the floor: evaluated before, and delivered again.
            if batch.raw_seq <= self.floor {
                continue;
            }
            if self.floor > 0 && batch.raw_prev != self.floor {
                self.telemetry.gap(self.partition.index(), self.floor, batch.raw_prev);
            }
            self.rules.apply(&batch, self.clock.now(), &mut changes);
            self.floor = batch.raw_seq;
            let progress = Progress { raw_seq: batch.raw_seq, watermark: None, as_of: Some(batch.ingested_at) };
            changes.progress.insert((Self::CONSUMER, self.partition), progress);
        }
        changes
    }
}

/// Metric rules over `METRICS`.
pub struct MetricStage {
    /// The rules and their windows.
    pub rules: MetricRules,
    /// What time it is.
    pub clock: SharedClock,
}

impl Stage for MetricStage {
    type Message = MetricsUpdate;
    const CONSUMER: Consumer = Consumer::Metrics;

    fn evaluate(&mut self, updates: Vec<MetricsUpdate>) -> Changes {
        self.rules.apply(&updates, self.clock.now())
    }
}

/// Where consumers record, and whom they wake.
#[derive(Clone)]
pub struct Ledger {
    /// The store.
    pub store: Store,
    /// The outbox.
    pub wake: Wake,
    /// What awaits a new alert: to be sent, or nothing without a webhook.
    pub notification: Notification,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
}

/// A consumer of the log.
pub struct Reader<S> {
    /// The service's.
    pub context: Context,
    /// The log.
    pub bus: Bus,
    /// What is read.
    pub durable: Durable,
    /// What is done with it.
    pub stage: S,
    /// Where that is recorded.
    pub ledger: Ledger,
    /// Unreadable messages since the last readable one.
    pub unreadable: u32,
}

impl<S: Stage> Reader<S> {
    /// Reads until shutdown; a server that is away is waited for.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut attempts = Backoff::new(&self.context, S::CONSUMER.as_str());
        while let Err(error) = self.read(&mut attempts).await {
            attempts.failed(error).await?;
        }
        Ok(())
    }

    async fn read(&mut self, attempts: &mut Backoff) -> Result<(), Error> {
        let mut subscription = self.bus.subscribe(self.durable).await?;
        attempts.succeeded();
        while let Some(deliveries) = self.take(&mut subscription).await? {
            let messages = self.decode(&deliveries).await?;
            let changes = self.stage.evaluate(messages);
            self.record(&changes).await?;
            ack_all(&deliveries).await?;
        }
        Ok(())
    }

    /// The next messages; `None` on shutdown.
    async fn take(&self, subscription: &mut Subscription) -> Result<Option<Vec<Delivery>>, Error> {
        tokio::select! {
            chunk = subscription.next_chunk(CHUNK) => Ok(Some(chunk?)),
            () = self.context.shutdown.cancelled() => Ok(None),
        }
    }

    /// The messages in their type. One that cannot be read is given up, and
    /// keeps none of the others back.
    async fn decode(&mut self, deliveries: &[Delivery]) -> Result<Vec<S::Message>, Error> {
        self.ledger.telemetry.chunk(deliveries.len());
        let mut messages = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match delivery.decode::<S::Message>() {
                Ok(message) => {
                    self.unreadable = 0;
                    messages.push(message);
                }
                Err(error) => self.give_up(delivery, error.into()).await?,
            }
        }
        Ok(messages)
    }

    async fn give_up(&mut self, delivery: &Delivery, error: Error) -> Result<(), Error> {
        let stream = self.durable.stream();
        self.unreadable += 1;
        if self.unreadable > DEAD_LETTER_CEILING {
            return Err(Error::TooManyDeadLetters(self.unreadable));
        }
        let letter = DeadLetter {
            id: format!("alert-{stream}-{}", delivery.sequence),
            service: self.context.service.into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: error.code().into(),
            reason: error.to_string(),
            pointer: None,
            stream: Some(stream.as_str().into()),
            sequence: Some(delivery.sequence),
            deliveries: delivery.deliveries,
            first_failed_at: self.context.clock.now(),
            source: "unknown".into(),
            event_id: None,
            trace: None,
            body: delivery.payload(),
        };
        let consumer = S::CONSUMER.as_str();
        let on_retry = |error: &tidemill_bus::Error| self.context.health.unready(consumer, error.to_string());
        tokio::select! {
            stored = self.bus.publish_until_stored(&letter, on_retry) => stored?,
            () = self.context.shutdown.cancelled() => return Err(Error::ShutDown),
        };
        delivery.terminate().await?;
        self.ledger.telemetry.dead_letter(error.code(), stream, delivery.sequence, &letter.reason);
        Ok(())
    }

    /// State, alerts and position in one transaction. What the stage keeps in
    /// memory has moved on already, so this is tried until it succeeds.
    async fn record(&self, changes: &Changes) -> Result<(), Error> {
        let Ledger { store, wake, notification, telemetry } = &self.ledger;
        let mut attempts = Backoff::new(&self.context, "store");
        let fresh = loop {
            match store.commit(changes, *notification).await {
                Ok(fresh) => break fresh,
                Err(error) => attempts.failed(error).await?,
            }
        };
        attempts.succeeded();
        changes.alerts.iter().filter(|alert| fresh.contains(&alert.firing.id)).for_each(|a| telemetry.fired(&a.firing));
        if !fresh.is_empty() {
            wake.fired();
        }
        Ok(())
    }
}
