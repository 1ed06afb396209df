//! Rules tried out over the log raise the alerts that the live rules have raised of it, and
//! nobody hears of them.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};
use tidemill::{
    replay::{Backtest, BacktestFound, LakePatience, PlannedChange, ReplayPlan, ReplayRequest, ReplayStart},
    suite::DefinitionFiles,
};
use tidemill_bus::Bus;
use tidemill_domain::Timestamp;
use tidemill_events::{AlertState, AlertTransition, ReferenceMode, StreamName};
use tidemill_testkit::{eventually, tempdir};
use tidemill_tests::{
    DEADLINE, TestSuite,
    generations::{begin, bus, catch_up},
    now,
};
use tokio_util::sync::CancellationToken;

const MINUTE: i64 = 60_000;

const SALES: &str = r#"rule: SALES
severity: info
title: "Much of {category}"
summary: "{revenue} in the window from {window_start}"
on: metric
metric: sales_metrics
group_by: [category]
condition: "revenue > 200.0"
"#;
const VIEWS: &str = r#"rule: VIEWS
severity: info
title: "{subject} looks at much"
summary: "{views} views"
on: event
types: [product.viewed]
dimensions: [subject]
counters:
  views: {key: subject, window: 10m}
signals:
  - {name: many, when: "views > 3", score: 1}
fire_at: 1
"#;

/// The built-in rules and two more, the texts of which may be changed.
fn rules(folder: &Path, change: impl Fn(&str) -> String) {
    for (file, text) in tidemill_alert::Rules::built_in().iter().copied().chain([("s.yaml", SALES), ("v.yaml", VIEWS)])
    {
        std::fs::write(folder.join(file), change(text)).expect("writes");
    }
}

fn event(id: &str, kind: &str, subject: &str, time: Timestamp, data: &Value) -> String {
    json!({"id": id, "source": "shop", "type": kind, "subject": subject, "time": time, "data": data}).to_string() + "\n"
}

fn order(id: &str, time: Timestamp, product: &str, price: &str) -> String {
    let items = json!([{"product_id": product, "quantity": 1, "unit_price": price}]);
    let data = json!({"order_id": format!("o-{id}"), "items": items});
    event(id, "order.placed", &format!("c-{id}"), time, &data)
}

/// Twenty minutes of a shop, one request a minute: about as much each minute, but in some.
async fn trade(suite: &TestSuite) {
    let (mut sent, this_minute) = (0, now().millis() / MINUTE * MINUTE);
    for ago in (1..=20).rev() {
        let time = Timestamp::saturating_from_millis(this_minute - ago * MINUTE);
        let orders = match ago {
            10 => 60,
            3 | 13 => 30,
            _ => 16,
        };
        let id = |n| format!("{ago}-{n}");
        let mut lines: Vec<String> = (0..orders).map(|n| order(&id(n), time, "novel", "10.00")).collect();
        // One whose amount alone is suspicious.
        lines.extend((ago % 8 == 0).then(|| order(&id(99), time, "chess", "12000.00")));
        let views = if ago == 5 { 6 } else { 0 };
        let view = |n: u32| json!({"product_id": format!("p-{n}")});
        lines.extend((0..views).map(|n| event(&format!("v-{n}"), "product.viewed", "c-1", time, &view(n))));
        sent += lines.len() as u64;
        assert_eq!(suite.post("application/x-ndjson", lines.concat()).await.0, 202);
    }
    suite.balanced(sent).await;
}

/// How often each state is in ALERTS.
async fn raised(bus: &Bus) -> (usize, usize) {
    let (mut firing, mut notified, mut after) = (0, 0, 0);
    while let Some((sequence, alert)) =
        bus.next_at::<AlertTransition>(StreamName::Alerts.subjects(), after + 1).await.expect("answers")
    {
        match alert.expect("is read").state {
            AlertState::Firing => firing += 1,
            AlertState::Notified => notified += 1,
        }
        after = sequence;
    }
    (firing, notified)
}

fn request(rules: Option<&Path>) -> ReplayRequest<'_> {
    let name = "v2".parse().expect("a name");
    let (from, reference) = (ReplayStart::First, ReferenceMode::AsOf);
    ReplayRequest { name, from, definitions: None, rules, reference, now: now() }
}

async fn run(backtest: &Backtest, plan: &ReplayPlan) -> BacktestFound {
    let found = backtest.run(plan, &CancellationToken::new(), |_| {}).await;
    found.expect("runs").expect("is not stopped")
}

async fn tried(suite: &TestSuite, rules: Option<&Path>) -> (ReplayPlan, BacktestFound) {
    let backtest = Backtest::open(suite.replay_settings()).await.expect("opens");
    let plan = backtest.plan(&request(rules), LakePatience::silent(DEADLINE)).await.expect("a plan");
    let found = run(&backtest, &plan).await;
    (plan, found)
}

/// What is the same of an alert, in whatever order the rules came to the partitions: of one
/// that follows from a single partition, all but the time at which it fired.
fn lasting(alert: &AlertTransition) -> String {
    let AlertTransition { id, rule, rule_version, severity, title, dimensions, event_time, .. } = alert;
    let AlertTransition { partition, raw_seq, values, summary, .. } = alert;
    let exact = (rule == "VIEWS").then_some((partition, raw_seq, values, summary));
    format!("{:?}", (id, rule, rule_version, severity, title, dimensions, event_time, exact))
}

async fn live(bus: &Bus) -> Vec<AlertTransition> {
    let (mut alerts, mut after) = (Vec::new(), 0);
    while let Some((sequence, alert)) =
        bus.next_at::<AlertTransition>(StreamName::Alerts.subjects(), after + 1).await.expect("answers")
    {
        alerts.extend(alert.ok().filter(|alert| alert.state == AlertState::Firing));
        after = sequence;
    }
    alerts
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_raise_over_the_log_what_they_have_raised_live_and_nobody_is_told() {
    let folder = tempdir();
    rules(folder.path(), str::to_owned);
    let mut files = DefinitionFiles::default();
    files.definitions.rules = Some(folder.path().to_owned());
    let suite = TestSuite::with_files(files).await;
    trade(&suite).await;
    let bus = bus(&suite).await;

    // Alert may have more to do than what the books wait for.
    let found = eventually("both have raised the same", DEADLINE, || async {
        let (_, found) = tried(&suite, None).await;
        let is_told = raised(&bus).await;
        (found.alerts.are_equal() && is_told.0 == is_told.1).then_some(found)
    })
    .await;
    let counts = found.alerts.counts();
    for rule in ["SALES", "VIEWS", "REVENUE_SPIKE", "FRAUD_DETECTION"] {
        assert!(counts.get(rule).is_some_and(|of| of.both > 0), "{rule} fires: {counts:?}");
    }
    let by_id = |alerts: &[AlertTransition]| -> BTreeMap<_, _> { alerts.iter().map(|a| (a.id, lasting(a))).collect() };
    assert_eq!(by_id(&found.alerts.both), by_id(&live(&bus).await));

    // Nobody is told, of a replay either.
    let (told, end) = (suite.slack.messages().len(), bus.end(StreamName::Alerts).await.expect("answers"));
    assert!(told > 0 && suite.slack.refusals().is_empty());
    let wrong = tempdir();
    rules(wrong.path(), |text| text.replace("revenue > 200.0", "revenue > 500.0").replace("views > 3", "views > 2"));
    let (plan, found) = tried(&suite, Some(wrong.path())).await;
    let why: Vec<_> = plan.rules.iter().filter(|rule| !rule.because.is_empty()).collect();
    assert_eq!(why.iter().map(|rule| rule.rule.as_str()).collect::<Vec<_>>(), ["SALES", "VIEWS"]);
    assert!(why.iter().all(|rule| rule.because == [PlannedChange::Rule]), "{why:?}");
    let rules_of = |alerts: &[AlertTransition]| alerts.iter().map(|alert| alert.rule.clone()).collect::<Vec<_>>();
    assert_eq!(rules_of(&found.alerts.only_here), ["VIEWS"], "the third view within ten minutes");
    // 60 orders of 10.00 are more than 500 still, and so are the large ones; 30 are not.
    assert_eq!(rules_of(&found.alerts.only_live), ["SALES", "SALES"], "{:?}", found.alerts.only_live);

    // A generation that was begun with them has them tried out, too.
    let replay = begin(&suite, &request(Some(wrong.path())), None).await;
    catch_up(&replay, &replay.partitions()).await;
    let record = replay.record().await.expect("answers").expect("was begun");
    let backtest = Backtest::open(suite.replay_settings()).await.expect("opens");
    let plan =
        backtest.plan_of(&record, ReplayStart::Sequence(1), LakePatience::silent(DEADLINE)).await.expect("a plan");
    assert_eq!(run(&backtest, &plan).await.alerts, found.alerts);

    assert_eq!(suite.slack.messages().len(), told, "nothing new went to Slack");
    assert_eq!(bus.end(StreamName::Alerts).await.expect("answers"), end, "nor to ALERTS");
    suite.stop().await;
}
