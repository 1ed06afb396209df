//! The log counted once more beside the live services: equal where it is to be, different
//! where something differs, and without an effect until it is cut over to.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use tidemill::replay::{LakePatience, Replay, ReplayEnd, ReplayError, ReplayStart, ReplayUntil};
use tidemill_domain::Partition;
use tidemill_events::{MetricsUpdate, RawBatch, ReferenceMode, StreamName};
use tidemill_testkit::{Postgres, eventually, skipped, tempdir};
use tidemill_tests::{
    DEADLINE, TestSuite,
    generations::{begin, bus, catch_up, compared, metric, open, replay, request},
    now,
};
use tokio_util::sync::CancellationToken;

const MINUTE: i64 = 60_000;

/// What a shop sees in three days, out of order: orders of three sources, refunds, views,
/// repetitions, and what comes too late.
fn events(count: usize) -> Vec<Value> {
    let mut random = StdRng::seed_from_u64(7);
    let mut events: Vec<Value> = (0..count).map(|n| event(n, &mut random)).collect();
    // Neighbours change places, and some events come again.
    for chunk in events.chunks_mut(40) {
        chunk.shuffle(&mut random);
    }
    for n in 0..count / 20 {
        let again = events[n * 13 % count].clone();
        events.insert(random.random_range(n..events.len()), again);
    }
    events
}

fn event(n: usize, random: &mut StdRng) -> Value {
    let minutes_ago = if n.is_multiple_of(97) { 20 * 1440 } else { random.random_range(0..3 * 1440) };
    let time = now().plus_millis(-minutes_ago * MINUTE).to_string();
    let source = ["till", "web", "app"][n % 3];
    let customer = format!("c-{}", random.random_range(1..30));
    let product = ["novel", "chess", "unknown"][random.random_range(0..3)];
    let common = json!({"id": format!("e-{n}"), "source": source, "subject": customer, "time": time});
    let (kind, data) = match n % 5 {
        0 => ("product.viewed", json!({"product_id": product})),
        1 => ("order.refunded", json!({"order_id": format!("o-{}", n.saturating_sub(1 + n % 3)), "amount": "1.25"})),
        _ => {
            let item = json!({"product_id": product, "quantity": random.random_range(1..5), "unit_price": "10.50"});
            let currency = if n.is_multiple_of(7) { "USD" } else { "EUR" };
            ("order.placed", json!({"order_id": format!("o-{n}"), "currency": currency, "items": [item]}))
        }
    };
    let mut event = common;
    (event["type"], event["data"]) = (kind.into(), data);
    event
}

/// Sends events in requests of some, and waits until all are accounted for.
async fn trade(suite: &TestSuite, count: usize) {
    let events = events(count);
    for some in events.chunks(50) {
        let lines: String = some.iter().map(|event| format!("{event}\n")).collect();
        assert_eq!(suite.post("application/x-ndjson", lines).await.0, 202);
    }
    suite.balanced(events.len() as u64).await;
}

fn assert_equal(told: &Value) {
    assert_eq!(told["equal"], true, "{told:#}");
    for name in ["sales_metrics", "daily_sales", "order_metrics", "product_views"] {
        assert!(metric(told, name)["equal"].as_u64() > Some(0), "{name} has cells: {told:#}");
    }
}

/// Where the streams end that follow the log.
async fn ends(suite: &TestSuite) -> Vec<(StreamName, u64)> {
    let bus = bus(suite).await;
    let mut ends = Vec::new();
    for stream in [StreamName::Raw, StreamName::Enriched, StreamName::Late, StreamName::Dlq] {
        ends.push((stream, bus.end(stream).await.expect("answers")));
    }
    ends
}

/// Nothing but words that a partition is idle has come to METRICS, by which alert and
/// others live.
async fn assert_no_live_totals(suite: &TestSuite, mut after: u64) {
    let bus = bus(suite).await;
    while let Some((sequence, update)) =
        bus.next_at::<MetricsUpdate>(StreamName::Metrics.subjects(), after + 1).await.expect("answers")
    {
        let update = update.expect("is read");
        assert!(update.cells.is_empty() && update.books.is_empty(), "{update:?}");
        after = sequence;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_counts_what_the_live_services_count_and_nobody_else_hears_of_it() {
    let suite = TestSuite::start().await;
    trade(&suite, 1500).await;
    let before = ends(&suite).await;
    let metrics = bus(&suite).await.end(StreamName::Metrics).await.expect("answers");
    replay(&suite, &request("v2", None, ReferenceMode::AsOf), None).await;
    assert_equal(&compared(&suite, "v2").await);
    if let Some(postgres) = Postgres::start().await {
        replay(&suite, &request("v2_pg", None, ReferenceMode::AsOf), Some(&postgres.url())).await;
        assert_equal(&compared(&suite, "v2_pg").await);
    } else {
        skipped("replay on PostgreSQL", "there is no PostgreSQL");
    }
    assert_eq!(ends(&suite).await, before, "no other stream has got a message");
    assert_no_live_totals(&suite, metrics).await;
    let served = suite.get("/v1/metrics/daily_sales/totals").await;
    assert!(served["generation"].is_null() && !served["version"].to_string().contains('@'), "{served}");
    suite.stop().await;
}

/// Partitions are counted one after the other, with runs that end at any await: what is
/// late is decided within a partition, so nothing is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_at_any_moment_and_by_partitions_counts_the_same() {
    let suite = TestSuite::start().await;
    trade(&suite, 1500).await;
    let asked = request("v2", None, ReferenceMode::AsOf);
    let all = begin(&suite, &asked, None).await.partitions();
    let mut random = StdRng::seed_from_u64(11);
    for round in 0..10 {
        let replay = open(&suite, "v2", None).await;
        let some: Vec<Partition> = all.iter().copied().filter(|_| random.random_bool(0.5)).collect();
        let life = Duration::from_millis(random.random_range(1..150));
        let (until, stop) = (ReplayUntil::Unwanted, CancellationToken::new());
        let run = replay.run(&until, &some, &stop, |_| {});
        // The future is dropped where it stands, as a process that is killed.
        let ended = tokio::time::timeout(life, run).await;
        assert!(ended.is_err(), "round {round}: {ended:?}");
    }
    // One half is done before the other begins.
    for some in [&all[..4], &all[4..], &all[..]] {
        catch_up(&open(&suite, "v2", None).await, some).await;
    }
    assert_equal(&compared(&suite, "v2").await);
    suite.stop().await;
}

/// The built-in metrics, of which daily_sales counts no refunds.
fn changed_definitions(folder: &Path) {
    for (file, text) in tidemill_definitions::Metrics::built_in() {
        let text = match *file {
            "daily_sales.yaml" => {
                text.replace("types: [order.placed, order.refunded, order.cancelled]", "types: [order.placed]")
            }
            _ => (*text).to_owned(),
        };
        std::fs::write(folder.join(file), text).expect("writes");
    }
}

async fn total(suite: &TestSuite, query: &str) -> Value {
    suite.get(&format!("/v1/metrics/daily_sales/totals?convert=false{query}")).await
}

async fn order(suite: &TestSuite, name: &str, act: &str, asked: Value) -> (u16, Value) {
    let url = format!("http://{}/v1/generations/{name}/{act}", suite.suite.reporting);
    let answer = suite.http.post(url).json(&asked).send().await.expect("reporting answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_definition_is_named_and_served_from_one_moment_on_and_back() {
    let suite = TestSuite::start().await;
    trade(&suite, 800).await;
    let folder = tempdir();
    changed_definitions(folder.path());
    replay(&suite, &request("v2", Some(folder.path()), ReferenceMode::AsOf), None).await;
    let told = compared(&suite, "v2").await;
    assert_eq!(told["equal"], false);
    let daily = metric(&told, "daily_sales");
    assert_eq!(daily["reasons"], json!(["definition"]), "{daily:#}");
    assert!(daily["changed"].as_u64() > Some(0), "{daily:#}");
    for cell in daily["cells"].as_array().expect("cells") {
        let names: Vec<_> = cell["difference"].as_object().expect("measures").keys().collect();
        assert!(names.iter().all(|name| ["refunds", "net", "quantity"].contains(&name.as_str())), "{cell:#}");
    }
    for other in told["metrics"].as_array().expect("metrics").iter().filter(|of| of["metric"] != "daily_sales") {
        let differ = ["changed", "only_live", "only_generation"].map(|kind| other[kind].as_u64());
        assert_eq!(differ, [Some(0); 3], "{other:#}");
    }

    // Both can be asked, and the live one is served.
    let (live, v2) = (total(&suite, "&generation=live").await, total(&suite, "&generation=v2").await);
    assert_ne!(live["rows"], v2["rows"]);
    assert_eq!(total(&suite, "").await["rows"], live["rows"]);
    let unknown = total(&suite, "&generation=v3").await;
    assert_eq!(unknown["code"], "unknown_version", "{unknown}");

    // Readers that ask all the while see the one or the other, and after the answer to the
    // cutover the other alone.
    let asked = json!({"by": "anna", "reason": "refunds have a metric of their own"});
    let is_over = AtomicBool::new(false);
    let reader = async {
        let mut seen = Vec::new();
        while !seen.contains(&true) || seen.len() < 20 {
            let was_over = is_over.load(Ordering::SeqCst);
            let told = total(&suite, "").await;
            let is_v2 = told["generation"] == "v2";
            assert_eq!(told["rows"], if is_v2 { &v2 } else { &live }["rows"], "one generation in one answer");
            assert!(is_v2 || !was_over, "the cutover holds from its answer on");
            seen.push(is_v2);
        }
    };
    let cutover = async {
        let (status, told) = order(&suite, "v2", "cutover", asked.clone()).await;
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(status, 200, "{told}");
        assert!(told["changes"].as_array().is_some_and(|changes| changes.len() > 5), "all metrics: {told}");
    };
    tokio::join!(reader, cutover);
    // What comes from here on is counted in both, as long as the replay runs.
    let (status, refused) = order(&suite, "v2", "retire", asked.clone()).await;
    assert_eq!((status, &refused["code"]), (409, &json!("generation_served")), "{refused}");
    let (status, back) = order(&suite, "v2", "rollback", json!({"by": "anna", "metrics": ["daily_sales"]})).await;
    assert_eq!((status, back["changes"].as_array().map(Vec::len)), (200, Some(1)), "{back}");
    assert_eq!(total(&suite, "").await["rows"], live["rows"]);
    let (_, rest) = order(&suite, "v2", "rollback", asked.clone()).await;
    assert!(rest["changes"].as_array().is_some_and(|changes| changes.iter().all(|of| of["after"] == "")), "{rest}");
    let changes = suite.get("/v1/generations/changes").await;
    let newest = &changes["changes"][0];
    assert_eq!(
        (&newest["act"], &newest["by"], &newest["key"]),
        (&json!("rollback"), &json!("anna"), &json!("anybody"))
    );
    assert_eq!(order(&suite, "v2", "retire", asked.clone()).await.0, 200);
    assert_eq!(order(&suite, "v2", "cutover", asked).await.1["code"], "unknown_generation");
    suite.stop().await;
}

/// A generation that is cut over to goes on with the log while its replay runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_answers_follows_the_log() {
    let suite = TestSuite::start().await;
    trade(&suite, 100).await;
    let asked = request("v2", None, ReferenceMode::AsOf);
    let running = begin(&suite, &asked, None).await;
    let stop = CancellationToken::new();
    let all = running.partitions();
    let work = async {
        let ended = running.run(&ReplayUntil::Unwanted, &all, &stop, |_| {}).await;
        assert_eq!(ended.expect("runs"), ReplayEnd::Stopped);
    };
    let watch = async {
        compared(&suite, "v2").await;
        assert_eq!(order(&suite, "v2", "cutover", json!({"by": "anna"})).await.0, 200);
        let orders = total(&suite, "&group_by=currency").await["rows"][0]["values"]["orders"].clone();
        let one = tidemill_tests::order("later", "c-1", "novel", 1, "10.50");
        assert_eq!(suite.post("application/json", one).await.0, 202);
        eventually("the generation has it", DEADLINE, || async {
            let told = total(&suite, "&group_by=currency").await;
            assert_eq!(told["generation"], "v2");
            (told["rows"][0]["values"]["orders"] != orders).then_some(())
        })
        .await;
        assert_equal(&compared(&suite, "v2").await);
        stop.cancel();
    };
    tokio::join!(work, watch);
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_category_is_named_exactly() {
    let suite = TestSuite::start().await;
    trade(&suite, 600).await;
    let url = format!("http://{}/v1/reference/products/novel", suite.suite.enrichment);
    let put = suite.http.put(url).json(&json!({"category": "Novels"})).send().await.expect("enrichment answers");
    assert!(put.status().is_success(), "{:?}", put.text().await);
    replay(&suite, &request("as_of", None, ReferenceMode::AsOf), None).await;
    assert_equal(&compared(&suite, "as_of").await);
    let lead = ReferenceMode::Now { at: now().plus_millis(3000) };
    replay(&suite, &request("corrected", None, lead), None).await;
    let told = compared(&suite, "corrected").await;
    let sales = metric(&told, "sales_metrics");
    assert_eq!(sales["reasons"], json!(["reference_data"]), "{sales:#}");
    assert!(sales["changed"] == 0 && sales["only_live"].as_u64() > Some(0), "{sales:#}");
    assert_eq!(sales["only_live"], sales["only_generation"], "each cell has moved");
    for cell in sales["cells"].as_array().expect("cells") {
        let category = if cell["kind"] == "only_live" { "Books" } else { "Novels" };
        assert_eq!(cell["dimensions"]["category"], category, "{cell:#}");
    }
    // What is not by category stays.
    for name in ["daily_sales", "order_metrics"] {
        assert!(metric(&told, name)["cells"] == json!([]) && metric(&told, name)["open"] == 0);
    }
    suite.stop().await;
}

/// A generation that waits longer for events counts what was late for the live totals.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_late_for_the_live_totals_alone_is_named() {
    let suite = TestSuite::start().await;
    trade(&suite, 600).await;
    let mut settings = suite.replay_settings();
    settings.aggregation.windows.allowed_lateness_seconds = 60 * 24 * 3600;
    let asked = request("patient", None, ReferenceMode::AsOf);
    let patient = Replay::open(settings, asked.name.clone()).await.expect("opens");
    let plan = patient.plan(&asked, 0, LakePatience::silent(DEADLINE)).await.expect("a plan");
    patient.begin(&plan, 0).await.expect("begins");
    catch_up(&patient, &patient.partitions()).await;
    let told = compared(&suite, "patient").await;
    let late = suite.get("/v1/books").await["totals"]["late"].as_u64().expect("a count");
    assert!(late > 0, "some are late");
    assert_eq!(told["late"], json!({"only_live": late, "only_generation": 0}), "{told:#}");
    let sales = metric(&told, "daily_sales");
    assert_eq!(sales["reasons"], json!(["late_event"]), "{sales:#}");
    assert!(sales["only_generation"].as_u64() > Some(0) && sales["only_live"] == 0, "{sales:#}");
    let link = &sales["cells"][0]["lineage"];
    assert!(link["path"].as_str().is_some_and(|path| path.starts_with("/v1/lineage/daily_sales?window=")), "{link}");
    // Who counts as the live totals do has nothing to tell of.
    replay(&suite, &request("alike", None, ReferenceMode::AsOf), None).await;
    let told = compared(&suite, "alike").await;
    assert_equal(&told);
    assert_eq!(told["late"], json!({"only_live": 0, "only_generation": 0}));
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_start_is_told_and_one_that_is_forgotten_refused() {
    let suite = TestSuite::start().await;
    trade(&suite, 200).await;
    let mut asked = request("later", None, ReferenceMode::AsOf);
    asked.from = ReplayStart::Sequence(4);
    replay(&suite, &asked, None).await;
    let told = compared(&suite, "later").await;
    let reasons: Vec<&Value> = told["metrics"].as_array().expect("metrics").iter().map(|of| &of["reasons"]).collect();
    assert!(reasons.contains(&&json!(["uncounted"])), "{told:#}");
    let answer = total(&suite, "&generation=later").await;
    assert!(answer["counted_from"].is_string(), "{answer:#}");

    bus(&suite).await.delete::<RawBatch>(1).await.expect("deletes");
    let replay = open(&suite, "forgotten", None).await;
    asked.from = ReplayStart::Sequence(1);
    let refused = replay.plan(&asked, 0, LakePatience::silent(DEADLINE)).await.expect_err("is forgotten");
    assert!(matches!(refused, ReplayError::LogForgotten { wanted: 1, first: 2 }), "{refused}");
    suite.stop().await;
}
