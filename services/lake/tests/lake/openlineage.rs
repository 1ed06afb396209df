//! A catalogue of lineage is told what the lake does, and can be away.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::{crate_folder, eventually, skipped_even_in_ci};
use tokio::net::TcpListener;

use crate::common::{DEADLINE, TestLake, TestShop, counts};

/// A catalogue that takes events of OpenLineage, as strictly as the specification has them.
#[derive(Debug, Clone, Default)]
struct StrictCatalogue {
    events: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl StrictCatalogue {
    /// Starts it; answers its address too.
    async fn start() -> (Self, String) {
        let catalogue = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = Router::new().route("/api/v1/lineage", post(Self::take)).with_state(catalogue.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (catalogue, format!("http://{address}/api/v1/lineage"))
    }

    async fn take(State(this): State<Self>, body: String) -> StatusCode {
        let event: Value = serde_json::from_str(&body).unwrap_or_default();
        match wrong_with(&event) {
            None => {
                this.events.lock().expect("no panic").push(event);
                StatusCode::CREATED
            }
            Some(wrong) => {
                this.refused.lock().expect("no panic").push(format!("{wrong}: {event}"));
                StatusCode::UNPROCESSABLE_ENTITY
            }
        }
    }

    fn events(&self) -> Vec<Value> {
        assert_eq!(*self.refused.lock().expect("no panic"), Vec::<String>::new());
        self.events.lock().expect("no panic").clone()
    }

    /// Events of a job's runs, in one state.
    fn of(&self, job: &str, state: &str) -> Vec<Value> {
        let is = |event: &Value| event["job"]["name"] == job && event["eventType"] == state;
        self.events().into_iter().filter(is).collect()
    }
}

/// What the specification has against an event.
fn wrong_with(event: &Value) -> Option<&'static str> {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let facets = |of: &Value| {
        of.as_object().is_none_or(|facets| facets.values().all(|it| text(&it["_producer"]) && text(&it["_schemaURL"])))
    };
    let dataset = |of: &Value| {
        text(&of["namespace"]) && text(&of["name"]) && facets(&of["facets"]) && facets(&of["outputFacets"])
    };
    let datasets = |of: &Value| of.as_array().is_some_and(|all| all.iter().all(dataset));
    let known = ["START", "COMPLETE", "FAIL", "ABORT"];
    let is_run = event["schemaURL"].as_str().is_some_and(|url| url.ends_with("/RunEvent"));
    let checks = [
        (text(&event["producer"]) && text(&event["schemaURL"]), "whose it is"),
        (event["eventTime"].as_str().is_some_and(|at| at.parse::<tidemill_domain::Timestamp>().is_ok()), "its time"),
        (text(&event["job"]["namespace"]) && text(&event["job"]["name"]) && facets(&event["job"]["facets"]), "its job"),
        (datasets(&event["inputs"]) && datasets(&event["outputs"]), "its datasets"),
        (!is_run || event["run"]["runId"].as_str().is_some_and(|id| id.parse::<uuid::Uuid>().is_ok()), "its run"),
        (!is_run || facets(&event["run"]["facets"]), "facets of its run"),
        (!is_run || event["eventType"].as_str().is_some_and(|state| known.contains(&state)), "its state"),
    ];
    checks.into_iter().find(|(right, _)| !right).map(|(_, wrong)| wrong)
}

fn orders(ids: std::ops::Range<usize>) -> Vec<Value> {
    let order = |id: usize| {
        json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("o-{id}"),
            "subject": "c-1", "time": SystemClock.now(), "data": {"order_id": format!("o-{id}"), "items": [
                {"product_id": "novel", "quantity": 2, "unit_price": "10.50"}]}})
    };
    ids.map(order).collect()
}

fn lake(shop: &TestShop, url: &str) -> TestLake {
    shop.lake_with(&format!("[gold]\nevery_seconds = 1\n[openlineage]\nurl = {url:?}\nnamespace = \"shop\"\n"))
}

/// Each run begins and ends once, and a job's versions only grow.
fn runs_are_whole(events: &[Value]) {
    let mut runs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events.iter().filter(|event| !event["run"].is_null()) {
        let text = |value: &'_ Value| value.as_str().map(str::to_owned).expect("a text");
        let (id, state) = (event["run"]["runId"].as_str().expect("an id"), event["eventType"].as_str().expect("one"));
        runs.entry(id).or_default().push(state);
        for output in event["outputs"].as_array().expect("outputs") {
            let version: u64 = text(&output["facets"]["version"]["datasetVersion"]).parse().expect("a number");
            let known = versions.insert(output["name"].as_str().expect("a name"), version);
            assert!(known.is_none_or(|known| known < version), "{output}");
        }
    }
    for (id, states) in runs {
        assert!(matches!(states[..], ["START"] | ["START", "COMPLETE" | "ABORT"]), "{id}: {states:?}");
    }
}

/// What OpenLineage's own client says of them, where it is there.
fn read_by_its_own_client(events: &[Value]) {
    let script = crate_folder().join("tests/lake/read_run_events.py");
    let client = Command::new("openlineage-python").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut client = match client {
        Ok(client) => client,
        Err(error) => return skipped_even_in_ci("OpenLineage's own client", &error.to_string()),
    };
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    client.stdin.take().expect("is piped").write_all(lines.as_bytes()).expect("takes them");
    let output = client.wait_with_output().expect("ends");
    assert!(output.status.success(), "the client refuses one, as it says above");
    let states: BTreeMap<String, usize> = serde_json::from_slice(&output.stdout).expect("an answer");
    assert_eq!(states.values().sum::<usize>(), events.len(), "{states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_is_told_of_every_layer() {
    let shop = TestShop::start().await;
    let (catalogue, url) = StrictCatalogue::start().await;
    let lake = lake(&shop, &url);
    shop.post(&orders(0..20), None).await;
    counts("events of silver", 20, async || shop.rows("silver/events", &["id"]).await.len()).await;
    let jobs = ["bronze.events", "silver.events", "silver.order_lines", "silver.orders", "gold.sales_metrics"];
    let jobs = jobs.iter().chain(&["gold.customer_lifetime_value", "silver.customers"]);
    for job in jobs {
        eventually(&format!("{job} is told"), DEADLINE, async || {
            let done = catalogue.of(job, "COMPLETE");
            done.iter().all(|event| event["outputs"][0]["facets"]["schema"]["fields"].is_array()).then_some(())?;
            (!done.is_empty()).then_some(())
        })
        .await;
    }
    let url = format!("http://{}/v1/rebuilds", lake.address);
    let order = shop.http.post(url).json(&json!({"layer": "silver"})).send().await.expect("the lake answers");
    assert_eq!(order.status(), 202);
    eventually("a rebuild is told", DEADLINE, async || {
        (!catalogue.of("rebuild.silver", "COMPLETE").is_empty()).then_some(())
    })
    .await;
    lake.stop().await;

    let rows: u64 = ["bronze", "silver"]
        .map(|layer| {
            let told = catalogue.of(&format!("{layer}.events"), "COMPLETE");
            told.iter()
                .map(|event| event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"].as_u64())
                .map(|rows| rows.expect("a number"))
                .sum::<u64>()
        })
        .iter()
        .sum();
    assert!(rows >= 40, "all rows are told: {rows}");
    let reads = |job: &str| -> BTreeSet<String> {
        let all = catalogue.of(job, "START").into_iter().flat_map(|event| event["inputs"].as_array().cloned());
        all.flatten().map(|input| input["name"].as_str().expect("a name").to_owned()).collect()
    };
    let silver = |table: &str| shop.folder().join("lake/silver").join(table).display().to_string();
    assert_eq!(reads("bronze.events"), BTreeSet::from(["RAW".to_owned()]));
    assert_eq!(reads("silver.orders"), BTreeSet::from(["ENRICHED".to_owned()]));
    assert_eq!(reads("gold.sales_metrics"), BTreeSet::from([silver("events")]));
    assert_eq!(reads("gold.customer_lifetime_value"), BTreeSet::from([silver("orders"), silver("order_lines")]));
    let events = catalogue.events();
    assert!(events.iter().any(|event| event["job"]["name"] == "enrichment" && event["run"].is_null()));
    runs_are_whole(&events);
    read_by_its_own_client(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_that_is_away_does_not_hold_the_lake_up() {
    let shop = TestShop::start().await;
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let lake = lake(&shop, &format!("http://{}/", silent.local_addr().expect("an address")));
    for part in 0..4 {
        shop.post(&orders(part * 10..part * 10 + 10), None).await;
    }
    counts("events of silver", 40, async || shop.rows("silver/events", &["id"]).await.len()).await;
    assert_eq!(lake.problems(), BTreeMap::new(), "the lake is ready");
    lake.stop().await;
}
