//! Keys as the store has them.

use tidemill_domain::Timestamp;

use super::EventKey;

/// The first 80 bits of a key. Among 60 million keys another one has the same with
/// a probability of 60,000,000 / 2^80, which is 5e-17.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint(u128);

impl Fingerprint {
    pub(super) const BYTES: usize = 10;

    pub(super) fn of(key: EventKey) -> Self {
        Self(u128::from(key.high()) << 16 | u128::from(key.low() >> 48))
    }

    /// The 80 bits as a number.
    pub(super) fn bits(self) -> u128 {
        self.0
    }

    /// Of a number of 80 bits.
    pub(super) fn from_bits(bits: u128) -> Self {
        Self(bits & ((1 << (8 * Self::BYTES)) - 1))
    }

    /// The first 32 bits: blocks begin where these change.
    #[allow(clippy::cast_possible_truncation, reason = "80 bits, less 48")]
    pub(super) fn head(self) -> u32 {
        (self.0 >> 48) as u32
    }

    /// What filters are made of. In the order of the fingerprints it grows.
    #[allow(clippy::cast_possible_truncation, reason = "80 bits, less 16")]
    pub(super) fn hash(self) -> u64 {
        (self.0 >> 16) as u64
    }
}

/// A fingerprint, and the log's clock when it was last seen: in the order of the
/// fingerprints, and of one of them in that of time. Packed, for there are millions
/// when runs are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u128);

/// Bits of the time, and its zero: the years from -2490 to 6429.
const TIME_BITS: u32 = 48;
const TIME_ZERO: i64 = 1 << (TIME_BITS - 1);

impl Entry {
    pub(super) fn new(fingerprint: Fingerprint, seen: Timestamp) -> Self {
        let time = seen.millis().clamp(-TIME_ZERO, TIME_ZERO - 1) + TIME_ZERO;
        Self(fingerprint.0 << TIME_BITS | u128::from(time.unsigned_abs()))
    }

    pub(super) fn fingerprint(self) -> Fingerprint {
        Fingerprint(self.0 >> TIME_BITS)
    }

    #[allow(clippy::cast_possible_truncation, reason = "the last 48 bits")]
    pub(super) fn seen(self) -> Timestamp {
        let time = self.0 as i64 & ((1 << TIME_BITS) - 1);
        Timestamp::saturating_from_millis(time - TIME_ZERO)
    }
}

/// In order, and each fingerprint once, with its last sighting.
pub(super) fn ordered(mut entries: Vec<Entry>) -> Vec<Entry> {
    // Runs are in order by themselves: a stable sort merges them.
    entries.sort();
    entries.dedup_by(|later, kept| {
        let is_same = later.fingerprint() == kept.fingerprint();
        if is_same {
            *kept = *later;
        }
        is_same
    });
    entries
}
