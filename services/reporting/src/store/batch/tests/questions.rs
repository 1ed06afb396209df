//! Random questions, while the stream goes on, views are computed, some of them are killed half-way and told once
//! more, messages come again, roll-ups are made, and old totals are given up and deleted bit by bit: each answer is
//! that of a full recomputation of what is kept.

use std::collections::BTreeMap;

use tidemill_store::Error;
use tidemill_totals::Totals;

use super::{
    MINUTE, TestLog, TestRow, fold,
    kept::rows_before,
    land,
    model::{PARTITIONS, TestCell, ViewMessages, totals_of},
};
use crate::{
    calendar::Zone,
    store::{MergeScope, Store, cells::StoredCell},
    testing::{at, sales},
};

/// Questions that are asked; the variable asks for more.
const QUESTIONS: usize = 1_000;
const MORE: &str = "TIDEMILL_QUESTIONS";
/// From one change to the next.
const QUESTIONS_AT_ONCE: usize = 5;
const MINUTES: i64 = 200;
const CATEGORIES: u8 = 3;
const HOUR: i64 = 60 * MINUTE;

/// xorshift64*, so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % most
    }

    fn number(&mut self, most: i64) -> i64 {
        self.below(most.cast_unsigned()).cast_signed()
    }
}

/// What has happened.
struct History<'s> {
    store: &'s Store,
    random: Random,
    log: TestLog,
    /// By partition, how far the stream has told, and silver has come into views that were told to their end.
    counted: Vec<u64>,
    viewed: Vec<u64>,
    /// Where views have landed.
    covered: BTreeMap<(TestCell, u16), u64>,
    /// The first minute that is kept.
    kept: i64,
    views: u64,
    now: i64,
}

pub(super) async fn questions_are_answered_as_by_a_full_recomputation(store: &Store) {
    let partitions = usize::from(PARTITIONS);
    let mut history = History {
        store,
        random: Random(0x9E37_79B9_7F4A_7C15),
        log: TestLog::default(),
        counted: vec![0; partitions],
        viewed: vec![0; partitions],
        covered: BTreeMap::new(),
        kept: i64::MIN,
        views: 0,
        now: 0,
    };
    let questions = std::env::var(MORE).ok().and_then(|text| text.parse().ok()).unwrap_or(QUESTIONS);
    store.save_definitions([&sales()].into_iter()).await.expect("saves");
    for _ in 0..questions / QUESTIONS_AT_ONCE {
        history.go_on().await;
        for _ in 0..QUESTIONS_AT_ONCE {
            history.ask().await;
        }
    }
    assert_eq!(store.drift_counts().await.expect("counts"), BTreeMap::new(), "batch and stream are the same");
    let view = store.landed_view(&sales()).await.expect("answers").expect("some were told to their end");
    assert!(view.number > 1);
    assert!(history.kept > 0, "some were given up");
    while store.forget_unkept().await.expect("deletes") {}
    assert_eq!(rows_before(store, at(history.kept * MINUTE)).await, 0);
}

impl History<'_> {
    async fn go_on(&mut self) {
        self.now += MINUTE;
        for _ in 0..self.random.below(4) {
            // Most events are of the last minutes, and some of any.
            let newest = (self.log.0.len() as i64 / 3).min(MINUTES - 1);
            let minute = if self.random.below(4) == 0 { self.random.number(MINUTES) } else { newest };
            let (partition, category) = (self.random.below(PARTITIONS.into()), self.random.below(CATEGORIES.into()));
            self.log.0.push(TestRow {
                partition: u16::try_from(partition).expect("small"),
                minute,
                category: u8::try_from(category).expect("small"),
                amount: self.random.number(100) - 20,
            });
        }
        match self.random.below(60) {
            0..=23 => self.count().await,
            24..=41 => self.view().await,
            42..=47 => self.count_again().await,
            48..=55 => self.roll_up().await,
            56..=57 => self.give_up().await,
            // Whoever deletes may be ended half-way.
            _ => drop(self.store.forget_unkept().await.expect("deletes")),
        }
    }

    /// The stream tells of some of what is new.
    async fn count(&mut self) {
        let partition = u16::try_from(self.random.below(PARTITIONS.into())).expect("small");
        let counted = &mut self.counted[usize::from(partition)];
        let upto = *counted + self.random.below(self.log.0.len() as u64 + 1 - *counted);
        fold(self.store, &[self.log.checkpoint(partition, *counted, upto)]).await;
        *counted = upto;
    }

    /// It tells of it once more, as after a crash.
    async fn count_again(&mut self) {
        let partition = u16::try_from(self.random.below(PARTITIONS.into())).expect("small");
        let upto = self.random.below(self.counted[usize::from(partition)] + 1);
        let after = self.random.below(upto + 1);
        fold(self.store, &[self.log.checkpoint(partition, after, upto)]).await;
    }

    /// A view is computed, of all or of what is new, and told: to its end, or not.
    async fn view(&mut self) {
        self.views += 1;
        let reaches: Vec<u64> = self
            .viewed
            .clone()
            .into_iter()
            .map(|viewed| viewed + self.random.below(self.log.0.len() as u64 + 1 - viewed))
            .collect();
        let behind = (self.random.below(4) > 0).then(|| self.viewed.clone());
        let ViewMessages(mut messages) = self.log.view_of(self.views, &reaches, behind.as_deref());
        let is_killed = self.random.below(3) == 0;
        if is_killed {
            messages.truncate(usize::try_from(self.random.below(messages.len() as u64)).expect("small"));
        } else {
            self.viewed = reaches;
        }
        for (place, upto) in TestLog::covered(&messages) {
            let known = self.covered.entry(place).or_default();
            *known = upto.max(*known);
        }
        let size = usize::try_from(self.random.below(4) + 1).expect("small");
        for chunk in messages.chunks(size) {
            land(self.store, &ViewMessages(chunk.to_vec()), self.now).await;
        }
    }

    async fn roll_up(&mut self) {
        self.store.begin_rollups(Zone::UTC).await.expect("begins");
        let now = at(self.now + self.random.number(2 * HOUR));
        self.store.make_rollups(Zone::UTC, now).await.expect("makes");
        self.store.extend_rollups(Zone::UTC, now).await.expect("marks");
    }

    /// Totals before some minute are kept no longer. It never goes back.
    async fn give_up(&mut self) {
        let minute = self.kept.max(0) - 3 + self.random.number(15);
        let given_up = self.store.keep_since(at(minute * MINUTE)).await.expect("writes");
        assert!(given_up.is_empty() || minute > self.kept, "it went back to {minute}");
        if !given_up.is_empty() {
            self.kept = minute;
        }
    }

    /// Asks for the total of a range and some of its categories.
    async fn ask(&mut self) {
        // Some ask for what is kept no longer.
        let from = match self.random.below(3) {
            0 => self.random.number(self.kept.max(0) + 1),
            _ => self.random.number(MINUTES),
        };
        let to = from + 1 + self.random.number(MINUTES);
        let only =
            (self.random.below(2) == 0).then(|| u8::try_from(self.random.below(CATEGORIES.into())).expect("small"));
        let scope = if self.random.below(3) == 0 { MergeScope::Tiles(HOUR) } else { MergeScope::Everything };
        let mut answer: Option<Totals> = None;
        let visit = |cell: StoredCell<'_>| -> Result<(), Error> {
            let is_asked = only.is_none_or(|only| cell.dimensions.contains(&format!("\"category\":\"{only}\"")));
            if is_asked {
                add(&mut answer, &cell.totals);
            }
            Ok(())
        };
        let bounds = (at(from * MINUTE), at(to * MINUTE));
        self.store.each_rolled_up(&sales(), Zone::UTC, bounds, &scope, visit).await.expect("answers");
        assert_eq!(answer, self.recomputed(from, to, only), "{from} to {to}, {only:?}");
    }

    fn recomputed(&self, from: i64, to: i64, only: Option<u8>) -> Option<Totals> {
        let mut cells: BTreeMap<(TestCell, u16), Vec<i64>> = BTreeMap::new();
        for (sequence, row) in (1_u64..).zip(&self.log.0) {
            let TestRow { partition, minute, category, amount } = *row;
            let place = ((minute, category), partition);
            let covered = self.covered.get(&place).copied().unwrap_or_default();
            let is_asked = (from.max(self.kept)..to).contains(&minute) && only.is_none_or(|only| only == category);
            if is_asked && sequence <= covered.max(self.counted[usize::from(partition)]) {
                cells.entry(place).or_default().push(amount);
            }
        }
        let mut sum = None;
        cells.values().for_each(|rows| add(&mut sum, &totals_of(rows)));
        sum
    }
}

fn add(sum: &mut Option<Totals>, totals: &Totals) {
    match sum {
        Some(sum) => sum.add(totals).expect("one shape"),
        None => *sum = Some(totals.clone()),
    }
}
