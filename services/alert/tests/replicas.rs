//! Several replicas over one database.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{DEADLINE, Fixture, Running, batch, fraud, toml_with_store};
use serde_json::Value;
use tidemill_domain::Partition;
use tidemill_events::{AlertState, AlertTransition, DeadLetter, EnrichedBatch};
use tidemill_testkit::{Postgres, eventually, skipped};
use tokio::runtime::Runtime;

const PARTITIONS: u16 = 2;
/// Batches of one wave, and orders in each.
const BATCHES: usize = 14;
const ORDERS: usize = 3;

/// A replica that can be killed: it lives in a runtime of its own.
struct Replica {
    runtime: Option<Runtime>,
    service: Option<Running>,
}

impl Replica {
    async fn start(toml: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let toml = toml.to_owned();
        let handle = runtime.handle().clone();
        let start = move || handle.block_on(Running::start(&toml));
        let service = tokio::task::spawn_blocking(start).await.expect("it starts");
        Self { runtime: Some(runtime), service: Some(service) }
    }

    fn service(&self) -> &Running {
        self.service.as_ref().expect("it lives")
    }

    async fn stop(mut self) {
        self.service.take().expect("it lives").stop().await;
    }
}

impl Drop for Replica {
    /// It ends wherever it stands, and says goodbye to nobody.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The log of a shop in which every order is a fraud.
struct Shop {
    raw_seq: u64,
    floors: BTreeMap<u16, u64>,
    orders: usize,
}

impl Shop {
    fn batch(&mut self, partition: u16, events: &[Value]) -> EnrichedBatch {
        self.raw_seq += 1;
        let floor = self.floors.entry(partition).or_default();
        let raw_prev = std::mem::replace(floor, self.raw_seq);
        EnrichedBatch { partition: Partition::new(partition), ..batch(self.raw_seq, raw_prev, events) }
    }

    async fn wave(&mut self, fixture: &Fixture) {
        for n in 0..BATCHES {
            let numbers = self.orders..self.orders + ORDERS;
            self.orders += ORDERS;
            let orders: Vec<Value> = numbers.map(|n| fraud(&format!("o-{n}"), &format!("customer-{n}."))).collect();
            let partition = u16::try_from(n % usize::from(PARTITIONS)).expect("a partition");
            fixture.publish(&self.batch(partition, &orders)).await;
        }
    }

    /// A small order of one customer from an address of its own.
    async fn calm(&mut self, fixture: &Fixture, id: usize) {
        let mut order = fraud(&format!("calm-{id}"), "regular");
        order["clientip"] = "198.51.100.7".into();
        order["data"]["items"][0]["unit_price"] = 1.into();
        let partition = u16::try_from(id % usize::from(PARTITIONS)).expect("a partition");
        fixture.publish(&self.batch(partition, &[order])).await;
    }
}

async fn recorded(replica: &Replica) -> Vec<Value> {
    let (status, body) = replica.service().get("/v1/alerts?limit=500").await;
    assert_eq!(status, 200, "{body}");
    body["alerts"].as_array().cloned().expect("alerts")
}

async fn eventually_recorded(replica: &Replica, what: &str, count: usize) {
    eventually(what, 2 * DEADLINE, || async { (recorded(replica).await.len() >= count).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_killed_one_after_the_other_miss_nothing_and_repeat_nothing() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("replicas", "no PostgreSQL is installed");
    };
    let fixture = Fixture::new().await;
    let webhook = fixture.slack.webhook_url();
    let budget = "messages_per_minute = 10000\n";
    let toml = toml_with_store(&fixture.nats.url(), &postgres.url(), Some(&webhook), budget);
    let (first, second) = (Replica::start(&toml).await, Replica::start(&toml).await);
    let mut shop = Shop { raw_seq: 0, floors: BTreeMap::new(), orders: 0 };

    for id in 0..5 {
        shop.calm(&fixture, id).await;
    }
    shop.wave(&fixture).await;
    eventually_recorded(&second, "the first wave has begun", 1).await;
    // Killed in the middle of it: whatever it owns is taken over.
    drop(first);
    let third = Replica::start(&toml).await;
    shop.wave(&fixture).await;
    eventually_recorded(&second, "the second wave has begun", BATCHES * ORDERS + 1).await;
    // Nobody is left of those who counted the calm orders.
    drop(second);
    shop.calm(&fixture, 5).await;
    shop.wave(&fixture).await;
    let total = shop.orders + 1;
    eventually("every alert is told", 2 * DEADLINE, || async {
        let alerts = recorded(&third).await;
        (alerts.len() == total && alerts.iter().all(|alert| alert["state"] == "notified")).then_some(())
    })
    .await;

    let calm = recorded(&third).await.into_iter().find(|alert| alert["dimensions"]["subject"] == "regular");
    let calm = calm.expect("the sixth order of a customer: the others were counted by replicas that are dead");
    assert_eq!(calm["values"]["orders_per_customer"], 6);
    let transitions: Vec<AlertTransition> = fixture.transitions(2 * total).await;
    let by_state = |state| transitions.iter().filter(|t| t.state == state).map(|t| t.id).collect::<BTreeSet<_>>();
    let (firing, notified) = (by_state(AlertState::Firing), by_state(AlertState::Notified));
    assert_eq!((firing.len(), &firing), (total, &notified), "each transition once");
    third.service().ready().await;
    third.stop().await;
    let more = fixture.bus.message_at::<AlertTransition>(2 * total as u64 + 1).await.expect("ALERTS answers");
    assert!(more.is_none(), "{more:?}");
    assert!(fixture.bus.message_at::<DeadLetter>(1).await.expect("the DLQ answers").is_none());
    // Slack may be told twice of what the dead had sent and not yet settled.
    let told: String = fixture.slack.messages().iter().map(Value::to_string).collect();
    assert!((0..shop.orders).all(|n| told.contains(&format!("customer-{n}."))), "everybody is told of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_leaves_in_order_hands_its_work_over_at_once() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("a_replica_that_leaves_in_order", "no PostgreSQL is installed");
    };
    let fixture = Fixture::new().await;
    let webhook = fixture.slack.webhook_url();
    let toml = toml_with_store(&fixture.nats.url(), &postgres.url(), Some(&webhook), "");
    let mut shop = Shop { raw_seq: 0, floors: BTreeMap::new(), orders: 0 };
    let first = Replica::start(&toml).await;
    let order = shop.batch(0, &[fraud("o-1", "c1")]);
    fixture.publish(&order).await;
    fixture.messages(1).await;
    let second = Replica::start(&toml).await;
    eventually("the second has its share", DEADLINE, || async {
        let metrics = second.service().metrics().await;
        (1..=2).any(|units| metrics.contains(&format!("tidemill_ownership_units {units}"))).then_some(())
    })
    .await;
    first.stop().await;
    let order = shop.batch(0, &[fraud("o-2", "c2")]);
    fixture.publish(&order).await;
    let begin = std::time::Instant::now();
    fixture.messages(2).await;
    assert!(begin.elapsed().as_secs() < 5, "not only when the lease of the other has lapsed: {:?}", begin.elapsed());
    second.service().ready().await;
    second.service().counts("tidemill_ownership_units 3").await;
    second.stop().await;
    assert_eq!(fixture.slack.messages().len(), 2);
}
