//! Latencies, in a memory that does not grow with their number.

use std::{fmt, time::Duration};

use serde::Serialize;

/// Sub-buckets of each power of two: a value is off by less than a hundredth.
const BITS: u32 = 7;
const SUB: u64 = 1 << BITS;
/// Up to 2^40 µs.
const BUCKETS: usize = (40 - BITS as usize) * SUB as usize + 2 * SUB as usize;

/// A histogram of microseconds.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

/// What is told of latencies, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
    pub(super) count: u64,
}

/// For a person: none that is finer than so many latencies tell.
impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p95, p99, p999, max, count } = self;
        let finest = [("p50", p50, 2), ("p95", p95, 20), ("p99", p99, 100), ("p99.9", p999, 1000)];
        for (name, value, least) in finest {
            match *count >= least {
                true => write!(f, "{name} {value:.1} ms, ")?,
                false => write!(f, "{name} –, ")?,
            }
        }
        write!(f, "worst {max:.1} ms, of {count}")
    }
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let last = self.buckets.len() - 1;
        self.buckets[place(micros).min(last)] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, more)| *sum += more);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What is told of it; nothing of an empty one.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let at = |thousandths| millis(self.quantile(thousandths));
        (self.count > 0).then(|| Quantiles {
            p50: at(500),
            p95: at(950),
            p99: at(990),
            p999: at(999),
            max: millis(self.max),
            count: self.count,
        })
    }

    /// The least value that so many thousandths do not exceed, rounded up to its
    /// bucket's end.
    fn quantile(&self, thousandths: u64) -> u64 {
        let rank = (u128::from(self.count) * u128::from(thousandths)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return end(place).min(self.max);
            }
        }
        self.max
    }
}

#[allow(clippy::cast_precision_loss, reason = "a latency of an hour is exact by far")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[allow(clippy::cast_possible_truncation, reason = "places are few")]
fn place(micros: u64) -> usize {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(BITS + 1);
    (u64::from(shift) * SUB + (micros >> shift)) as usize
}

fn end(place: usize) -> u64 {
    let place = place as u64;
    if place < 2 * SUB {
        return place;
    }
    let shift = place / SUB - 1;
    ((place - shift * SUB + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_off_by_less_than_a_hundredth() {
        let mut histogram = Histogram::new();
        (1..=100_000_u64).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        for (thousandths, exact) in [(1, 100), (500, 50_000), (950, 95_000), (999, 99_900), (1000, 100_000)] {
            let told = histogram.quantile(thousandths);
            assert!((exact..=exact + exact / 100).contains(&told), "{thousandths}: {told}");
        }
    }

    #[test]
    fn every_value_is_in_the_bucket_that_ends_behind_it() {
        for micros in (0..3_000).chain([1 << 20, (1 << 20) + 1, (1 << 39) + 12_345, (1 << 40) - 1]) {
            let place = place(micros);
            assert!(end(place) >= micros && (place == 0 || end(place - 1) < micros), "{micros}");
            assert!(place < BUCKETS, "{micros}");
        }
    }

    #[test]
    fn a_person_is_told_no_finer_quantile_than_there_are_latencies() {
        let mut histogram = Histogram::new();
        let mut told = |count| {
            (histogram.count..count).for_each(|_| histogram.record(Duration::from_millis(1)));
            histogram.quantiles().expect("some").to_string()
        };
        assert_eq!(told(1), "p50 –, p95 –, p99 –, p99.9 –, worst 1.0 ms, of 1");
        assert_eq!(told(2), "p50 1.0 ms, p95 –, p99 –, p99.9 –, worst 1.0 ms, of 2");
        assert_eq!(told(999), "p50 1.0 ms, p95 1.0 ms, p99 1.0 ms, p99.9 –, worst 1.0 ms, of 999");
        assert_eq!(told(1000), "p50 1.0 ms, p95 1.0 ms, p99 1.0 ms, p99.9 1.0 ms, worst 1.0 ms, of 1000");
    }

    #[test]
    fn the_worst_of_all_senders_is_told() {
        let (mut one, mut other) = (Histogram::new(), Histogram::new());
        assert_eq!(one.quantiles(), None);
        one.record(Duration::from_millis(1));
        other.record(Duration::from_secs(7));
        one.add(&other);
        let told = one.quantiles().expect("two");
        assert_eq!((told.count, told.p50, told.p999, told.max), (2, 1.003, 7000.0, 7000.0));
    }
}
