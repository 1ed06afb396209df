//! Counts of rejected events that are not kept go out every few seconds, as
//! dead letters without a body.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_events::{DeadLetter, Events};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{letter::blank, writer::DeadLetterWriter};

/// How often counts go out.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same while letters have no room: counts are not to fill what is left.
const SLOWLY: Duration = Duration::from_secs(60);
/// How long the last counts may take to go out on shutdown.
const PARTING: Duration = Duration::from_secs(5);

/// Sends counts off, until `stop`, which is to be after the last request is
/// answered; then all that is left.
pub(crate) async fn run(writer: Arc<DeadLetterWriter>, stop: CancellationToken) -> Result<(), Infallible> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut waiting, mut last) = (Vec::new(), Instant::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let due = writer.room.has_room() || last.elapsed() >= SLOWLY;
        if due && writer.room.has_room_for_counts() {
            last = Instant::now();
            send(&writer, &mut waiting).await;
        }
    }
    // What cannot be written now is told by the metric alone.
    if timeout(PARTING, send(&writer, &mut waiting)).await.is_err() || !waiting.is_empty() {
        tracing::warn!(lines = waiting.len(), "counts of rejected events are not in the books");
    }
    Ok(())
}

/// Sends what waits, and then what was counted since. What fails waits on, and
/// goes under the same name again: it is there once.
async fn send(writer: &DeadLetterWriter, waiting: &mut Vec<DeadLetter>) {
    for again in [true, false] {
        if !again {
            waiting.extend(letters(writer));
        }
        while let Some(letter) = waiting.last() {
            match writer.bus.publish(letter).await {
                Ok(_) => drop(waiting.pop()),
                Err(error) => {
                    writer.telemetry.publish_failed(&error);
                    return;
                }
            }
        }
    }
}

/// What was counted since the last time, one letter a line.
fn letters(writer: &DeadLetterWriter) -> impl Iterator<Item = DeadLetter> {
    writer.tally.take().into_iter().map(|(line, count)| DeadLetter {
        code: line.code.as_str().into(),
        reason: format!("counted, and not kept: {}{}", line.why.words(), of_caller(&line.caller)),
        source: line.source,
        first_failed_at: count.first,
        events: Events::Counted(count.events),
        ..blank(&writer.context, writer.context.new_id().to_string())
    })
}

fn of_caller(caller: &str) -> String {
    if caller.is_empty() { String::new() } else { format!(" (sent by {caller})") }
}
