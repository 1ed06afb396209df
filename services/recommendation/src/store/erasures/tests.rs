//! Whenever a replica hears of an erasure, it forgets what the erasure covers and nothing else, on
//! SQLite and on a real PostgreSQL.

use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::{PartitionSnapshot, RecommenderSettings};

use super::{Erasure, ErasureOrder, NOTHING_FOR_MILLIS};
use crate::{
    known_erasures::KnownErasures,
    learning::{LearntBatch, LearntEvent, LearntKind, VisitorId},
    model::LearntModel,
    store::{
        PartitionKeep, Store,
        tests::{ONE, ZERO, at, on_each_database, open, step},
    },
    testing::{batch, event, item},
};

on_each_database! {
    who_is_forgotten_is_so_for_as_long_as_others_may_have_learnt,
    however_late_replicas_hear_they_lack_who_is_forgotten_and_nobody_else,
}

fn customer(n: u64) -> VisitorId {
    VisitorId::customer(&format!("c{n}"))
}

/// By a replica whose clock says that it is `at`.
async fn erase(store: &Store, customer: VisitorId, at: Timestamp) -> Timestamp {
    let order = ErasureOrder { customer, until: at.plus_millis(NOTHING_FOR_MILLIS), at, known: 0, by: "key" };
    store.erase(order, [ZERO, ONE].into_iter()).await.expect("erases").until
}

async fn who_is_forgotten_is_so_for_as_long_as_others_may_have_learnt(url: &str) {
    let store = open(url).await;
    assert_eq!(erase(&store, customer(0), at(0)).await, at(10_000), "nobody learns");
    store.will_learn(at(50_000)).await.expect("writes");
    store.will_learn(at(7)).await.expect("writes");
    assert_eq!(erase(&store, customer(0), at(40_000)).await, at(50_000));
    assert_eq!(erase(&store, customer(0), at(40_001)).await, at(50_001));
    // So does what is kept, whoever has learnt it.
    let claim = store.claim(ZERO).await.expect("claims");
    let kept = LearntBatch { ingested_at: at(60_000), ..batch(1, &[event(LearntKind::View, "c0", 5, &[])]) };
    store.keep(&claim, &step(0, &[kept]), at(45_000)).await.expect("keeps");
    assert_eq!(erase(&store, customer(0), at(45_000)).await, at(60_000));
    let of_a_broken_clock =
        LearntBatch { ingested_at: at(i64::MAX), ..batch(2, &[event(LearntKind::View, "c0", 5, &[])]) };
    store.keep(&claim, &step(1, &[of_a_broken_clock]), at(45_000)).await.expect("keeps");
    assert_eq!(erase(&store, customer(0), at(45_000)).await, at(45_000 + 3_600_000));
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What a replica has read, and not carried out yet.
type Heard = (Option<Timestamp>, Vec<Erasure>);

struct Replica {
    model: LearntModel,
    known: KnownErasures,
    /// What it has loaded with the partitions that it has.
    erasures: Vec<Erasure>,
    loaded: usize,
    /// Batches of each partition that it has learnt.
    places: [usize; 2],
    heard: Option<Heard>,
    /// The same of who was asked to forget somebody.
    asked: Option<Vec<Erasure>>,
}

impl Replica {
    fn new() -> Self {
        let model = LearntModel::new(RecommenderSettings::default(), 1_000).expect("right settings");
        let known = KnownErasures::new();
        Self { model, known, erasures: Vec::new(), loaded: 0, places: [0, 0], heard: None, asked: None }
    }

    /// Takes in the next partition as it is stored.
    async fn load(&mut self, store: &Store, log: &[Vec<LearntBatch>; 2]) {
        let (place, partition) = (self.loaded, Partition::new(u16::try_from(self.loaded).expect("two")));
        let known = self.erasures.last().map_or(0, |erasure| erasure.number);
        let mut stored = store.load(partition, "s", known).await.expect("loads");
        self.model.erase(&stored.erasures);
        self.erasures.append(&mut stored.erasures);
        self.places[place] = log[place].iter().filter(|batch| batch.raw_seq <= stored.floor).count();
        self.model.restore(partition, stored, &self.erasures).expect("restores");
        self.loaded += 1;
    }

    async fn read(&mut self, store: &Store) {
        let next = self.known.next();
        if let Some(up_to) = next {
            store.will_learn(up_to).await.expect("writes");
        }
        self.heard = Some((next, store.erasures(self.model.erasure()).await.expect("reads")));
    }

    fn hear(&mut self) {
        let Some((next, erasures)) = self.heard.take() else { return };
        self.model.erase(&erasures);
        next.into_iter().for_each(|up_to| self.known.reach(up_to));
    }

    /// Who was asked to forget somebody hears of it beside, and is slow.
    async fn hear_beside(&mut self, store: &Store) {
        match self.asked.take() {
            None => self.asked = Some(store.erasures(self.model.erasure()).await.expect("reads")),
            Some(erasures) => self.model.erase(&erasures),
        }
    }

    fn learn(&mut self, log: &[Vec<LearntBatch>; 2], now: Timestamp) {
        for (place, partition) in [ZERO, ONE].into_iter().enumerate() {
            let Some(batch) = log[place].get(self.places[place]) else { continue };
            if self.known.covers(batch.ingested_at, now) {
                self.model.learn(partition, batch);
                self.places[place] += 1;
            }
        }
    }
}

fn snapshots(model: &LearntModel) -> [PartitionSnapshot; 2] {
    [ZERO, ONE].map(|partition| model.read().index.snapshot(partition))
}

/// One of eight customers, in one of ten visits or in none that is known; or a visit of
/// somebody of whom nothing else is known.
fn seen(dice: &mut Dice) -> LearntEvent {
    let products = [item(&format!("p{}", dice.below(6)), "Books", &[])];
    let event = event(LearntKind::View, &format!("c{}", dice.below(8)), 5, &products);
    let session = Some(VisitorId::session(&format!("v{}", dice.below(10))));
    match dice.below(4) {
        0 => event,
        1 => LearntEvent { session, ..event },
        _ => LearntEvent { customer: None, session, ..event },
    }
}

/// A log, its owner, and those who learn it.
struct Shop {
    store: Store,
    claims: [PartitionKeep; 2],
    kept: [usize; 2],
    log: [Vec<LearntBatch>; 2],
    replicas: Vec<Replica>,
    now: Timestamp,
}

impl Shop {
    async fn keep(&mut self, place: usize) {
        let Some(next) = self.log[place].get(self.kept[place]) else { return };
        let after = self.log[place][..self.kept[place]].last().map_or(0, |batch| batch.raw_seq);
        let step = step(after, std::slice::from_ref(next));
        self.store.keep(&self.claims[place], &step, self.now).await.expect("keeps");
        self.kept[place] += 1;
    }

    async fn write_pages(&self, place: usize) {
        let writer = self.replicas.iter().find(|replica| replica.loaded == 2);
        let Some(writer) = writer else { return };
        let changes = writer.model.take_pages(self.claims[place].partition, true);
        self.store.write_pages(&self.claims[place], &changes, "s").await.expect("writes or refuses");
    }

    async fn go_on(&mut self, dice: &mut Dice) {
        self.now = self.now.plus_millis(i64::try_from(dice.below(4_000)).expect("small"));
        // One is nearly always up to date.
        let first = &mut self.replicas[0];
        if first.loaded == 2 && dice.below(3) > 0 {
            first.learn(&self.log, self.now);
            first.hear();
            first.read(&self.store).await;
        }
        let place = usize::try_from(dice.below(2)).expect("two");
        let at_replica = usize::try_from(dice.below(self.replicas.len() as u64)).expect("few");
        match dice.below(12) {
            0..=2 => {
                let raw_seq = (self.log[0].len() + self.log[1].len() + 1) as u64;
                let events: Vec<LearntEvent> = (0..=dice.below(2)).map(|_| seen(dice)).collect();
                // The clock of who takes in the one partition is ahead.
                let ingested_at = self.now.plus_millis(if place == 0 { 0 } else { 15_000 });
                self.log[place].push(LearntBatch { ingested_at, ..batch(raw_seq, &events) });
            }
            3 if dice.below(2) == 0 => {
                // The transaction took long, or the clock is behind.
                let at = self.now.plus_millis(-i64::try_from(dice.below(15_000)).expect("small"));
                erase(&self.store, customer(dice.below(8)), at).await;
            }
            3 => self.replicas[at_replica].hear_beside(&self.store).await,
            4 | 5 => self.keep(place).await,
            6 => self.write_pages(place).await,
            7 if self.replicas.len() < 6 => self.replicas.push(Replica::new()),
            turn => {
                let (store, log, now) = (&self.store, &self.log, self.now);
                let replica = &mut self.replicas[at_replica];
                match turn {
                    _ if replica.loaded < 2 => replica.load(store, log).await,
                    8 if replica.heard.is_none() => replica.read(store).await,
                    8 | 9 => replica.hear(),
                    _ => replica.learn(log, now),
                }
            }
        }
    }

    /// All comes to its end: what is left is kept, heard of, and learnt.
    async fn end(&mut self) {
        while self.kept != [self.log[0].len(), self.log[1].len()] {
            self.keep(0).await;
            self.keep(1).await;
        }
        self.replicas.push(Replica::new());
        for replica in &mut self.replicas {
            while replica.loaded < 2 {
                replica.load(&self.store, &self.log).await;
            }
            while replica.places != self.kept || replica.model.erasure() < last(&self.store).await {
                replica.hear();
                replica.read(&self.store).await;
                replica.hear();
                replica.learn(&self.log, self.now);
            }
        }
    }
}

async fn last(store: &Store) -> u64 {
    store.erasures(0).await.expect("reads").last().map_or(0, |erasure| erasure.number)
}

async fn however_late_replicas_hear_they_lack_who_is_forgotten_and_nobody_else(url: &str) {
    let store = open(url).await;
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let claims = [store.claim(ZERO).await.expect("claims"), store.claim(ONE).await.expect("claims")];
    let replicas = vec![Replica::new(), Replica::new()];
    let log = [Vec::new(), Vec::new()];
    let mut shop = Shop { store, claims, kept: [0, 0], log, replicas, now: at(1_000_000) };
    for _ in 0..3 {
        for _ in 0..300 {
            shop.go_on(&mut dice).await;
        }
        shop.end().await;
        let erasures = shop.store.erasures(0).await.expect("reads");
        let never = Replica::new().model;
        let (mut forgotten, mut back) = (0, 0);
        for (place, partition) in [ZERO, ONE].into_iter().enumerate() {
            for batch in &shop.log[place] {
                let is_forgotten = |event: &LearntEvent| {
                    let covers = |e: &&Erasure| Some(e.visitor) == event.visitor() && e.until >= batch.ingested_at;
                    erasures.iter().any(|erasure| covers(&erasure))
                };
                let left = |event: &LearntEvent| if is_forgotten(event) { event.erased() } else { event.clone() };
                let events: Vec<LearntEvent> = batch.events.iter().map(left).collect();
                forgotten += events.iter().filter(|event| event.passed > 0).count();
                let is_back = |event: &&LearntEvent| erasures.iter().any(|e| Some(e.visitor) == event.visitor());
                back += events.iter().filter(is_back).count();
                never.learn(partition, &LearntBatch { events, ..*batch });
            }
        }
        for (n, replica) in shop.replicas.iter().enumerate() {
            assert_eq!(snapshots(&replica.model), snapshots(&never), "replica {n}");
        }
        assert!(forgotten > 5 && back > 5, "{forgotten} are forgotten, and {back} of who came back");
        // The first ones go on; others start anew.
        shop.replicas.truncate(3);
    }
}
