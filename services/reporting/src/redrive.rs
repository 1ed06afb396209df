//! The outbox of redrives: what is written down as ordered is sent to
//! ingestion, also when the replica that wrote it down is gone.
//!
//! Any replica may send any of them, and two may send the same: the order's
//! name lets the server drop the copy, and behind that the event's own source
//! and id have it counted once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tidemill_events::{DeadLetter, Redrive};
use tidemill_store::answered;
use tokio::time::sleep;

use crate::{
    error::{Disposition, Error},
    state::Reporting,
    store::{Found, ToSend},
};

/// How often the outbox is looked into without being told to.
const INTERVAL: Duration = Duration::from_secs(5);
/// Redrives in one pass, and those under way at once.
const PASS: u16 = 256;
const AT_ONCE: usize = 32;

/// Sends what is ordered, until shutdown.
pub async fn run(reporting: Arc<Reporting>) -> Result<(), Infallible> {
    let nats = reporting.context.breaker("nats");
    loop {
        tokio::select! {
            () = reporting.ordered.notified() => {}
            () = sleep(INTERVAL) => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
        loop {
            let attempt = tokio::select! {
                attempt = nats.attempt() => attempt,
                () = reporting.context.shutdown.cancelled() => return Ok(()),
            };
            match pass(&reporting).await {
                Ok(0) => break,
                Ok(_) => attempt.succeeded(),
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, "redrives are not sent yet; trying again");
                    if matches!(error, Error::Bus(_)) {
                        attempt.failed(error);
                    }
                    break;
                }
            }
        }
    }
}

/// Sends some; answers how many are off the list.
async fn pass(reporting: &Reporting) -> Result<usize, Error> {
    let waiting = answered(reporting.store.redrives_to_send(PASS)).await?;
    let count = waiting.len();
    let sent: Vec<_> = stream::iter(waiting)
        .map(|order| async move {
            let sent = send(reporting, &order).await;
            (order, sent)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (mut done, mut failed) = (Vec::new(), None);
    for (order, result) in sent {
        match result {
            Ok(true) => done.push(order.id),
            Ok(false) => lost(reporting, &order).await?,
            Err(error) if error.disposition() == Disposition::Retry => failed = Some(error),
            Err(error) => {
                tracing::error!(letter = order.letter, %error, "a redrive cannot be sent");
                lost(reporting, &order).await?;
            }
        }
    }
    answered(reporting.store.redrives_sent(&done)).await?;
    match failed {
        Some(error) => Err(error),
        None => Ok(count),
    }
}

/// There is nothing that could be sent.
async fn lost(reporting: &Reporting, order: &ToSend) -> Result<(), Error> {
    Ok(answered(reporting.store.redrive_lost(order.id, order.letter, reporting.now())).await?)
}

/// Sends one; answers no where there is no body to send.
async fn send(reporting: &Reporting, order: &ToSend) -> Result<bool, Error> {
    let stored = reporting.bus.message_at::<DeadLetter>(order.letter).await?.map(|stored| stored.message);
    let mended = (!order.body.is_empty()).then(|| Bytes::from(order.body.clone()));
    let (source, event_id, first_failed_at, trace, body) = match (stored, mended) {
        (Some(letter), mended) => {
            let body = mended.unwrap_or(letter.body);
            (letter.source, letter.event_id, letter.first_failed_at, letter.trace, body)
        }
        // A mended event needs no more of its letter than the list has.
        (None, Some(mended)) => {
            let found = answered(reporting.store.dead_letters_at(&[order.letter].into())).await?;
            let Some(Found { letter, .. }) = found.into_values().next() else { return Ok(false) };
            (letter.source.unwrap_or_default(), letter.event_id, letter.failed_at, None, mended)
        }
        (None, None) => return Ok(false),
    };
    let (id, letter, by, at) = (order.id, order.letter, order.by.clone(), order.at);
    let redrive = Redrive { id, letter, by, at, source, event_id, first_failed_at, trace, body };
    reporting.bus.publish(&redrive).await?;
    Ok(true)
}
