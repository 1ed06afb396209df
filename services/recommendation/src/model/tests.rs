//! The model is a function of the log and of the erasures.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::RecommenderSettings;

use super::{chart_places::ChartPlaces, charts::MOST, *};
use crate::{
    learning::{LearntEvent, LearntKind, VisitorId},
    rules::{RulesInUse, ShopRules},
    store::StoredPartition,
    testing::{batch, event, item},
};

const PARTITIONS: u16 = 2;
const KINDS: [LearntKind; 4] = [LearntKind::View, LearntKind::Cart, LearntKind::Order, LearntKind::Change];

fn model() -> LearntModel {
    // So few that the oldest go while a test runs.
    let settings = RecommenderSettings { interactions_per_partition: 40, ..RecommenderSettings::default() };
    LearntModel::new(settings, 1_000).expect("right settings")
}

fn erasure(customer: &str, until: i64) -> Erasure {
    Erasure { number: 1, visitor: VisitorId::customer(customer), until: Timestamp::saturating_from_millis(until) }
}

/// That of a customer with visits, as the store has it.
fn erasures(customer: &str, visits: &BTreeSet<VisitorId>) -> Vec<Erasure> {
    let customer = erasure(customer, 1_000);
    let visit = |visit: &VisitorId| Erasure { visitor: *visit, ..customer };
    std::iter::once(customer).chain(visits.iter().map(visit)).collect()
}

/// Visits that batches tie to a customer.
fn visits_of<'b>(customer: &str, batches: impl Iterator<Item = &'b LearntBatch>) -> BTreeSet<VisitorId> {
    let customer = Some(VisitorId::customer(customer));
    let events = batches.flat_map(|batch| &batch.events).filter(|event| event.customer == customer);
    events.filter_map(|event| event.session).collect()
}

/// Batches of a partition: who did what in which visit, with which products. Often it is
/// known only of the one or the other.
fn batches() -> impl Strategy<Value = Vec<LearntBatch>> {
    let who = (0..4_u8, 0..6_u8, 0..4_u8);
    let event = (0..4_usize, who, 0..6_u8, 0..3_i64).prop_map(|(kind, (customer, visit, told), product, hours)| {
        let items = [item(&format!("p{product}"), "Books", &[]), item(&format!("q{product}"), "Toys", &[])];
        let event = event(KINDS[kind], &format!("c{customer}"), hours * 3_600_000, &items);
        let session = Some(VisitorId::session(&format!("v{visit}")));
        match told {
            0 => LearntEvent { session, ..event },
            1 | 2 => LearntEvent { customer: None, session, ..event },
            _ => event,
        }
    });
    prop::collection::vec(prop::collection::vec(event, 1..4), 1..20).prop_map(|all: Vec<Vec<LearntEvent>>| {
        all.iter().zip(1_u64..).map(|(events, raw_seq)| batch(raw_seq, events)).collect()
    })
}

#[test]
fn what_is_old_is_so_by_the_log_and_not_by_a_clock_that_may_be_wrong() {
    let model = LearntModel::new(RecommenderSettings::default(), 100).expect("right settings");
    let in_a_year = Timestamp::saturating_from_millis(31_536_000_000);
    assert_eq!(model.read().newest_intake(in_a_year), None, "nothing has come");
    let batch = batch(1, &[]);
    model.learn(Partition::new(0), &batch);
    assert_eq!(model.read().newest_intake(in_a_year), Some(batch.ingested_at));
    assert_eq!(model.read().newest_intake(Timestamp::EPOCH), Some(Timestamp::EPOCH));
}

/// What a replica knows that decides its answers.
fn state(model: &LearntModel) -> (Vec<PartitionSnapshot>, BTreeMap<Partition, u64>) {
    let state = model.read();
    let snapshots = (0..PARTITIONS).map(|index| state.index.snapshot(Partition::new(index))).collect();
    (snapshots, state.places.iter().map(|(partition, place)| (*partition, place.raw_seq)).collect())
}

fn stored(model: &LearntModel, partition: Partition, journal: &[LearntBatch], erasure: u64) -> StoredPartition {
    let state = model.read();
    let pages_at = state.places.get(&partition).map_or(0, |place| place.raw_seq);
    StoredPartition {
        floor: journal.last().map_or(pages_at, |batch| batch.raw_seq),
        pages: state.index.snapshot(partition),
        is_as_stored: true,
        pages_at,
        newest: None,
        erasure,
        journal: journal.to_vec(),
        erasures: Vec::new(),
    }
}

proptest! {
    #[test]
    fn partitions_take_turns_in_any_way_and_a_restart_makes_no_difference(
        left in batches(), right in batches(), cut in 0..20_usize,
    ) {
        let (zero, one) = (Partition::new(0), Partition::new(1));
        let (first, second, restarted) = (model(), model(), model());
        left.iter().for_each(|batch| first.learn(zero, batch));
        right.iter().for_each(|batch| first.learn(one, batch));
        right.iter().for_each(|batch| second.learn(one, batch));
        let (before, behind) = left.split_at(cut.min(left.len()));
        before.iter().for_each(|batch| second.learn(zero, batch));
        // What the owner has stored by then, and what its journal holds.
        let kept = stored(&second, zero, behind, 0);
        behind.iter().for_each(|batch| second.learn(zero, batch));
        restarted.restore(zero, kept, &[]).expect("restores");
        restarted.restore(one, stored(&second, one, &[], 0), &[]).expect("restores");
        prop_assert_eq!(state(&first), state(&second));
        prop_assert_eq!(state(&first), state(&restarted));
    }

    #[test]
    fn a_forgotten_customer_is_as_one_who_never_was(
        left in batches(), right in batches(), cuts in (0..20_usize, 0..20_usize), is_right_first in any::<bool>(),
    ) {
        let (zero, one) = (Partition::new(0), Partition::new(1));
        let all = [(zero, &left), (one, &right)];
        // Without the customer and their visits: their interactions are counted, and nothing else.
        let never = model();
        let visits = visits_of("c1", left.iter().chain(&right));
        let is_theirs = |event: &LearntEvent| {
            event.visitor().is_some_and(|visitor| visitor == VisitorId::customer("c1") || visits.contains(&visitor))
        };
        let erased = |batch: &LearntBatch| {
            let event = |event: &LearntEvent| if is_theirs(event) { event.erased() } else { event.clone() };
            LearntBatch { events: batch.events.iter().map(event).collect(), ..*batch }
        };
        for (partition, batches) in all {
            batches.iter().map(erased).for_each(|batch| never.learn(partition, &batch));
        }
        // Erased in the middle, with the visits that are known to be theirs by then; and
        // restored from what was stored before that.
        let (live, old, restarted) = (model(), model(), model());
        let mut parts = [(zero, left.split_at(cuts.0.min(left.len()))), (one, right.split_at(cuts.1.min(right.len())))];
        for (partition, (before, _)) in parts {
            before.iter().for_each(|batch| live.learn(partition, batch));
            before.iter().for_each(|batch| old.learn(partition, batch));
        }
        let known = visits_of("c1", parts.iter().flat_map(|(_, (before, _))| *before));
        live.erase(&erasures("c1", &known));
        if is_right_first {
            parts.reverse();
        }
        for (partition, (_, behind)) in parts {
            behind.iter().for_each(|batch| live.learn(partition, batch));
        }
        // Whoever starts knows of all visits: the owner has found them.
        let erasures = erasures("c1", &visits);
        restarted.erase(&erasures);
        for (partition, (_, behind)) in parts {
            restarted.restore(partition, stored(&old, partition, behind, 0), &erasures).expect("restores");
        }
        prop_assert_eq!(state(&live).0, state(&never).0);
        prop_assert_eq!(state(&restarted).0, state(&never).0);
    }
}

#[test]
fn who_comes_back_is_learnt_anew() {
    let (model, zero) = (model(), Partition::new(0));
    let view = |raw_seq| batch(raw_seq, &[event(LearntKind::View, "c1", 5, &[item("p", "Books", &[])])]);
    model.erase(&[erasure("c1", 1_000)]);
    model.learn(zero, &view(1));
    assert_eq!(model.read().index.session_count(), 0);
    assert!(model.read().items.get("p").is_none());
    model.learn(zero, &LearntBatch { ingested_at: Timestamp::saturating_from_millis(1_001), ..view(2) });
    assert_eq!(model.read().index.session_count(), 1);
    assert_eq!(model.read().index.learnt(zero), 2);
}

#[test]
fn charts_tell_at_once_of_no_visit_that_is_found_to_be_a_forgotten_customers() {
    let (model, zero, now) = (model(), Partition::new(0), Timestamp::saturating_from_millis(9));
    let visit = Some(VisitorId::session("v"));
    let tie = LearntEvent { session: visit, ..event(LearntKind::View, "c1", 5, &[item("p", "Books", &[])]) };
    let secret = LearntEvent { customer: None, items: vec![item("secret", "Books", &[])], ..tie.clone() };
    model.learn(zero, &batch(1, &[secret.clone(), event(LearntKind::View, "c2", 5, &[item("p", "Books", &[])])]));
    model.erase(&[erasure("c1", 1_000)]);
    let charted = || model.charts(now).popular(None).iter().map(|charted| charted.item.to_string()).collect::<Vec<_>>();
    assert_eq!(charted(), ["p", "secret"]);
    model.learn(zero, &batch(2, &[tie]));
    assert_eq!(charted(), ["p"]);
    model.learn(zero, &batch(3, &[secret]));
    assert_eq!((model.read().index.learnt(zero), model.read().index.session_count()), (4, 1));
}

#[test]
fn changed_pages_lead_to_where_all_pages_lead() {
    let (model, zero) = (model(), Partition::new(0));
    let view = |raw_seq: u64| batch(raw_seq, &[event(LearntKind::View, "c", 5, &[item("p", "Books", &[])])]);
    model.learn(zero, &view(1));
    let first = model.take_pages(zero, true);
    assert_eq!((first.at, first.changed.learnt, first.changed.pages.len()), (1, 1, 1));
    assert!(model.take_pages(zero, false).changed.pages.is_empty());
    model.learn(zero, &view(2));
    let changed = model.take_pages(zero, false);
    let pages = changed.changed.pages.into_iter().filter_map(|(page, body)| Some((page, body?))).collect();
    assert_eq!(model.read().index.snapshot(zero), PartitionSnapshot { learnt: 2, pages });
}

#[test]
fn charts_tell_at_once_of_nobody_who_is_forgotten() {
    let (model, zero, now) = (model(), Partition::new(0), Timestamp::saturating_from_millis(9));
    let view = |who: &str, what: &str| event(LearntKind::View, who, 5, &[item(what, "Books", &[])]);
    let seen = [view("c1", "secret"), view("c2", "p")];
    model.learn(zero, &batch(1, &seen));
    let charted = || -> Vec<String> {
        let charts = model.charts(now);
        assert_eq!(charts.popular(Some("Books")), charts.popular(None));
        charts.popular(None).iter().map(|charted| charted.item.to_string()).collect()
    };
    assert_eq!(charted(), ["p", "secret"]);
    model.erase(&[erasure("c1", 1_000)]);
    assert_eq!(charted(), ["p"]);
    // What is learnt is in new ones, which need not be asked for.
    model.learn(zero, &batch(2, &[view("c2", "q")]));
    assert_eq!(charted(), ["p"]);
    model.renew_charts(now);
    assert_eq!(charted(), ["p", "q"]);
}

/// To make the charts of a large index anew takes long.
#[test]
fn charts_stay_where_nothing_was_known_of_who_is_forgotten() {
    let (model, zero, now) = (model(), Partition::new(0), Timestamp::saturating_from_millis(9));
    model.learn(zero, &batch(1, &[event(LearntKind::View, "c", 5, &[item("p", "Books", &[])])]));
    let charts = model.charts(now);
    model.erase(&[Erasure { number: 1, ..erasure("unknown", 1_000) }]);
    assert!(Arc::ptr_eq(&charts, &model.charts(now)));
    model.erase(&[Erasure { number: 2, ..erasure("c", 1_000) }]);
    assert!(model.charts(now).popular(None).is_empty());
    // Told twice, it has nobody forgotten who came back meanwhile.
    let back = batch(2, &[event(LearntKind::View, "c", 5, &[item("q", "Books", &[])])]);
    model.learn(zero, &LearntBatch { ingested_at: Timestamp::saturating_from_millis(1_001), ..back });
    model.erase(&[Erasure { number: 2, ..erasure("c", 1_000) }]);
    assert_eq!(model.read().index.session_count(), 1);
}

/// Whoever waits for the lock as such keeps others from reading.
#[test]
fn who_waits_to_learn_holds_up_nobody_who_answers() {
    let (model, zero) = (model(), Partition::new(0));
    let view = batch(1, &[event(LearntKind::View, "c", 5, &[item("p", "Books", &[])])]);
    let (begun, patience) = (Instant::now(), std::time::Duration::from_millis(30));
    std::thread::scope(|threads| {
        let answering = model.read();
        threads.spawn(|| model.learn(zero, &view));
        while begun.elapsed() < patience / 2 {
            let is_open = model.state.try_read().is_ok();
            assert!(is_open || begun.elapsed() >= patience, "it was waited for");
        }
        drop(answering);
    });
    assert_eq!(model.read().index.learnt(zero), 1);
}

/// What is far behind the most popular ones of all is found where its category is asked for, and
/// what is excluded keeps nothing out.
#[test]
fn charts_of_a_category_are_of_all_its_items() {
    let rules = RulesInUse::from(ShopRules::parse("r.yaml", "exclude: [{category: Hidden}]").expect("rules"));
    let model = LearntModel::new(RecommenderSettings::default(), 10_000).expect("right settings").by(&rules);
    let (zero, now) = (Partition::new(0), Timestamp::saturating_from_millis(9));
    let view = |who: usize, what: &str, category: &str| {
        event(LearntKind::View, &format!("c{who}"), 5, &[item(what, category, &[])])
    };
    let mut seen = vec![view(0, "rare", "Rare"), view(1, "book", "Books")];
    for n in 0..=MOST {
        let (category, what) = (if n % 2 == 0 { "Hidden" } else { "Toys" }, format!("p{n}"));
        seen.extend([view(2 * n, &what, category), view(2 * n + 1, &what, category)]);
    }
    model.learn(zero, &batch(1, &seen));
    let charts = model.charts(now);
    for charted in [charts.popular(Some("Rare")), charts.trending(Some("Rare"))] {
        assert_eq!(charted.iter().map(|charted| &*charted.item).collect::<Vec<_>>(), ["rare"]);
    }
    assert!(charts.popular(Some("Hidden")).is_empty() && charts.popular(Some("Toys")).len() > 100);
    let last: Vec<&str> = charts.popular(None).iter().rev().take(2).map(|charted| &*charted.item).collect();
    assert_eq!((charts.popular(None).len(), last), (MOST / 2 + 2, vec!["rare", "book"]));
}

/// From the next answer on, whatever is kept of the former ones.
#[test]
fn charts_go_by_rules_as_soon_as_they_are_exchanged() {
    let parse = |yaml: &str| ShopRules::parse("r.yaml", yaml).expect("rules");
    let rules = RulesInUse::from(parse("exclude: [{category: Toys}]"));
    let model = LearntModel::new(RecommenderSettings::default(), 10_000).expect("right settings").by(&rules);
    let (zero, now) = (Partition::new(0), Timestamp::saturating_from_millis(9));
    let products = [item("book", "Books", &[]), item("toy", "Toys", &[])];
    model.learn(zero, &batch(1, &[event(LearntKind::View, "c", 5, &products)]));
    let charted = || -> Vec<String> {
        let charts = model.charts(now);
        charts.popular(None).iter().map(|charted| charted.item.to_string()).collect()
    };
    assert_eq!(charted(), ["book"]);
    rules.exchange(parse("exclude: [{category: Books}]"));
    assert_eq!(charted(), ["toy"]);
    rules.exchange(parse("exclude: []"));
    assert_eq!(charted(), ["book", "toy"]);
}

const CATEGORIES: [&str; 3] = ["Books", "Toys", "Hidden"];

proptest! {
    /// Products change their category, are forgotten and get the numbers of others; of what
    /// is remembered of them from one chart to the next nothing is to be seen.
    #[test]
    fn charts_are_those_of_who_remembers_nothing(
        told in prop::collection::vec((0..3_u8, 0..8_u8, 0..3_usize, 0..9_u8), 1..60),
    ) {
        let rules = RulesInUse::from(ShopRules::parse("r.yaml", "exclude: [{category: Hidden}]").expect("rules"));
        let (zero, now) = (Partition::new(0), Timestamp::saturating_from_millis(9));
        // Few are known, so that the oldest are forgotten.
        let settings = RecommenderSettings { interactions_per_partition: 9, ..RecommenderSettings::default() };
        let model = LearntModel::new(settings, 5).expect("right settings").by(&rules);
        for (raw_seq, (who, what, category, erased)) in (1_u64..).zip(told) {
            let products = [item(&format!("p{what}"), CATEGORIES[category], &[])];
            let seen = event(LearntKind::View, &format!("c{who}"), 5, &products);
            model.learn(zero, &batch(raw_seq, &[seen]));
            if erased == 0 {
                model.erase(&[Erasure { number: raw_seq, ..erasure(&format!("c{who}"), 1_000) }]);
            }
            model.renew_charts(now);
            let charts = model.charts(now);
            let (_, _, anew) = Charts::make(&model.state, &rules.current().standard, &mut ChartPlaces::default(), now);
            for category in CATEGORIES.into_iter().map(Some).chain([None]) {
                prop_assert_eq!(charts.popular(category), anew.popular(category));
                prop_assert_eq!(charts.trending(category), anew.trending(category));
            }
        }
    }
}

/// A batch that is learnt in several turns is one batch for all who look at it.
#[test]
fn a_long_batch_is_learnt_as_its_parts_are() {
    let (one, other, zero) = (model(), model(), Partition::new(0));
    let view = |n: usize| event(LearntKind::View, &format!("c{}", n % 9), n as i64, &[item("p", "Books", &[])]);
    let events: Vec<LearntEvent> = (0..LEARNT_AT_ONCE * 2 + 5).map(view).collect();
    one.learn(zero, &batch(7, &events));
    for event in events {
        other.learn(zero, &batch(7, &[event]));
    }
    assert_eq!(state(&one), state(&other));
    assert_eq!(one.take_pages(zero, true).at, 7);
}
