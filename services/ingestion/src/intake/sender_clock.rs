//! The clock of a sender, which may be off by hours or years: on phones and in
//! browsers it is whatever its owner has set. A sender that says when it sent an
//! event, by the clock that told the event's time, lets us tell how far it is
//! off (as Segment does: `timestamp` + (received - `sentAt`)).

use tidemill_domain::Timestamp;

/// A clock that is off by less is taken for right: so long a request may be on
/// its way.
const TOLERANCE: i64 = 30_000;
/// An event that was older when it was sent is history, whose time no clock of
/// its sender told.
const OLDEST: i64 = 30 * 24 * 3_600_000;

/// The time of an event by our clock; `None` where the sender's is right, or
/// where both times cannot be of one clock.
pub(super) fn corrected(time: Timestamp, sent_at: Timestamp, received: Timestamp) -> Option<Timestamp> {
    let off = received.millis() - sent_at.millis();
    let age = sent_at.millis() - time.millis();
    let is_off = off.abs() > TOLERANCE;
    let is_of_one_clock = (-TOLERANCE..=OLDEST).contains(&age);
    (is_off && is_of_one_clock).then(|| time.plus_millis(off))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1000;
    const DAY: i64 = 86_400 * SECOND;

    /// When an event is taken to have happened, in milliseconds before it came: by
    /// its clock, which is off by this, it was so old when it was sent.
    fn before(off: i64, age: i64) -> Option<i64> {
        let received = Timestamp::saturating_from_millis(1_700_000_000_000);
        let sent_at = received.plus_millis(-off);
        corrected(sent_at.plus_millis(-age), sent_at, received).map(|time| received.millis() - time.millis())
    }

    #[test]
    fn an_event_is_as_old_as_it_was_when_it_was_sent() {
        for off in [31 * SECOND, -5 * 3600 * SECOND, 30 * DAY, -DAY, 53 * 365 * DAY] {
            for age in [0, 4 * SECOND, 29 * DAY] {
                assert_eq!(before(off, age), Some(age), "off by {off}");
            }
        }
    }

    #[test]
    fn the_way_of_a_request_is_no_wrong_clock() {
        for off in [0, 1, 30 * SECOND, -30 * SECOND] {
            assert_eq!(before(off, 4 * SECOND), None, "off by {off}");
        }
    }

    #[test]
    fn times_of_two_clocks_say_nothing_of_one() {
        for age in [31 * DAY, -31 * SECOND, 10_000 * DAY, -DAY] {
            assert_eq!(before(DAY, age), None, "{age} old");
        }
        // No time is so far off that it is out of range.
        let (first, last) = ("0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z");
        let [first, last] = [first, last].map(|time| time.parse::<Timestamp>().expect(time));
        assert_eq!(corrected(first, first, last), Some(last));
        assert_eq!(corrected(last, last, first), Some(first));
    }
}
