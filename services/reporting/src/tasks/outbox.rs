//! The outbox of orders: what is written down is done, even if the replica that
//! wrote it down is gone. A redrive is sent to ingestion; a discarded letter
//! leaves the stream, which is room for others.
//!
//! Any replica may do any of them, and two may do the same. The server drops
//! the second copy of a redrive by its name, and enrichment recognises an event
//! by its source and id. A letter that is gone already counts as deleted.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tidemill_events::{DeadLetter, Events, Redrive};
use tidemill_stage::{Disposition, Failure};
use tidemill_store::answered;
use tokio::time::sleep;

use crate::{
    error::Error,
    state::Reporting,
    store::{RedriveToSend, StoredLetter},
};

/// How often the outbox is looked into without being told to.
const INTERVAL: Duration = Duration::from_secs(5);
/// Redrives in one pass, and those under way at once.
const PASS: u16 = 256;
const AT_ONCE: usize = 32;

/// Sends what is ordered, until shutdown.
pub(super) async fn run(reporting: Arc<Reporting>) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = reporting.ordered.notified() => {}
            () = sleep(INTERVAL) => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
        loop {
            let done = tokio::select! {
                done = pass(&reporting) => done,
                // The next pass, or another replica, does what is left.
                () = reporting.context.shutdown.cancelled() => return Ok(()),
            };
            match done {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(code = error.code().as_str(), %error, "orders for dead letters wait; trying again");
                    break;
                }
            }
        }
    }
}

/// Does some of the work; answers how many orders are done with.
async fn pass(reporting: &Reporting) -> Result<usize, Error> {
    // Discards first: what is to be sent may fail again, and need their room.
    let (discarded, sent) = (discard(reporting).await, send_some(reporting).await);
    Ok(discarded? + sent?)
}

/// Deletes discarded letters.
async fn discard(reporting: &Reporting) -> Result<usize, Error> {
    let waiting = answered(reporting.store.discards_to_do(PASS)).await?;
    let count = waiting.len();
    let deleted: Vec<_> = stream::iter(waiting)
        .map(|discard| async move { delete(reporting, discard.letter).await.map(|()| discard.id) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (mut done, mut failed) = (Vec::new(), None);
    for result in deleted {
        match result {
            Ok(id) => done.push(id),
            Err(error) => failed = Some(error),
        }
    }
    answered(reporting.store.discards_done(&done, reporting.now())).await?;
    match failed {
        Some(error) => Err(error),
        None => Ok(count),
    }
}

/// Deletes one letter, and then stores what stays behind: now there is room.
async fn delete(reporting: &Reporting, letter: u64) -> Result<(), Error> {
    let nats = reporting.context.breaker("nats");
    nats.call(reporting.bus.delete::<DeadLetter>(letter)).await?;
    let found = answered(reporting.store.dead_letters_at(&[letter].into())).await?;
    if let Some(left) = found.into_values().next().and_then(|found| found.letter.trace_left()) {
        nats.call(reporting.bus.publish(&left)).await?;
    }
    Ok(())
}

/// Sends redrives.
async fn send_some(reporting: &Reporting) -> Result<usize, Error> {
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
async fn lost(reporting: &Reporting, order: &RedriveToSend) -> Result<(), Error> {
    Ok(answered(reporting.store.redrive_lost(order.id, order.letter, reporting.now())).await?)
}

/// Sends one; answers whether there was a body to send.
async fn send(reporting: &Reporting, order: &RedriveToSend) -> Result<bool, Error> {
    let nats = reporting.context.breaker("nats");
    let stored = nats.call(reporting.bus.message_at::<DeadLetter>(order.letter)).await?.map(|stored| stored.message);
    let mended = (!order.body.is_empty()).then(|| Bytes::from(order.body.clone()));
    let (source, event_id, first_failed_at, trace, several, body) = match (stored, mended) {
        (Some(letter), mended) => {
            let several = matches!(letter.events, Events::Several(_));
            let body = mended.unwrap_or(letter.body);
            (letter.source, letter.event_id, letter.first_failed_at, letter.trace, several, body)
        }
        // A mended event needs no more of its letter than the list has.
        (None, Some(mended)) => {
            let found = answered(reporting.store.dead_letters_at(&[order.letter].into())).await?;
            let Some(StoredLetter { letter, .. }) = found.into_values().next() else { return Ok(false) };
            let several = letter.count > 1;
            (letter.source.unwrap_or_default(), letter.event_id, letter.failed_at, None, several, mended)
        }
        (None, None) => return Ok(false),
    };
    let (id, letter, by, at) = (order.id, order.letter, order.by.clone(), order.at);
    let redrive = Redrive { id, letter, by, at, source, event_id, first_failed_at, trace, several, body };
    nats.call(reporting.bus.publish(&redrive)).await?;
    Ok(true)
}
