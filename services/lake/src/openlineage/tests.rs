use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use serde_json::Value;
use tidemill_domain::{Partition, SystemClock, Timestamp};
use tidemill_lake_tables::{
    AppId, Row, TableRows,
    tables::{BronzeEvent, SilverEvent},
};
use tidemill_testkit::eventually;
use tokio::net::TcpListener;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// An event, and the key that it came with.
type TakenEvent = (Option<String>, Value);

/// A catalogue that answers what it is told to, and takes everything then.
#[derive(Debug, Clone, Default)]
struct ScriptedCatalogue {
    answers: Arc<Mutex<VecDeque<u16>>>,
    taken: Arc<Mutex<Vec<TakenEvent>>>,
}

impl ScriptedCatalogue {
    /// Starts it; answers its address too.
    async fn start(answers: &[u16]) -> (Self, String) {
        let catalogue = Self { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = Router::new().route("/api/v1/lineage", post(Self::take)).with_state(catalogue.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (catalogue, format!("http://{address}/api/v1/lineage"))
    }

    async fn take(State(this): State<Self>, headers: HeaderMap, body: String) -> axum::http::StatusCode {
        let status = this.answers.lock().expect("no panic").pop_front().unwrap_or(201);
        if status < 300 {
            let key = headers.get("authorization").map(|key| key.to_str().expect("a text").to_owned());
            this.taken.lock().expect("no panic").push((key, serde_json::from_str(&body).expect("JSON")));
        }
        axum::http::StatusCode::from_u16(status).expect("a status")
    }

    fn taken(&self) -> Vec<Value> {
        self.taken.lock().expect("no panic").iter().map(|(_, event)| event.clone()).collect()
    }
}

/// A way to an address, and its figures.
fn told(url: &str) -> (OpenLineage, LineageTelemetry, Context) {
    let context = Context::new("lake");
    let config = OpenLineageConfig {
        url: Some(url.to_owned()),
        key: Some("hush".into()),
        timeout_seconds: 1,
        ..OpenLineageConfig::default()
    };
    let telemetry = LineageTelemetry::register(&context.registry);
    let sender = EventSender::open(url, &config, telemetry.clone()).expect("an address");
    let (events, waiting) = mpsc::channel(WAITING);
    context.spawn("openlineage", sender.run(waiting, context.shutdown.clone()));
    let form = EventForm::new("shop", DatasetNames::new("file:///srv/lake/", "nats://log:4222"));
    let teller =
        LineageTeller { form, owner: "a".into(), clock: Arc::new(SystemClock), events, telemetry: telemetry.clone() };
    (OpenLineage(Some(Arc::new(teller))), telemetry, context)
}

fn job(name: &str) -> LineageJob {
    LineageJob::over(name, &["silver/events"])
}

fn states(events: &[Value]) -> Vec<(&str, &str)> {
    let text = |value: &'_ Value| -> &str { Box::leak(value.as_str().expect("a text").to_owned().into_boxed_str()) };
    events.iter().map(|event| (text(&event["job"]["name"]), text(&event["eventType"]))).collect()
}

#[tokio::test]
async fn what_a_catalogue_cannot_take_now_comes_again_and_in_order() {
    let (catalogue, url) = ScriptedCatalogue::start(&[503, 429]).await;
    let (lineage, telemetry, context) = told(&url);
    let table = TableOutput::declared(&SilverEvent::TABLE, 7, Some(3));
    lineage.begin(job("first"), "x").expect("is told").completed(&[table]);
    lineage.begin(job("second"), "x").expect("is told").failed("the store is away");
    drop(lineage.begin(job("third"), "x"));
    eventually("all are taken", DEADLINE, async || (catalogue.taken().len() == 6).then_some(())).await;
    let events = catalogue.taken();
    let each = [
        ("first", "START"),
        ("first", "COMPLETE"),
        ("second", "START"),
        ("second", "FAIL"),
        ("third", "START"),
        ("third", "ABORT"),
    ];
    assert_eq!(states(&events), each);
    assert_eq!(telemetry.counts(), (6, [0, 0, 0]));
    let output = &events[1]["outputs"][0];
    assert_eq!(output["name"], "/srv/lake/silver/events");
    assert_eq!(output["facets"]["version"]["datasetVersion"], "7");
    assert_eq!(output["outputFacets"]["outputStatistics"]["rowCount"], 3);
    assert_eq!(output["facets"]["schema"]["fields"].as_array().map(Vec::len), Some(SilverEvent::TABLE.columns.len()));
    assert_eq!(events[3]["run"]["facets"]["errorMessage"]["message"], "the store is away");
    assert!(catalogue.taken.lock().expect("no panic").iter().all(|(key, _)| key.as_deref() == Some("Bearer hush")));
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await);
}

#[tokio::test]
async fn what_is_refused_is_counted_and_does_not_hold_up_what_comes_behind() {
    let (catalogue, url) = ScriptedCatalogue::start(&[422]).await;
    let (lineage, telemetry, _context) = told(&url);
    lineage.begin(job("first"), "x").expect("is told").completed(&[]);
    eventually("the second is taken", DEADLINE, async || (telemetry.counts().0 == 1).then_some(())).await;
    assert_eq!(telemetry.counts(), (1, [0, 1, 0]));
    assert_eq!(states(&catalogue.taken()), [("first", "COMPLETE")]);
}

/// Whoever tells is no future, so it cannot wait; and the service ends though nobody answers.
#[tokio::test]
async fn a_catalogue_that_does_not_answer_holds_nothing_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (lineage, telemetry, context) = told(&format!("http://{}/", silent.local_addr().expect("an address")));
    for number in 0..1000 {
        lineage.begin(job("first"), &number.to_string()).expect("is told").completed(&[]);
    }
    let (sent, [full, refused, _]) = telemetry.counts();
    assert_eq!((sent, refused), (0, 0));
    assert!(full >= 2000 - WAITING as u64 - 1, "{full}");
    context.shutdown.cancel();
    assert!(context.drained(Duration::from_secs(8)).await, "the service ends");
    let (sent, dropped) = telemetry.counts();
    assert_eq!((sent, dropped.iter().sum::<u64>()), (0, 2000), "each is accounted for");
}

fn part(partition: u16, reaches: i64, rows: usize) -> TablePart {
    let app = AppId::of(BronzeEvent::table(), Partition::new(partition));
    let mut gathered = TableRows::<BronzeEvent<'static>>::new().expect("columns");
    for _ in 0..rows {
        gathered.push(&BronzeEvent {
            partition: partition.into(),
            raw_seq: reaches,
            index: 0,
            ingested_at: Timestamp::EPOCH,
            source: "till",
            r#type: "order.placed",
            id: "o-1",
            time: Timestamp::EPOCH,
            backfill: None,
            event: "{}",
            year: 1970,
            month: 1,
            day: 1,
        });
    }
    TablePart { app, reaches, rows: gathered.take().expect("rows") }
}

#[tokio::test]
async fn the_same_share_of_the_log_is_the_same_run() {
    let (catalogue, url) = ScriptedCatalogue::start(&[]).await;
    let (lineage, ..) = told(&url);
    let begin = |parts: &[TablePart]| lineage.begin_commit(&BronzeEvent::TABLE, parts).map(|run| run.completed(&[]));
    assert!(begin(&[part(0, 5, 0)]).is_none(), "no rows, no run");
    begin(&[part(0, 5, 1), part(1, 7, 1)]).expect("is told");
    begin(&[part(1, 7, 1), part(0, 5, 1)]).expect("is told");
    begin(&[part(0, 6, 1)]).expect("is told");
    eventually("all are taken", DEADLINE, async || (catalogue.taken().len() == 6).then_some(())).await;
    let ids: Vec<_> = catalogue.taken().iter().map(|event| event["run"]["runId"].clone()).collect();
    assert!(ids[0] == ids[2] && ids[0] == ids[1] && ids[0] != ids[4], "{ids:?}");
    let input = &catalogue.taken()[0]["inputs"][0];
    assert_eq!((&input["namespace"], &input["name"]), (&"nats://log:4222".into(), &"RAW".into()));
}
