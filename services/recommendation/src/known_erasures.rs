//! Up to when it is known who is forgotten.
//!
//! An event is learnt only where each erasure is known by which it is not. No event is asked for
//! in the store for that: a replica writes down up to which time of intake it is about to learn,
//! and then looks who is forgotten. Whoever is forgotten behind that is so for longer
//! ([`Store::will_learn`](crate::store::Store::will_learn)).

use std::sync::atomic::{AtomicI64, Ordering};

use tidemill_domain::Timestamp;
use tokio::sync::{Notify, watch};

/// How far ahead of what is taken in it is written down. Whoever is forgotten is so for longer
/// than this in any case, so it makes no difference to them.
const AHEAD_MILLIS: i64 = 5_000;
/// How far ahead of the clock a time of intake counts. One that is further ahead is of a broken
/// clock, and nobody is to be forgotten until then.
const CLOCKS_MILLIS: i64 = 3_600_000;

/// Up to when it is known who is forgotten, on this replica.
#[derive(Debug)]
pub(crate) struct KnownErasures {
    /// What was taken in up to then may be learnt.
    up_to: watch::Sender<Timestamp>,
    /// The newest time of intake that was to be learnt, in milliseconds.
    newest: AtomicI64,
    /// That of the end of the log when the replica began: what it has to catch up with.
    end: AtomicI64,
    /// Somebody waits.
    wanted: Notify,
}

impl KnownErasures {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        let never = Timestamp::saturating_from_millis(i64::MIN);
        let newest = || AtomicI64::new(never.millis());
        Self { up_to: watch::Sender::new(never), newest: newest(), end: newest(), wanted: Notify::new() }
    }

    /// The log has what was taken in then, and is about to be learnt up to there.
    pub(crate) fn catch_up_to(&self, end: Timestamp, now: Timestamp) {
        self.end.fetch_max(counted(end, now).millis(), Ordering::Relaxed);
    }

    /// Whether all erasures are known by which something is not learnt that was taken in then.
    pub(crate) fn covers(&self, ingested_at: Timestamp, now: Timestamp) -> bool {
        let counted = counted(ingested_at, now);
        self.newest.fetch_max(counted.millis(), Ordering::Relaxed);
        *self.up_to.borrow() >= counted
    }

    /// Waits until they are.
    pub(crate) async fn cover(&self, ingested_at: Timestamp, now: Timestamp) {
        if self.covers(ingested_at, now) {
            return;
        }
        let (counted, mut up_to) = (counted(ingested_at, now), self.up_to.subscribe());
        self.wanted.notify_one();
        // The sender lives as long as this.
        let _ = up_to.wait_for(|up_to| *up_to >= counted).await;
    }

    /// Waits until somebody waits.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Up to when is about to be learnt, where that has to be written down: so early that nobody
    /// waits for it while events come. It goes by times of intake alone: were it by the clock of a
    /// replica, one wrong clock would have everybody forgotten until then.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let newest = self.newest.load(Ordering::Relaxed).max(self.end.load(Ordering::Relaxed));
        let newest = Timestamp::saturating_from_millis(newest);
        let is_due = *self.up_to.borrow() < newest.plus_millis(AHEAD_MILLIS / 2);
        is_due.then(|| newest.plus_millis(AHEAD_MILLIS))
    }

    /// All erasures are known that may end before then.
    pub(crate) fn reach(&self, up_to: Timestamp) {
        self.up_to.send_if_modified(|known| {
            let is_later = *known < up_to;
            *known = up_to.max(*known);
            is_later
        });
    }
}

/// As what a time of intake counts.
pub(crate) fn counted(ingested_at: Timestamp, now: Timestamp) -> Timestamp {
    ingested_at.min(now.plus_millis(CLOCKS_MILLIS))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::saturating_from_millis(millis)
    }

    #[tokio::test]
    async fn who_learns_waits_for_what_is_written_down() {
        let known = KnownErasures::new();
        let patience = Duration::from_millis(20);
        assert!(timeout(patience, known.cover(at(100), at(100))).await.is_err());
        timeout(patience, known.wanted()).await.expect("it is wanted");
        assert_eq!(known.next(), Some(at(5_100)));
        known.catch_up_to(at(9_000), at(9_000));
        assert_eq!(known.next(), Some(at(14_000)), "what is old needs no more than what is new");
        let (waited, ()) = tokio::join!(timeout(patience, known.cover(at(5_100), at(100))), async {
            known.reach(at(5_100));
        });
        waited.expect("it is covered");
        known.reach(at(7));
        assert!(known.covers(at(5_100), at(100)) && !known.covers(at(5_101), at(100)), "it never goes back");
    }

    #[test]
    fn it_is_written_down_before_anybody_waits_and_not_where_nothing_comes() {
        let known = KnownErasures::new();
        known.reach(at(5_000));
        assert!(known.covers(at(2_500), at(0)));
        assert_eq!(known.next(), None, "nothing came that needs it");
        assert!(known.covers(at(2_501), at(2_501)));
        assert_eq!(known.next(), Some(at(7_501)));
    }

    #[test]
    fn a_replica_whose_own_clock_is_ahead_writes_down_no_more_than_others() {
        let known = KnownErasures::new();
        let ahead = at(365 * 24 * CLOCKS_MILLIS);
        known.catch_up_to(at(500), ahead);
        assert!(!known.covers(at(1_000), ahead));
        assert_eq!(known.next(), Some(at(6_000)));
    }

    #[test]
    fn a_broken_clock_has_nobody_forgotten_for_ever() {
        let known = KnownErasures::new();
        assert!(!known.covers(at(i64::MAX), at(0)));
        assert_eq!(known.next(), Some(at(CLOCKS_MILLIS + AHEAD_MILLIS)));
        known.reach(at(CLOCKS_MILLIS + AHEAD_MILLIS));
        assert!(known.covers(at(i64::MAX), at(0)) && known.covers(at(CLOCKS_MILLIS), at(0)));
    }
}
