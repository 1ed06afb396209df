//! What holds for every log.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidemill_domain::{Partition, Timestamp};

use super::{
    reference::Reference,
    shapes::{Done, all_answers, ask, built, logs, settings},
};
use crate::{ChartPair, ChartParts, ChartPlace, Index, PartitionSnapshot, page::Page, scratch::AnswerScratch};

fn partitions() -> impl Iterator<Item = Partition> {
    (0..3).map(Partition::new)
}

fn snapshots(index: &Index) -> Vec<PartitionSnapshot> {
    partitions().map(|partition| index.snapshot(partition)).collect()
}

proptest! {
    #[test]
    fn charts_that_are_made_in_parts_are_those_made_at_once(log in logs(), settings in settings(), part in 1..5_usize) {
        let (index, now) = (built(&settings, &log), Timestamp::saturating_from_millis(1_700_000_000_000));
        // A quarter of the items is in no chart, and two more in one of a group each.
        let places = [ChartPlace::Nowhere, ChartPlace::Everywhere, ChartPlace::Group(0), ChartPlace::Group(2)];
        let place = |item: &str| places[item.bytes().map(usize::from).sum::<usize>() % 4];
        let mut parts = ChartParts::new(4, 2, now);
        while index.chart_on(&mut parts, part, |_, item| place(item)) {}
        let made = |n, admits: &dyn Fn(&str) -> bool| {
            ChartPair { popular: index.popular(n, admits), trending: index.trending(now, n, admits) }
        };
        let (all, groups) = parts.end();
        prop_assert_eq!(all, made(4, &|item| place(item) != ChartPlace::Nowhere));
        prop_assert!(groups.len() <= 3);
        for (group, chart) in groups.into_iter().enumerate() {
            prop_assert_eq!(chart, made(2, &|item| place(item) == ChartPlace::Group(group)));
        }
    }

    #[test]
    fn equals_the_reference(log in logs(), settings in settings()) {
        let (index, reference) = (built(&settings, &log), Reference::of(&settings, &log));
        prop_assert_eq!(index.session_count(), reference.sessions.len());
        ask(&index, |query| {
            let slots = AnswerScratch::with(|scratch| {
                index.neighbours(query, scratch);
                scratch.neighbours.clone()
            });
            let neighbours = slots.iter().map(|neighbour| {
                let session = index.session(neighbour.slot).expect("it is kept");
                let last = session.items.last().map(|item| item.ordinal);
                (session.partition, last, neighbour.similarity, index.items.name(neighbour.common).to_owned())
            });
            let expected = reference.neighbours(query).into_iter().map(|(place, similarity, common)| {
                let session = &reference.sessions[place];
                (session.partition, session.items.last().map(|item| item.ordinal), similarity, common)
            });
            assert_eq!(neighbours.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            let recommended = index.recommend(query, |_| true);
            assert_eq!(recommended, reference.recommend(query));
            recommended
        });
    }

    #[test]
    fn does_not_depend_on_how_partitions_interleave(
        log in logs(),
        settings in settings(),
        turns in prop::collection::vec(0..3_u16, 400),
    ) {
        let mut rest: BTreeMap<u16, Vec<Done>> = BTreeMap::new();
        log.iter().rev().for_each(|one| rest.entry(one.partition.index()).or_default().push(one.clone()));
        let drawn: Vec<_> = turns.iter().filter_map(|turn| rest.get_mut(turn)?.pop()).collect();
        // What the turns have left comes at the end.
        let left = rest.into_values().flat_map(|rest| rest.into_iter().rev());
        let interleaved: Vec<_> = drawn.into_iter().chain(left).collect();
        let (one, other) = (built(&settings, &log), built(&settings, &interleaved));
        prop_assert_eq!(snapshots(&one), snapshots(&other));
        prop_assert_eq!(all_answers(&one), all_answers(&other));
    }

    #[test]
    fn who_is_forgotten_was_never_there(log in logs(), settings in settings(), at in 0..120_usize) {
        let (before, after) = log.split_at(at.min(log.len()));
        let pass_anna = |index: &mut Index, one: &Done| {
            if one.visitor == "anna" { one.pass(index) } else { one.learn(index) }
        };
        let mut index = built(&settings, before);
        index.forget("anna");
        prop_assert!(index.recent(&["anna"], Timestamp::saturating_from_millis(0)).is_empty());
        after.iter().for_each(|one| pass_anna(&mut index, one));
        let mut without = built(&settings, &[]);
        log.iter().for_each(|one| pass_anna(&mut without, one));
        prop_assert_eq!(snapshots(&index), snapshots(&without));
        prop_assert_eq!(all_answers(&index), all_answers(&without));
    }

    #[test]
    fn goes_on_from_its_checkpoints(
        log in logs(),
        settings in settings(),
        cuts in prop::collection::vec(0..120_usize, 1..4),
    ) {
        let mut stored: BTreeMap<Partition, PartitionSnapshot> = BTreeMap::new();
        let mut index = built(&settings, &[]);
        for (place, one) in log.iter().enumerate() {
            one.learn(&mut index);
            if !cuts.contains(&place) {
                continue;
            }
            for partition in partitions() {
                let changes = index.take_changes(partition);
                let stored = stored.entry(partition).or_default();
                stored.learnt = changes.learnt;
                for (number, page) in changes.pages {
                    match page {
                        Some(page) => stored.pages.insert(number, page),
                        None => stored.pages.remove(&number),
                    };
                }
                prop_assert_eq!(&*stored, &index.snapshot(partition));
            }
            // Another replica goes on.
            index = built(&settings, &[]);
            for (partition, stored) in &stored {
                index.restore(*partition, stored).expect("its own pages");
                prop_assert!(index.take_changes(*partition).pages.is_empty());
            }
        }
        let uninterrupted = built(&settings, &log);
        prop_assert_eq!(snapshots(&index), snapshots(&uninterrupted));
        prop_assert_eq!(all_answers(&index), all_answers(&uninterrupted));
    }

    #[test]
    fn keeps_to_its_bounds(log in logs(), settings in settings()) {
        let mut index = built(&settings, &log);
        for partition in partitions() {
            let pages = index.snapshot(partition).pages;
            let sessions: Vec<_> =
                pages.values().flat_map(|page| Page::decode(page, partition).expect("its own page")).collect();
            let mut of_visitor: BTreeMap<_, u32> = BTreeMap::new();
            sessions.iter().for_each(|stored| *of_visitor.entry(stored.session.visitor).or_default() += 1);
            let kept: usize = sessions.iter().map(|stored| stored.items.len()).sum();
            prop_assert!(kept <= settings.interactions_per_partition as usize);
            prop_assert!(of_visitor.values().all(|count| *count <= settings.sessions_per_visitor));
            prop_assert!(sessions.iter().all(|stored| stored.items.len() <= settings.items_per_session as usize));
        }
        prop_assert!(log.is_empty() || index.bytes() > 0);
        // Nothing is left of what has gone.
        partitions().for_each(|partition| index.release(partition));
        prop_assert_eq!(all_answers(&index), all_answers(&built(&settings, &[])));
    }

    #[test]
    fn a_damaged_page_is_refused(
        log in logs(),
        settings in settings(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let mut index = built(&settings, &log);
        let partition = Partition::new(0);
        let mut snapshot = index.snapshot(partition);
        let Some(page) = snapshot.pages.values_mut().next() else { return Ok(()) };
        let at = at.index(page.len());
        page[at] ^= flip;
        prop_assert!(index.restore(partition, &snapshot).is_err());
        prop_assert_eq!(index.learnt(partition), 0);
        page_of(&mut snapshot).truncate(at);
        prop_assert!(index.restore(partition, &snapshot).is_err());
    }
}

fn page_of(snapshot: &mut PartitionSnapshot) -> &mut Vec<u8> {
    snapshot.pages.values_mut().next().expect("it has a page")
}
