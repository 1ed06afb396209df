//! Generations beside a suite: counted, and compared with the live totals.

use std::path::Path;

use serde_json::Value;
use tidemill::replay::{LakePatience, Replay, ReplayEnd, ReplayRequest, ReplayStart, ReplayUntil};
use tidemill_bus::Bus;
use tidemill_domain::Partition;
use tidemill_events::{ReferenceMode, StreamName, topology};
use tidemill_testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::{DEADLINE, TestSuite, now};

/// A generation by these definitions, else those of the suite, from the beginning of the log.
///
/// # Panics
/// When it is no name.
pub fn request<'r>(name: &str, definitions: Option<&'r Path>, reference: ReferenceMode) -> ReplayRequest<'r> {
    let name = name.parse().unwrap_or_else(|e| panic!("{name}: {e}"));
    ReplayRequest { name, from: ReplayStart::First, definitions, rules: None, reference, now: now() }
}

/// Opens a generation: in the suite's folder, or in these stores.
///
/// # Panics
/// When it does not open.
pub async fn open(suite: &TestSuite, name: &str, stores: Option<&str>) -> Replay {
    let mut settings = suite.replay_settings();
    if let Some(url) = stores {
        url.clone_into(&mut settings.stores.url);
    }
    let name = name.parse().unwrap_or_else(|e| panic!("{name}: {e}"));
    Replay::open(settings, name).await.unwrap_or_else(|e| panic!("{e}"))
}

/// Begins a generation.
///
/// # Panics
/// When it does not begin.
pub async fn begin(suite: &TestSuite, request: &ReplayRequest<'_>, stores: Option<&str>) -> Replay {
    let replay = open(suite, request.name.as_str(), stores).await;
    let plan = replay.plan(request, 0, LakePatience::silent(DEADLINE)).await.unwrap_or_else(|e| panic!("{e}"));
    replay.begin(&plan, 0).await.unwrap_or_else(|e| panic!("{e}"));
    replay
}

/// Counts partitions of the log into a generation that was begun, until they have caught up.
///
/// # Panics
/// When they do not.
pub async fn catch_up(replay: &Replay, partitions: &[Partition]) {
    let ended = replay.run(&ReplayUntil::CaughtUp, partitions, &CancellationToken::new(), |_| {}).await;
    assert_eq!(ended.unwrap_or_else(|e| panic!("{e}")), ReplayEnd::CaughtUp);
}

/// Counts the log into a generation, until it has caught up.
pub async fn replay(suite: &TestSuite, request: &ReplayRequest<'_>, stores: Option<&str>) {
    let replay = begin(suite, request, stores).await;
    catch_up(&replay, &replay.partitions()).await;
}

/// The comparison of a generation, once reporting has read all of it.
pub async fn compared(suite: &TestSuite, name: &str) -> Value {
    let path = format!("/v1/generations/{name}/differences?limit=500");
    eventually("nothing is open", DEADLINE, || async {
        if reached(suite, name).await != log_heads(suite).await {
            return None;
        }
        let told = suite.get(&path).await;
        let metrics = told["metrics"].as_array().cloned().unwrap_or_default();
        (!metrics.is_empty() && metrics.iter().all(|metric| metric["open"] == 0)).then_some(told)
    })
    .await
}

/// The suite's log.
///
/// # Panics
/// When it cannot be reached.
pub async fn bus(suite: &TestSuite) -> Bus {
    Bus::connect(&suite.replay_settings().aggregation.nats, "test").await.unwrap_or_else(|e| panic!("{e}"))
}

/// The last batch of each partition of the log that has any.
async fn log_heads(suite: &TestSuite) -> Vec<(String, u64)> {
    let bus = bus(suite).await;
    let mut heads = Vec::new();
    for partition in bus.partitions().all() {
        let head = bus.tail(StreamName::Raw, &topology::raw(partition)).await.unwrap_or_else(|e| panic!("{e}"));
        heads.push((partition.to_string(), head));
    }
    heads.retain(|(_, head)| *head > 0);
    heads.sort();
    heads
}

/// What reporting has read of a generation.
async fn reached(suite: &TestSuite, name: &str) -> Vec<(String, u64)> {
    let told = suite.get("/v1/generations").await;
    let of_it = told["generations"].as_array().and_then(|all| all.iter().find(|of| of["name"] == name).cloned());
    let reached = of_it.map(|of| of["reached"].as_object().cloned().unwrap_or_default()).unwrap_or_default();
    let mut reached: Vec<_> = reached.into_iter().map(|(p, at)| (p, at.as_u64().unwrap_or_default())).collect();
    reached.retain(|(_, at)| *at > 0);
    reached.sort();
    reached
}

/// A metric of a comparison.
///
/// # Panics
/// When it is not there.
pub fn metric<'t>(told: &'t Value, name: &str) -> &'t Value {
    let metrics = told["metrics"].as_array().unwrap_or_else(|| panic!("metrics in {told}"));
    metrics.iter().find(|metric| metric["metric"] == name).unwrap_or_else(|| panic!("{name} in {told}"))
}
