//! A replay of what the log has forgotten: bronze tells it, and the generation is what the live services count.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tidemill::{
    client::LakeClient,
    replay::{
        Backtest, LakePatience, Replay, ReplayEnd, ReplayError, ReplayRequest, ReplaySettings, ReplayStart, ReplayUntil,
    },
};
use tidemill_domain::{Clock, Code, Partition, SystemClock};
use tidemill_events::{RawBatch, ReferenceMode, StreamName, topology};
use tidemill_testkit::{Postgres, eventually, skipped};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::common::{DEADLINE, TestLake, TestShop};

const MINUTE: i64 = 60_000;
/// For a lake that is there, or that is not meant to come.
const PATIENCE: LakePatience<'static> = LakePatience::silent(Duration::from_secs(30));

/// Orders, refunds, views, repetitions and what comes too late, of three sources and three days.
fn events(from: usize, count: usize) -> Vec<Value> {
    let mut random = StdRng::seed_from_u64(from as u64 + 5);
    let mut events: Vec<Value> = (from..from + count).map(|n| event(n, &mut random)).collect();
    for n in 0..count / 10 {
        let again = events[n * 7 % count].clone();
        events.insert(random.random_range(n..events.len()), again);
    }
    events
}

fn event(n: usize, random: &mut StdRng) -> Value {
    let minutes_ago = if n.is_multiple_of(41) { 20 * 1440 } else { random.random_range(0..3 * 1440) };
    let time = SystemClock.now().plus_millis(-minutes_ago * MINUTE).to_string();
    let source = ["till", "web", "app"][n % 3];
    let product = ["novel", "chess", "unknown"][random.random_range(0..3)];
    let (kind, data) = match n % 5 {
        0 => ("product.viewed", json!({"product_id": product, "note": "Zoë \u{fffd} \"1\""})),
        1 => ("order.refunded", json!({"order_id": format!("o-{}", n.saturating_sub(1 + n % 3)), "amount": "1.25"})),
        _ => {
            let item = json!({"product_id": product, "quantity": random.random_range(1..5), "unit_price": "10.50"});
            let currency = if n.is_multiple_of(7) { "USD" } else { "EUR" };
            ("order.placed", json!({"order_id": format!("o-{n}"), "currency": currency, "items": [item]}))
        }
    };
    json!({"specversion": "1.0", "type": kind, "id": format!("e-{n}"), "source": source,
        "subject": format!("c-{}", random.random_range(1..30)), "time": time, "data": data})
}

/// Sends events by some, so that there are many batches, and waits until all are counted.
async fn trade(shop: &TestShop, from: usize, count: usize, before: u64) -> u64 {
    send(shop, &events(from, count), 8, before).await
}

async fn send(shop: &TestShop, events: &[Value], at_once: usize, before: u64) -> u64 {
    for some in events.chunks(at_once) {
        let answer = shop.post(some, None).await;
        assert_eq!(answer["accepted"].as_u64(), Some(some.len() as u64), "{answer}");
    }
    let received = before + events.len() as u64;
    shop.balanced(received).await;
    received
}

/// Bronze has every line of the log.
async fn in_bronze(shop: &TestShop) {
    let log: BTreeSet<_> = shop.log().await.into_keys().collect();
    eventually("bronze has the log", DEADLINE, async || {
        let bronze: BTreeSet<_> = shop.bronze().await.into_keys().collect();
        bronze.is_superset(&log).then_some(())
    })
    .await;
}

/// The log forgets everything before this sequence.
async fn forget(shop: &TestShop, before: u64) {
    let (first, _) = shop.bus.extent(StreamName::Raw).await.expect("answers");
    for sequence in first..before {
        shop.bus.delete::<RawBatch>(sequence).await.expect("deletes");
    }
    assert_eq!(shop.bus.extent(StreamName::Raw).await.expect("answers").0, before.max(first));
}

async fn end(shop: &TestShop) -> u64 {
    shop.bus.end(StreamName::Raw).await.expect("answers")
}

fn settings(shop: &TestShop, lake: Option<&TestLake>, stores: Option<&str>) -> ReplaySettings {
    let mut settings = shop.suite.replay_settings(&shop.folder().join("suite")).expect("a folder");
    let url = |lake: &TestLake| format!("http://{}", lake.address).parse().expect("a URL");
    settings.lake = lake.map(|lake| LakeClient::new(url(lake), None));
    if let Some(stores) = stores {
        stores.clone_into(&mut settings.stores.url);
    }
    settings
}

fn request(name: &str, from: ReplayStart) -> ReplayRequest<'static> {
    let (name, now) = (name.parse().expect("a name"), SystemClock.now());
    ReplayRequest { name, from, definitions: None, rules: None, reference: ReferenceMode::AsOf, now }
}

async fn begin(settings: ReplaySettings, name: &str, from: ReplayStart, rate: u64) -> Replay {
    let replay = Replay::open(settings, name.parse().expect("a name")).await.expect("opens");
    let plan = replay.plan(&request(name, from), rate, PATIENCE).await.expect("a plan");
    replay.begin(&plan, rate).await.expect("begins");
    replay
}

async fn catch_up(replay: &Replay, partitions: &[Partition]) {
    let stop = CancellationToken::new();
    let run = replay.run(&ReplayUntil::CaughtUp, partitions, &stop, |_| {});
    let ended = tokio::time::timeout(DEADLINE, run).await.expect("comes to an end");
    assert_eq!(ended.expect("runs"), ReplayEnd::CaughtUp);
}

/// The generation is the live totals, in every cell of every metric.
async fn assert_equal(shop: &TestShop, name: &str) {
    let mut heads = Vec::new();
    for partition in shop.bus.partitions().all() {
        let head = shop.bus.tail(StreamName::Raw, &topology::raw(partition)).await.expect("answers");
        heads.push((partition.to_string(), head));
    }
    let told = eventually("reporting has read the generation", DEADLINE, async || {
        let all = shop.get("/v1/generations").await;
        let of_it = all["generations"].as_array()?.iter().find(|of| of["name"] == name)?.clone();
        let reaches = |(partition, head): &(String, u64)| of_it["reached"][partition].as_u64().unwrap_or(0) >= *head;
        if !heads.iter().all(reaches) {
            return None;
        }
        let told = shop.get(&format!("/v1/generations/{name}/differences?limit=500")).await;
        let metrics = told["metrics"].as_array()?.clone();
        (!metrics.is_empty() && metrics.iter().all(|metric| metric["open"] == 0)).then_some(told)
    })
    .await;
    assert_eq!(told["equal"], true, "{told:#}");
    for metric in ["sales_metrics", "daily_sales", "order_metrics", "product_views"] {
        let of_it = told["metrics"].as_array().expect("metrics").iter().find(|of| of["metric"] == metric);
        assert!(of_it.is_some_and(|of| of["equal"].as_u64() > Some(0)), "{metric} has cells: {told:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_has_forgotten_is_counted_from_bronze_and_the_rest_from_the_log() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    let received = trade(&shop, 0, 900, 0).await;
    in_bronze(&shop).await;
    let half = end(&shop).await / 2;
    forget(&shop, half + 1).await;

    // Without the lake it is refused, as before.
    let refused = Replay::open(settings(&shop, None, None), "none".parse().expect("a name")).await.expect("opens");
    let refused =
        refused.plan(&request("none", ReplayStart::Sequence(1)), 0, PATIENCE).await.expect_err("is forgotten");
    assert!(matches!(refused, ReplayError::LogForgotten { wanted: 1, first } if first == half + 1), "{refused}");

    let with_lake = || settings(&shop, Some(&lake), None);
    let replay = Replay::open(with_lake(), "v2".parse().expect("a name")).await.expect("opens");
    let plan = replay.plan(&request("v2", ReplayStart::Sequence(1)), 0, PATIENCE).await.expect("a plan");
    let lines_to = |to: u64| {
        let shop = &shop;
        async move { shop.bronze().await.into_keys().filter(|(_, raw_seq, _)| *raw_seq <= to).count() as u64 }
    };
    assert_eq!((plan.behind, plan.bronze.batches, plan.bronze.events), (0, half, lines_to(half).await));
    assert_eq!(plan.batches, end(&shop).await);
    let told = serde_json::to_value(&plan).expect("JSON");
    assert_eq!(told["bronze"]["events"].as_u64(), Some(plan.bronze.events), "{told}");
    // Without a word it begins with the first of all that is there.
    let first = replay.plan(&request("v2", ReplayStart::First), 0, PATIENCE).await.expect("a plan");
    assert_eq!((first.behind, first.bronze), (0, plan.bronze));
    // A later start within bronze, by its sequence and by its time.
    let later = replay.plan(&request("v2", ReplayStart::Sequence(10)), 0, PATIENCE).await.expect("a plan");
    assert_eq!((later.behind, later.bronze.batches), (9, half - 9));
    let ages_ago = ReplayStart::Time(SystemClock.now().plus_millis(-90 * 24 * 60 * MINUTE));
    let early = replay.plan(&request("v2", ages_ago), 0, PATIENCE).await.expect("a plan");
    assert_eq!((early.behind, early.bronze), (0, plan.bronze));

    replay.begin(&plan, 0).await.expect("begins");
    catch_up(&replay, &replay.partitions()).await;
    assert_equal(&shop, "v2").await;
    if let Some(postgres) = Postgres::start().await {
        let settings = settings(&shop, Some(&lake), Some(&postgres.url()));
        let replay = begin(settings, "v2_pg", ReplayStart::Sequence(1), 0).await;
        catch_up(&replay, &replay.partitions()).await;
        assert_equal(&shop, "v2_pg").await;
    } else {
        skipped("replay of bronze on PostgreSQL", "there is no PostgreSQL");
    }

    // All of it is forgotten; then more comes. Some partitions have nothing in the log.
    let last = end(&shop).await;
    forget(&shop, last + 1).await;
    let all = begin(with_lake(), "all", ReplayStart::Sequence(1), 0).await;
    catch_up(&all, &all.partitions()).await;
    trade(&shop, 5000, 3, received).await;
    catch_up(&begin_again(&shop, &lake, "all").await, &all.partitions()).await;
    assert_equal(&shop, "all").await;
    // The one that was done before goes on in the log: it has nothing to ask the lake for.
    lake.stop().await;
    let v2 = Replay::open(settings(&shop, None, None), "v2".parse().expect("a name")).await.expect("opens");
    catch_up(&v2, &v2.partitions()).await;
    assert_equal(&shop, "v2").await;
    assert!(shop.suite.stop().await, "every service drains");
}

async fn begin_again(shop: &TestShop, lake: &TestLake, name: &str) -> Replay {
    Replay::open(settings(shop, Some(lake), None), name.parse().expect("a name")).await.expect("opens")
}

/// Runs end at any await, of some partitions at a time, while the log forgets more and more.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_forgets_while_a_replay_is_killed_again_and_again() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    trade(&shop, 0, 900, 0).await;
    in_bronze(&shop).await;
    let end = end(&shop).await;
    forget(&shop, end / 5).await;
    let all = begin(settings(&shop, Some(&lake), None), "v2", ReplayStart::Sequence(1), 0).await.partitions();
    let mut random = StdRng::seed_from_u64(23);
    for round in 0..12_u64 {
        let replay = begin_again(&shop, &lake, "v2").await;
        let some: Vec<Partition> = all.iter().copied().filter(|_| random.random_bool(0.6)).collect();
        let life = Duration::from_millis(random.random_range(1..250));
        let (until, stop) = (ReplayUntil::Unwanted, CancellationToken::new());
        let run = tokio::time::timeout(life, replay.run(&until, &some, &stop, |_| {}));
        let forgotten = forget(&shop, end / 5 + round * end / 20);
        let (ended, ()) = tokio::join!(run, forgotten);
        assert!(ended.is_err(), "round {round}: {ended:?}");
    }
    catch_up(&begin_again(&shop, &lake, "v2").await, &all).await;
    assert_equal(&shop, "v2").await;
    lake.stop().await;
    assert!(shop.suite.stop().await, "every service drains");
}

/// A slow replay that reads the log is overtaken by what the log forgets: it goes back to bronze, or says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_the_log_overtakes_goes_on_in_bronze_and_never_leaves_a_hole() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    // Of one partition, and more batches than a reader is handed at once.
    let mut events = events(0, 600);
    events.iter_mut().for_each(|event| event["subject"] = json!("c-1"));
    send(&shop, &events, 1, 0).await;
    in_bronze(&shop).await;
    let last = end(&shop).await;
    assert!(last > 600, "a batch for each event");
    let slow = begin(settings(&shop, Some(&lake), None), "slow", ReplayStart::Sequence(1), 150).await;
    let alone = begin(settings(&shop, None, None), "alone", ReplayStart::Sequence(1), 150).await;
    let all = slow.partitions();
    let (stop, told) = (CancellationToken::new(), Arc::new(Mutex::new(false)));
    let caught_up = told.clone();
    // Events that each has counted.
    let ((slow_counts, mut slow_counted), (alone_counts, mut alone_counted)) = (watch::channel(0), watch::channel(0));
    let both = async {
        let with_lake = async {
            let until = ReplayUntil::CaughtUp;
            let run = slow.run(&until, &all, &stop, |now| {
                slow_counts.send_replace(now.events);
            });
            assert_eq!(tokio::time::timeout(DEADLINE, run).await.expect("ends").expect("runs"), ReplayEnd::CaughtUp);
        };
        let without = async {
            let note = move |now: &tidemill::replay::ReplayTold| {
                alone_counts.send_replace(now.events);
                *caught_up.lock().unwrap_or_else(PoisonError::into_inner) |= now.has_caught_up;
            };
            let until = ReplayUntil::CaughtUp;
            let run = alone.run(&until, &all, &stop, note);
            let error = tokio::time::timeout(DEADLINE, run).await.expect("ends").expect_err("a hole");
            assert_eq!(error.code(), Code::LogForgotten, "{error}");
        };
        tokio::join!(with_lake, without);
    };
    let overtaken = async {
        // Both are under way, and far from the end.
        for counted in [&mut slow_counted, &mut alone_counted] {
            let counted = *counted.wait_for(|events| *events > 0).await.expect("it runs");
            assert!(counted < 500, "{counted}");
        }
        forget(&shop, last - 5).await;
    };
    tokio::join!(both, overtaken);
    assert!(!*told.lock().expect("no panic"), "it has never said that it has everything");
    assert_equal(&shop, "slow").await;
    lake.stop().await;
    assert!(shop.suite.stop().await, "every service drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_away_is_waited_for_and_a_hole_in_bronze_is_told() {
    let shop = TestShop::start().await;
    let received = trade(&shop, 0, 120, 0).await;
    // The lake joins when the log has forgotten its beginning.
    forget(&shop, 6).await;
    let lake = shop.lake();
    in_bronze(&shop).await;
    let begun = begin(settings(&shop, Some(&lake), None), "begun", ReplayStart::Sequence(6), 0).await;
    let cut = end(&shop).await - 3;
    forget(&shop, cut).await;

    let plan = async |from: ReplayStart| {
        let replay = Replay::open(settings(&shop, Some(&lake), None), "v2".parse().expect("a name")).await;
        replay.expect("opens").plan(&request("v2", from), 0, PATIENCE).await
    };
    let hole = plan(ReplayStart::Sequence(3)).await.expect_err("a hole");
    assert!(matches!(hole, ReplayError::BronzeGap { from: 3, to: 5 }), "{hole}");
    assert_eq!(hole.code(), Code::BronzeGap);
    assert!(hole.to_string().contains("--from 6"), "{hole}");
    let old = ReplayStart::Time(SystemClock.now().plus_millis(-90 * 24 * 60 * MINUTE));
    let unknown = plan(old).await.expect_err("what came before is not known");
    assert!(matches!(unknown, ReplayError::BronzeGap { from: 5, to: 5 }), "{unknown}");
    assert_eq!(plan(ReplayStart::First).await.expect("a plan").behind, 5, "what is whole");

    // It is away: no number is told as done, and it says why.
    let address = lake.address;
    lake.stop().await;
    let (stop, seen) = (CancellationToken::new(), Mutex::new(Vec::new()));
    let all = begun.partitions();
    let watch = |told: &tidemill::replay::ReplayTold| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!told.has_caught_up, "{told:?}");
        seen.extend(told.trouble.clone());
        if seen.len() > 3 {
            stop.cancel();
        }
    };
    let until = ReplayUntil::CaughtUp;
    let run = begun.run(&until, &all, &stop, watch);
    assert_eq!(tokio::time::timeout(DEADLINE, run).await.expect("ends").expect("runs"), ReplayEnd::Stopped);
    let seen = seen.into_inner().expect("no panic");
    assert!(seen.iter().all(|told| told.contains(&address.to_string())), "{seen:?}");
    let away = Replay::open(
        ReplaySettings {
            lake: Some(LakeClient::new(format!("http://{address}").parse().expect("a URL"), None)),
            ..settings(&shop, None, None)
        },
        "v2".parse().expect("a name"),
    );
    let away = away.await.expect("opens");
    let (asked, told) = (request("v2", ReplayStart::Sequence(7)), Mutex::new(Vec::new()));
    let tell = |line: &str| told.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    // Who only asks does not wait for ever.
    let in_vain = away.plan(&asked, 0, LakePatience { most: Some(Duration::from_secs(1)), tell: &tell }).await;
    let in_vain = in_vain.expect_err("nobody is there");
    assert!(in_vain.to_string().contains("1 seconds long") && in_vain.to_string().contains("does not answer"));
    assert_eq!(in_vain.code(), Code::Unavailable);
    let said = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(matches!(&said[..], [one] if one.contains(&address.to_string())), "once: {said:?}");

    // It is back: the plan that has waited for it is made, and the replay goes on where it stood.
    let waits = LakePatience { most: None, tell: &tell };
    let (plan, lake) = tokio::join!(away.plan(&asked, 0, waits), async {
        eventually("the plan waits", DEADLINE, async || {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.iter().any(|line| line.contains("does not answer")).then_some(())
        })
        .await;
        shop.lake_at(address)
    });
    assert_eq!(plan.expect("a plan").behind, 6);
    catch_up(&begin_again(&shop, &lake, "begun").await, &all).await;
    // Meanwhile the log forgets what no lake has seen.
    lake.stop().await;
    trade(&shop, 1000, 60, received).await;
    let end = end(&shop).await;
    forget(&shop, end - 2).await;
    let lake = shop.lake();
    let begun = begin_again(&shop, &lake, "begun").await;
    let until = ReplayUntil::CaughtUp;
    let stop = CancellationToken::new();
    let run = begun.run(&until, &all, &stop, |told| assert!(!told.has_caught_up, "{told:?}"));
    let error = tokio::time::timeout(DEADLINE, run).await.expect("ends").expect_err("a hole");
    assert_eq!(error.code(), Code::BronzeGap, "{error}");
    lake.stop().await;
    assert!(shop.suite.stop().await, "every service drains");
}

/// Rules that are tried out see what the log has forgotten, too.
#[tokio::test(flavor = "multi_thread")]
async fn rules_are_tried_out_over_bronze() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    trade(&shop, 0, 300, 0).await;
    in_bronze(&shop).await;
    let rules = shop.folder().join("rules");
    std::fs::create_dir(&rules).expect("a folder");
    let rule = "rule: BIG\nseverity: info\ntitle: Big order of {subject}\nsummary: It has {amount}\non: event\n\
                types: [order.placed]\ndimensions: [subject]\nsignals:\n  \
                - {name: big, when: amount > 30.0, score: 1}\nfire_at: 1\n";
    std::fs::write(rules.join("big.yaml"), rule).expect("writes");
    let tried = async || {
        let backtest = Backtest::open(settings(&shop, Some(&lake), None)).await.expect("opens");
        let asked = ReplayRequest { rules: Some(&rules), ..request("backtest", ReplayStart::Sequence(1)) };
        let plan = backtest.plan(&asked, PATIENCE).await.expect("a plan");
        let found = backtest.run(&plan, &CancellationToken::new(), |_| {}).await.expect("runs").expect("ends");
        (found.log, found.events, found.alerts.counts().get("BIG").copied())
    };
    let before = tried().await;
    assert!(before.2.is_some_and(|counts| counts.only_here > 0), "{before:?}");
    let last = end(&shop).await;
    forget(&shop, last / 2).await;
    assert_eq!(tried().await, before);
    forget(&shop, last + 1).await;
    assert_eq!(tried().await, before);
    lake.stop().await;
    assert!(shop.suite.stop().await, "every service drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_told_over_http_line_for_line() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    trade(&shop, 0, 100, 0).await;
    in_bronze(&shop).await;
    let url = |path: &str| format!("http://{}{path}", lake.address);
    let get = async |path: &str| {
        let answer = shop.http.get(url(path)).send().await.expect("the lake answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let (log, last) = (shop.log().await, end(&shop).await);
    for partition in shop.bus.partitions().all() {
        let (status, page) = get(&format!("/v1/bronze/batches?partition={partition}&behind=0")).await;
        let mut lines = page.lines();
        let head: Value = serde_json::from_str(lines.next().expect("a head")).expect("JSON");
        assert_eq!((status, &head), (200, &json!({"behind": 0, "reaches": last})));
        let mut told = Vec::new();
        while let Some(batch) = lines.next() {
            let batch: Value = serde_json::from_str(batch).expect("JSON");
            let raw_seq = batch["raw_seq"].as_u64().expect("a sequence");
            let count: u64 = batch["sources"].as_object().expect("sources").values().filter_map(Value::as_u64).sum();
            for index in 0..usize::try_from(count).expect("small") {
                told.push(((partition.index(), raw_seq, index), lines.next().expect("a line").to_owned()));
            }
        }
        let wanted: Vec<_> = log.clone().into_iter().filter(|((of, ..), _)| *of == partition.index()).collect();
        assert_eq!(told, wanted);
    }
    let (status, told) = get(&format!("/v1/bronze/log?from=1&before={}", last + 1)).await;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((status, &told["batches"], &told["missing"]), (200, &json!(last), &json!([])), "{told}");
    assert_eq!(told["events"], json!(log.len()));
    // What is not written yet may still come.
    let (_, more) = get(&format!("/v1/bronze/log?from=1&before={}", last + 3)).await;
    let more: Value = serde_json::from_str(&more).expect("JSON");
    assert_eq!(more["missing"], json!([{"from": last + 1, "to": last + 2, "pending": true}]), "{more}");
    let (status, page) = get(&format!("/v1/bronze/batches?partition=0&behind={last}")).await;
    assert_eq!((status, page.trim()), (200, &*json!({"behind": last, "reaches": last}).to_string()));
    for (wrong, pointer) in [
        ("batches?partition=99&behind=0", "/partition"),
        ("batches?partition=0&behind=18446744073709551615", "/behind"),
        ("batches?partition=0&behind=0&sequences=0", "/sequences"),
        ("batches?partition=0&behind=0&sequences=65537", "/sequences"),
        ("batches?partition=0", ""),
        ("log?before=9", "/from"),
        ("log?from=1&since=2026-01-01T00:00:00Z&before=9", "/from"),
        ("log?from=0&before=9", "/from"),
        ("log?since=now&before=9", "/since"),
        ("log?from=1&before=0", "/before"),
    ] {
        let (status, told) = get(&format!("/v1/bronze/{wrong}")).await;
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!((status, &told["errors"][0]["pointer"]), (422, &json!(pointer)), "{wrong}: {told}");
    }
    lake.stop().await;
    assert!(shop.suite.stop().await, "every service drains");
}
