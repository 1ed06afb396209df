//! Events by their names, and by what they are about.

use std::{borrow::Cow, fmt, hash::Hasher};

use xxhash_rust::xxh3::xxh3_128;

/// A 128-bit XXH3 hash: of an event's source, a NUL and its id; or, of another
/// domain, of its type and the texts of its business key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventKey {
    high: u64,
    low: u64,
}

impl EventKey {
    pub(crate) const BYTES: usize = 16;

    /// `scratch` is overwritten; it saves an allocation per event.
    pub(crate) fn of(source: &str, id: &str, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(source.as_bytes());
        // Neither holds control characters, so no two pairs read alike.
        scratch.push(0);
        scratch.extend_from_slice(id.as_bytes());
        Self::from_bytes(xxh3_128(scratch).to_be_bytes())
    }

    /// Of the texts that say what an event of this type is about.
    pub(crate) fn of_business(kind: &str, texts: &[Cow<'_, str>], scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        // A source is not empty: no event's name begins like this.
        scratch.push(0);
        scratch.extend_from_slice(kind.as_bytes());
        for text in texts {
            // Texts in data may hold anything, so each has its length before it.
            scratch.push(0);
            scratch.extend_from_slice(&(text.len() as u64).to_be_bytes());
            scratch.extend_from_slice(text.as_bytes());
        }
        Self::from_bytes(xxh3_128(scratch).to_be_bytes())
    }

    pub(super) fn high(self) -> u64 {
        self.high
    }

    pub(super) fn low(self) -> u64 {
        self.low
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let hash = u128::from_be_bytes(bytes);
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { high: (hash >> 64) as u64, low: hash as u64 }
    }
}

/// As hexadecimal digits.
impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl std::hash::Hash for EventKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// By what an event is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventKeys {
    /// Its source and id.
    pub(crate) event: EventKey,
    /// What it is about, where its type has a business key.
    pub(crate) business: Option<EventKey>,
}

/// A key is a hash already.
#[derive(Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
