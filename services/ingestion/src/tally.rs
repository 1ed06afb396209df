//! Rejected events that are not kept: they are counted all the same, so that
//! the books balance. The counts are gathered, and go out every few seconds as
//! dead letters without a body.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidemill_domain::{SourceName, Timestamp};
use tidemill_events::{DeadLetter, Events};
use tidemill_service::Caller;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::dead_letters::{DeadLetters, blank};

/// How often counts go out.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same while letters have no room: counts are not to fill what is left.
const SLOWLY: Duration = Duration::from_secs(60);
/// Lines that are told apart; what is more goes under no source and no caller.
/// So many letters, with what cannot be told apart, are the most that go out at
/// once.
const MOST_LINES: usize = 64;
/// How long the last counts may take to go out on shutdown.
const PARTING: Duration = Duration::from_secs(5);

/// Why a rejected event is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotKept {
    /// Its caller's budget of dead letters is used up.
    Budget,
    /// The stream of dead letters is full.
    Full,
}

impl NotKept {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Full => "full",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Budget => "the budget of dead letters was used up",
            Self::Full => "the stream of dead letters was full",
        }
    }
}

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    code: &'static str,
    why: NotKept,
    source: String,
    /// The caller by its public name; empty where lines are thrown together.
    caller: String,
    /// The hour, since the books are kept by hours.
    hour: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    events: u64,
    first: Timestamp,
}

/// Counts that are yet to go out.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<Line, Count>>);

impl Tally {
    /// Counts events.
    pub(crate) fn add(
        &self,
        caller: &Caller,
        source: Option<&SourceName>,
        code: &'static str,
        why: NotKept,
        events: u64,
        now: Timestamp,
    ) {
        let source = source.map_or(SourceName::UNKNOWN, SourceName::as_str).to_owned();
        let mut line = Line { code, why, source, caller: caller.to_string(), hour: now.floor_to(3_600_000) };
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MOST_LINES && !lines.contains_key(&line) {
            line = Line { source: SourceName::UNKNOWN.into(), caller: String::new(), hour: Timestamp::EPOCH, ..line };
        }
        lines.entry(line).or_insert(Count { events: 0, first: now }).events += events;
    }

    /// What is to go out, one letter a line.
    fn take(&self, letters: &DeadLetters) -> Vec<DeadLetter> {
        let lines = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let letter = |(line, count): (Line, Count)| DeadLetter {
            code: line.code.into(),
            reason: format!("counted, and not kept: {}{}", line.why.words(), of_caller(&line.caller)),
            source: line.source,
            first_failed_at: count.first,
            events: Events::Counted(count.events),
            ..blank(&letters.context, letters.context.new_id().to_string())
        };
        lines.into_iter().map(letter).collect()
    }
}

fn of_caller(caller: &str) -> String {
    if caller.is_empty() { String::new() } else { format!(" (sent by {caller})") }
}

/// Sends counts off, until `stop`, which is to be after the last request is
/// answered; then all that is left.
pub(crate) async fn run(letters: Arc<DeadLetters>, stop: CancellationToken) -> Result<(), Infallible> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut waiting, mut last) = (Vec::new(), Instant::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let due = letters.room.has_room() || last.elapsed() >= SLOWLY;
        if due && letters.room.has_room_for_counts() {
            last = Instant::now();
            send(&letters, &mut waiting).await;
        }
    }
    // What cannot be written now is told by the metric alone.
    if timeout(PARTING, send(&letters, &mut waiting)).await.is_err() || !waiting.is_empty() {
        tracing::warn!(lines = waiting.len(), "counts of rejected events are not in the books");
    }
    Ok(())
}

/// Sends what waits, and then what was counted since. What fails waits on, and
/// goes under the same name again: it is there once.
async fn send(letters: &DeadLetters, waiting: &mut Vec<DeadLetter>) {
    for again in [true, false] {
        if !again {
            waiting.extend(letters.tally.take(letters));
        }
        while let Some(letter) = waiting.last() {
            match letters.bus.publish(letter).await {
                Ok(_) => drop(waiting.pop()),
                Err(error) => {
                    letters.telemetry.publish_failed(&error);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_no_count_is_lost() {
        let tally = Tally::default();
        let caller = &Caller::ANYBODY;
        for n in 0..1000 {
            let source: SourceName = format!("source-{n}").parse().expect("a name");
            tally.add(caller, Some(&source), "unknown_type", NotKept::Budget, 2, Timestamp::EPOCH);
        }
        let lines = tally.0.lock().expect("nobody panicked");
        assert_eq!((lines.len(), lines.values().map(|count| count.events).sum::<u64>()), (MOST_LINES + 1, 2000));
        let thrown_together = lines.iter().find(|(line, _)| line.caller.is_empty()).expect("there");
        assert_eq!(thrown_together.1.events, 2 * (1000 - MOST_LINES as u64));
    }
}
