//! Blocks: some four hundred keys, on one page of a database.

#[cfg(test)]
mod tests;

use tidemill_domain::Timestamp;

use super::entry::{Entry, Fingerprint};

/// Bytes of a block at most, but for keys that cannot be told apart by their first 32
/// bits: with these, a row of it fills a page of SQLite, and half a page of PostgreSQL.
const MOST_BYTES: usize = 4030;
/// Count, widths, length of a tick, tick of the times' zero, first fingerprint.
const HEAD: usize = 4 + 1 + 1 + 4 + 8 + Fingerprint::BYTES;
/// Bits of a key in the part in unary, on average at most.
const UNARY_BITS: u128 = 8;

/// Keys of a range in their order, each with the log's clock when it was last seen, in
/// ticks. A fingerprint is in two parts: its last bytes as they are, and what is before
/// them as the difference to the fingerprint before, in unary (Elias 1974, Fano 1971).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyBlock {
    bytes: Vec<u8>,
    layout: BlockLayout,
}

/// What the head of a block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BlockLayout {
    keys: usize,
    shape: BlockShape,
    first: Fingerprint,
}

/// What the blocks of a run have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BlockShape {
    /// Bytes of a fingerprint that stand as they are.
    low: usize,
    /// Bytes of a time.
    time: usize,
    tick_millis: u32,
    /// The tick that times are counted from.
    from: i64,
}

/// Cuts keys that are in order into blocks, each with the first 32 bits of its first key.
pub(super) fn cut(entries: &[Entry], tick_millis: u32) -> Vec<(u32, KeyBlock)> {
    let Some(shape) = BlockShape::of(entries, tick_millis) else { return Vec::new() };
    let (mut blocks, mut rest) = (Vec::new(), entries);
    while let Some(first) = rest.first() {
        let (block, others) = rest.split_at(shape.fitting(rest));
        blocks.push((first.fingerprint().head(), shape.encode(block)));
        rest = others;
    }
    blocks
}

impl BlockShape {
    fn of(entries: &[Entry], tick_millis: u32) -> Option<Self> {
        let ticks = || entries.iter().map(|entry| tick(entry.seen(), tick_millis));
        let (from, to) = (ticks().min()?, ticks().max()?);
        let time_bits = u64::BITS - from.abs_diff(to).leading_zeros();
        let range = entries.last()?.fingerprint().bits() - entries.first()?.fingerprint().bits();
        let gap = range / entries.len() as u128;
        let low = (0..Fingerprint::BYTES).find(|bytes| gap >> (8 * bytes) <= UNARY_BITS);
        let low = low.unwrap_or(Fingerprint::BYTES);
        Some(Self { low, time: time_bits.div_ceil(8) as usize, tick_millis, from })
    }

    /// How many of the keys go into one block.
    fn fitting(self, entries: &[Entry]) -> usize {
        let (mut count, mut head) = (0, 0);
        for entry in entries {
            let fingerprint = entry.fingerprint();
            let bytes = HEAD
                + self.unary_bytes(entries[0].fingerprint(), fingerprint, count + 1)
                + (count + 1) * (self.low + self.time);
            if count > 0 && bytes > MOST_BYTES && fingerprint.head() != head {
                break;
            }
            (count, head) = (count + 1, fingerprint.head());
        }
        count
    }

    /// The part of a fingerprint that is in unary, counted from the first of the block.
    #[allow(clippy::cast_possible_truncation, reason = "on average eight for each key of a run")]
    fn high(self, first: Fingerprint, fingerprint: Fingerprint) -> usize {
        ((fingerprint.bits() >> (8 * self.low)) - (first.bits() >> (8 * self.low))) as usize
    }

    fn unary_bytes(self, first: Fingerprint, last: Fingerprint, count: usize) -> usize {
        (self.high(first, last) + count).div_ceil(8)
    }

    /// Of at least one key.
    fn encode(self, entries: &[Entry]) -> KeyBlock {
        let first = entries[0].fingerprint();
        let last = entries[entries.len() - 1].fingerprint();
        let unary = self.unary_bytes(first, last, entries.len());
        let mut bytes = Vec::with_capacity(HEAD + unary + entries.len() * (self.low + self.time));
        bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes()[..4]);
        bytes.extend_from_slice(&[byte(self.low), byte(self.time)]);
        bytes.extend_from_slice(&self.tick_millis.to_le_bytes());
        bytes.extend_from_slice(&self.from.to_le_bytes());
        bytes.extend_from_slice(&first.bits().to_le_bytes()[..Fingerprint::BYTES]);
        bytes.resize(HEAD + unary, 0);
        for (index, entry) in entries.iter().enumerate() {
            let place = self.high(first, entry.fingerprint()) + index;
            bytes[HEAD + place / 8] |= 1 << (place % 8);
        }
        for entry in entries {
            bytes.extend_from_slice(&entry.fingerprint().bits().to_le_bytes()[..self.low]);
        }
        for entry in entries {
            let ticks = tick(entry.seen(), self.tick_millis) - self.from;
            bytes.extend_from_slice(&ticks.to_le_bytes()[..self.time]);
        }
        KeyBlock { bytes, layout: BlockLayout { keys: entries.len(), shape: self, first } }
    }
}

fn tick(time: Timestamp, tick_millis: u32) -> i64 {
    time.millis().div_euclid(i64::from(tick_millis))
}

/// A width, which is ten at most.
#[allow(clippy::cast_possible_truncation, reason = "ten at most")]
fn byte(width: usize) -> u8 {
    width as u8
}

/// A number of up to sixteen bytes, the last first.
fn number(bytes: &[u8]) -> u128 {
    let mut whole = [0; 16];
    whole[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(whole)
}

impl KeyBlock {
    /// `None` where these bytes are no block.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let (count, head) = head.split_first_chunk::<4>()?;
        let ([low, time], head) = head.split_first_chunk()?;
        let (tick_millis, head) = head.split_first_chunk()?;
        let (from, first) = head.split_first_chunk()?;
        let keys = u32::from_le_bytes(*count) as usize;
        let (low, time) = (usize::from(*low), usize::from(*time));
        let unary = rest.len().checked_sub(keys.checked_mul(low + time)?)?;
        let ones: usize = rest[..unary].iter().map(|byte| byte.count_ones() as usize).sum();
        let tick_millis = u32::from_le_bytes(*tick_millis);
        let is_whole = ones == keys && low <= Fingerprint::BYTES && time <= 8 && tick_millis > 0;
        let shape = BlockShape { low, time, tick_millis, from: i64::from_le_bytes(*from) };
        let layout = BlockLayout { keys, shape, first: Fingerprint::from_bits(number(first)) };
        is_whole.then_some(Self { bytes, layout })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The keys, in their order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.highs().enumerate().map(|(index, high)| Entry::new(self.fingerprint(index, high), self.seen(index)))
    }

    /// When a key was last seen, to the tick's begin.
    pub(super) fn last_seen(&self, fingerprint: Fingerprint) -> Option<Timestamp> {
        let BlockLayout { shape, first, .. } = self.layout;
        let high = (fingerprint.bits() >> (8 * shape.low)).checked_sub(first.bits() >> (8 * shape.low))?;
        let near = self.highs().enumerate().skip_while(|(_, other)| (*other as u128) < high);
        let mut near = near.take_while(|(_, other)| *other as u128 == high);
        let (index, _) = near.find(|(index, high)| self.fingerprint(*index, *high) == fingerprint)?;
        Some(self.seen(index))
    }

    /// The parts of the fingerprints that are in unary.
    fn highs(&self) -> impl Iterator<Item = usize> {
        let BlockLayout { keys, shape, .. } = self.layout;
        let unary = &self.bytes[HEAD..self.bytes.len() - keys * (shape.low + shape.time)];
        let words = unary.chunks(8).map(|bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(word)
        });
        let places = words.enumerate().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let place = (bits != 0).then(|| 64 * word + bits.trailing_zeros() as usize);
                bits &= bits.wrapping_sub(1);
                place
            })
        });
        places.enumerate().map(|(index, place)| place - index)
    }

    fn fingerprint(&self, index: usize, high: usize) -> Fingerprint {
        let BlockLayout { keys, shape: BlockShape { low, time, .. }, first } = self.layout;
        let lows = self.bytes.len() - keys * (low + time);
        let part = number(&self.bytes[lows + index * low..][..low]);
        Fingerprint::from_bits((((first.bits() >> (8 * low)) + high as u128) << (8 * low)) | part)
    }

    fn seen(&self, index: usize) -> Timestamp {
        let BlockLayout { keys, shape: BlockShape { time, tick_millis, from, .. }, .. } = self.layout;
        let times = self.bytes.len() - keys * time;
        let mut ticks = [0; 8];
        ticks[..time].copy_from_slice(&self.bytes[times + index * time..][..time]);
        let tick = from.saturating_add(i64::from_le_bytes(ticks));
        Timestamp::saturating_from_millis(tick.saturating_mul(i64::from(tick_millis)))
    }
}
