//! From the streams into the read model: one recipe a stream.
//!
//! Each chunk is decoded, folded in one transaction, and acknowledged. What
//! was folded and not acknowledged comes again and changes nothing.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use tidemill_bus::{Delivery, ack_all};
use tidemill_domain::Partition;
use tidemill_events::{AlertTransition, DeadLetter, Durable, Message, MetricsUpdate, RawBatch, TraceParent};
use tidemill_service::trace;
use tokio::time::sleep;
use tracing::Span;

use crate::{
    books::{self, Entry},
    dead_letters::Letter,
    error::{Disposition, Error},
    read_model::MetricsFold,
    state::Reporting,
    store::Side,
};

/// Messages that one transaction folds at most.
const CHUNK: usize = 256;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(5);

/// What is done with a stream's messages.
pub trait Recipe: Send + Sync + 'static {
    /// Where they come from.
    const DURABLE: Durable;
    /// Under which name readiness and metrics speak of it.
    const NAME: &'static str;
    /// What they are.
    type Message: Message + Send + Sync;

    /// Takes messages, with their stream sequences, into the read model.
    fn fold(
        reporting: &Reporting,
        messages: Vec<(u64, Self::Message)>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Follows a stream until shutdown. What is away is waited for; a fault of
/// ours ends it.
pub async fn run<R: Recipe>(reporting: Arc<Reporting>) -> Result<(), Error> {
    let mut wait = FIRST_WAIT;
    loop {
        let Err(error) = follow::<R>(&reporting, &mut wait).await else { return Ok(()) };
        match error.disposition() {
            Disposition::Retry => {
                tracing::warn!(consumer = R::NAME, code = error.code(), %error, "paused; trying again");
                reporting.context.health.unready(R::NAME, error.to_string());
            }
            Disposition::DeadLetter | Disposition::Halt => return Err(error),
        }
        tokio::select! {
            () = sleep(wait) => wait = (wait * 2).min(LAST_WAIT),
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn follow<R: Recipe>(reporting: &Reporting, wait: &mut Duration) -> Result<(), Error> {
    reporting.store.ping().await?;
    let mut subscription = reporting.bus.subscribe(R::DURABLE).await?;
    reporting.context.health.ready(R::NAME);
    loop {
        let chunk = tokio::select! {
            chunk = subscription.next_chunk(CHUNK) => chunk?,
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        };
        let (messages, deliveries) = decode::<R>(reporting, chunk).await?;
        let count = messages.len();
        R::fold(reporting, messages).await?;
        ack_all(&deliveries).await?;
        reporting.telemetry.folded(R::NAME, count);
        *wait = FIRST_WAIT;
    }
}

/// The messages in their type, and the deliveries that they came by. One that
/// cannot be read goes to the dead letters and holds nothing up.
async fn decode<R: Recipe>(
    reporting: &Reporting,
    chunk: Vec<Delivery>,
) -> Result<(Vec<(u64, R::Message)>, Vec<Delivery>), Error> {
    let (mut messages, mut deliveries) = (Vec::with_capacity(chunk.len()), Vec::with_capacity(chunk.len()));
    for delivery in chunk {
        match delivery.decode::<R::Message>().map_err(Error::from) {
            Ok(message) => {
                messages.push((delivery.sequence, message));
                deliveries.push(delivery);
            }
            Err(error) => give_up::<R>(reporting, &delivery, &error).await?,
        }
    }
    Ok((messages, deliveries))
}

async fn give_up<R: Recipe>(reporting: &Reporting, delivery: &Delivery, error: &Error) -> Result<(), Error> {
    let stream = R::DURABLE.stream();
    tracing::error!(consumer = R::NAME, sequence = delivery.sequence, %error, "a message cannot be read");
    reporting.telemetry.dead_lettered(error.code());
    // What is among the dead letters already is not put there again.
    if stream != DeadLetter::STREAM {
        let letter = DeadLetter {
            id: format!("reporting-{stream}-{}", delivery.sequence),
            service: "reporting".into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: error.code().into(),
            reason: error.to_string(),
            pointer: None,
            stream: Some(stream.to_string()),
            sequence: Some(delivery.sequence),
            deliveries: delivery.deliveries,
            first_failed_at: reporting.now(),
            source: books::UNKNOWN_SOURCE.into(),
            event_id: None,
            trace: None,
            body: delivery.payload(),
        };
        let complain = |error: &_| tracing::warn!(%error, "a dead letter is not stored yet; trying again");
        tokio::select! {
            stored = reporting.bus.publish_until_stored(&letter, complain) => drop(stored?),
            // It comes again after the next start.
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
    }
    Ok(delivery.terminate().await?)
}

/// The span of a message in the trace of the event behind it; `None` where
/// that is not recorded.
fn report_span(parent: Option<TraceParent>, durable: Durable, cells: usize) -> Option<Span> {
    let parent = parent.filter(|parent| parent.is_sampled())?;
    let span = tracing::info_span!(
        "report",
        otel.name = "report",
        otel.kind = "consumer",
        trace_id = tracing::field::Empty,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = durable.stream().as_str(),
        messaging.consumer.group.name = durable.name(),
        tidemill.cells = cells,
    );
    trace::continue_trace(&span, parent);
    Some(span)
}

/// Window totals and outcomes.
pub struct Metrics;

impl Recipe for Metrics {
    const DURABLE: Durable = Durable::ReportingMetrics;
    const NAME: &'static str = "metrics";
    type Message = MetricsUpdate;

    async fn fold(reporting: &Reporting, messages: Vec<(u64, MetricsUpdate)>) -> Result<(), Error> {
        let mut fold = MetricsFold::default();
        let mut spans = Vec::new();
        for (_, update) in messages {
            spans.extend(report_span(update.trace, Self::DURABLE, update.cells.len()));
            reporting.telemetry.fresh(update.as_of, reporting.now());
            fold.observe(update);
        }
        let now = reporting.now();
        reporting.store.fold_metrics(&fold, now).await?;
        reporting.metrics_folded(&fold, now);
        reporting.telemetry.cells(fold.cells.len());
        Ok(())
    }
}

/// Batches of the log, for the books.
pub struct Log;

impl Recipe for Log {
    const DURABLE: Durable = Durable::ReportingRaw;
    const NAME: &'static str = "log";
    type Message = RawBatch;

    async fn fold(reporting: &Reporting, messages: Vec<(u64, RawBatch)>) -> Result<(), Error> {
        let entries: Vec<Entry> = messages.iter().map(|(sequence, batch)| Entry::of_batch(*sequence, batch)).collect();
        // In stream order, so that the last of a partition is the furthest.
        let heads: BTreeMap<Partition, u64> =
            messages.iter().map(|(sequence, batch)| (batch.partition, *sequence)).collect();
        reporting.store.fold_intake(Side::Log, &entries, &heads, &[]).await?;
        reporting.log_folded(&heads);
        Ok(())
    }
}

/// Dead letters, for the books and the list.
pub struct DeadLetters;

impl Recipe for DeadLetters {
    const DURABLE: Durable = Durable::ReportingDlq;
    const NAME: &'static str = "dead-letters";
    type Message = DeadLetter;

    async fn fold(reporting: &Reporting, messages: Vec<(u64, DeadLetter)>) -> Result<(), Error> {
        let entries: Vec<Entry> =
            messages.iter().map(|(sequence, letter)| Entry::of_letter(*sequence, letter)).collect();
        let letters: Vec<Letter> = messages.iter().map(|(sequence, letter)| Letter::new(*sequence, letter)).collect();
        reporting.store.fold_intake(Side::DeadLetters, &entries, &BTreeMap::new(), &letters).await?;
        reporting.news.books_changed();
        Ok(())
    }
}

/// Transitions of alerts.
pub struct Alerts;

impl Recipe for Alerts {
    const DURABLE: Durable = Durable::ReportingAlerts;
    const NAME: &'static str = "alerts";
    type Message = AlertTransition;

    async fn fold(reporting: &Reporting, messages: Vec<(u64, AlertTransition)>) -> Result<(), Error> {
        let transitions: Vec<AlertTransition> = messages.into_iter().map(|(_, transition)| transition).collect();
        let _spans: Vec<Span> =
            transitions.iter().filter_map(|transition| report_span(transition.trace, Self::DURABLE, 0)).collect();
        let alerts = reporting.store.fold_alerts(&transitions).await?;
        reporting.alerts_folded(&alerts);
        Ok(())
    }
}
