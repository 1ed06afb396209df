//! The loop on a real nats-server: what is acknowledged, and when.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use tidemill_bus::{Bus, Config, Delivery, Subscription};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, RawBatch};
use tidemill_service::{Conditions, Health};
use tidemill_stage::{Checkpoint, Disposition, Failure, Progressing, Read, Steps, Work, consume, supervise};
use tidemill_testkit::{TestNats, eventually};
use tokio::{
    sync::Notify,
    time::{Instant, advance},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(30);
const DURABLE: Durable = Durable::Enrichment(Partition::new(0));

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    #[error("batch {0} is poison")]
    Poison(u128),
    #[error("the store is away")]
    Store,
    #[error("nobody can be told")]
    Silenced,
    #[error("of another release")]
    Unreadable,
    #[error("a fault")]
    Fault,
    #[error("given back")]
    Over,
}

impl Failure for Error {
    fn code(&self) -> tidemill_domain::Code {
        tidemill_domain::Code::Internal
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::Bus(_) | Self::Store | Self::Silenced => Disposition::Retry,
            Self::Poison(_) => Disposition::DeadLetter,
            Self::Unreadable => Disposition::Halt,
            Self::Fault => Disposition::Fail,
            Self::Over => Disposition::End,
        }
    }
}

/// A stage that notes what it applied, and what is in its store.
#[derive(Default)]
struct Notes {
    applied: Arc<Mutex<Vec<u128>>>,
    kept: Arc<Mutex<Vec<u128>>>,
    /// A batch that cannot be applied.
    poison: Option<u128>,
    /// A batch that nobody can be told of.
    unspeakable: Option<u128>,
    /// Whether the store is away.
    is_away: bool,
    /// Checkpoints wait for this.
    gate: Option<Arc<Notify>>,
    /// Until then what was applied waits for more.
    waits_until: Option<Instant>,
    /// Until then nothing is read.
    rests_until: Option<Instant>,
}

impl Notes {
    fn kept(&self) -> Vec<u128> {
        copy_of(&self.kept)
    }
}

fn copy_of(list: &Mutex<Vec<u128>>) -> Vec<u128> {
    list.lock().expect("not poisoned").clone()
}

impl Steps for Notes {
    type Message = RawBatch;
    type Error = Error;
    type Event = Infallible;
    type Landed = ();

    fn room(&self, applied: usize, is_under_way: bool) -> usize {
        if is_under_way && applied >= 3 { 0 } else { 2 }
    }

    fn waits_until(&self) -> Option<Instant> {
        self.waits_until
    }

    fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    async fn unreadable(&mut self, _: &Delivery, _: tidemill_bus::Error) -> Result<(), Error> {
        Err(Error::Unreadable)
    }

    async fn apply(&mut self, read: Vec<Read<RawBatch>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        for Read { delivery, message } in read {
            let n = message.map(|batch| batch.batch_id.as_u128()).expect("it can be read");
            if self.poison == Some(n) {
                return Err(Error::Poison(n));
            }
            self.applied.lock().expect("not poisoned").push(n);
            applied.push(delivery);
        }
        Ok(())
    }

    async fn tell(&mut self) -> Result<(), Error> {
        match self.unspeakable {
            Some(n) if copy_of(&self.applied).contains(&n) => Err(Error::Silenced),
            _ => Ok(()),
        }
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<(), Error>, Error> {
        if self.is_away {
            return Err(Error::Store);
        }
        let (kept, applied) = (self.kept.clone(), copy_of(&self.applied));
        let keep = move || *kept.lock().expect("not poisoned") = applied;
        let Some(gate) = self.gate.clone() else {
            keep();
            return Ok(Checkpoint::Landed(()));
        };
        Ok(Checkpoint::UnderWay(AbortOnDropHandle::new(tokio::spawn(async move {
            gate.notified().await;
            keep();
            Ok(())
        }))))
    }

    fn landed(&mut self, (): ()) -> Result<(), Error> {
        Ok(())
    }

    async fn event(&mut self) -> Infallible {
        std::future::pending().await
    }

    async fn handle(&mut self, event: Infallible) -> Result<(), Error> {
        match event {}
    }
}

struct Log {
    nats: TestNats,
    bus: Bus,
}

impl Log {
    async fn with(batches: u128) -> Self {
        let nats = TestNats::start().await;
        let bus = Bus::connect(&Config { url: nats.url(), ..Config::default() }, "test").await.expect("connects");
        bus.ensure_topology().await.expect("streams");
        let log = Self { nats, bus };
        for n in 1..=batches {
            log.publish(n).await;
        }
        log
    }

    async fn publish(&self, n: u128) {
        let batch = RawBatch {
            redriven: Vec::new(),
            batch_id: Uuid::from_u128(n),
            partition: Partition::new(0),
            ingested_at: Timestamp::EPOCH,
            sources: BTreeMap::new(),
            lines: "{}\n".into(),
            trace: None,
        };
        self.bus.publish(&batch).await.expect("stored");
    }

    async fn open(&self) -> Subscription {
        self.bus.subscribe(DURABLE).await.expect("opens")
    }

    /// Until the server has heard that all but so many are done.
    async fn until_waiting(&self, messages: u64) {
        eventually("the server hears of it", DEADLINE, async || (self.waiting().await == messages).then_some(())).await;
    }

    /// What is yet to be acknowledged.
    async fn waiting(&self) -> u64 {
        self.bus.lag(DURABLE).await.expect("answers")
    }
}

/// Runs a stage under supervision that ends at its first error.
struct Once<'l> {
    log: &'l Log,
    stop: CancellationToken,
    notes: Notes,
    ended: Option<Error>,
}

impl Work for &mut Once<'_> {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        if self.ended.is_some() {
            return Err(Error::Over);
        }
        let mut source = self.log.open().await;
        let stop = self.stop.clone();
        let ended = consume(&mut source, &mut self.notes, &stop, progress).await;
        if let Err(error) = ended {
            self.ended = Some(error);
            return Err(Error::Over);
        }
        Ok(())
    }

    fn failed(&mut self, _: &Error) {}
}

impl<'l> Once<'l> {
    fn new(log: &'l Log, notes: Notes) -> Self {
        Self { log, stop: CancellationToken::new(), notes, ended: None }
    }

    async fn run(&mut self) {
        let (stop, conditions) = (self.stop.clone(), Conditions::new(&Health::default(), "partition"));
        supervise(self, 0_u16, &stop, &conditions).await.expect("no fault");
    }
}

#[tokio::test]
async fn what_waits_for_more_is_kept_in_time_and_at_the_end() {
    let log = Log::with(5).await;
    for (number, wait) in [(5, Duration::from_millis(50)), (6, DEADLINE * 100)] {
        let notes = Notes { waits_until: Some(Instant::now() + wait), ..Notes::default() };
        let (applied, kept) = (notes.applied.clone(), notes.kept.clone());
        let mut once = Once::new(&log, notes);
        let stop = once.stop.clone();
        let watch = async {
            match number {
                5 => eventually("it is kept", DEADLINE, async || (copy_of(&kept).len() == 5).then_some(())).await,
                _ => {
                    log.publish(6).await;
                    eventually("it is applied", DEADLINE, async || (copy_of(&applied) == [6]).then_some(())).await;
                    assert_eq!(copy_of(&kept), [0_u128; 0], "it waits for more");
                }
            }
            stop.cancel();
        };
        tokio::join!(once.run(), watch);
        assert_eq!(once.notes.kept().last(), Some(&number));
        log.until_waiting(0).await;
    }
}

#[tokio::test]
async fn messages_stay_where_they_are_during_a_rest() {
    let log = Log::with(2).await;
    let until = Instant::now() + Duration::from_millis(500);
    let mut once = Once::new(&log, Notes { rests_until: Some(until), ..Notes::default() });
    let (stop, kept) = (once.stop.clone(), once.notes.kept.clone());
    let watch = async {
        eventually("both are kept", DEADLINE, async || (copy_of(&kept) == [1, 2]).then_some(())).await;
        assert!(Instant::now() >= until, "they were read during the rest");
        stop.cancel();
    };
    tokio::join!(once.run(), watch);

    // Who is asked to end does so at once.
    log.publish(3).await;
    let mut once = Once::new(&log, Notes { rests_until: Some(Instant::now() + DEADLINE * 100), ..Notes::default() });
    let stop = once.stop.clone();
    tokio::join!(once.run(), async { stop.cancel() });
    assert_eq!(once.notes.kept(), [0_u128; 0]);
    log.until_waiting(1).await;
}

#[tokio::test]
async fn what_was_applied_before_a_poison_is_kept_and_acknowledged() {
    let log = Log::with(5).await;
    let mut once = Once::new(&log, Notes { poison: Some(4), ..Notes::default() });
    once.run().await;
    assert!(matches!(once.ended, Some(Error::Poison(4))), "{:?}", once.ended);
    assert_eq!(once.notes.kept(), [1, 2, 3]);
    // 4 and 5.
    log.until_waiting(2).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_behind_a_checkpoint_that_failed() {
    let log = Log::with(3).await;
    let mut once = Once::new(&log, Notes { is_away: true, ..Notes::default() });
    once.run().await;
    assert!(matches!(once.ended, Some(Error::Store)), "{:?}", once.ended);
    assert_eq!(log.waiting().await, 3);
    // Whoever opens the unit next gets all of it.
    let stop = CancellationToken::new();
    let mut again = Once { stop: stop.clone(), ..Once::new(&log, Notes::default()) };
    let kept = again.notes.kept.clone();
    let all = eventually("all is kept", DEADLINE, async || {
        (copy_of(&kept).len() == 3 && log.waiting().await == 0).then_some(())
    });
    tokio::join!(again.run(), async {
        all.await;
        stop.cancel();
    });
    assert_eq!(again.notes.kept(), [1, 2, 3]);
}

/// The checkpoint before it lands, and none follows.
#[tokio::test]
async fn what_could_not_be_told_is_not_kept() {
    let log = Log::with(5).await;
    let gate = Arc::new(Notify::new());
    let notes = Notes { gate: Some(gate.clone()), unspeakable: Some(3), ..Notes::default() };
    let mut once = Once::new(&log, notes);
    let applied = once.notes.applied.clone();
    tokio::join!(once.run(), async {
        eventually("the third is applied", DEADLINE, async || copy_of(&applied).contains(&3).then_some(())).await;
        gate.notify_one();
    });
    assert!(matches!(once.ended, Some(Error::Silenced)), "{:?}", once.ended);
    let kept = once.notes.kept();
    assert!(!kept.is_empty() && !kept.contains(&3), "{kept:?}");
    log.until_waiting(5 - kept.len() as u64).await;
}

#[tokio::test]
async fn batches_are_applied_while_a_checkpoint_is_on_its_way_and_the_step_in_hand_is_finished() {
    let log = Log::with(5).await;
    let gate = Arc::new(Notify::new());
    let mut once = Once::new(&log, Notes { gate: Some(gate.clone()), ..Notes::default() });
    let (stop, applied, kept) = (once.stop.clone(), once.notes.applied.clone(), once.notes.kept.clone());
    let ends = async {
        // The first checkpoint waits. Nothing is acknowledged before it lands.
        eventually("more is applied meanwhile", DEADLINE, async || (copy_of(&applied).len() > 2).then_some(())).await;
        assert_eq!((copy_of(&kept), log.waiting().await), (vec![], 5));
        gate.notify_one();
        eventually("the first checkpoint is kept", DEADLINE, async || {
            (!copy_of(&kept).is_empty() && log.waiting().await < 5).then_some(())
        })
        .await;
        stop.cancel();
        // What is applied is kept before the unit is given back.
        loop {
            gate.notify_one();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = once.run() => {}
        () = ends => unreachable!("it goes on until the run ends"),
    }
    assert!(once.ended.is_none(), "{:?}", once.ended);
    assert_eq!(once.notes.kept(), copy_of(&once.notes.applied));
    log.until_waiting(5 - once.notes.kept().len() as u64).await;
}

/// Each acknowledgement is a message and its answer, and the server has to write
/// down what it says: they were more than half of all its messages.
#[tokio::test]
async fn an_acknowledgement_is_for_many_messages() {
    let log = Log::with(300).await;
    let mut acks = log.nats.overhear("$JS.ACK.>").await;
    let mut pulls = log.nats.overhear("$JS.API.CONSUMER.MSG.NEXT.>").await;
    let mut once = Once::new(&log, Notes::default());
    let (stop, kept) = (once.stop.clone(), once.notes.kept.clone());
    tokio::join!(once.run(), async {
        eventually("all is kept", DEADLINE, async || (copy_of(&kept).len() == 300).then_some(())).await;
        stop.cancel();
    });
    assert_eq!(log.waiting().await, 0, "the last one is waited for");
    let (acks, pulls) = (acks.count().await, pulls.count().await);
    assert!((1..30).contains(&acks) && (1..10).contains(&pulls), "{acks} acknowledgements, {pulls} requests");
}

/// Fails once, and finds nothing to do from then on.
struct Recovers<'l> {
    log: &'l Log,
    stop: CancellationToken,
    has_failed: bool,
}

impl Work for Recovers<'_> {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        if !std::mem::replace(&mut self.has_failed, true) {
            return Err(Error::Store);
        }
        let mut source = self.log.open().await;
        progress.opened();
        consume(&mut source, &mut Notes::default(), &self.stop, progress).await
    }

    fn failed(&mut self, _: &Error) {}
}

#[tokio::test]
async fn a_unit_that_finds_nothing_to_do_after_a_failure_is_ready_again() {
    let log = Log::with(0).await;
    let health = Health::default();
    let (stop, conditions) = (CancellationToken::new(), Conditions::new(&health, "partition"));
    let recovers = Recovers { log: &log, stop: stop.clone(), has_failed: false };
    let watch = async {
        eventually("it has failed", DEADLINE, async || (!health.is_ready()).then_some(())).await;
        eventually("it is ready again", DEADLINE, async || health.is_ready().then_some(())).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(supervise(recovers, 3, &stop, &conditions), watch);
    ended.expect("in order");
}

/// A unit whose attempts end as they are told.
struct Scripted {
    errors: Vec<Error>,
    attempts: Arc<Mutex<Vec<Instant>>>,
}

impl Work for Scripted {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        self.attempts.lock().expect("not poisoned").push(Instant::now());
        progress.opened();
        match self.errors.is_empty() {
            true => std::future::pending().await,
            false => Err(self.errors.remove(0)),
        }
    }

    fn failed(&mut self, _: &Error) {}
}

#[tokio::test(start_paused = true)]
async fn what_follows_from_an_error_is_the_same_for_every_unit() {
    let health = Health::default();
    let conditions = Conditions::new(&health, "partition");
    let stop = CancellationToken::new();
    let attempts = Arc::<Mutex<Vec<Instant>>>::default();
    let scripted = |errors| Scripted { errors, attempts: attempts.clone() };
    let run = async |errors| supervise(scripted(errors), 3, &stop, &conditions).await;

    let fault = run(vec![Error::Store, Error::Poison(1), Error::Fault]).await;
    assert!(matches!(fault, Err(Error::Fault)), "{fault:?}");
    let waits: Vec<_> = attempts.lock().expect("not poisoned").windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(waits, [Duration::from_millis(200), Duration::from_millis(400)]);
    run(vec![Error::Over]).await.expect("it ends in order");
    assert!(health.is_ready());

    // One that halts stands, and says so, until it is given back.
    let halted = async {
        advance(Duration::from_secs(60)).await;
        assert_eq!(health.problems()["partition"], "3: of another release");
        stop.cancel();
    };
    let before = attempts.lock().expect("not poisoned").len();
    let (ended, ()) = tokio::join!(run(vec![Error::Unreadable]), halted);
    ended.expect("in order");
    assert_eq!(attempts.lock().expect("not poisoned").len(), before + 1);
    assert!(health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_hangs_is_given_back_all_the_same() {
    let conditions = Conditions::new(&Health::default(), "partition");
    let stop = CancellationToken::new();
    stop.cancel();
    let hangs = Scripted { errors: Vec::new(), attempts: Arc::default() };
    let begun = Instant::now();
    supervise(hangs, 3, &stop, &conditions).await.expect("in order");
    assert_eq!(begun.elapsed(), Scripted::PARTING);
}
