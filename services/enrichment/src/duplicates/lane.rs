//! Ranges of keys.

use super::entry::Fingerprint;

/// The ranges that keys are divided into. Runs of a range are merged by themselves, so
/// that no merge is of more than a sixteenth of what a partition has.
pub(super) const LANES: u8 = 16;

/// A range of keys: those that begin with these four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane(u8);

impl Lane {
    /// `None` where there is no such range.
    pub(crate) fn new(number: u8) -> Option<Self> {
        (number < LANES).then_some(Self(number))
    }

    #[allow(clippy::cast_possible_truncation, reason = "the first four bits")]
    pub(super) fn of(fingerprint: Fingerprint) -> Self {
        Self((fingerprint.bits() >> (8 * Fingerprint::BYTES - 4)) as u8)
    }

    pub(crate) fn number(self) -> u8 {
        self.0
    }
}
