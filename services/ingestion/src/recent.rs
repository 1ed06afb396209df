//! Which events were accepted not long ago.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long an accepted event is remembered, to tell its sender of a repeat: at least
/// so long, and at most twice.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Hashes of events, the last so many of them. They are kept in two generations: when
/// the younger one is full or old, it becomes the older one, and what was that is
/// forgotten. So an event costs one look into each, and no list of which is the next to
/// go.
#[derive(Debug)]
pub(crate) struct RecentEvents {
    /// Of each generation.
    most: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug)]
struct Generations {
    young: HashSet<u64, BuildHasherDefault<AsItIs>>,
    old: HashSet<u64, BuildHasherDefault<AsItIs>>,
    began: Instant,
}

/// Hashes nothing: what it is given are hashes of a random key.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Of a `u64` it gets all eight bytes below; this is for the trait alone.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl RecentEvents {
    /// Remembers at least so many events, and at most twice as many.
    pub(crate) fn new(events: u64, now: Instant) -> Self {
        let generations = Generations { young: HashSet::default(), old: HashSet::default(), began: now };
        Self { most: usize::try_from(events).unwrap_or(usize::MAX), generations: Mutex::new(generations) }
    }

    /// Remembers events, and answers how many of them it knew.
    pub(crate) fn remember(&self, events: &[u64], now: Instant) -> usize {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| generations.remember(**event, self.most, now)).count()
    }
}

impl Generations {
    fn remember(&mut self, event: u64, most: usize, now: Instant) -> bool {
        if self.young.len() >= most || now.saturating_duration_since(self.began) >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
            self.began = now;
        }
        !self.young.insert(event) || self.old.contains(&event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_known() {
        let start = Instant::now();
        let recent = RecentEvents::new(3, start);
        assert_eq!(recent.remember(&[1, 2, 1], start), 1);
        assert_eq!(recent.remember(&[3, 4, 5], start), 0);
        assert_eq!(recent.remember(&[1], start), 1, "three others do not push it out");
        assert_eq!(recent.remember(&[6, 7, 8, 9], start), 0);
        assert_eq!(recent.remember(&[4], start), 0, "it is forgotten in the end");
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let start = Instant::now();
        let recent = RecentEvents::new(100, start);
        assert_eq!(recent.remember(&[1], start), 0);
        assert_eq!(recent.remember(&[2, 1], start + REMEMBERED), 1);
        assert_eq!(recent.remember(&[1], start + REMEMBERED * 2), 1, "it was told once more");
        assert_eq!(recent.remember(&[2], start + REMEMBERED * 3), 0);
    }
}
