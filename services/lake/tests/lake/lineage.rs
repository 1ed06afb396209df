//! `tidemill lineage` holds a number of gold against the stream's.

use axum::{Router, extract::State, response::Json, routing::get};
use serde_json::{Value, json};
use tidemill::cli::{self, Arguments};
use tidemill_domain::{Clock, SystemClock, Timestamp};
use tidemill_testkit::eventually;
use tokio::net::TcpListener;

use crate::common::{DEADLINE, TestLake, TestShop};

/// The exit code of `tidemill lineage`, as a person gets it.
async fn exit_code(lake: &TestLake, window: &str, reporting: &str) -> String {
    let lake = format!("http://{}", lake.address);
    let line = ["tidemill", "lineage", "sales_metrics", "--window", window, "--lake-url", &lake];
    let line = line.into_iter().chain(["--reporting-url", reporting, "--category", "Books", "--limit", "3"]);
    let line: Vec<_> = line.map(Into::into).collect();
    let run = std::thread::spawn(move || format!("{:?}", cli::run(Arguments::of(line))));
    // The services are on this runtime, so it has to go on.
    eventually("the command ends", DEADLINE, async || run.is_finished().then_some(())).await;
    run.join().expect("no panic")
}

fn told(code: u8) -> String {
    format!("{:?}", std::process::ExitCode::from(code))
}

/// A reporting that says something else than what it knows.
async fn wrong_reporting(answer: Value) -> String {
    async fn series(State(answer): State<Value>) -> Json<Value> {
        Json(answer)
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let routes = Router::new().route("/v1/metrics/sales_metrics/series", get(series)).with_state(answer);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_held_against_the_streams() {
    let shop = TestShop::start().await;
    let lake = shop.lake_with("[gold]\nevery_seconds = 1\n");
    // Of a window that has long been over: of one that is filled, the two need not be at one place.
    let placed_at = SystemClock.now().plus_millis(-3_600_000);
    let order = |id: usize| {
        json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("o-{id}"),
            "subject": "c-1", "time": placed_at, "data": {"order_id": format!("o-{id}"), "items": [
                {"product_id": "novel", "quantity": 1, "unit_price": "1.25"}]}})
    };
    shop.post(&(0..5).map(order).collect::<Vec<_>>(), None).await;
    shop.balanced(5).await;
    let columns = ["window_start", "category"];
    let window = eventually("gold has it", DEADLINE, async || {
        let rows = shop.rows("gold/sales_metrics", &columns).await;
        rows.into_iter().find(|row| row[1] == "Books").map(|row| row[0].clone())
    })
    .await;
    let reporting = format!("http://{}", shop.suite.reporting);
    eventually("both have the same number", DEADLINE, async || {
        (exit_code(&lake, &window, &reporting).await == told(0)).then_some(())
    })
    .await;

    let start: Timestamp = window.parse().expect("a time");
    let url = format!(
        "/v1/metrics/sales_metrics/series?from={start}&to={}&resolution=window&group_by=category,region,currency",
        start.plus_millis(60_000)
    );
    let mut answer = shop.get(&url).await;
    assert!(answer["series"].is_array(), "{answer}");
    for line in answer["series"].as_array_mut().expect("lines") {
        for point in line["points"].as_array_mut().expect("points") {
            point["values"]["orders"] = json!(77);
        }
    }
    assert_eq!(exit_code(&lake, &window, &wrong_reporting(answer).await).await, told(3));
    assert_eq!(exit_code(&lake, &window, "http://127.0.0.1:9").await, told(4), "nobody is there");
    lake.stop().await;
}
