use tidemill_domain::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::duplicates::{BatchSpan, BlockName, KeyBlock};

fn key(n: u64) -> EventKey {
    EventKey::from_bytes(xxh3_128(&n.to_be_bytes()).to_be_bytes())
}

fn at(millis: u64) -> Timestamp {
    Timestamp::saturating_from_millis(millis.cast_signed())
}

/// Runs whose blocks are at hand.
#[derive(Default)]
struct Shelf {
    runs: Runs,
    blocks: Vec<KeyBlock>,
    written: u64,
}

impl Shelf {
    fn seal(&mut self, batch: u64, ids: std::ops::Range<u64>) {
        let span = BatchSpan { first: batch, last: batch, first_clock: at(batch), last_clock: at(batch) };
        let keys: Vec<_> = ids.map(|n| (key(n), at(batch))).collect();
        let sealed = RunEntries::of(span, &keys).sealed(1, self.runs.next_block()).expect("is sealed");
        self.apply(vec![sealed], Vec::new());
    }

    fn merge(&mut self, merge: Merge) {
        let mut entries = merge.entries();
        for run in &merge.inputs {
            let place = run.blocks.first as usize..run.blocks.end() as usize;
            self.blocks[place].iter().for_each(|block| entries.extend(block));
        }
        let merged = merge.into.merged(entries, 1, self.runs.next_block()).expect("is merged");
        self.apply(merged, merge.inputs);
    }

    /// What a checkpoint merges; tells whether that is anything.
    fn merge_due(&mut self, whole: u64, oldest: Timestamp) -> bool {
        let merges = self.runs.mergeable(whole, oldest);
        let is_due = !merges.is_empty();
        merges.into_iter().for_each(|merge| self.merge(merge));
        is_due
    }

    fn apply(&mut self, added: Vec<SealedRun>, removed: Vec<Arc<Run>>) {
        for sealed in &added {
            assert_eq!(sealed.run.blocks.first, self.blocks.len() as u64);
            self.blocks.extend(sealed.blocks.iter().cloned());
            self.written += sealed.run.keys;
        }
        self.runs.apply(RunChange { sealed: None, added, removed, next_block: self.blocks.len() as u64 });
    }
}

#[test]
fn keys_are_written_anew_a_few_times_and_runs_stay_few() {
    let (mut shelf, whole, each) = (Shelf::default(), 4096, 64);
    for batch in 0..3000 {
        shelf.seal(batch, batch * each..(batch + 1) * each);
        shelf.merge_due(whole, at(0));
        let longest = shelf.runs.lists().map(VecDeque::len).max().expect("are there");
        assert!(longest <= 24, "{longest} runs in a list");
    }
    let keys = shelf.runs.keys();
    assert_eq!(keys, 3000 * each);
    assert!(shelf.written <= 6 * keys, "{} for {keys}", shelf.written);
    assert!(shelf.runs.all().all(|run| run.keys < 2 * whole), "no run is much larger than a whole one");
    for n in (0..keys).step_by(97) {
        let found = shelf.runs.doubts(key(n)).any(|doubt| {
            let BlockName::Run(block) = doubt.block else { return false };
            shelf.blocks[block as usize].last_seen(Fingerprint::of(doubt.key)) == Some(at(n / each))
        });
        assert!(found, "{n}");
    }
    let wrong = (keys..keys + 10_000).flat_map(|n| shelf.runs.doubts(key(n))).count();
    assert!(wrong < 1_500, "{wrong} blocks are read for 10,000 new keys");
}

#[test]
fn the_oldest_is_forgotten_first_in_each_list() {
    let mut shelf = Shelf::default();
    for batch in 0..40 {
        shelf.seal(batch, batch * 100..batch * 100 + 100);
        shelf.merge_due(800, at(0));
    }
    assert!(shelf.runs.reach() >= shelf.runs.oldest().map(|(_, clock)| clock));
    let before = shelf.runs.keys();
    let forgotten = shelf.runs.forget_oldest().map_or(0, |run| run.keys);
    assert!(forgotten > 0 && shelf.runs.keys() == before - forgotten);
    assert!(shelf.runs.reach() > Some(at(0)), "one range reaches less far than the others");
    shelf.runs.forget_before(at(39));
    assert!(shelf.runs.all().all(|run| run.span.last_clock >= at(39)));
    shelf.runs.forget_before(at(40));
    assert!(shelf.runs.is_empty());
}

#[test]
fn a_run_is_written_anew_without_what_is_forgotten() {
    let mut shelf = Shelf::default();
    for batch in 0..160 {
        shelf.seal(batch, batch * 100..batch * 100 + 100);
        shelf.merge_due(400, at(0));
    }
    while shelf.merge_due(400, at(0)) {}
    let (keys, oldest) = (shelf.runs.keys(), at(40));
    shelf.runs.forget_before(oldest);
    let merge = shelf.runs.mergeable(400, oldest).pop().expect("some are of long ago");
    let before = merge.inputs[0].span;
    assert_eq!(merge.inputs.len(), 1);
    shelf.merge(merge);
    assert!(shelf.runs.keys() < keys);
    while shelf.merge_due(400, oldest) {}
    let fronts = || shelf.runs.lanes.iter().filter_map(VecDeque::front);
    assert!(fronts().any(|run| run.span.first == before.first && run.span.first_clock == oldest), "in its place");
    for n in 4_000..16_000 {
        let found = shelf.runs.doubts(key(n)).any(|doubt| {
            let BlockName::Run(block) = doubt.block else { return false };
            shelf.blocks[block as usize].last_seen(Fingerprint::of(doubt.key)).is_some()
        });
        assert!(found, "{n}");
    }
}
