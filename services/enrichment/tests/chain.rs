//! The service against a real nats-server: `RAW` in, `ENRICHED` out.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::{Value, json};
use tidemill_bus::{Bus, Subscription};
use tidemill_domain::{Amount, Currency, Partition, Timestamp};
use tidemill_enrichment::{Config, EnrichmentService};
use tidemill_events::{
    DeadLetter, DecodeError, Durable, Encoded, EnrichedBatch, Enrichment, EventRef, HeaderSource, Message, QualityFlag,
    RawBatch, StreamName, event, topology,
};
use tidemill_service::{Context, Handle, Service as _};
use tidemill_testkit::{TempDir, TestNats, eventually, tempdir, try_eventually};

const DEADLINE: Duration = Duration::from_secs(20);
const PARTITION: Partition = Partition::new(1);
const KEY: &str = "key-of-the-tests";

/// One run of the service.
struct Service {
    context: Context,
    handle: Handle,
    client: reqwest::Client,
}

impl Service {
    async fn start(nats: &TestNats, folder: &Path) -> Self {
        Self::start_with(nats, folder, "").await
    }

    /// With more settings.
    async fn start_with(nats: &TestNats, folder: &Path, more: &str) -> Self {
        tidemill_service::install_crypto();
        let context = Context::new("enrichment");
        let handle =
            EnrichmentService::start(config(&nats.url(), folder, more), context.clone()).await.expect("starts");
        let service = Self { context, handle, client: reqwest::Client::new() };
        service.ready().await;
        service
    }

    async fn ready(&self) {
        try_eventually("ready", DEADLINE, || async {
            let problems = self.context.health.problems();
            if problems.is_empty() && self.context.health.is_ready() { Ok(()) } else { Err(problems) }
        })
        .await;
    }

    fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.handle.address)
    }

    async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.put(self.address(path)).bearer_auth(KEY).json(&body);
        answer(request).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(self.address(path)).header("x-write-key", KEY)).await
    }

    async fn post(&self, path: &str, body: String) -> (u16, Value) {
        let request = self.client.post(self.address(path)).basic_auth(KEY, Some(""));
        answer(request.header("content-type", "application/x-ndjson").body(body)).await
    }

    async fn metric(&self, line: &str) -> Option<String> {
        let text =
            self.client.get(self.address("/metrics")).send().await.expect("answers").text().await.expect("reads");
        text.lines().find_map(|l| l.strip_prefix(line)).map(|value| value.trim().to_owned())
    }

    async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(DEADLINE).await, "drains");
        assert_eq!(self.context.failure(), None);
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("answers");
    (response.status().as_u16(), response.json().await.expect("is JSON"))
}

fn config(nats: &str, folder: &Path, more: &str) -> Config {
    let text = format!(
        "http.listen = \"127.0.0.1:0\"\nnats = {{ url = \"{nats}\", partitions = 2, timeout_seconds = 2 }}\n\
         store.url = \"sqlite://{}/enrichment.db\"\nauth.operate = \"tests {KEY}\"\n\
         reference = {{ poll_millis = 100, lead_seconds = 1 }}\n{more}",
        folder.display()
    );
    tidemill_service::config::parse(&text).expect("is valid")
}

async fn connect(nats: &TestNats) -> Bus {
    let config = tidemill_bus::Config { url: nats.url(), partitions: 2, timeout_seconds: 2, ..Default::default() };
    let bus = Bus::connect(&config, "test").await.expect("connects");
    bus.ensure_topology().await.expect("makes the streams");
    bus
}

fn line(id: &str, kind: &str, time: &str, data: Value) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "shop", "type": kind, "time": time, "subject": "C-7",
        "clientip": "8.8.8.8", "data": data,
    })
    .to_string()
}

fn view(id: &str) -> String {
    line(id, "product.viewed", "2026-01-02T03:04:05Z", json!({"product_id": "P-1"}))
}

fn batch(number: u128, ingested_at: i64, lines: &[String]) -> RawBatch {
    RawBatch {
        redriven: Vec::new(),
        batch_id: uuid::Uuid::from_u128(number),
        partition: PARTITION,
        ingested_at: Timestamp::saturating_from_millis(ingested_at),
        sources: BTreeMap::from([("shop".into(), u32::try_from(lines.len()).expect("few"))]),
        lines: lines.join("\n").into(),
        trace: None,
    }
}

fn now() -> i64 {
    use tidemill_domain::Clock;
    tidemill_domain::SystemClock.now().millis()
}

async fn next(enriched: &mut Subscription) -> EnrichedBatch {
    let delivery = tokio::time::timeout(DEADLINE, enriched.next()).await.expect("in time").expect("is delivered");
    delivery.ack().await.expect("is acknowledged");
    delivery.decode().expect("decodes")
}

fn enrichments(batch: &EnrichedBatch) -> Vec<Enrichment> {
    event::lines(&batch.lines)
        .map(|line| serde_json::from_slice::<EventRef<'_>>(line).expect("is an event").enriched.expect("is enriched"))
        .collect()
}

fn duplicates(batch: &EnrichedBatch) -> Vec<bool> {
    enrichments(batch).iter().map(|enrichment| enrichment.duplicate).collect()
}

/// The next dead letter, with its body: the consumer itself reads headers alone.
async fn dead_letter(letters: &mut Subscription, bus: &Bus) -> DeadLetter {
    let delivery = tokio::time::timeout(DEADLINE, letters.next()).await.expect("in time").expect("is delivered");
    let stored = bus.message_at::<DeadLetter>(delivery.sequence).await.expect("reads").expect("is there");
    delivery.ack().await.expect("is acknowledged");
    stored.message
}

#[tokio::test]
async fn batches_are_enriched_in_order_and_duplicates_known_across_a_restart() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let other = RawBatch { partition: Partition::new(0), ..batch(99, now(), &[view("elsewhere")]) };
    bus.publish(&other).await.expect("publishes");

    let service = Service::start(&nats, folder.path()).await;
    let first = batch(1, now(), &[view("a"), view("b"), view("a")]);
    let first_seq = bus.publish(&first).await.expect("publishes").sequence;
    let made = next(&mut enriched).await;
    assert_eq!((made.raw_seq, made.raw_prev, made.count, made.refdata), (first_seq, 0, 3, 0));
    assert_eq!((made.partition, made.ingested_at), (PARTITION, first.ingested_at));
    assert_eq!(duplicates(&made), [false, false, true]);
    let unknown = &enrichments(&made)[0];
    assert_eq!((unknown.region.as_str(), unknown.items[0].category.as_str()), ("Unknown", "Unknown"));
    let all_unknown = [QualityFlag::CustomerUnknown, QualityFlag::ProductUnknown, QualityFlag::CountryUnknown];
    assert_eq!(unknown.quality, all_unknown);

    bus.publish(&other).await.expect("publishes");
    let second_seq = bus.publish(&batch(2, now(), &[view("b"), view("c")])).await.expect("publishes").sequence;
    let made = next(&mut enriched).await;
    assert_eq!((made.raw_seq, made.raw_prev), (second_seq, first_seq));
    assert_eq!(duplicates(&made), [true, false]);
    service.stop().await;

    let third_seq =
        bus.publish(&batch(3, now(), &[view("d"), view("a"), view("c")])).await.expect("publishes").sequence;
    let service = Service::start(&nats, folder.path()).await;
    let made = next(&mut enriched).await;
    assert_eq!((made.raw_seq, made.raw_prev), (third_seq, second_seq));
    assert_eq!(duplicates(&made), [false, true, true]);

    // Past the horizon by the log's clock.
    let week = (7 * 24 + 1) * 3600 * 1000 + 60_000;
    bus.publish(&batch(4, now() + week, &[view("a")])).await.expect("publishes");
    assert_eq!(duplicates(&next(&mut enriched).await), [false]);
    eventually("metrics", DEADLINE, || async {
        let value = service.metric("tidemill_enrichment_events_total{outcome=\"duplicate\"}").await;
        value.filter(|value| value == "2")
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn an_order_is_counted_once_whatever_its_events_are_called() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let order = |id: &str, kind: &str, order_id: Value| {
        line(id, kind, "2026-01-02T03:04:05Z", json!({"order_id": order_id, "items": []}))
    };
    let marks = |batch: &EnrichedBatch| -> Vec<(bool, bool)> {
        enrichments(batch).iter().map(|enrichment| (enrichment.duplicate, enrichment.repeated)).collect()
    };
    let (new, duplicate, repeated) = ((false, false), (true, false), (true, true));
    let service = Service::start(&nats, folder.path()).await;
    let page = ["load-0", "load-1", "load-0"].map(|id| order(id, "order.placed", json!("1001")));
    bus.publish(&batch(1, now(), &page)).await.expect("publishes");
    assert_eq!(marks(&next(&mut enriched).await), [new, repeated, duplicate]);
    eventually("metrics", DEADLINE, || async {
        let value = service.metric("tidemill_enrichment_repeated_total").await;
        value.filter(|value| value == "1")
    })
    .await;
    service.stop().await;

    let service = Service::start(&nats, folder.path()).await;
    let server = [
        order("server", "order.placed", json!(1001)),
        order("other", "order.placed", json!("1002")),
        order("refund", "order.refunded", json!("1001")),
        order("nameless", "order.placed", json!(null)),
        order("nameless-2", "order.placed", json!(null)),
    ];
    bus.publish(&batch(2, now(), &server)).await.expect("publishes");
    assert_eq!(marks(&next(&mut enriched).await), [repeated, new, new, new, new]);
    // Made again, they are what they were.
    drop(enriched);
    bus.ask_again(PARTITION, 0).await.expect("asks");
    answered(&bus).await;
    let again = read_again(&bus, 2, 2).await;
    let again: Vec<_> = again.iter().map(marks).collect();
    assert_eq!(again, [vec![new, repeated, duplicate], vec![repeated, new, new, new, new]]);
    service.stop().await;
}

/// The table in memory has room for two batches: what is older is in the store.
#[tokio::test]
async fn what_was_sealed_is_known_after_a_restart() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let settings = "duplicates.keys_per_partition = 6\n";
    let service = Service::start_with(&nats, folder.path(), settings).await;
    let mut first = Vec::new();
    for number in 0..13 {
        if number == 12 {
            // What is stored can be sealed: with the checkpoint after that.
            let lag = async || bus.lag(Durable::Enrichment(PARTITION)).await.expect("answers");
            eventually("the first are stored", DEADLINE, async || (lag().await == 0).then_some(())).await;
        }
        // The last event of each is the first of the one before.
        let views = [2, 3, 0].map(|n| view(&(2 * number + n).to_string()));
        bus.publish(&batch(number, now(), &views)).await.expect("publishes");
        let made = next(&mut enriched).await;
        assert_eq!(duplicates(&made), [false, false, number > 0], "{number}");
        first.push(made);
    }
    eventually("most is sealed", DEADLINE, || async {
        let sealed = service.metric("tidemill_enrichment_sealed_keys{partition=\"1\"}").await?;
        (sealed.parse::<u64>().expect("a number") > 12).then_some(())
    })
    .await;
    service.stop().await;

    let service = Service::start_with(&nats, folder.path(), settings).await;
    let old = ["2", "3", "0", "25", "new"].map(view);
    bus.publish(&batch(99, now(), &old)).await.expect("publishes");
    first.push(next(&mut enriched).await);
    assert_eq!(duplicates(&first[13]), [true, true, true, true, false]);
    drop(enriched);
    bus.ask_again(PARTITION, 0).await.expect("asks");
    answered(&bus).await;
    assert_eq!(read_again(&bus, 14, 14).await, first, "what was sealed is made again as it was");
    service.stop().await;
}

/// Five hundred items, each of a product of which much is told, are more than
/// NATS takes in one message: what is counted by goes on, the rest does not.
#[tokio::test]
async fn an_order_of_products_of_which_much_is_known_stops_nothing() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let service = Service::start(&nats, folder.path()).await;
    let product = |n: usize| {
        let mut product = json!({"id": format!("P-{n}"), "category": "Books"});
        // Nothing that compresses.
        for a in 0..14 {
            product[format!("a{a}")] = (0..7)
                .map(|part| {
                    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{n}-{a}-{part}").as_bytes()).to_string()
                })
                .collect::<String>()
                .into();
        }
        product.to_string()
    };
    for hundred in 0..5 {
        let lines: Vec<String> = (0..100).map(|n| product(hundred * 100 + n)).collect();
        let (status, told) = service.post("/v1/reference/products", lines.join("\n")).await;
        assert_eq!((status, &told["changed"]), (200, &json!(100)), "{told}");
    }
    let items: Vec<Value> =
        (0..500).map(|n| json!({"product_id": format!("P-{n}"), "quantity": 1, "unit_price": 1})).collect();
    let order = line("o", "order.placed", "2026-01-02T03:04:05Z", json!({"order_id": "o", "items": items}));
    bus.publish(&batch(1, now(), &[order, view("a")])).await.expect("publishes");
    let made = next(&mut enriched).await;
    let enrichments = enrichments(&made);
    assert_eq!(enrichments[0].items.len(), 500);
    assert!(enrichments[0].items.iter().all(|item| item.category == "Books" && item.product.is_empty()));
    assert_eq!(enrichments[1].items[0].product.len(), 14, "the next event has its own");
    service.stop().await;
}

/// What an other release, or nobody, wrote last into a partition.
struct Garbage;

impl Message for Garbage {
    const STREAM: StreamName = StreamName::Enriched;
    const VERSION: u32 = 99;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let encoded = EnrichedBatch {
            partition: PARTITION,
            raw_seq: 1,
            raw_prev: 0,
            remade: None,
            ingested_at: Timestamp::EPOCH,
            refdata: 0,
            count: 0,
            types: None,
            lines: Vec::new().into(),
            trace: None,
        }
        .encode()?;
        Ok(Encoded { headers: Vec::new(), message_id: "garbage".into(), ..encoded })
    }

    fn decode(_: &impl HeaderSource, _: bytes::Bytes) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

#[tokio::test]
async fn an_end_that_cannot_be_read_halts_its_partition_alone() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    bus.publish(&Garbage).await.expect("publishes");
    tidemill_service::install_crypto();
    // It never becomes ready.
    let context = Context::new("enrichment");
    EnrichmentService::start(config(&nats.url(), folder.path(), ""), context.clone()).await.expect("starts");
    bus.publish(&batch(1, now(), &[view("a")])).await.expect("publishes");
    let other = Partition::new(0);
    let mut enriched = bus.subscribe(Durable::Aggregation(other)).await.expect("subscribes");
    bus.publish(&RawBatch { partition: other, ..batch(2, now(), &[view("b")]) }).await.expect("publishes");
    assert_eq!(next(&mut enriched).await.count, 1, "the other partition goes on");
    let told = eventually("readiness names the partition", DEADLINE, || async {
        context.health.problems().get("partition").filter(|told| told.contains("cannot be read")).cloned()
    })
    .await;
    assert!(told.starts_with("1: the last message of partition 1 in ENRICHED cannot be read"), "{told}");
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await, "drains");
    assert_eq!(context.failure(), None);
}

/// A form on any page can send these types, and a browser asks nobody first.
#[tokio::test]
async fn a_body_that_a_form_can_send_changes_nothing() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let service = Service::start(&nats, folder.path()).await;
    let (one, many) = ("/v1/reference/products/P-1", "/v1/reference/products");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let (put, post) = (service.client.put(service.address(one)), service.client.post(service.address(many)));
        for (request, body) in [(put, "{\"category\":\"Evil\"}"), (post, "{\"id\":\"P-1\",\"category\":\"Evil\"}")] {
            let request = request.bearer_auth(KEY).body(body);
            let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
            let (status, problem) = answer(request).await;
            assert_eq!((status, &problem["code"]), (415, &json!("unsupported_media_type")), "{kind}");
        }
    }
    assert_eq!(service.get(one).await.0, 404);
    assert_eq!(service.put(one, json!({"category": "Maps"})).await.0, 200);
    service.stop().await;
}

#[tokio::test]
async fn reference_data_changes_over_http_without_a_restart() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let service = Service::start(&nats, folder.path()).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");

    let open = service.client.get(service.address("/v1/reference/products")).send().await.expect("answers");
    assert_eq!(open.status().as_u16(), 401);
    assert_eq!(open.headers()["content-type"], "application/problem+json");

    let (status, body) = service.put("/v1/reference/products/P-1", json!({"category": "Books", "brand": "Acme"})).await;
    assert_eq!((status, body), (200, json!({"version": 1, "changed": true, "valid_from": null})));
    let (_, body) = service.put("/v1/reference/products/P-1", json!({"category": "Books", "brand": "Acme"})).await;
    assert_eq!(body, json!({"version": 1, "changed": false}));
    let lines = ["{\"id\":\"C-7\",\"country\":\"EIRE\",\"segment\":\"gold\"}", "{\"id\":\"\"}", "not JSON"].join("\n");
    let (status, body) = service.post("/v1/reference/customers", lines).await;
    assert_eq!((status, &body["changed"], &body["unchanged"]), (200, &json!(1), &json!(0)));
    assert_eq!(body["rejected"][0]["problem"]["errors"][0]["pointer"], "/id");
    assert_eq!((&body["rejected"][1]["index"], &body["rejected"][1]["problem"]["status"]), (&json!(2), &json!(400)));
    assert_eq!((&body["rejected_total"], body.get("more_rejected")), (&json!(2), None));
    let (status, body) = service.post("/v1/reference/customers", "{}\n".repeat(103)).await;
    assert_eq!((status, &body["code"], &body["changed"]), (422, &json!("all_rejected"), &json!(0)));
    assert_eq!((&body["rejected_total"], body["rejected"].as_array().map(Vec::len)), (&json!(103), Some(100)));
    let more = json!([{"code": "invalid_record", "count": 3, "indexes": [100, 101, 102]}]);
    assert_eq!(body["more_rejected"], more);
    let (status, body) = service.post("/v1/reference/customers", "{}\n".repeat(100_001)).await;
    assert_eq!((status, &body["code"]), (413, &json!("too_many_records")));
    for nothing in ["", "\n\n"] {
        let (status, body) = service.post("/v1/reference/customers", nothing.into()).await;
        assert_eq!((status, &body["code"]), (400, &json!("malformed_body")), "{nothing:?}");
    }
    let (status, body) = service.put("/v1/reference/products/P-1", json!({"a": "x".repeat(65 << 10)})).await;
    assert_eq!((status, &body["code"]), (413, &json!("body_too_large")));

    // A product may have its sku alone.
    let sku = json!({"items": [{"sku": "P-1", "quantity": 1}], "country": "ie"});
    let sku = line("0", "order.placed", "2010-12-01T08:26:00Z", sku);
    let unread = sku.replacen('{', r#"{"unread":"clientip","#, 1).replacen("\"0\"", "\"u\"", 1);
    bus.publish(&batch(9, now(), &[sku, unread])).await.expect("publishes");
    let made = next(&mut enriched).await;
    let [known, partly] = &enrichments(&made)[..] else { panic!("{made:?}") };
    assert_eq!((known.items[0].category.as_str(), known.country.as_deref()), ("Books", Some("IE")));
    assert_eq!((&known.quality[..], &partly.quality[..]), (&[][..], &[QualityFlag::AttributeUnread][..]));

    let order = json!({"items": [{"product_id": "P-1"}, {"product_id": "P-2"}], "billing_country": "Germany"});
    let order = |id: &str, time: &str| line(id, "order.placed", time, order.clone());
    bus.publish(&batch(1, now(), &[order("1", "2010-12-01T08:26:00Z")])).await.expect("publishes");
    let made = next(&mut enriched).await;
    let facts = enrichments(&made).remove(0);
    assert_eq!((made.refdata, facts.refdata), (2, 2));
    assert_eq!((facts.country.as_deref(), facts.region.as_str()), (Some("IE"), "Europe"), "the profile goes first");
    assert_eq!(facts.customer["segment"], "gold");
    assert_eq!(facts.items.iter().map(|item| item.category.as_str()).collect::<Vec<_>>(), ["Books", "Unknown"]);
    assert_eq!(facts.items[0].product, BTreeMap::from([("brand".into(), "Acme".into())]));
    assert_eq!(facts.quality, [QualityFlag::ProductUnknown]);

    let (status, body) = service.put("/v1/reference/products/P-1", json!({"category": "Toys"})).await;
    assert_eq!((status, &body["version"], &body["changed"]), (200, &json!(3), &json!(true)));
    let valid_from: Timestamp = body["valid_from"].as_str().expect("is a time").parse().expect("is a time");
    let times = [valid_from.plus_millis(-1).to_string(), valid_from.to_string()];
    bus.publish(&batch(2, now(), &[order("2", &times[0]), order("3", &times[1])])).await.expect("publishes");
    let made = next(&mut enriched).await;
    let categories: Vec<_> = enrichments(&made).iter().map(|facts| facts.items[0].category.clone()).collect();
    assert_eq!((made.refdata, categories), (3, vec!["Books".to_owned(), "Toys".to_owned()]));

    let (status, body) = service
        .put("/v1/reference/products/P-1", json!({"category": "Old", "valid_from": "2020-01-01T00:00:00Z"}))
        .await;
    assert_eq!((status, &body["code"]), (422, &json!("valid_from_too_early")));
    let (_, body) = service.get("/v1/reference/products/P-1").await;
    let versions: Vec<_> = body["changes"].as_array().expect("a list").iter().map(|c| c["version"].clone()).collect();
    assert_eq!(versions, [3, 1]);
    let (_, body) = service.get("/v1/reference/products?limit=1").await;
    assert_eq!((&body["version"], &body["items"][0]["id"], &body["next"]), (&json!(3), &json!("P-1"), &json!("P-1")));
    let (_, body) = service.get("/v1/reference/products?after=P-1").await;
    assert_eq!((&body["items"], &body["next"]), (&json!([]), &Value::Null));
    for query in ["limit=0", "limit=1001", "limit=x"] {
        let (status, body) = service.get(&format!("/v1/reference/products?{query}")).await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid_parameter")), "{query}");
    }
    assert_eq!(service.get("/v1/reference/products/none").await.0, 404);
    assert_eq!(service.get("/v1/reference/planets").await.0, 404);
    assert_eq!(service.put("/v1/reference/products/P-1", json!([1])).await.0, 400);
    let (status, body) = service.post("/v1/reference/products", "x".repeat(9 << 20)).await;
    assert_eq!((status, &body["code"]), (413, &json!("body_too_large")));
    let (_, description) = service.get("/openapi.json").await;
    assert!(description["paths"]["/v1/reference/{kind}/{id}"]["put"].is_object());
    service.stop().await;
}

/// A shop goes on with what it knew, rather than not at all.
#[tokio::test]
async fn a_file_that_would_change_what_was_is_refused_and_stops_nothing() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    tidemill_service::install_crypto();
    let file = folder.path().join("rates.csv");
    let started = async |text: &str| {
        std::fs::write(&file, text).expect("writes");
        let mut config = config(&nats.url(), folder.path(), "");
        config.reference.files = vec![file.clone()];
        let context = Context::new("enrichment");
        let handle = EnrichmentService::start(config, context.clone()).await.expect("starts");
        let service = Service { context, handle, client: reqwest::Client::new() };
        service.ready().await;
        let (_, known) = service.get("/v1/reference/rates/USD").await;
        let told = service.context.health.notices();
        service.stop().await;
        (known["changes"].as_array().map(Vec::len), told)
    };
    let (known, told) = started("id,rate,valid_from\nUSD,0.90,2015-01-01T00:00:00Z\n").await;
    assert_eq!((known, told.len()), (Some(1), 0), "{told:?}");
    let (known, told) = started("id,rate,valid_from\nUSD,0.91,2015-01-01T00:00:00Z\n").await;
    assert_eq!(known, Some(1), "what was known stays");
    let told = &told["reference_files"];
    assert!(told.contains("rates.csv:2: rate \"USD\"") && told.contains("never changed"), "{told}");
    // A line that is gone takes nothing back, and that is told.
    let (known, told) = started("id,rate,valid_from\nJPY,0.006,2015-01-01T00:00:00Z\n").await;
    assert_eq!(known, Some(1), "what was known stays");
    assert!(told["reference_kept"].contains("rates.csv: 1 record is not in it any more"), "{told:?}");
}

/// A shop's own definition takes the place of the built-in one.
#[tokio::test]
async fn a_shop_that_calls_things_otherwise_says_so() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let file = folder.path().join("shop.yaml");
    let shop = "events:\n  items: [data.basket.lines]\n  products: [item.sku]\n  customers: [data.buyer]\n  \
                countries: []\nrecords: {category: department, country: land}\n";
    let settings = format!("shop.definition = \"{}\"", file.display());

    std::fs::write(&file, shop.replace("item.sku", "sku")).expect("writes");
    tidemill_service::install_crypto();
    let refused =
        EnrichmentService::start(config(&nats.url(), folder.path(), &settings), Context::new("enrichment")).await;
    let error = refused.expect_err("is refused").to_string();
    assert!(error.contains("shop.yaml:3: ") && error.contains("`sku` is not a field"), "{error}");

    std::fs::write(&file, shop).expect("writes");
    let service = Service::start_with(&nats, folder.path(), &settings).await;
    service.put("/v1/reference/products/7", json!({"department": "Books", "category": "x"})).await;
    service.put("/v1/reference/customers/B-1", json!({"land": "Deutschland", "country": "FR"})).await;
    let data = json!({"basket": {"lines": [{"sku": 7}, {"product_id": "7"}]}, "buyer": "B-1", "country": "FR"});
    bus.publish(&batch(1, now(), &[line("1", "basket.paid", "2026-01-02T03:04:05Z", data)])).await.expect("publishes");
    let facts = enrichments(&next(&mut enriched).await).remove(0);
    assert_eq!(facts.items.iter().map(|item| item.category.as_str()).collect::<Vec<_>>(), ["Books", "Unknown"]);
    assert_eq!((facts.country.as_deref(), facts.customer["land"].as_str()), (Some("DE"), "Deutschland"));
    assert_eq!(facts.quality, [QualityFlag::ProductUnknown]);
    service.stop().await;
}

/// An event has a currency, and a rate as of its time where it needs one.
#[tokio::test]
async fn amounts_have_a_currency_and_a_rate_as_of_their_day() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let service = Service::start_with(&nats, folder.path(), "shop.currency = \"eur\"").await;
    for (valid_from, rate) in [("2026-01-01T00:00:00Z", "0.0061"), ("2026-01-02T00:00:00Z", "0.0062")] {
        let (status, body) =
            service.put("/v1/reference/rates/JPY", json!({"rate": rate, "valid_from": valid_from})).await;
        assert_eq!((status, &body["changed"]), (200, &json!(true)), "{body}");
    }
    let (_, known) = service.get("/v1/reference/rates/JPY").await;
    assert_eq!(known["changes"][0]["base"], "EUR", "{known}");
    let (status, body) = service.put("/v1/reference/rates/usd", json!({"rate": "0.92"})).await;
    assert_eq!((status, &body["errors"][0]["pointer"]), (422, &json!("/id")), "{body}");
    let (status, body) =
        service.put("/v1/reference/rates/JPY", json!({"rate": "1", "valid_from": "2026-01-01T00:00:00Z"})).await;
    assert_eq!((status, &body["code"]), (422, &json!("valid_from_too_early")));
    let detail = body["detail"].as_str().expect("a text");
    assert!(detail.starts_with("valid_from must be after 2026-01-02T00:00:00Z"), "{detail}");
    let (status, body) = service.put("/v1/reference/rates/EUR", json!({"rate": "1"})).await;
    assert_eq!((status, &body["code"], &body["errors"][0]["pointer"]), (422, &json!("invalid_record"), &json!("/id")));
    assert!(body["errors"][0]["detail"].as_str().is_some_and(|told| told.contains("base currency")), "{body}");
    let lines = "{\"id\":\"USD\",\"rate\":\"0.92\"}\n{\"id\":\"EUR\",\"rate\":\"1\"}";
    let (status, body) = service.post("/v1/reference/rates", lines.into()).await;
    assert_eq!((status, &body["changed"], &body["rejected"][0]["index"]), (200, &json!(1), &json!(1)), "{body}");

    let order = |id: &str, time: &str, data: Value| line(id, "order.placed", time, data);
    let orders = [
        order("1", "2026-01-01T23:59:59Z", json!({"currency": "jpy"})),
        order("2", "2026-01-02T00:00:00Z", json!({"currency": "JPY"})),
        order("3", "2025-12-31T23:59:59Z", json!({"currency": "JPY"})),
        order("4", "2026-01-02T00:00:00Z", json!({"currency": "EUR"})),
        order("5", "2026-01-02T00:00:00Z", json!({})),
        order("6", "2026-01-02T00:00:00Z", json!({"currency": "Taler"})),
    ];
    bus.publish(&batch(1, now(), &orders)).await.expect("publishes");
    let made = enrichments(&next(&mut enriched).await);
    let money = |facts: &Enrichment| {
        let code = |currency: Option<Currency>| currency.map(|code| code.to_string());
        (code(facts.currency), facts.rate.clone(), code(facts.base))
    };
    let expected = [
        (Some("JPY"), Some("0.0061"), Some("EUR"), None),
        (Some("JPY"), Some("0.0062"), Some("EUR"), None),
        (Some("JPY"), None, None, Some(QualityFlag::RateUnknown)),
        (Some("EUR"), None, None, None),
        (Some("EUR"), None, None, None),
        (None, None, None, Some(QualityFlag::CurrencyUnknown)),
    ];
    let text = |text: Option<&str>| text.map(String::from);
    for (facts, (currency, rate, base, flag)) in made.iter().zip(expected) {
        assert_eq!(money(facts), (text(currency), text(rate), text(base)), "{facts:?}");
        let of_money = [QualityFlag::CurrencyUnknown, QualityFlag::RateUnknown];
        assert_eq!(facts.quality.iter().copied().find(|flag| of_money.contains(flag)), flag, "{facts:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_country_that_is_in_no_table_is_told_to_who_brings_it() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let service = Service::start(&nats, folder.path()).await;
    let lines = [r#"{"id":"C-1","country":"Atlantis"}"#, r#"{"id":"C-2","country":"EIRE"}"#, r#"{"id":"C-3"}"#];
    let (status, body) = service.post("/v1/reference/customers", lines.join("\n")).await;
    assert_eq!((status, &body["changed"], &body["hints_total"]), (200, &json!(3), &json!(1)), "{body}");
    let hint = &body["hints"][0];
    assert_eq!((&hint["index"], &hint["pointer"]), (&json!(0), &json!("/country")), "{body}");
    assert!(hint["detail"].as_str().is_some_and(|told| told.contains("in no table") && !told.contains("Atlantis")));
    // Known already, and still not understood.
    let (_, body) = service.put("/v1/reference/customers/C-1", json!({"country": "Atlantis"})).await;
    assert_eq!((&body["changed"], &body["hint"]["pointer"]), (&json!(false), &json!("/country")), "{body}");
    let (_, body) = service.put("/v1/reference/countries/XX", json!({"region": "Seas"})).await;
    assert_eq!((&body["changed"], &body["hint"]["pointer"]), (&json!(true), &json!("/id")), "{body}");
    let (_, body) = service.put("/v1/reference/countries/DE", json!({"region": "DACH"})).await;
    assert_eq!(body.get("hint"), None, "{body}");
    service.stop().await;
}

/// A batch that its reader cannot know.
struct Alien(RawBatch);

impl Message for Alien {
    const STREAM: StreamName = StreamName::Raw;
    const VERSION: u32 = 9;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let mut encoded = self.0.encode()?;
        encoded.headers.iter_mut().filter(|(name, _)| *name == "Tm-Version").for_each(|(_, value)| *value = "9".into());
        Ok(encoded)
    }

    fn decode(_: &impl HeaderSource, _: bytes::Bytes) -> Result<Self, DecodeError> {
        Err(DecodeError::Version("9".into()))
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_stops_nothing() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let service = Service::start(&nats, folder.path()).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");

    let broken = "{\"source\":\"other\",\"id\":".to_owned();
    let first =
        bus.publish(&batch(1, now(), &[view("a"), broken.clone(), view("b")])).await.expect("publishes").sequence;
    let alien = bus.publish(&Alien(batch(2, now(), &[view("c")]))).await.expect("publishes").sequence;
    let last = bus.publish(&batch(3, now(), &[view("b")])).await.expect("publishes").sequence;

    let made = next(&mut enriched).await;
    assert_eq!((made.raw_seq, made.count, duplicates(&made)), (first, 2, vec![false, false]));
    let made = next(&mut enriched).await;
    assert_eq!((made.raw_seq, made.raw_prev, duplicates(&made)), (last, first, vec![true]));

    let mut letters = bus.subscribe(Durable::ReportingDlq).await.expect("subscribes");
    let letter = dead_letter(&mut letters, &bus).await;
    assert_eq!((letter.code.as_str(), letter.service.as_str()), ("malformed_event", "enrichment"));
    assert_eq!((letter.source.as_str(), letter.sequence, &letter.body[..]), ("shop", Some(first), broken.as_bytes()));
    let letter = dead_letter(&mut letters, &bus).await;
    assert_eq!((letter.code.as_str(), letter.sequence, letter.deliveries), ("unsupported_version", Some(alien), 1));
    assert!(letter.reason.contains("version 9"), "{}", letter.reason);
    eventually("nothing is left", DEADLINE, || async {
        (bus.lag(Durable::Enrichment(PARTITION)).await.expect("answers") == 0).then_some(())
    })
    .await;
    service.stop().await;
}

/// `RAW` is synced to disk and `ENRICHED` is not: a crash of the machine can
/// take batches from it that were acknowledged.
#[tokio::test]
async fn what_enriched_lost_is_made_again() {
    let folder = tempdir();
    let log = [batch(1, now(), &[view("a")]), batch(2, now(), &[view("b"), view("a")]), batch(3, now(), &[view("b")])];
    let mut before = Vec::new();
    {
        let nats = TestNats::start().await;
        let bus = connect(&nats).await;
        let service = Service::start(&nats, folder.path()).await;
        let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
        for batch in &log {
            bus.publish(batch).await.expect("publishes");
            before.push(next(&mut enriched).await);
        }
        service.stop().await;
    }
    // The same log on another server, and nothing behind it.
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    for batch in &log {
        bus.publish(batch).await.expect("publishes");
    }
    let service = Service::start(&nats, folder.path()).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    for batch in before {
        assert_eq!(next(&mut enriched).await, EnrichedBatch { remade: Some(0), ..batch });
    }
    bus.publish(&batch(4, now(), &[view("a"), view("c")])).await.expect("publishes");
    let made = next(&mut enriched).await;
    assert_eq!((made.raw_seq, made.raw_prev, duplicates(&made)), (4, 3, vec![true, false]));
    assert_eq!(service.metric("tidemill_enrichment_remade_total").await.as_deref(), Some("3"));
    service.stop().await;
}

#[tokio::test]
async fn a_store_of_another_log_is_refused() {
    let folder = tempdir();
    {
        let nats = TestNats::start().await;
        let bus = connect(&nats).await;
        let service = Service::start(&nats, folder.path()).await;
        let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
        for number in 1..=2 {
            bus.publish(&batch(number, now(), &[view("a")])).await.expect("publishes");
            next(&mut enriched).await;
        }
        service.stop().await;
    }
    let nats = TestNats::start().await;
    connect(&nats).await.publish(&batch(3, now(), &[view("z")])).await.expect("publishes");
    let context = Context::new("enrichment");
    EnrichmentService::start(config(&nats.url(), folder.path(), ""), context.clone()).await.expect("starts");
    let told = async || context.health.problems().remove("partition").filter(|told| told.contains("foreign_log"));
    let told = eventually("it says so", DEADLINE, told).await;
    assert!(told.contains("RAW ends at 1, before 2 that was done"), "{told}");
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await);
    assert_eq!(context.failure(), None);
}

/// NATS takes for done what the restored store knows nothing of.
#[tokio::test]
async fn a_store_restored_from_a_backup_catches_up_with_the_log() {
    let (nats, folder, backup) = (TestNats::start().await, tempdir(), tempdir());
    let bus = connect(&nats).await;
    let copy = |from: &Path, to: &Path| {
        for name in ["enrichment.db", "enrichment.db-wal", "enrichment.db-shm"] {
            match std::fs::copy(from.join(name), to.join(name)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => drop(std::fs::remove_file(to.join(name))),
                copied => drop(copied.expect("copies")),
            }
        }
    };
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let mut before = Vec::new();
    for events in [[view("a"), view("b")], [view("c"), view("a")]] {
        let service = Service::start(&nats, folder.path()).await;
        bus.publish(&batch(before.len() as u128, now(), &events)).await.expect("publishes");
        before.push(next(&mut enriched).await);
        service.stop().await;
        if before.len() == 1 {
            copy(folder.path(), backup.path());
        }
    }
    copy(backup.path(), folder.path());
    // A reader that was restored as well, and whose place the server knows no better.
    bus.ask_again(PARTITION, before[0].raw_seq).await.expect("asks");
    let service = Service::start(&nats, folder.path()).await;
    assert_eq!(as_first_made(next(&mut enriched).await), before[1], "made again as it was, and once");
    bus.publish(&batch(2, now(), &[view("c"), view("d")])).await.expect("publishes");
    let last = next(&mut enriched).await;
    assert_eq!((last.raw_prev, duplicates(&last)), (before[1].raw_seq, vec![true, false]));
    answered(&bus).await;
    service.stop().await;

    // Nothing is left of it: the log has everything.
    copy(tempdir().path(), folder.path());
    let service = Service::start(&nats, folder.path()).await;
    bus.publish(&batch(3, now(), &[view("d"), view("e")])).await.expect("publishes");
    let newest = next(&mut enriched).await;
    assert_eq!((newest.raw_prev, duplicates(&newest)), (last.raw_seq, vec![true, false]));
    service.stop().await;
}

/// What refers to an order is told of its lines, whichever process took the order
/// in, and the same when it is made again.
#[tokio::test]
async fn what_refers_to_an_order_is_told_of_its_lines() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let service = Service::start(&nats, folder.path()).await;
    service.put("/v1/reference/products/P-1", json!({"category": "Books"})).await;
    service.put("/v1/reference/customers/C-7", json!({"country": "DE"})).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let about = |id: &str, kind: &str, data: Value| line(id, kind, "2026-01-02T03:04:05Z", data);
    let refund = |id: &str, of: &str| about(id, "order.refunded", json!({"order_id": "o", "amount": of}));
    let order = about(
        "1",
        "order.placed",
        json!({"order_id": "o", "discount": 1, "items": [
            {"product_id": "P-1", "quantity": 2, "unit_price": 5}, {"product_id": "P-2", "quantity": 1, "unit_price": 10},
        ]}),
    );
    let mut first = Vec::new();
    bus.publish(&batch(1, now(), &[refund("0", "4"), order])).await.expect("publishes");
    first.push(next(&mut enriched).await);
    service.stop().await;

    // The back office names no customer.
    let cancelled = about("3", "order.cancelled", json!({"order_id": "o"})).replace(r#""subject":"C-7""#, r#""a":"b""#);
    let service = Service::start(&nats, folder.path()).await;
    bus.publish(&batch(2, now(), &[refund("2", "5"), cancelled, refund("2", "5")])).await.expect("publishes");
    first.push(next(&mut enriched).await);
    let net: Vec<Vec<String>> = first
        .iter()
        .flat_map(enrichments)
        .map(|facts| facts.lines.iter().map(|line| line.net().to_string()).collect())
        .collect();
    let expected: [&[&str]; 5] = [&["-4.00"], &["7.50", "7.50", "4.00"], &["-2.50", "-2.50"], &["-5.00", "-5.00"], &[]];
    assert_eq!(net, expected, "in all it comes to nothing");
    let of_refund = &enrichments(&first[1])[0];
    let categories: Vec<_> = of_refund.lines.iter().map(|line| line.facts.clone().expect("facts").category).collect();
    assert_eq!(categories, ["Books", "Unknown"]);
    assert_eq!(enrichments(&first[1])[1].region, "Europe", "a cancellation belongs where its order does");
    assert_eq!(enrichments(&first[0])[0].quality.last(), Some(&QualityFlag::OrderUnknown));
    assert!(enrichments(&first[1])[2].order.is_none(), "a duplicate does nothing");

    drop(enriched);
    bus.ask_again(PARTITION, 0).await.expect("asks");
    assert_eq!(read_again(&bus, 2, 2).await, first, "made again as they were");
    service.stop().await;
}

/// A refund that comes again as history is told what its first copy did, however it
/// came to be known as a duplicate: aggregation counts it if the first was late.
#[tokio::test]
async fn a_refund_that_comes_again_as_history_does_what_it_did() {
    const DAY: i64 = 86_400_000;
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut service = Service::start(&nats, folder.path()).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let about = |id: &str, kind: &str, data: Value| line(id, kind, "2026-01-02T03:04:05Z", data);
    let refund = |id: &str, of: &str| about(id, "order.refunded", json!({"order_id": "o", "amount": of}));
    let history = |line: String| line.replacen('{', r#"{"backfill":"attic","#, 1);
    let items = json!([{"product_id": "P-1", "quantity": 2, "unit_price": 10}]);
    let order = about("1", "order.placed", json!({"order_id": "o", "items": items}));
    let early = refund("0", "4");
    let (late, whole) = (refund("2", "5"), about("3", "order.cancelled", json!({"order_id": "o"})));
    let batches = [
        (0, vec![early.clone(), order.clone()]),
        (0, vec![late.clone(), whole]),
        (1, vec![late.clone(), history(late.clone()), history(early.clone()), history(order.clone())]),
        // Older than what is known as a duplicate, and younger than what was late.
        (9, vec![history(late.clone()), history(early.clone()), refund("4", "1")]),
    ];
    let mut made = Vec::new();
    for (number, (days, lines)) in (1..).zip(batches) {
        bus.publish(&batch(number, now() + days * DAY, &lines)).await.expect("publishes");
        made.push(next(&mut enriched).await);
        if number % 2 == 0 {
            // It is found in the store as in memory.
            service.stop().await;
            service = Service::start(&nats, folder.path()).await;
        }
    }
    let net = |facts: &Enrichment| facts.lines.iter().map(|line| line.net().to_string()).collect::<Vec<_>>();
    let told: Vec<Vec<(bool, Vec<String>)>> = made
        .iter()
        .map(|batch| enrichments(batch).iter().map(|facts| (facts.duplicate, net(facts))).collect())
        .collect();
    let is = |duplicate, net: &[&str]| (duplicate, net.iter().map(|net| (*net).to_owned()).collect::<Vec<_>>());
    assert_eq!(told[0], [is(false, &["-4.00"]), is(false, &["16.00", "4.00"])]);
    assert_eq!(told[1], [is(false, &["-5.00"]), is(false, &["-11.00"])]);
    let again = [is(true, &[]), is(true, &["-5.00"]), is(true, &["-4.00"]), is(true, &["16.00", "4.00"])];
    assert_eq!(told[2], again, "without the mark it says nothing");
    assert_eq!(told[3], [is(true, &["-5.00"]), is(true, &["-4.00"]), is(false, &[])]);
    let facts = &enrichments(&made[2])[1];
    assert_eq!(facts.lines[0].product.as_deref(), Some("P-1"), "off the line that it took it from");

    drop(enriched);
    bus.ask_again(PARTITION, 0).await.expect("asks");
    assert_eq!(read_again(&bus, 4, 4).await, made, "made again as they were");
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    bus.publish(&batch(5, now() + 40 * DAY, &[history(early)])).await.expect("publishes");
    let last = loop {
        let made = next(&mut enriched).await;
        if made.remade.is_none() {
            break made;
        }
    };
    assert_eq!(duplicates(&last), [false], "older than what was late: nobody knows any more");
    service.stop().await;
}

/// Each of these refunds changes five hundred lines: as many lines for each of them
/// are more than NATS takes in one message.
#[tokio::test]
async fn refunds_of_a_long_order_stop_nothing() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let service = Service::start(&nats, folder.path()).await;
    let about = |id: &str, kind: &str, data: Value| line(id, kind, "2026-01-02T03:04:05Z", data);
    let id = |n: usize| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, n.to_string().as_bytes()).to_string();
    let items: Vec<Value> =
        (0..500).map(|n| json!({"product_id": id(n).repeat(2), "quantity": 1, "unit_price": 100})).collect();
    let order = about("o", "order.placed", json!({"order_id": "o", "items": items}));
    let refund = |n: usize| about(&format!("r-{n}"), "order.refunded", json!({"order_id": "o", "amount": 25}));
    let lines: Vec<String> = std::iter::once(order).chain((0..800).map(refund)).collect();
    bus.publish(&batch(1, now(), &lines)).await.expect("publishes");
    let made = next(&mut enriched).await;
    assert!(made.lines.len() < 2 << 20, "{} bytes", made.lines.len());
    let all = enrichments(&made);
    assert_eq!((all.len(), all[1].lines.len(), all[800].lines.len()), (801, 500, 1));
    let refunded = |facts: &Enrichment| facts.lines.iter().map(|line| line.refund).sum::<Amount>();
    assert!(all[1..].iter().all(|facts| refunded(facts) == Amount::from_int(25)), "each gives back what it says");
    service.stop().await;
}

#[tokio::test]
async fn an_outage_of_nats_loses_and_repeats_nothing() {
    let (mut nats, folder) = (TestNats::start().await, tempdir());
    let service = Service::start(&nats, folder.path()).await;
    let bus = connect(&nats).await;
    let mut sequences = Vec::new();
    for number in 0..60_u128 {
        if number % 20 == 10 {
            nats.server.restart().await.expect("restarts");
        }
        // Every second event is one that came before.
        let batch = batch(number, now(), &[view(&(number / 2).to_string())]);
        let published = try_eventually("it is published", DEADLINE, || bus.publish(&batch)).await;
        sequences.push(published.sequence);
    }
    let mut seen = BTreeMap::new();
    eventually("all of it", DEADLINE * 3, || async {
        let end = bus.last::<EnrichedBatch>(&topology::enriched(PARTITION)).await.ok()??.message.raw_seq;
        sequences.last().is_some_and(|last| *last == end).then_some(())
    })
    .await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    let mut previous = 0;
    while sequences.last() != seen.keys().last() {
        let batch = next(&mut enriched).await;
        if batch.raw_seq > previous {
            assert_eq!(batch.raw_prev, previous, "no gap");
            previous = batch.raw_seq;
        }
        let marks = duplicates(&batch);
        let before = seen.insert(batch.raw_seq, marks.clone());
        assert!(before.is_none_or(|before| before == marks), "what comes twice is the same");
    }
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), sequences);
    assert!(seen.values().enumerate().all(|(number, marks)| *marks == [number % 2 == 1]), "{seen:?}");
    service.ready().await;
    service.stop().await;
}

/// Everything that a new reader of the partition gets, up to a number of batches.
async fn read(bus: &Bus, count: usize) -> Vec<EnrichedBatch> {
    let mut enriched = bus.subscribe_behind(Durable::Aggregation(PARTITION), 0).await.expect("subscribes");
    let mut batches = Vec::new();
    while batches.len() < count {
        batches.push(next(&mut enriched).await);
    }
    batches
}

/// A batch that was made once more, without that.
fn as_first_made(batch: EnrichedBatch) -> EnrichedBatch {
    assert!(batch.remade.is_some(), "{batch:?}");
    EnrichedBatch { remade: None, ..batch }
}

/// The batches behind the first so many, which were all made once more.
async fn read_again(bus: &Bus, known: usize, count: usize) -> Vec<EnrichedBatch> {
    read(bus, known + count).await.split_off(known).into_iter().map(as_first_made).collect()
}

async fn answered(bus: &Bus) {
    eventually("an answer", DEADLINE, || async {
        bus.asked_again(PARTITION).await.expect("answers").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_misses_batches_gets_them_again_as_they_were() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let text = "duplicates.horizon_seconds = 3600\n";
    let service = Service::start_with(&nats, folder.path(), text).await;
    // Two hours between the third and the fourth: what decided about the third
    // is forgotten by then.
    let hour = 3_600_000;
    let start = now() - 3 * hour;
    let log = [
        batch(1, start, &[view("a")]),
        batch(2, start + 1, &[view("b"), view("a")]),
        batch(3, start + hour / 2, &[view("b"), view("c")]),
        batch(4, start + 2 * hour, &[view("b"), view("d")]),
        batch(5, start + 2 * hour + 1, &[view("d"), view("a")]),
    ];
    let mut sequences = Vec::new();
    for batch in &log {
        sequences.push(bus.publish(batch).await.expect("publishes").sequence);
    }
    let first = read(&bus, 5).await;
    let marks: Vec<Vec<bool>> = first.iter().map(duplicates).collect();
    assert_eq!(marks, [vec![false], vec![false, true], vec![true, false], vec![false, false], vec![true, false]]);

    bus.ask_again(PARTITION, sequences[3]).await.expect("asks");
    answered(&bus).await;
    assert_eq!(read_again(&bus, 5, 1).await, first[4..], "what is remembered");
    bus.ask_again(PARTITION, sequences[0]).await.expect("asks");
    answered(&bus).await;
    assert_eq!(read_again(&bus, 6, 4).await, first[1..], "what is worked out from the log");

    bus.publish(&batch(6, start + 2 * hour + 2, &[view("d"), view("e")])).await.expect("publishes");
    let last = read(&bus, 11).await.remove(10);
    assert_eq!((last.raw_prev, duplicates(&last)), (sequences[4], vec![true, false]));
    service.stop().await;
}

#[tokio::test]
async fn replicas_share_the_partitions_and_a_change_of_hands_leaves_no_gap() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let mut replicas = vec![Service::start(&nats, folder.path()).await];
    for number in 0..90_u128 {
        match number {
            20 | 40 => replicas.push(Service::start(&nats, folder.path()).await),
            60 | 75 => replicas.remove(0).stop().await,
            _ => {}
        }
        for partition in [0, 1] {
            // Every second event is one that came before.
            let partition = Partition::new(partition);
            let batch = RawBatch {
                partition,
                batch_id: uuid::Uuid::from_u128(number * 2 + u128::from(partition.index())),
                ..batch(0, now(), &[view(&(number / 2).to_string())])
            };
            bus.publish(&batch).await.expect("publishes");
        }
    }
    for partition in [0, 1].map(Partition::new) {
        let mut enriched = bus.subscribe(Durable::Aggregation(partition)).await.expect("subscribes");
        let (mut floor, mut marks) = (0, Vec::new());
        while marks.len() < 90 {
            let batch = next(&mut enriched).await;
            if batch.raw_seq > floor {
                assert_eq!(batch.raw_prev, floor, "no gap");
                floor = batch.raw_seq;
                marks.push(duplicates(&batch) == [true]);
            }
        }
        assert!(marks.iter().enumerate().all(|(number, mark)| *mark == (number % 2 == 1)), "{marks:?}");
    }
    replicas.remove(0).stop().await;
}

#[tokio::test]
async fn a_batch_that_did_not_get_out_is_not_remembered() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let service = Service::start(&nats, folder.path()).await;
    let mut enriched = bus.subscribe(Durable::Aggregation(PARTITION)).await.expect("subscribes");
    bus.publish(&batch(1, now(), &[view("a")])).await.expect("publishes");
    let first = next(&mut enriched).await;
    // Somebody else's batch stands where the service believes its own to be:
    // the next one is refused, and the partition opened afresh.
    let other = EnrichedBatch { raw_seq: 0, raw_prev: 0, ..first.clone() };
    bus.publish(&other).await.expect("publishes");
    assert_eq!(next(&mut enriched).await, other);
    let second = bus.publish(&batch(2, now(), &[view("b"), view("a")])).await.expect("publishes").sequence;
    let mut made = next(&mut enriched).await;
    while made.raw_seq < second {
        made = next(&mut enriched).await;
    }
    assert_eq!((made.raw_prev, duplicates(&made)), (first.raw_seq, vec![false, true]));
    service.ready().await;
    assert_eq!(service.metric("tidemill_enrichment_retries_total{code=\"bus\"}").await.as_deref(), Some("1"));
    service.stop().await;
}

#[tokio::test]
async fn a_flood_of_broken_lines_halts_the_partition_before_it_fills_the_dead_letters() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    let service = Service::start_with(&nats, folder.path(), "dead_letters.tolerated = 10\n").await;
    let broken: Vec<String> = (0..8).map(|_| "{\"source\":".to_owned()).collect();
    bus.publish(&batch(1, now(), &broken)).await.expect("publishes");
    bus.publish(&batch(2, now(), &broken)).await.expect("publishes");
    eventually("it halts", DEADLINE, || async {
        let problems = service.context.health.problems();
        problems.get("partition").is_some_and(|reason| reason.contains("16 of the last 16")).then_some(())
    })
    .await;
    assert_eq!(bus.lag(Durable::Enrichment(PARTITION)).await.expect("answers"), 1, "the second one waits");
    let mut letters = bus.subscribe(Durable::ReportingDlq).await.expect("subscribes");
    for _ in 0..8 {
        dead_letter(&mut letters, &bus).await;
    }
    service.stop().await;
}

/// The real program, from its start to SIGTERM.
#[tokio::test]
async fn sigterm_ends_the_program_in_order() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connect(&nats).await;
    bus.publish(&batch(1, now(), &[view("a")])).await.expect("publishes");
    let (mut program, address) = spawn(&nats, &folder).await;
    let client = {
        tidemill_service::install_crypto();
        reqwest::Client::new()
    };
    eventually("ready", DEADLINE, || async {
        let answer = client.get(format!("http://{address}/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    eventually("it works", DEADLINE, || async {
        bus.last::<EnrichedBatch>(&topology::enriched(PARTITION)).await.expect("reads")
    })
    .await;

    let healthy = async || {
        let asked = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidemill-enrichment"))
            .args(["--health"])
            .env("TIDEMILL_HTTP__LISTEN", &address)
            .env("TIDEMILL_STORE__URL", "sqlite:///unused")
            .output();
        let output = asked.await.expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(healthy().await, (Some(0), String::new()));
    let pid = program.id().expect("runs").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    let status = tokio::time::timeout(DEADLINE, program.wait()).await.expect("in time").expect("ends");
    assert_eq!(status.code(), Some(0));
    let (code, reason) = healthy().await;
    assert_eq!(code, Some(1));
    assert!(reason.contains(&address), "{reason}");
    assert_eq!(bus.lag(Durable::Enrichment(PARTITION)).await.expect("answers"), 0, "what was done is acknowledged");
}

async fn spawn(nats: &TestNats, folder: &TempDir) -> (tokio::process::Child, String) {
    let log = folder.path().join("log");
    let program = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidemill-enrichment"))
        .env("TIDEMILL_HTTP__LISTEN", "127.0.0.1:0")
        .env("TIDEMILL_NATS__URL", nats.url())
        .env("TIDEMILL_NATS__PARTITIONS", "2")
        .env("TIDEMILL_AUTH__OPEN", "true")
        .env("TIDEMILL_STORE__URL", format!("sqlite://{}/enrichment.db", folder.path().display()))
        .stderr(std::fs::File::create(&log).expect("makes a file"))
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let address = eventually("it listens", DEADLINE, || async {
        let text = std::fs::read_to_string(&log).expect("reads");
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find_map(|line| line["address"].as_str().map(str::to_owned))
    })
    .await;
    (program, address)
}
