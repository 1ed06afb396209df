//! Whether a customer is forgotten before or behind what ties a visit to them makes no
//! difference, on SQLite and on a real PostgreSQL.

use std::collections::BTreeSet;

use tidemill_domain::Partition;
use tidemill_recommender::{PartitionSnapshot, RecommenderSettings};

use crate::{
    learning::{LearntBatch, LearntEvent, LearntKind, VisitorId},
    model::LearntModel,
    store::{
        Erasure, PartitionKeep, Store,
        erasures::NOTHING_FOR_MILLIS,
        tests::{ONE, ZERO, at, erase, journal, on_each_database, open, step},
    },
    testing::{batch, event, item},
};

on_each_database! {
    a_visit_is_forgotten_with_who_was_forgotten_before_it_was_tied_to_them,
    erasures_of_several_owners_have_numbers_of_their_own,
    wherever_an_erasure_comes_the_index_is_one_without_the_customer_and_their_visit,
}

/// When what tests learn is taken in.
const TAKEN_IN: i64 = 1_000;

/// A view, of nobody who is known but by the visit, or of the customer in it.
fn seen(customer: Option<&str>, visit: &str, product: &str) -> LearntEvent {
    let view = event(LearntKind::View, "", 5, &[item(product, "Books", &[])]);
    LearntEvent { customer: customer.map(VisitorId::customer), session: Some(VisitorId::session(visit)), ..view }
}

async fn erasures(store: &Store) -> Vec<Erasure> {
    store.erasures(0).await.expect("reads")
}

async fn a_visit_is_forgotten_with_who_was_forgotten_before_it_was_tied_to_them(url: &str) {
    let store = open(url).await;
    let claim = store.claim(ZERO).await.expect("claims");
    store.keep(&claim, &step(0, &[batch(3, &[seen(None, "v", "p")])]), at(7)).await.expect("keeps");
    assert_eq!(erase(&store, "c", TAKEN_IN).await, 7);
    // Behind the erasure, and taken in before it ended.
    let tie = batch(5, &[seen(Some("c"), "v", "q"), seen(Some("other"), "w", "q")]);
    let batches = [batch(4, &[seen(None, "v", "r")]), tie.clone()];
    store.keep(&claim, &step(3, &batches), at(8)).await.expect("keeps");
    let expected = Erasure { number: 8, visitor: VisitorId::session("v"), until: at(8 + NOTHING_FOR_MILLIS) };
    assert_eq!(erasures(&store).await[1..], [expected]);
    let kept = journal(&store, ZERO).await;
    let whose: Vec<_> = kept[1..].iter().flat_map(|batch| &batch.events).map(LearntEvent::visitor).collect();
    assert_eq!(whose, [None, None, Some(VisitorId::customer("other"))]);
    // It is found once; and what is taken in later is of somebody new.
    let later = LearntBatch { ingested_at: at(TAKEN_IN + 1), ..batch(7, &[seen(Some("c"), "later", "q")]) };
    store.keep(&claim, &step(5, &[LearntBatch { raw_seq: 6, ..tie }, later]), at(9)).await.expect("keeps");
    assert_eq!(erasures(&store).await.len(), 2);
    // By then it is known whose the visit is.
    assert_eq!(erase(&store, "c", 9_000).await, 9);
    let third: BTreeSet<VisitorId> = erasures(&store).await[2..].iter().map(|erasure| erasure.visitor).collect();
    assert_eq!(third, BTreeSet::from([VisitorId::customer("c"), VisitorId::session("later")]));
}

/// A replica that has seen a number never looks before it.
async fn erasures_of_several_owners_have_numbers_of_their_own(url: &str) {
    let store = open(url).await;
    let claims = (store.claim(ZERO).await.expect("claims"), store.claim(ONE).await.expect("claims"));
    erase(&store, "c", TAKEN_IN).await;
    for n in 0..10 {
        let tie = |name: &str| step(n, &[batch(n + 1, &[seen(Some("c"), &format!("{name}{n}"), "p")])]);
        let (left, right) = (tie("left"), tie("right"));
        let both = tokio::join!(store.keep(&claims.0, &left, at(7)), store.keep(&claims.1, &right, at(7)));
        assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    }
    let numbers: Vec<u64> = erasures(&store).await.iter().map(|erasure| erasure.number).collect();
    assert_eq!(numbers, (7..=27).collect::<Vec<u64>>());
}

fn model() -> LearntModel {
    LearntModel::new(RecommenderSettings::default(), 1_000).expect("right settings")
}

fn snapshots(model: &LearntModel) -> [PartitionSnapshot; 2] {
    [ZERO, ONE].map(|partition| model.read().index.snapshot(partition))
}

async fn hear(store: &Store, model: &LearntModel) {
    model.erase(&store.erasures(model.erasure()).await.expect("reads"));
}

/// What a customer does in a visit of which it is not known at first that it is theirs, and
/// what somebody else does. Each batch has its place in `RAW`.
fn log(n: u64) -> [(Partition, LearntBatch); 6] {
    let (customer, visit) = (format!("c{n}"), format!("v{n}"));
    let batches = [
        (ZERO, seen(None, &visit, "p")),
        (ONE, seen(None, &visit, "q")),
        (ONE, seen(Some("other"), "w", "p")),
        (ZERO, seen(Some(&customer), &visit, "r")),
        (ONE, seen(None, &visit, "s")),
        (ZERO, seen(None, &visit, "t")),
    ];
    let mut raw_seq = n * 10;
    batches.map(|(partition, event)| {
        raw_seq += 1;
        (partition, batch(raw_seq, &[event]))
    })
}

/// The owner of both partitions, and replicas that are ahead of it or behind, and hear of
/// erasures at once or last.
struct Replicas {
    store: Store,
    claims: [PartitionKeep; 2],
    floors: [u64; 2],
    ahead: LearntModel,
    deaf: LearntModel,
    behind: LearntModel,
}

impl Replicas {
    async fn keep(&mut self, partition: Partition, batch: &LearntBatch) {
        let at_place = usize::from(partition.index());
        self.ahead.learn(partition, batch);
        self.deaf.learn(partition, batch);
        let step = step(self.floors[at_place], std::slice::from_ref(batch));
        self.floors[at_place] = batch.raw_seq;
        self.store.keep(&self.claims[at_place], &step, at(7)).await.expect("keeps");
        hear(&self.store, &self.ahead).await;
        hear(&self.store, &self.behind).await;
    }
}

async fn wherever_an_erasure_comes_the_index_is_one_without_the_customer_and_their_visit(url: &str) {
    let store = open(url).await;
    let claims = [store.claim(ZERO).await.expect("claims"), store.claim(ONE).await.expect("claims")];
    let mut replicas = Replicas { store, claims, floors: [0, 0], ahead: model(), deaf: model(), behind: model() };
    let (never, places) = (model(), log(0).len());
    for place in 0..=places {
        let n = u64::try_from(place).expect("few");
        for (at_place, (partition, batch)) in log(n).iter().enumerate() {
            if at_place == place {
                erase(&replicas.store, &format!("c{n}"), TAKEN_IN).await;
            }
            replicas.keep(*partition, batch).await;
        }
        if place == places {
            erase(&replicas.store, &format!("c{n}"), TAKEN_IN).await;
        }
        for (partition, batch) in log(n) {
            let is_others = batch.events[0].customer == Some(VisitorId::customer("other"));
            let without = LearntBatch { events: vec![batch.events[0].erased()], ..batch };
            never.learn(partition, if is_others { &batch } else { &without });
        }
    }
    let Replicas { store, ahead, deaf, behind, .. } = replicas;
    (0..=places).flat_map(|place| log(u64::try_from(place).expect("few"))).for_each(|(partition, batch)| {
        behind.learn(partition, &batch);
    });
    let restarted = model();
    let erasures = erasures(&store).await;
    restarted.erase(&erasures);
    for partition in [ZERO, ONE] {
        let stored = store.load(partition, "s", 0).await.expect("loads");
        restarted.restore(partition, stored, &erasures).expect("restores");
    }
    for (name, replica) in [("ahead", &ahead), ("deaf", &deaf), ("behind", &behind), ("restarted", &restarted)] {
        hear(&store, replica).await;
        assert_eq!(snapshots(replica), snapshots(&never), "{name}");
    }
}
