//! `tidemill replay` beside a suite that runs as a process.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tidemill_testkit::{eventually, tempdir};

use crate::{terminal::Terminal, up::Running};

const DEADLINE: Duration = Duration::from_secs(60);

/// A replay that runs, and is killed at the end of the test.
struct Replaying(Child);

impl Replaying {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.args(["replay", "start", "--name", "v2", "--data", "data"]).args(more).current_dir(folder);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }

    /// As `kill -9`.
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }

    fn tell_to_end(&mut self) -> Option<i32> {
        let told = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        assert!(told.expect("it runs").success());
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Replaying {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.0.kill();
    }
}

/// Sends so many orders, numbered from `first`.
async fn trade(suite: &Running, first: u32, count: u32) {
    let order = |n: u32| {
        let item = json!({"product_id": "novel", "quantity": 1 + n % 3, "unit_price": "2.50"});
        json!({"type": "order.placed", "source": "shop", "id": format!("e-{n}"), "subject": format!("c-{}", n % 9),
            "data": {"order_id": format!("o-{n}"), "items": [item]}})
    };
    let url = suite.says("Events").to_owned();
    for some in (first..first + count).collect::<Vec<_>>().chunks(20) {
        let lines: String = some.iter().map(|n| format!("{}\n", order(*n))).collect();
        let request = reqwest::Client::new().post(&url).header("content-type", "application/x-ndjson").body(lines);
        assert_eq!(request.send().await.expect("ingestion answers").status(), 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_planned_counted_killed_compared_and_served() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let ports = ["--port", "0", "--reporting-port", "0", "--jaeger-port", "0", "--data", "data"];
    let suite = Running::start(folder.path(), &ports, &[]);
    let terminal = Terminal { url: suite.says("Dashboard").to_owned() };
    let data = folder.path().join("data");
    let data = data.to_str().expect("text");
    trade(&suite, 0, 400).await;
    let place = ["--name", "v2", "--data", data];
    let with = |words: &[&'static str], more: &[&'static str]| -> Vec<String> {
        words.iter().chain(&place).chain(more).map(|word| (*word).to_owned()).collect()
    };
    let run = async |words: Vec<String>| terminal.says(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let (code, told) = terminal.says(&["nats", "--data", data]).await;
    assert!(code == Some(0) && told.starts_with("nats://") && told.contains("@127.0.0.1:"), "{told}");
    let (code, told) = terminal.says(&["nats", "--data", "nowhere"]).await;
    assert!(code == Some(1) && told.contains("no suite runs with this folder"), "{told}");
    // Nothing is there before it is begun.
    let (code, told) = run(with(&["replay", "status"], &[])).await;
    assert!(code == Some(1) && told.contains("there is no generation v2"), "{told}");
    let (code, told) = terminal.says(&["replay", "diff", "--name", "v2"]).await;
    assert!(code == Some(2) && told.contains("there is no generation"), "{told}");
    let (code, told) = run(with(&["replay", "start"], &["--plan"])).await;
    assert!(code == Some(0) && told.contains("sales_metrics") && told.contains("stay as they are"), "{told}");
    assert!(!told.contains("about 4"), "events are counted: {told}");
    let (code, told) = run(with(&["replay", "start"], &["--plan", "--from", "99999"])).await;
    assert!(code == Some(0) && told.contains("begin later"), "{told}");

    // Killed as it goes, at moments that are its own.
    for life in [40, 150, 300, 600] {
        let replay = Replaying::start(folder.path(), &["--rate", "400"]);
        tokio::time::sleep(Duration::from_millis(life)).await;
        replay.kill();
    }
    // On a busy machine none of them may have come to begin it.
    let replay = Replaying::start(folder.path(), &["--rate", "400"]);
    eventually("it was begun", DEADLINE, || async {
        (run(with(&["replay", "status"], &[])).await.0 == Some(0)).then_some(())
    })
    .await;
    replay.kill();
    let (code, told) = run(with(&["replay", "resume"], &["--rate", "0"])).await;
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = run(with(&["replay", "start"], &["--once"])).await;
    assert!(code == Some(0) && told.contains("v2 has caught up"), "{told}");
    let (code, told) = run(with(&["replay", "status"], &[])).await;
    assert!(code == Some(0) && told.contains("none: `tidemill replay start`"), "{told}");
    let (code, told) = terminal.says(&["replay", "diff", "--name", "v2", "--wait", "30"]).await;
    assert!(code == Some(0) && told.contains("sales_metrics"), "{told}");

    // Paused, it stands; resumed, it follows.
    let mut replay = Replaying::start(folder.path(), &[]);
    assert_eq!(run(with(&["replay", "pause"], &[])).await.0, Some(0));
    let status = async || terminal.json(&["replay", "status", "--name", "v2", "--data", data, "--json"], None).await.1;
    assert_eq!(status().await["wanted"], "paused");
    eventually("it says that it is there", DEADLINE, || async {
        (status().await["has_process"] == true).then_some(())
    })
    .await;
    trade(&suite, 1000, 40).await;
    assert_eq!(run(with(&["replay", "resume"], &[])).await.0, Some(0));
    let open: Value = eventually("the generation has what came", DEADLINE, || async {
        let (code, told) = terminal.json(&["replay", "diff", "--name", "v2", "--json"], None).await;
        (code == Some(0)).then_some(told)
    })
    .await;
    assert_eq!(open["equal"], true);
    let (code, told) = terminal.says(&["replay", "cutover", "--name", "v2", "--reason", "a test"]).await;
    assert!(code == Some(0) && told.contains("@v2"), "{told}");
    let (code, told) = terminal.says(&["replay", "retire", "--name", "v2"]).await;
    assert!(code == Some(1) && told.contains("roll it back"), "{told}");
    let (code, told) = terminal.says(&["replay", "rollback", "--name", "v2"]).await;
    assert!(code == Some(0) && told.contains("live"), "{told}");
    assert_eq!(replay.tell_to_end(), Some(0));

    // Rules are tried out over the same log. What is many orders of one customer depends on
    // how the live rules came to the partitions, so that one alert more or less may differ.
    let (code, told) = terminal.says(&["alert", "backtest", "--data", data]).await;
    assert!(code <= Some(1) && told.contains("FRAUD_DETECTION") && told.contains("events"), "{told}");
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules).expect("a folder");
    let rule = "rule: BIG\nseverity: info\ntitle: Big order of {subject}\nsummary: It has {amount}\non: event\n\
                types: [order.placed]\ndimensions: [subject]\nsignals:\n  \
                - {name: big, when: amount > 7.0, score: 1}\nfire_at: 1\n";
    std::fs::write(rules.join("big.yaml"), rule).expect("writes");
    let rules = rules.to_str().expect("text");
    let (code, told) = terminal.says(&["alert", "backtest", "--data", data, "--rules", rules, "--limit", "1"]).await;
    assert!(code == Some(1) && told.contains("Big order of c-") && told.contains("--limit shows them"), "{told}");
    let (code, told) = terminal.json(&["alert", "backtest", "--data", data, "--rules", rules, "--json"], None).await;
    let big = &told["rules"].as_array().expect("rules")[0];
    assert!(code == Some(1) && big["rule"] == "BIG" && big["because"] == json!(["new"]), "{big}");
    assert_eq!(big["only_here"].as_u64(), Some(146), "each third order");
    let (code, told) = terminal.says(&["alert", "backtest", "--data", data, "--name", "v3"]).await;
    assert!(code == Some(2) && told.contains("there is no generation v3"), "{told}");

    // What was begun by other definitions is another generation.
    let metrics = folder.path().join("metrics");
    std::fs::create_dir(&metrics).expect("a folder");
    let views = "name: views\ntypes: [product.viewed]\nwindow: {tumbling: 1h}\nmeasures:\n  views: {count: rows}\n";
    std::fs::write(metrics.join("views.yaml"), views).expect("writes");
    let other = metrics.to_str().expect("text");
    let start = ["replay", "start", "--name", "v2", "--data", data, "--definitions", other, "--once"];
    let (code, told) = terminal.says(&start).await;
    assert!(code == Some(1) && told.contains("begun with other definitions"), "{told}");
    assert_eq!(run(with(&["replay", "cancel"], &[])).await.0, Some(0));
    let (code, told) = run(with(&["replay", "start"], &["--once"])).await;
    assert!(code == Some(1) && told.contains("was cancelled"), "{told}");
    let (code, told) = terminal.says(&["replay", "retire", "--name", "v2"]).await;
    assert!(code == Some(0) && told.contains("it is gone"), "{told}");
    assert_eq!(suite.stop(), Some(0));
}
