//! How long a client is waited for.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{HttpConfig, config::seconds};

/// For how long a client may be waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    header: Duration,
    idle: Duration,
    stall: Duration,
    bytes_per_second: f64,
}

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request did not come.
    Header,
    /// No further request came.
    Idle,
    /// A body came too slowly.
    Body,
    /// An answer was read too slowly.
    Answer,
}

impl Overdue {
    /// As a label has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Idle => "idle",
            Self::Body => "body",
            Self::Answer => "answer",
        }
    }
}

/// What a connection waits for. Its parts write that down as they go, and one
/// timer looks at it now and then. So a request needs no timer of its own.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<ActivityState>>);

#[derive(Debug)]
struct ActivityState {
    patience: Patience,
    phase: Phase,
    /// Requests so far.
    requests: u64,
    body: Pace,
    answer: Pace,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// A head is due, or a part of it is there.
    Head(Instant),
    /// The last answer is made; a next request may come.
    Idle(Instant),
    /// A request is being answered.
    Work,
}

/// How much longer a client may be waited for. It is a bucket: waiting empties
/// it, and bytes fill it.
#[derive(Debug, Clone, Copy)]
struct Pace {
    left: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    fn waits(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    fn moved(&mut self, bytes: usize, patience: &Patience) {
        let waited = self.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let earned = Duration::from_secs_f64(bytes as f64 / patience.bytes_per_second);
        self.left = (self.left.saturating_sub(waited) + earned).min(patience.stall);
    }

    fn deadline(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + self.left)
    }
}

/// A request in work, until its answer is made and the rest of its body is read.
pub(super) struct Working {
    activity: Activity,
    request: u64,
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        // The next request may have begun: the reader of a body's rest learns
        // of its end a moment later than the connection does.
        if state.requests == self.request {
            state.phase = Phase::Idle(Instant::now());
        }
    }
}

impl Patience {
    pub(super) fn new(config: &HttpConfig) -> Self {
        Self {
            header: seconds(config.header_seconds),
            idle: seconds(config.idle_seconds),
            stall: seconds(config.stall_seconds),
            bytes_per_second: config.min_bytes_per_second.get().into(),
        }
    }

    fn pace(&self) -> Pace {
        Pace { left: self.stall, waiting_since: None }
    }

    /// A timer that looks this often misses no deadline that begins in between.
    fn shortest(&self) -> Duration {
        self.header.min(self.idle).min(self.stall)
    }
}

impl Activity {
    /// For a new connection, which owes a head.
    pub(super) fn new(patience: Patience) -> Self {
        let pace = patience.pace();
        let phase = Phase::Head(Instant::now());
        Self(Arc::new(Mutex::new(ActivityState { patience, phase, requests: 0, body: pace, answer: pace })))
    }

    fn state(&self) -> MutexGuard<'_, ActivityState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in. Between requests they are the beginning of a head.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if let Phase::Idle(_) = state.phase {
            state.phase = Phase::Head(Instant::now());
        }
    }

    /// A head is complete.
    pub(super) fn begin(&self) -> Working {
        let mut state = self.state();
        state.phase = Phase::Work;
        state.requests += 1;
        state.body = state.patience.pace();
        Working { activity: self.clone(), request: state.requests }
    }

    /// The rest of a body is waited for.
    pub(super) fn body_waits(&self) {
        self.state().body.waits();
    }

    /// This many bytes of a body came; 0 if no more are asked for.
    pub(super) fn body_moved(&self, bytes: usize) {
        let state = &mut *self.state();
        state.body.moved(bytes, &state.patience);
    }

    /// The client takes no more of an answer for now.
    pub(super) fn answer_waits(&self) {
        self.state().answer.waits();
    }

    /// The client took this many bytes of an answer. An answer that is made may
    /// still be on its way, and then its client is not idle.
    pub(super) fn answer_moved(&self, bytes: usize) {
        let state = &mut *self.state();
        state.answer.moved(bytes, &state.patience);
        if let Phase::Idle(since) = &mut state.phase {
            *since = Instant::now();
        }
    }

    /// Ends when the client has been waited for too long.
    pub(super) async fn overdue(&self) -> Overdue {
        loop {
            let (due, shortest) = {
                let state = self.state();
                (state.due(), state.patience.shortest())
            };
            let now = Instant::now();
            let look = match due {
                Some((at, what)) if at <= now => return what,
                Some((at, _)) => at.min(now + shortest),
                None => now + shortest,
            };
            sleep_until(look).await;
        }
    }
}

impl ActivityState {
    /// What is due next.
    fn due(&self) -> Option<(Instant, Overdue)> {
        let phase = match self.phase {
            Phase::Head(since) => Some((since + self.patience.header, Overdue::Header)),
            Phase::Idle(since) => Some((since + self.patience.idle, Overdue::Idle)),
            Phase::Work => self.body.deadline().map(|at| (at, Overdue::Body)),
        };
        let answer = self.answer.deadline().map(|at| (at, Overdue::Answer));
        phase.into_iter().chain(answer).min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// 10 s for a head, 75 s idle, 20 s of waiting, a second of it for 4 KiB.
    fn activity() -> Activity {
        Activity::new(Patience::new(&HttpConfig::at(([127, 0, 0, 1], 0).into())))
    }

    /// After how many seconds from now the client is let go, and for what.
    async fn overdue(activity: &Activity) -> (u64, Overdue) {
        let begun = Instant::now();
        let what = timeout(1000 * SECOND, activity.overdue()).await.expect("in the end");
        (begun.elapsed().as_secs(), what)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_however_it_trickles() {
        let activity = activity();
        activity.received();
        advance(4 * SECOND).await;
        activity.received();
        assert_eq!(overdue(&activity).await, (6, Overdue::Header));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_time() {
        let activity = activity();
        drop(activity.begin());
        assert_eq!(overdue(&activity).await, (75, Overdue::Idle));
        activity.received();
        assert_eq!(overdue(&activity).await, (10, Overdue::Header), "the next head is one like the first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_begins_while_the_timer_sleeps_is_held_to_its_time() {
        let activity = activity();
        drop(activity.begin());
        let begins = async {
            tokio::time::sleep(2 * SECOND).await;
            activity.received();
        };
        let (seen, ()) = tokio::join!(overdue(&activity), begins);
        assert_eq!(seen, (12, Overdue::Header));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_request_is_not_that_of_the_next() {
        let activity = activity();
        let first = activity.begin();
        let second = activity.begin();
        drop(first);
        assert_eq!(timeout(1000 * SECOND, activity.overdue()).await.ok(), None);
        drop(second);
        assert_eq!(overdue(&activity).await, (75, Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_work_is_nobodys_delay() {
        let activity = activity();
        let _work = activity.begin();
        assert_eq!(timeout(1000 * SECOND, activity.overdue()).await.ok(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_a_second_holds_no_place() {
        let activity = activity();
        let _work = activity.begin();
        let trickles = async {
            loop {
                activity.body_waits();
                tokio::time::sleep(SECOND).await;
                activity.body_moved(1);
            }
        };
        tokio::select! {
            seen = overdue(&activity) => assert_eq!(seen, (20, Overdue::Body)),
            () = trickles => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_fast_enough_may_go_on_and_stall_no_longer_than_another() {
        let activity = activity();
        let _work = activity.begin();
        for _ in 0..100 {
            activity.body_waits();
            advance(SECOND).await;
            activity.body_moved(4096);
        }
        activity.body_moved(1 << 30);
        activity.body_waits();
        assert_eq!(overdue(&activity).await, (20, Overdue::Body));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_must_be_read_even_when_it_is_made() {
        let activity = activity();
        drop(activity.begin());
        for _ in 0..10 {
            activity.answer_waits();
            advance(15 * SECOND).await;
            activity.answer_moved(1 << 20);
        }
        assert_eq!(overdue(&activity).await, (75, Overdue::Idle), "a slow reader is no idle one");
        let _work = activity.begin();
        activity.answer_waits();
        assert_eq!(overdue(&activity).await, (20, Overdue::Answer));
    }
}
