//! Which of the changes in the read model clients of the live stream have been told of.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::unit::SequenceRange;

/// How far the totals are heard of that clients are told of before they are in the read
/// model. All positions are sequences of `METRICS`.
#[derive(Debug, Default)]
pub(crate) struct HeardTotals(Mutex<HeardRange>);

#[derive(Debug, Default, Clone, Copy)]
struct HeardRange {
    /// What came behind this is heard of; none while nobody listens.
    from: Option<u64>,
    /// The last message that was heard.
    to: u64,
    /// A client may have come, and read the read model, when so much was heard.
    anew: u64,
}

impl HeardTotals {
    fn standing(&self) -> MutexGuard<'_, HeardRange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes behind this message is heard of from now on.
    pub(crate) fn begin(&self, from: u64) {
        let mut standing = self.standing();
        *standing = HeardRange { from: Some(from), to: from, anew: standing.anew.max(from) };
    }

    /// All up to this message was heard of.
    pub(crate) fn hear(&self, to: u64) {
        self.standing().to = to;
    }

    /// Nobody listens any more.
    pub(crate) fn end(&self) {
        self.standing().from = None;
    }

    /// Somebody fetches everything from the read model, and knows nothing of what was
    /// told until now.
    pub(crate) fn fetched_anew(&self) {
        let mut standing = self.standing();
        standing.anew = standing.anew.max(standing.to);
    }

    /// Whether any total was ever heard of.
    pub(crate) fn is_any(&self) -> bool {
        self.standing().to > 0
    }

    /// Whether every client knows what these messages say, and has known it before they
    /// came into the read model.
    pub(crate) fn is_known(&self, range: SequenceRange) -> bool {
        let HeardRange { from, to, anew } = *self.standing();
        from.is_some_and(|from| from <= range.after && anew <= range.after && range.last <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(after: u64, last: u64) -> SequenceRange {
        SequenceRange { after, last }
    }

    #[test]
    fn what_was_heard_is_known_until_somebody_comes() {
        let heard = HeardTotals::default();
        assert!(!heard.is_known(range(0, 0)), "nobody listens");
        heard.begin(10);
        heard.hear(14);
        assert!(heard.is_known(range(10, 14)) && heard.is_known(range(12, 13)));
        assert!(!heard.is_known(range(9, 14)), "it began later");
        assert!(!heard.is_known(range(10, 15)), "that one was not heard yet");
        heard.fetched_anew();
        assert!(!heard.is_known(range(13, 14)), "who has come may have read what was stored before");
        heard.hear(16);
        assert!(heard.is_known(range(14, 16)));
        heard.end();
        assert!(!heard.is_known(range(14, 16)));
    }
}
