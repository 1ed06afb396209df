//! Replicas that share their work over a real nats-server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tidemill_bus::Config;
use tidemill_domain::{Partition, PartitionCount};
use tidemill_ownership::{Lease, Owned, share};
use tidemill_service::Context;
use tidemill_testkit::{TestNats, eventually};
use tokio::runtime::Runtime;

const DEADLINE: Duration = Duration::from_secs(30);
const UNITS: u16 = 8;

/// Who works on which unit at this moment.
#[derive(Debug, Clone, Default)]
struct Floor(Arc<Mutex<BTreeMap<Partition, BTreeSet<String>>>>);

impl Floor {
    fn enter(&self, unit: Partition, worker: &str) {
        let mut floor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        floor.entry(unit).or_default().insert(worker.to_owned());
    }

    /// Leaves one unit, or all of them.
    fn leave(&self, worker: &str, only: Option<Partition>) {
        let mut floor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, workers) in floor.iter_mut().filter(|(unit, _)| only.is_none_or(|only| **unit == only)) {
            workers.remove(worker);
        }
    }

    fn now(&self) -> BTreeMap<Partition, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Units by worker, once every unit has exactly one.
    fn settled(&self) -> Option<BTreeMap<String, usize>> {
        let now = self.now();
        let mut loads = BTreeMap::new();
        for unit in PartitionCount::try_from(UNITS).expect("a count").all() {
            let workers = now.get(&unit)?;
            let worker = workers.first().filter(|_| workers.len() == 1)?;
            *loads.entry(worker.clone()).or_default() += 1;
        }
        Some(loads)
    }

    /// The loads, as soon as the units are spread evenly over this many. On their way there all
    /// may have an owner each, and one of them more than its share.
    async fn spread(&self, replicas: usize) -> BTreeMap<String, usize> {
        eventually(&format!("units on {replicas} replicas"), DEADLINE, || async {
            let even = usize::from(UNITS).div_ceil(replicas);
            self.settled().filter(|loads| loads.len() == replicas && loads.values().all(|load| *load <= even))
        })
        .await
    }
}

/// A replica in a runtime of its own, so that it can be killed.
struct Replica {
    context: Context,
    owned: Owned<Partition>,
    runtime: Runtime,
    floor: Floor,
}

impl Replica {
    async fn start(nats: &str, floor: &Floor) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (url, work_floor) = (nats.to_owned(), floor.clone());
        let start = move || async move {
            let context = Context::new("test");
            let bus = context.connect_bus(&Config { url, ..Config::default() }).await.expect("connects");
            let units = PartitionCount::try_from(UNITS).expect("a count").all();
            let name = context.instance.to_string();
            let work = move |lease: Lease<Partition>| {
                let (floor, name) = (work_floor.clone(), name.clone());
                async move {
                    floor.enter(lease.unit(), &name);
                    lease.stop().cancelled().await;
                    floor.leave(&name, Some(lease.unit()));
                    Ok::<_, String>(())
                }
            };
            let owned = share(&context, &bus, units, work);
            (context, owned)
        };
        let run = move || (runtime.block_on(start()), runtime);
        let ((context, owned), runtime) = tokio::task::spawn_blocking(run).await.expect("starts");
        Self { context, owned, runtime, floor: floor.clone() }
    }

    fn name(&self) -> String {
        self.context.instance.to_string()
    }

    async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(DEADLINE).await, "drains");
        assert_eq!(self.context.failure(), None);
        self.runtime.shutdown_background();
    }

    /// Ends at once, without a word to anybody.
    fn kill(self) {
        let name = self.name();
        self.runtime.shutdown_background();
        self.floor.leave(&name, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unit_has_one_owner_whoever_comes_goes_or_dies() {
    let nats = TestNats::start().await;
    let floor = Floor::default();
    let first = Replica::start(&nats.url(), &floor).await;
    let begin = Instant::now();
    floor.spread(1).await;
    assert_eq!(first.owned.units().len(), usize::from(UNITS));
    let alone = begin.elapsed();

    let second = Replica::start(&nats.url(), &floor).await;
    let third = Replica::start(&nats.url(), &floor).await;
    let loads = floor.spread(3).await;
    assert!(loads.values().all(|load| *load <= 3), "{loads:?}");
    for replica in [&first, &second, &third] {
        eventually("a ready replica", DEADLINE, || async { replica.context.health.is_ready().then_some(()) }).await;
    }

    // An orderly end hands over at once.
    let begin = Instant::now();
    second.stop().await;
    let loads = floor.spread(2).await;
    let handed_over = begin.elapsed();
    assert!(handed_over < Duration::from_secs(2), "{handed_over:?}");
    assert!(loads.values().all(|load| *load == 4), "{loads:?}");

    // A death has to be noticed.
    let begin = Instant::now();
    third.kill();
    assert_eq!(floor.spread(1).await, BTreeMap::from([(first.name(), usize::from(UNITS))]));
    let taken_over = begin.elapsed();
    assert!(taken_over < Duration::from_secs(10), "{taken_over:?}");
    eprintln!("alone {alone:?}, handed over {handed_over:?}, taken over {taken_over:?}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_nats_was_away_for_longer_than_a_lease() {
    let mut nats = TestNats::start().await;
    let floor = Floor::default();
    let one = Replica::start(&nats.url(), &floor).await;
    let two = Replica::start(&nats.url(), &floor).await;
    floor.spread(2).await;
    nats.server.kill().await;
    eventually("work is paused", DEADLINE, || async { floor.now().values().all(BTreeSet::is_empty).then_some(()) })
        .await;
    assert!(!one.context.health.is_ready() && !two.context.health.is_ready());
    nats.server.restart().await.expect("starts again");
    floor.spread(2).await;
    one.stop().await;
    two.stop().await;
}
