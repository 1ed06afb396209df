//! Questions in SQL, each in a process of its own, which takes nothing from the lake.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use reqwest::Response;
use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::{eventually, tempdir};
use tokio::{task::JoinHandle, time::Instant};

use crate::common::{DEADLINE, TestLake, TestShop, counts};

/// It never comes to an end by itself.
const ENDLESS: &str = "select count(*) from range(0, 1000000) a, range(0, 100000000000) b where a.value + b.value = -1";

/// A lake whose questions have a folder that nobody else uses.
struct AskedLake {
    lake: TestLake,
    spill: PathBuf,
    http: reqwest::Client,
}

fn settings(shop: &TestShop, sql: &str) -> (String, PathBuf) {
    let spill = shop.folder().join("spill");
    let sql = format!("[sql]\nspill_folder = {spill:?}\n{sql}\n[gold]\nevery_seconds = 1\n");
    (shop.settings("lake.db", &shop.folder().join("lake").display().to_string(), &sql), spill)
}

/// The processes that work in this folder.
fn processes(spill: &Path) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let works_there = |process: &std::fs::DirEntry| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder.starts_with(spill))
    };
    all.filter(works_there).filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
}

/// Waits until nothing is left of any question.
async fn nothing_is_left(spill: &Path) {
    eventually("no process and no folder is left", DEADLINE, async || {
        // Gold's own is there too.
        let of_question =
            |folder: &std::fs::DirEntry| folder.file_name().to_string_lossy().starts_with("tidemill-sql-");
        let folders = std::fs::read_dir(spill).expect("a folder").filter_map(Result::ok).filter(of_question);
        (processes(spill).is_empty() && folders.count() == 0).then_some(())
    })
    .await;
}

async fn a_process(spill: &Path) -> u32 {
    eventually("a process answers", DEADLINE, async || processes(spill).first().copied()).await
}

fn end(signal: &str, process: u32) {
    let asked = Command::new("kill").args([signal, &process.to_string()]).status().expect("kill runs");
    assert!(asked.success());
}

fn send(http: &reqwest::Client, url: String, body: Value) -> JoinHandle<Response> {
    let request = http.post(url).json(&body);
    tokio::spawn(async move { request.send().await.expect("the lake answers") })
}

impl AskedLake {
    fn start(shop: &TestShop, sql: &str) -> Self {
        let (settings, spill) = settings(shop, sql);
        Self { lake: TestLake::start(&settings), spill, http: shop.http.clone() }
    }

    fn url(&self) -> String {
        format!("http://{}/v1/sql", self.lake.address)
    }

    fn begin(&self, sql: &str) -> JoinHandle<Response> {
        send(&self.http, self.url(), json!({ "sql": sql }))
    }

    async fn ask(&self, body: Value) -> Response {
        self.http.post(self.url()).json(&body).send().await.expect("the lake answers")
    }

    async fn csv(&self, sql: &str) -> String {
        let answer = self.ask(json!({ "sql": sql, "format": "csv" })).await;
        assert_eq!(answer.status(), 200, "{sql}");
        answer.text().await.expect("a body")
    }

    async fn refused(&self, body: Value) -> (u16, String, String) {
        problem(self.ask(body).await).await
    }
}

/// Status, code and what happened.
async fn problem(answer: Response) -> (u16, String, String) {
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.expect("JSON");
    let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("detail"))
}

fn order(number: usize) -> Value {
    json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("o-{number}"),
        "subject": "c-1", "time": SystemClock.now().to_string(), "data": {"order_id": format!("o-{number}"),
            "items": [{"product_id": "novel", "quantity": 1, "unit_price": "10.50"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_in_each_form_and_errors_say_what_is_wrong() {
    let shop = TestShop::start().await;
    let asked = AskedLake::start(&shop, "rows = 1000\nanswer_megabytes = 1");
    shop.post(&[order(1)], None).await;
    counts("orders", 1, async || shop.rows("silver/orders", &["order_id"]).await.len()).await;

    let sql = "select order_id, net from silver.orders";
    let answer: Value = asked.ask(json!({ "sql": sql })).await.json().await.expect("JSON");
    assert_eq!(answer["rows"], json!([{ "order_id": "o-1", "net": "10.50" }]));
    for (format, kind, begin) in [
        ("ndjson", "application/x-ndjson", &b"{\"order_id\":\"o-1\",\"net\":\"10.50\"}\n"[..]),
        ("csv", "text/csv; charset=utf-8", b"order_id,net\no-1,10.50\n"),
        ("arrow", "application/vnd.apache.arrow.stream", b"\xff\xff\xff\xff"),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
    ] {
        let answer = asked.ask(json!({ "sql": sql, "format": format })).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &kind.parse().expect("text")));
        assert!(answer.bytes().await.expect("a body").starts_with(begin), "{format}");
    }
    let version = eventually("the table of a metric is there", DEADLINE, async || {
        let tables: Value =
            asked.http.get(format!("http://{}/v1/tables", asked.lake.address)).send().await.ok()?.json().await.ok()?;
        let found = tables["tables"].as_array()?.iter().find(|table| table["name"] == "gold.sales_metrics")?;
        found["version"].as_u64()
    })
    .await;
    let metric = "select count(*) > 0 as there from gold.sales_metrics";
    let answer = asked.ask(json!({ "sql": metric, "format": "csv", "at": version.to_string() })).await;
    assert_eq!(answer.text().await.expect("a body"), "there\ntrue\n");

    for (body, status, code) in [
        (json!({ "sql": "selec 1" }), 422, "invalid_sql"),
        (json!({ "sql": "drop table silver.orders" }), 403, "not_read_only"),
        (json!({ "sql": "select * from silver.order" }), 404, "unknown_table"),
        (json!({ "sql": sql, "at": "900" }), 404, "unknown_table_version"),
        (json!({ "sql": "select 1 / (net * 0) from silver.orders" }), 422, "sql_failed"),
        (json!({ "sql": "select * from range(0, 1001)" }), 422, "answer_too_large"),
        (json!({ "sql": "select repeat('a', 3000) from range(0, 1000)" }), 422, "answer_too_large"),
    ] {
        let (got, told, detail) = asked.refused(body.clone()).await;
        assert_eq!((got, told.as_str()), (status, code), "{body}: {detail}");
        assert!(code != "unknown_table" || detail.contains("silver.orders"), "{detail}");
    }
    nothing_is_left(&asked.spill).await;
    asked.lake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_takes_nothing_but_its_own_process() {
    let shop = TestShop::start().await;
    let asked = AskedLake::start(&shop, "seconds = 60\nmemory_megabytes = 128\nanswer_megabytes = 8");
    let step =
        |n: usize| format!("t{n} as (select x || x || x || x || x || x || x || x || x || x as x from t{})", n - 1);
    let steps: Vec<_> = (1..6).map(step).collect();
    let mut too_costly = 0;
    for sql in [
        "select length(repeat('a', 100000000000))".to_owned(),
        "select length(repeat('a', 2000000000))".into(),
        "select length(replace(repeat('a', 100000), 'a', repeat('b', 1000000)))".into(),
        format!("with t0 as (select repeat('a', 1000000) as x), {} select length(x) from t5", steps.join(", ")),
        "select array_length(array_repeat(1, 100000000000))".into(),
        "select array_length(range(0, 100000000000))".into(),
        "select arrow_cast(null, 'FixedSizeBinary(2000000000)') from range(0, 50)".into(),
        "select approx_percentile_cont(value, 0.5, 1000000000) from range(0, 50)".into(),
        "with recursive t as (select 'a' as x union all select x || x from t) select max(length(x)) from t".into(),
    ] {
        let large = asked.begin(&sql);
        assert_eq!(asked.csv("select 1 as n").await, "n\n1\n", "others are answered meanwhile");
        let (status, code, detail) = problem(large.await.expect("it is asked")).await;
        assert_eq!(status, 422, "{sql:.80}: {code} {detail}");
        let known = ["sql_too_costly", "sql_failed", "invalid_sql", "answer_too_large"];
        assert!(known.contains(&code.as_str()), "{sql:.80}: {code} {detail}");
        too_costly += usize::from(code == "sql_too_costly" && detail.contains("sql.memory_megabytes"));
    }
    assert!(too_costly > 0, "some end for want of memory, and say so");
    assert_eq!(asked.csv("select count(*) as n from range(0, 1000000)").await, "n\n1000000\n");
    nothing_is_left(&asked.spill).await;
    assert_eq!(asked.lake.problems(), [].into());
    asked.lake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_question_ends_its_process() {
    let shop = TestShop::start().await;
    let asked = AskedLake::start(&shop, "seconds = 60");

    let killed = asked.begin(ENDLESS);
    end("-KILL", a_process(&asked.spill).await);
    let (status, code, detail) = problem(killed.await.expect("it is asked")).await;
    assert_eq!((status, code.as_str()), (422, "sql_failed"), "{detail}");
    assert!(detail.contains("signal 9"), "{detail}");
    nothing_is_left(&asked.spill).await;

    let left = asked.begin(ENDLESS);
    a_process(&asked.spill).await;
    left.abort();
    nothing_is_left(&asked.spill).await;

    // Of an answer that is large, and of which nothing is read.
    let unread = asked.ask(json!({ "sql": "select * from range(0, 100000)" })).await;
    assert_eq!(unread.status(), 200);
    drop(unread);
    nothing_is_left(&asked.spill).await;

    let begun = asked.begin(ENDLESS);
    a_process(&asked.spill).await;
    let AskedLake { lake, spill, .. } = asked;
    lake.kill();
    nothing_is_left(&spill).await;
    begun.abort();

    let short = AskedLake::start(&shop, "seconds = 2\nat_once = 1");
    let began = Instant::now();
    let endless: Vec<_> = (0..3).map(|_| short.begin(ENDLESS)).collect();
    while !endless.iter().all(JoinHandle::is_finished) {
        assert!(processes(&short.spill).len() <= 1, "one at a time");
        assert!(began.elapsed() < DEADLINE, "they end");
        tokio::task::yield_now().await;
    }
    let mut codes = Vec::new();
    for question in endless {
        codes.push(problem(question.await.expect("it is asked")).await.1);
    }
    codes.sort();
    assert!(codes.contains(&"sql_too_costly".to_owned()), "{codes:?}");
    assert!(codes.iter().all(|code| code == "sql_too_costly" || code == "busy"), "{codes:?}");
    nothing_is_left(&short.spill).await;
    assert_eq!(short.csv("select 1 as n").await, "n\n1\n");
    short.lake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_outlives_a_lake_that_is_killed() {
    let shop = TestShop::start().await;
    let (settings, spill) = settings(&shop, "seconds = 60");
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let file = shop.folder().join("lake.toml");
    std::fs::write(&file, settings.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))).expect("writes");
    let mut lake = Command::new(env!("CARGO_BIN_EXE_tidemill-lake"));
    lake.arg("--config").arg(&file).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
    let mut lake = lake.spawn().expect("starts");
    let url = format!("http://127.0.0.1:{port}");
    eventually("the lake is ready", DEADLINE, async || {
        let ready = shop.http.get(format!("{url}/readyz")).timeout(Duration::from_secs(5)).send().await.ok()?;
        ready.status().is_success().then_some(())
    })
    .await;
    let answer = shop.http.post(format!("{url}/v1/sql")).json(&json!({ "sql": "select 1 as n", "format": "csv" }));
    assert_eq!(answer.send().await.expect("answers").text().await.expect("a body"), "n\n1\n", "by the program itself");
    let request = shop.http.post(format!("{url}/v1/sql")).json(&json!({ "sql": ENDLESS }));
    let question = tokio::spawn(async move { request.send().await.is_ok() });
    a_process(&spill).await;
    end("-KILL", lake.id());
    assert!(!question.await.expect("it is asked"), "nobody answers any more");
    nothing_is_left(&spill).await;
    lake.wait().expect("it has ended");
}

/// The lake may be killed before it has told its process anything.
#[test]
fn a_process_that_is_told_nothing_leaves_no_folder() {
    let all = tempdir();
    for (name, stays) in [("tidemill-sql-a-1", false), ("another", true)] {
        let folder = all.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidemill-lake"));
        let ended = process.arg("sql-process").current_dir(&folder).stdin(Stdio::null()).output().expect("it runs");
        assert!(!ended.status.success());
        assert_eq!(folder.exists(), stays, "{name}");
    }
}
