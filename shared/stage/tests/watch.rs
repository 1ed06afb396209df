//! What is told of units that are given back.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tidemill_bus::Config;
use tidemill_domain::Partition;
use tidemill_events::Durable;
use tidemill_ownership::{Lease, Owned, share};
use tidemill_service::Context;
use tidemill_stage::watch;
use tidemill_testkit::{TestNats, eventually};
use tokio::runtime::Handle;

const DEADLINE: Duration = Duration::from_secs(30);
const UNITS: [Partition; 2] = [Partition::new(0), Partition::new(1)];

async fn replica(nats: &TestNats) -> (Context, tidemill_bus::Bus, Owned<Partition>) {
    let context = Context::new("test");
    let bus = context.connect_bus(&Config { url: nats.url(), ..Config::default() }).await.expect("connects");
    let work = |lease: Lease<Partition>| async move {
        lease.stop().cancelled().await;
        Ok::<_, String>(())
    };
    let owned = share(&context, &bus, UNITS, work);
    (context, bus, owned)
}

/// A unit that is given back while its lag is asked for, as another replica starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_lag_of_a_unit_that_was_given_back_is_told_no_longer() {
    let nats = TestNats::start().await;
    let (one, bus, owned) = replica(&nats).await;
    for unit in UNITS {
        drop(bus.subscribe(Durable::Enrichment(unit)).await.expect("its consumer is made"));
    }
    eventually("it has both", DEADLINE, async || (owned.units().len() == 2).then_some(())).await;
    let (asked, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (is_asked, has, noted) = (asked.clone(), owned.clone(), told.clone());
    let durable = move |unit| {
        is_asked.store(true, Ordering::Relaxed);
        let given_back = eventually("one is given back", DEADLINE, async || (has.units().len() < 2).then_some(()));
        tokio::task::block_in_place(|| Handle::current().block_on(given_back));
        Some(Durable::Enrichment(unit))
    };
    let lag = move |unit, waiting: Option<u64>| noted.lock().expect("not poisoned").push((unit, waiting));
    one.spawn("lag", watch(one.clone(), bus, owned.clone(), "standing", durable, lag));
    eventually("it looks", DEADLINE, async || asked.load(Ordering::Relaxed).then_some(())).await;
    let (other, ..) = replica(&nats).await;
    let last_of = |unit| {
        let told = told.lock().expect("not poisoned");
        told.iter().rev().find(|(of, _)| *of == unit).map(|(_, waiting)| *waiting)
    };
    eventually("one is the other's, and told so", DEADLINE, async || {
        let given: Vec<Partition> = UNITS.into_iter().filter(|unit| !owned.contains(*unit)).collect();
        (given.len() == 1 && last_of(given[0]) == Some(None)).then_some(())
    })
    .await;
    for context in [one, other] {
        context.shutdown.cancel();
        assert!(context.drained(DEADLINE).await);
    }
}
