//! A ceiling on the share of dead letters: after a bad release a consumer is to
//! halt, not to drain its stream into the dead letters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `dead_letters`: when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CeilingConfig {
    /// Share of dead letters among the latest messages, in percent, above which
    /// a consumer halts until it is started anew. 100 switches it off.
    pub ceiling_percent: u8,
    /// Dead letters that are let pass in any case.
    pub tolerated: u32,
}

impl Default for CeilingConfig {
    fn default() -> Self {
        Self { ceiling_percent: 50, tolerated: 100 }
    }
}

/// The share is taken of at least this many of the latest messages: two spans
/// are kept.
const SPAN: u64 = 1000;

/// What became of one consumer's latest messages.
#[derive(Debug)]
pub struct Ceiling {
    config: CeilingConfig,
    now: Counts,
    before: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    all: u64,
    dead: u64,
}

/// There are too many dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{dead} of the last {all} could not be read: halted rather than give up more; \
     mend the release or the sender, then restart"
)]
pub struct CeilingReached {
    /// Dead letters.
    pub dead: u64,
    /// All messages, the dead letters among them.
    pub all: u64,
}

impl Ceiling {
    /// A ceiling that has seen nothing yet.
    pub fn new(config: CeilingConfig) -> Self {
        Self { config, now: Counts::default(), before: Counts::default() }
    }

    /// Counts messages that are about to be settled: `all` of them, `dead` as
    /// dead letters. If this fails, nothing is counted and the caller must give
    /// nothing up: the same question gets the same answer.
    pub fn admit(&mut self, all: u64, dead: u64) -> Result<(), CeilingReached> {
        let total = Counts { all: self.before.all + self.now.all + all, dead: self.before.dead + self.now.dead + dead };
        let above = total.dead * 100 > total.all * u64::from(self.config.ceiling_percent);
        if dead > 0 && above && total.dead > u64::from(self.config.tolerated) {
            return Err(CeilingReached { dead: total.dead, all: total.all });
        }
        self.now = Counts { all: self.now.all + all, dead: self.now.dead + dead };
        if self.now.all >= SPAN {
            self.before = std::mem::take(&mut self.now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_dead_letters_pass_and_a_flood_does_not() {
        let mut ceiling = Ceiling::new(CeilingConfig::default());
        for _ in 0..100 {
            ceiling.admit(1, 1).expect("tolerated");
        }
        let reached = ceiling.admit(1, 1).expect_err("too many");
        assert_eq!(reached, CeilingReached { dead: 101, all: 101 });
        assert_eq!(ceiling.admit(1, 1), Err(reached), "it stays halted");
        ceiling.admit(5000, 0).expect("good ones pass");
        ceiling.admit(200, 150).expect("a small share of many");
    }

    #[test]
    fn good_times_long_past_do_not_count() {
        let mut ceiling = Ceiling::new(CeilingConfig::default());
        ceiling.admit(1_000_000, 0).expect("good");
        ceiling.admit(2_000, 0).expect("good");
        let passed = (0..10_000).take_while(|_| ceiling.admit(1, 1).is_ok()).count();
        assert!((1_000..4_000).contains(&passed), "{passed}");
    }

    #[test]
    fn at_a_hundred_percent_it_is_off() {
        let mut ceiling = Ceiling::new(CeilingConfig { ceiling_percent: 100, tolerated: 0 });
        (0..5_000).for_each(|_| ceiling.admit(1, 1).expect("off"));
    }
}
