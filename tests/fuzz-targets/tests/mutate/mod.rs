//! Mutations as libFuzzer makes them, from a fixed seed.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// The longest mutation; longer seeds are cut.
const MAX_INPUT: usize = 8 << 10;
/// Changes that are made to a seed at once.
const MAX_CHANGES: usize = 4;

/// What means something to one reader or another.
const TOKENS: [&[u8]; 34] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\u0000",
    b"\\ud800",
    b"\xe2\x80\x8b",
    b"\xf0\x9f\x98\x80",
    b"-",
    b"-0.0",
    b"1e308",
    b"1e-999",
    b"9223372036854775808",
    b"18446744073709551616",
    b"NaN",
    b"null",
    b"''",
    b"&a",
    b"*a",
    b"!!",
    b"---",
    b"%00",
    b"\x1f",
    b"=",
];

/// An endless row of mutated seeds.
pub(crate) struct Mutations<'a> {
    seeds: &'a [&'a [u8]],
    rng: StdRng,
}

impl<'a> Mutations<'a> {
    /// Of these seeds, at least one.
    pub(crate) fn new(seeds: &'a [&'a [u8]]) -> Self {
        Self { seeds, rng: StdRng::seed_from_u64(seeds.len() as u64) }
    }

    /// The next, and the index of its seed.
    pub(crate) fn next(&mut self) -> (usize, Vec<u8>) {
        let seed = self.rng.random_range(0..self.seeds.len());
        let mut input = self.seeds[seed].to_vec();
        for _ in 0..self.rng.random_range(1..=MAX_CHANGES) {
            self.change(&mut input);
        }
        input.truncate(MAX_INPUT);
        (seed, input)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        let insertion = match self.rng.random_range(0..8) {
            0 => vec![self.rng.random()],
            1 | 2 => TOKENS[self.rng.random_range(0..TOKENS.len())].to_vec(),
            // A part of the input again, or many times.
            3 => input[range.clone()].repeat(self.rng.random_range(1..3)),
            4 => input[range.start..range.end.min(range.start + 3)].repeat(self.rng.random_range(1..300)),
            // A part of another seed.
            5 => {
                let other = self.seeds[self.rng.random_range(0..self.seeds.len())];
                other[self.range(other.len())].to_vec()
            }
            // A part less.
            6 => return drop(input.drain(range)),
            // A bit the other way round.
            _ => {
                if let Some(byte) = input.get_mut(range.start) {
                    *byte ^= 1 << self.rng.random_range(0..8);
                }
                return;
            }
        };
        // In half of the cases over what was there.
        let end = if self.rng.random() { range.end } else { range.start };
        input.splice(range.start..end, insertion);
    }

    /// Some of `length` bytes: mostly a few, seldom many.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.rng.random_range(0..=length);
        let most = if self.rng.random_ratio(1, 4) { length } else { 8 };
        start..self.rng.random_range(start..=length.min(start + most))
    }
}
