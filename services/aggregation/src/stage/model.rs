//! A model test: generated logs, crashes at every step, hand-overs, owners that
//! go on after they lost the partition, and lost ends of `METRICS`, against the
//! rules in their plainest form.
//!
//! Everything that an owner does is the real code on a real store; NATS and the
//! metrics store are a list and a map. Checked is, of every message ever
//! published, that its totals and books are those of exactly the prefix of the
//! log that it names; and that what a reader and the metrics store know in the
//! end is the whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use proptest::{
    prelude::*,
    test_runner::{Config as Cases, TestRunner},
};
use tidemill_definitions::Metrics;
use tidemill_domain::{Amount, Partition, Timestamp};
use tidemill_events::{CellUpdate, DeadLetter, EnrichedBatch, Enrichment, LateBatch, MetricsUpdate, event};
use tidemill_metrics_store::Point;
use tidemill_service::{Ceiling, CeilingConfig, Context};
use tidemill_testkit::tempdir;
use tidemill_totals::{Measure, Totals};
use tokio::sync::oneshot;

use crate::{
    Error,
    config::Windows,
    flush::{Sink, flush, publish_lost, write_stale_points},
    owner::{Owner, Taken},
    points::point,
    state::Outcomes,
    store::Store,
    testing,
};

const DEFINITIONS: &str = "name: minutes\ntypes: [sale]\nwindow: {sliding: {size: 4m, step: 2m}}\nmeasures:\n  \
                           a_customers: {distinct: data.customer, within: partition}\n  b_rows: {count: rows}\n  \
                           c_sum: {sum: data.price}\n---\n\
                           name: visits\ntypes: [sale]\nwindow: {session: {gap: 1m}}\ndimensions:\n  \
                           customer: data.customer\nmeasures:\n  a_prices: {distinct: data.price, within: partition}\n  \
                           b_rows: {count: rows}\n  c_sum: {sum: data.price}\n";
const SIZE: i64 = 240;
const STEP: i64 = 120;
const GAP: i64 = 60;
const LATENESS: i64 = 600;
const OUT_OF_ORDER: i64 = 60;
const DAY: i64 = 24 * 3600;
const FAR: i64 = 4_102_444_800;
const LOG_START: i64 = 1_000_000_000;

/// What an event is.
#[derive(Debug, Clone, Copy)]
struct Sale {
    source: u8,
    customer: u8,
    price: u8,
    /// Seconds around where the log stands.
    jitter: i64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Duplicate,
    /// A clock that is far ahead.
    Future,
    /// Two days pass in the log before it.
    Jump,
    NotAnEvent,
}

/// A sale where it stands in the log.
#[derive(Debug, Clone, Copy)]
struct Placed {
    sale: Sale,
    time: i64,
}

#[derive(Debug, Clone, Copy)]
struct Fault {
    /// At which of the owner's messages.
    at: u8,
    /// Once it was sent, not before.
    after: bool,
}

#[derive(Debug, Clone)]
enum Step {
    /// The owner takes some batches, and some more while it keeps the first.
    Work { take: usize, ahead: usize, crash: Option<Fault> },
    /// It dies when all is kept and nothing acknowledged.
    DieBeforeAck { take: usize },
    /// It hangs in the middle of its messages. Another takes over and works;
    /// then the first goes on.
    Hang { take: usize, at: Fault, meanwhile: usize },
    /// Another takes over; the first knows nothing of it and takes more.
    Oblivious { meanwhile: usize, take: usize },
    /// The server loses the end of METRICS.
    LoseTail { messages: usize },
}

#[derive(Debug, Clone)]
struct Case {
    sales: Vec<Sale>,
    cuts: Vec<usize>,
    steps: Vec<Step>,
    retention: bool,
    little_memory: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![
        12 => Just(Kind::Plain),
        2 => Just(Kind::Duplicate),
        1 => Just(Kind::Future),
        1 => Just(Kind::Jump),
        1 => Just(Kind::NotAnEvent),
    ];
    let jitter = prop_oneof![8 => -150i64..150, 1 => -2_000i64..-500];
    let sale = (0u8..3, 0u8..3, 1u8..6, jitter, kind).prop_map(|(source, customer, price, jitter, kind)| Sale {
        source,
        customer,
        price,
        jitter,
        kind,
    });
    let fault = || (0u8..7, any::<bool>()).prop_map(|(at, after)| Fault { at, after });
    let step = prop_oneof![
        3 => (1usize..5, 0usize..3, prop::option::of(fault()))
            .prop_map(|(take, ahead, crash)| Step::Work { take, ahead, crash }),
        1 => (1usize..5).prop_map(|take| Step::DieBeforeAck { take }),
        2 => (1usize..5, fault(), 0usize..5).prop_map(|(take, at, meanwhile)| Step::Hang { take, at, meanwhile }),
        1 => (0usize..5, 1usize..5).prop_map(|(meanwhile, take)| Step::Oblivious { meanwhile, take }),
        1 => (1usize..4).prop_map(|messages| Step::LoseTail { messages }),
    ];
    (
        prop::collection::vec(sale, 1..50),
        prop::collection::vec(1usize..6, 1..6),
        prop::collection::vec(step, 0..9),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(sales, cuts, steps, retention, little_memory)| Case {
            sales,
            cuts,
            steps,
            retention,
            little_memory,
        })
}

/// Where the owners of one partition meet.
struct World {
    partition: Partition,
    log: Vec<EnrichedBatch>,
    /// The events of each batch.
    events: Vec<Vec<Placed>>,
    /// Batches acknowledged, from the first.
    acknowledged: usize,
    /// Who has the lease.
    owner: u32,
    stream: Vec<MetricsUpdate>,
    /// Everything that ever stood in the stream.
    published: Vec<MetricsUpdate>,
    points: BTreeMap<PointKey, Point>,
    late: BTreeMap<u64, LateBatch>,
    letters: BTreeSet<String>,
}

type Shared = Arc<Mutex<World>>;
/// What a point is overwritten by: measurement, tags and time.
type PointKey = (String, Vec<(String, String)>, i64);

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn line(Placed { sale, time }: &Placed) -> Vec<u8> {
    let Sale { source, customer, price, kind, .. } = sale;
    if *kind == Kind::NotAnEvent {
        return b"{\"source\": 7}\n".to_vec();
    }
    let time = Timestamp::saturating_from_millis(time * 1000);
    let plain = format!(
        r#"{{"id":"x","source":"s{source}","type":"sale","time":"{time}","data":{{"customer":"c{customer}","price":{price}}}}}"#
    );
    let mut out = Vec::new();
    let enrichment = Enrichment { duplicate: *kind == Kind::Duplicate, ..Enrichment::default() };
    event::splice_enrichment(plain.as_bytes(), &enrichment, &mut out).expect("splices");
    out
}

impl World {
    fn new(case: &Case, partition: Partition) -> Self {
        let (mut now, mut placed) = (10_000, Vec::new());
        for sale in &case.sales {
            now += if sale.kind == Kind::Jump { 2 * DAY } else { 15 };
            let time = if sale.kind == Kind::Future { FAR } else { now + sale.jitter };
            placed.push(Placed { sale: *sale, time });
        }
        let (mut log, mut events, mut rest) = (Vec::new(), Vec::new(), &placed[..]);
        let (mut seq, mut log_time) = (0, LOG_START);
        for cut in case.cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            rest = tail;
            log_time += 5 * DAY * head.iter().filter(|placed| placed.sale.kind == Kind::Jump).count() as i64;
            log.push(EnrichedBatch {
                partition,
                raw_seq: seq + 3,
                raw_prev: seq,
                remade: None,
                ingested_at: Timestamp::saturating_from_millis(log_time * 1000),
                refdata: 0,
                count: head.len() as u32,
                lines: head.iter().flat_map(line).collect::<Vec<u8>>().into(),
                trace: None,
            });
            events.push(head.to_vec());
            seq += 3;
        }
        Self {
            partition,
            log,
            events,
            acknowledged: 0,
            owner: 0,
            stream: Vec::new(),
            published: Vec::new(),
            points: BTreeMap::new(),
            late: BTreeMap::new(),
            letters: BTreeSet::new(),
        }
    }
}

impl World {
    /// Loses the last messages, as far as they are of less than seven days of
    /// the log: that long what they say stays in the store in any case.
    fn lose_tail(&mut self, messages: usize) {
        let log_time = |update: &MetricsUpdate| {
            let batch = self.log.iter().find(|batch| batch.raw_seq == update.raw_seq);
            batch.map_or(i64::MAX, |batch| batch.ingested_at.millis() / 1000)
        };
        let newest = self.published.iter().map(log_time).max().unwrap_or_default();
        let last = self.stream.iter().rev().take(messages);
        let lost = last.take_while(|update| log_time(update) > newest - 7 * DAY);
        let left = self.stream.len() - lost.count();
        self.stream.truncate(left);
    }
}

/// What an owner meets while it sends its messages.
enum Fate {
    Well,
    Crash(Fault),
    Hang(Fault, Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>),
}

struct ModelSink {
    world: Shared,
    owner: u32,
    /// Messages in the stream, as far as this owner knows.
    tail: usize,
    sent: u8,
    fate: Fate,
}

impl ModelSink {
    /// Sends one message, unless its fate comes first.
    async fn send(&mut self, effect: impl FnOnce(&mut World) -> Result<(), Error> + Send) -> Result<(), Error> {
        let at = self.sent;
        self.sent += 1;
        self.meet(at, false).await?;
        effect(&mut lock(&self.world))?;
        self.meet(at, true).await
    }

    async fn meet(&mut self, at: u8, after: bool) -> Result<(), Error> {
        let is_now = |fault: &Fault| fault.at == at && fault.after == after;
        match &mut self.fate {
            // Any error ends the owner.
            Fate::Crash(fault) if is_now(fault) => Err(Error::MetricsTail),
            Fate::Hang(fault, channel) if is_now(fault) => {
                if let Some((hanging, wake)) = channel.take() {
                    let _ = hanging.send(());
                    let _ = wake.await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Sink for ModelSink {
    async fn totals(&mut self, update: &MetricsUpdate) -> Result<(), Error> {
        let tail = self.tail;
        self.send(|world| {
            if world.stream.len() != tail {
                return Err(Error::MetricsTail);
            }
            world.stream.push(update.clone());
            world.published.push(update.clone());
            Ok(())
        })
        .await?;
        self.tail = tail + 1;
        Ok(())
    }

    async fn late(&mut self, late: &LateBatch) -> Result<(), Error> {
        let late = late.clone();
        self.send(|world| {
            let known = world.late.insert(late.raw_seq, late.clone());
            assert!(known.is_none_or(|known| known == late), "a repetition says the same");
            Ok(())
        })
        .await
    }

    async fn letter(&mut self, letter: &DeadLetter) -> Result<(), Error> {
        let id = letter.id.clone();
        self.send(|world| {
            world.letters.insert(id);
            Ok(())
        })
        .await
    }

    async fn points(&mut self, points: &[Point]) -> Result<(), Error> {
        let points = points.to_vec();
        self.send(|world| {
            for point in points {
                let tags = point.tags.clone().into_iter().collect();
                world.points.insert((point.measurement.clone(), tags, point.time.millis()), point);
            }
            Ok(())
        })
        .await
    }

    fn is_owner(&self) -> bool {
        lock(&self.world).owner == self.owner
    }
}

/// An owner at work.
struct Actor {
    owner: Owner,
    sink: ModelSink,
    /// The batch of the log that is delivered next.
    next: usize,
    ceiling: Ceiling,
}

struct Stage {
    store: Store,
    metrics: Arc<Metrics>,
    windows: Arc<Windows>,
    world: Shared,
}

const NOW: Timestamp = Timestamp::EPOCH;

impl Stage {
    /// Takes the partition over.
    async fn open(&self) -> Actor {
        loop {
            let (partition, next, tail, last, id) = {
                let mut world = lock(&self.world);
                world.owner += 1;
                (world.partition, world.acknowledged, world.stream.len(), world.stream.last().cloned(), world.owner)
            };
            let (store, metrics, windows) = (self.store.clone(), self.metrics.clone(), self.windows.clone());
            let owner = Owner::open(store, metrics, windows, partition, NOW).await.expect("the store is there");
            let mut sink = ModelSink { world: self.world.clone(), owner: id, tail, sent: 0, fate: Fate::Well };
            let position = owner.position(NOW);
            if publish_lost(&mut sink, &self.store, &owner.claim, &position, last.as_ref()).await.is_ok() {
                return Actor { owner, sink, next, ceiling: Ceiling::new(CeilingConfig::default()) };
            }
        }
    }

    async fn take(&self, actor: &mut Actor, batches: usize) -> Result<(), Error> {
        for _ in 0..batches {
            let Some(batch) = lock(&self.world).log.get(actor.next).cloned() else { return Ok(()) };
            let taken = actor.owner.take(&batch, &mut actor.ceiling, NOW).await?;
            assert_ne!(taken, Taken::Early, "batches come in order");
            actor.next += 1;
        }
        Ok(())
    }

    /// Publishes and keeps what changed, takes more meanwhile, and
    /// acknowledges.
    async fn keep(&self, actor: &mut Actor, ahead: usize) -> Result<(), Error> {
        let changes = actor.owner.take_changes(NOW);
        let reached = actor.next;
        self.take(actor, ahead).await?;
        if changes.floor > changes.after {
            flush(&mut actor.sink, &self.store, &actor.owner.claim, &self.metrics, &changes).await?;
        }
        actor.owner.state.committed(changes.floor);
        self.acknowledge(reached);
        write_stale_points(&mut actor.sink, &self.store, &actor.owner.claim, &self.metrics).await
    }

    fn acknowledge(&self, batches: usize) {
        let mut world = lock(&self.world);
        world.acknowledged = world.acknowledged.max(batches);
    }

    async fn work(&self, actor: &mut Actor, take: usize, ahead: usize) -> Result<(), Error> {
        self.take(actor, take).await?;
        self.keep(actor, ahead).await?;
        if ahead > 0 { self.keep(actor, 0).await } else { Ok(()) }
    }

    /// Works on; whoever fails is followed by another.
    async fn work_or_die(&self, mut actor: Actor, take: usize, ahead: usize) -> Actor {
        match self.work(&mut actor, take, ahead).await {
            Ok(()) => Actor { sink: ModelSink { fate: Fate::Well, ..actor.sink }, ..actor },
            Err(_) => self.open().await,
        }
    }

    async fn play(self: &Arc<Self>, mut actor: Actor, step: &Step) -> Actor {
        actor.sink.sent = 0;
        match *step {
            Step::Work { take, ahead, crash } => {
                actor.sink.fate = crash.map_or(Fate::Well, Fate::Crash);
                self.work_or_die(actor, take, ahead).await
            }
            Step::DieBeforeAck { take } => {
                let acknowledged = lock(&self.world).acknowledged;
                let _ = self.work(&mut actor, take, 0).await;
                lock(&self.world).acknowledged = acknowledged;
                self.open().await
            }
            Step::Hang { take, at, meanwhile } => {
                let ((hanging, hangs), (wake, woken)) = (oneshot::channel(), oneshot::channel());
                actor.sink.fate = Fate::Hang(at, Some((hanging, woken)));
                let stage = self.clone();
                let first = tokio::spawn(async move {
                    let done = stage.work(&mut actor, take, 0).await;
                    // What it did not come to is no matter any more.
                    actor.sink.fate = Fate::Well;
                    (actor, done)
                });
                if hangs.await.is_err() {
                    // It was through before it came to that.
                    let (actor, done) = first.await.expect("does not panic");
                    return match done {
                        Ok(()) => Actor { sink: ModelSink { fate: Fate::Well, ..actor.sink }, ..actor },
                        Err(_) => self.open().await,
                    };
                }
                let second = self.open().await;
                let second = self.work_or_die(second, meanwhile, 0).await;
                let _ = wake.send(());
                drop(first.await.expect("does not panic"));
                second
            }
            Step::Oblivious { meanwhile, take } => {
                let second = self.open().await;
                let second = self.work_or_die(second, meanwhile, 0).await;
                let acknowledged = lock(&self.world).acknowledged;
                let done = self.work(&mut actor, take, 0).await;
                let took_any = actor.owner.state.floor > actor.owner.claim.floor;
                assert!(done.is_err() || !took_any || lock(&self.world).acknowledged == acknowledged);
                second
            }
            Step::LoseTail { messages } => {
                lock(&self.world).lose_tail(messages);
                actor
            }
        }
    }
}

/// A cell as readers know it: metric, customer and start.
type Key = (String, String, i64);
/// Its end and totals.
type Known = BTreeMap<Key, (i64, Totals)>;

/// The rules in their plainest form, over a prefix of the log.
#[derive(Debug, Default, Clone, PartialEq)]
struct Truth {
    cells: Known,
    books: BTreeMap<(String, i64), Outcomes>,
    late: BTreeMap<u64, u32>,
    letters: usize,
}

fn totals(values: BTreeSet<u8>, prices: &[u8]) -> Totals {
    let sum = prices.iter().map(|price| i64::from(*price)).sum();
    Totals(vec![
        Measure::DistinctKeyed(values.len() as u64),
        Measure::Count(prices.len() as u64),
        Measure::Sum(Amount::from_int(sum)),
    ])
}

fn truth(batches: &[EnrichedBatch], events: &[Vec<Placed>], retention: bool) -> Truth {
    let (mut truth, mut counted) = (Truth::default(), Vec::new());
    let mut newest: BTreeMap<u8, i64> = BTreeMap::new();
    for (batch, events) in batches.iter().zip(events) {
        let log_time = batch.ingested_at.millis() / 1000;
        for Placed { sale, time } in events {
            if sale.kind == Kind::NotAnEvent {
                truth.letters += 1;
                continue;
            }
            let hour = log_time.div_euclid(3600) * 3600;
            let books = truth.books.entry((format!("s{}", sale.source), hour)).or_default();
            if sale.kind == Kind::Duplicate {
                books.duplicate += 1;
                continue;
            }
            let furthest = newest.values().max();
            let is_late = newest.get(&sale.source).is_some_and(|newest| time + LATENESS < newest - OUT_OF_ORDER)
                || (retention && furthest.is_some_and(|furthest| *time < furthest - DAY));
            if is_late {
                books.late += 1;
                *truth.late.entry(batch.raw_seq).or_default() += 1;
            } else {
                books.counted += 1;
                counted.push((*sale, *time));
            }
            if *time <= log_time + 300 {
                newest.entry(sale.source).and_modify(|newest| *newest = (*newest).max(*time)).or_insert(*time);
            }
        }
    }
    let starts: BTreeSet<i64> = counted
        .iter()
        .flat_map(|(_, time)| {
            let last = time.div_euclid(STEP) * STEP;
            [last, last - STEP]
        })
        .collect();
    for start in starts {
        let inside: Vec<Sale> =
            counted.iter().filter(|(_, time)| (start..start + SIZE).contains(time)).map(|(sale, _)| *sale).collect();
        let customers = inside.iter().map(|sale| sale.customer).collect();
        let prices: Vec<u8> = inside.iter().map(|sale| sale.price).collect();
        truth.cells.insert(("minutes".into(), String::new(), start), (start + SIZE, totals(customers, &prices)));
    }
    for customer in 0..3 {
        let mut own: Vec<(i64, u8)> = counted
            .iter()
            .filter(|(sale, _)| sale.customer == customer)
            .map(|(sale, time)| (*time, sale.price))
            .collect();
        own.sort_unstable();
        for session in own.chunk_by(|a, b| b.0 - a.0 < GAP) {
            let prices: Vec<u8> = session.iter().map(|(_, price)| *price).collect();
            let totals = totals(prices.iter().copied().collect(), &prices);
            let end = session[session.len() - 1].0 + GAP;
            truth.cells.insert(("visits".into(), format!("c{customer}"), session[0].0), (end, totals));
        }
    }
    truth
}

fn key_of(cell: &CellUpdate) -> Key {
    let customer = cell.dimensions.get("customer").cloned().unwrap_or_default();
    (cell.metric.clone(), customer, cell.start.millis() / 1000)
}

/// What a reader makes of messages: the furthest word on each cell and book.
#[derive(Default)]
struct Reader {
    cells: BTreeMap<Key, (u64, CellUpdate)>,
    books: BTreeMap<(String, i64), (u64, Outcomes)>,
}

impl Reader {
    fn of<'a>(messages: impl IntoIterator<Item = &'a MetricsUpdate>) -> Self {
        let mut reader = Self::default();
        for update in messages {
            for cell in &update.cells {
                let known = reader.cells.entry(key_of(cell)).or_insert_with(|| (0, cell.clone()));
                if known.0 < update.raw_seq {
                    *known = (update.raw_seq, cell.clone());
                }
            }
            for books in &update.books {
                let key = (books.source.clone(), books.hour.millis() / 1000);
                let known = reader.books.entry(key).or_default();
                if known.0 < update.raw_seq {
                    let (counted, late, duplicate) = (books.counted, books.late, books.duplicate);
                    *known = (update.raw_seq, Outcomes { counted, late, duplicate });
                }
            }
        }
        reader
    }

    fn cells(&self) -> Known {
        let live = self.cells.iter().filter(|(_, (_, cell))| !cell.retracted);
        live.map(|(key, (_, cell))| (key.clone(), (cell.end.millis() / 1000, cell.totals.clone()))).collect()
    }

    fn books(&self) -> BTreeMap<(String, i64), Outcomes> {
        self.books.iter().map(|(key, (_, outcomes))| (key.clone(), *outcomes)).collect()
    }
}

fn check(world: &World, metrics: &Metrics, retention: bool) -> Result<(), TestCaseError> {
    let prefixes: BTreeMap<u64, Truth> = (1..=world.log.len())
        .map(|n| (world.log[n - 1].raw_seq, truth(&world.log[..n], &world.events[..n], retention)))
        .collect();
    for update in &world.published {
        let Some(truth) = prefixes.get(&update.raw_seq) else {
            prop_assert!(update.cells.is_empty() && update.books.is_empty());
            continue;
        };
        for cell in &update.cells {
            let expected = truth.cells.get(&key_of(cell));
            let found = (!cell.retracted).then(|| (cell.end.millis() / 1000, cell.totals.clone()));
            prop_assert_eq!(found.as_ref(), expected, "{:?} at {}", key_of(cell), update.raw_seq);
        }
        for books in &update.books {
            let expected = truth.books[&(books.source.clone(), books.hour.millis() / 1000)];
            let (counted, late, duplicate) = (books.counted, books.late, books.duplicate);
            prop_assert_eq!(Outcomes { counted, late, duplicate }, expected, "at {}", update.raw_seq);
        }
    }
    let whole = prefixes.into_values().next_back().unwrap_or_default();
    for reader in [Reader::of(&world.stream), Reader::of(&world.published)] {
        prop_assert_eq!(reader.cells(), whole.cells.clone());
        prop_assert_eq!(reader.books(), whole.books.clone());
    }
    let late: BTreeMap<u64, u32> = world.late.iter().map(|(seq, late)| (*seq, late.count)).collect();
    prop_assert_eq!(late, whole.late);
    prop_assert_eq!(world.letters.len(), whole.letters);
    // The metrics store has the point of every live cell as it is in the end,
    // and nothing that adds to it. What is not kept any more cannot be written
    // again.
    if retention {
        return Ok(());
    }
    let reader = Reader::of(&world.published);
    for (_, cell) in reader.cells.values() {
        let expected = point(cell, world.partition, metrics).expect("a point");
        let tags = expected.tags.clone().into_iter().collect();
        let found = world.points.get(&(expected.measurement.clone(), tags, expected.time.millis()));
        if cell.retracted {
            let adds = |point: &Point| point.fields["retracted"] != tidemill_metrics_store::FieldValue::Integer(1);
            prop_assert!(!found.is_some_and(adds), "{found:?}");
        } else {
            prop_assert_eq!(found, Some(&expected));
        }
    }
    Ok(())
}

async fn run(case: &Case, store: &Store, partition: Partition) -> Result<(), TestCaseError> {
    let windows = Windows {
        out_of_orderness_seconds: OUT_OF_ORDER as u32,
        allowed_lateness_seconds: LATENESS as u32,
        retention_days: case.retention.into(),
        max_cells_in_memory: if case.little_memory { 2 } else { 1000 },
        ..Windows::default()
    };
    let stage = Arc::new(Stage {
        store: store.clone(),
        metrics: testing::metrics(DEFINITIONS).into(),
        windows: windows.into(),
        world: Arc::new(Mutex::new(World::new(case, partition))),
    });
    let mut actor = stage.open().await;
    for step in &case.steps {
        actor = stage.play(actor, step).await;
    }
    // In the end everything is delivered to somebody who lives on.
    drop(actor);
    let mut last = stage.open().await;
    let all = lock(&stage.world).log.len();
    while lock(&stage.world).acknowledged < all {
        last = stage.work_or_die(last, 2, 0).await;
    }
    write_stale_points(&mut last.sink, &stage.store, &last.owner.claim, &stage.metrics).await.expect("is the owner");
    check(&lock(&stage.world), &stage.metrics, case.retention)
}

#[test]
fn whatever_happens_totals_and_books_are_those_of_the_log() {
    static PARTITIONS: AtomicU16 = AtomicU16::new(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempdir();
    let config = tidemill_store::Config {
        url: format!("sqlite://{}/aggregation.db", folder.path().display()),
        max_connections: 2,
    };
    let breaker = Context::new("aggregation").breaker("store");
    let store = runtime.block_on(Store::open(&config, breaker)).expect("opens");
    // A long run: PROPTEST_CASES=2000.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48);
    let cases = Cases { cases, max_shrink_iters: 2000, failure_persistence: None, ..Cases::default() };
    let outcome = TestRunner::new(cases).run(&case(), |case| {
        // Each case on a partition of its own, in one store.
        let partition = Partition::new(PARTITIONS.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(run(&case, &store, partition))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
