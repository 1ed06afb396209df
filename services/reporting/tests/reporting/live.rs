//! The live stream, as a browser reads it.

use crate::shop::{DEADLINE, HOSTILE, MINUTE, Running, Shop, at, batch, cell, made_up, status, update};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

/// A reader of server-sent events.
pub(crate) struct Reader {
    response: reqwest::Response,
    buffer: String,
    last_id: String,
}

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) event: String,
    pub(crate) data: Json,
}

impl Reader {
    pub(crate) async fn open(running: &Running, last_id: Option<&str>) -> Self {
        let mut request = running.get("/v1/stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("the stream");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut reader = Self { response, buffer: String::new(), last_id: String::new() };
        if last_id.is_none() {
            // Where it begins.
            let greeting = reader.block().await.expect("a greeting");
            assert!(greeting.contains("id: ") && !greeting.contains("data"), "{greeting}");
        }
        reader
    }

    /// The next block of lines; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    self.last_id = id.to_owned();
                }
                return Some(block);
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await.expect("in time").expect("reads")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    async fn next(&mut self) -> Seen {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(event), Some(data)) = (field("event: "), field("data: ")) {
                return Seen { event, data: serde_json::from_str(&data).expect("JSON") };
            }
        }
    }

    /// The next event that is as it should be.
    pub(crate) async fn until(&mut self, is_right: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let seen = self.next().await;
            if is_right(&seen) {
                return seen;
            }
        }
    }
}

#[tokio::test]
async fn changes_arrive_merged_and_a_window_is_closed() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let mut reader = Reader::open(&running, None).await;
    shop.bus.publish(&update(0, 1, vec![cell(3, HOSTILE, "EU", 2, 1050)])).await.expect("stored");
    let seen = reader.until(|seen| seen.event == "metrics").await;
    assert_eq!(seen.data["points"].as_array().expect("points").len(), 1);
    shop.bus.publish(&update(1, 2, vec![cell(3, HOSTILE, "EU", 3, 2000)])).await.expect("stored");
    let seen = reader.until(|seen| has_orders(seen, 5)).await;
    assert_eq!(seen.data["metric"], json!("sales_metrics"));
    assert_eq!(
        json!([made_up(seen.data["points"][0].clone())]),
        json!([{"start": at(3 * MINUTE), "end": at(4 * MINUTE), "complete": false,
                "dimensions": {"category": HOSTILE, "currency": "EUR", "region": "EU"},
                "values": {"customers": 2, "orders": 5, "quantity": "4.00", "revenue": "30.50"},
                "converted": {"revenue": "30.50"}}])
    );
    assert_eq!(seen.data["base_currency"], "EUR");
    shop.bus.publish(&status(0, 9)).await.expect("stored");
    shop.bus.publish(&status(1, 9)).await.expect("stored");
    reader.until(|seen| seen.event == "metrics" && seen.data["points"][0]["complete"] == true).await;
    shop.bus.publish(&batch(1, 0, 6)).await.expect("stored");
    let books = reader.until(|seen| seen.event == "books").await;
    assert_eq!((&books.data["totals"]["received"], &books.data["sources"][0]["source"]), (&json!(6), &json!(HOSTILE)));
    running.stop().await;
    while reader.block().await.is_some() {}
}

/// Whether an event tells of a window with so many orders.
fn has_orders(seen: &Seen, orders: u64) -> bool {
    seen.event == "metrics" && seen.data["points"][0]["values"]["orders"] == orders
}

#[tokio::test]
async fn a_total_is_told_before_it_is_stored() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let mut reader = Reader::open(&running, None).await;
    shop.bus.publish(&update(0, 1, vec![cell(3, HOSTILE, "EU", 2, 1050)])).await.expect("stored");
    let totals = "/v1/metrics/sales_metrics/totals";
    running.until(totals, |answer| answer["rows"][0]["values"]["orders"] == 2).await;
    reader.until(|seen| has_orders(seen, 2)).await;

    // Somebody else writes, and does not come to an end.
    let store = tidemill_store::Config { url: shop.sqlite(), max_connections: 1 };
    let other = tidemill_store::Database::connect(&store).await.expect("opens");
    let held = other.begin().await.expect("begins");
    shop.bus.publish(&update(1, 2, vec![cell(3, HOSTILE, "EU", 3, 2000)])).await.expect("stored");
    reader.until(|seen| has_orders(seen, 5)).await;
    assert_eq!(running.json(totals).await["rows"][0]["values"]["orders"], 2, "it is not stored");
    held.rollback().await.expect("ends");
    running.until(totals, |answer| answer["rows"][0]["values"]["orders"] == 5).await;
    running.stop().await;
}

#[tokio::test]
async fn who_comes_is_told_what_was_told_before_it_was_stored() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let mut first = Reader::open(&running, None).await;
    shop.bus.publish(&update(0, 1, vec![cell(3, HOSTILE, "EU", 2, 1050)])).await.expect("stored");
    first.until(|seen| has_orders(seen, 2)).await;
    let store = tidemill_store::Config { url: shop.sqlite(), max_connections: 1 };
    let other = tidemill_store::Database::connect(&store).await.expect("opens");
    let held = other.begin().await.expect("begins");
    shop.bus.publish(&update(1, 2, vec![cell(3, HOSTILE, "EU", 3, 2000)])).await.expect("stored");
    first.until(|seen| has_orders(seen, 5)).await;
    // What the second one reads of the store lacks that, and nothing changes any more.
    let mut second = Reader::open(&running, None).await;
    held.rollback().await.expect("ends");
    second.until(|seen| has_orders(seen, 5)).await;
    running.stop().await;
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let mut reader = Reader::open(&running, None).await;
    shop.bus.publish(&update(0, 1, vec![cell(0, "books", "EU", 1, 1)])).await.expect("stored");
    reader.until(|seen| seen.event == "metrics").await;
    let last_id = reader.last_id.clone();
    drop(reader);
    shop.bus.publish(&update(0, 2, vec![cell(0, "books", "EU", 2, 2)])).await.expect("stored");
    running.until("/v1/metrics/sales_metrics/totals", |answer| answer["rows"][0]["values"]["orders"] == 2).await;
    let mut reader = Reader::open(&running, Some(&last_id)).await;
    let seen = reader.until(|seen| has_orders(seen, 2) || seen.event == "reset").await;
    assert_eq!(seen.event, "metrics");
    drop(reader);
    running.stop().await;

    // Another process knows nothing of that id.
    let running = shop.report("").await;
    let mut reader = Reader::open(&running, Some(&last_id)).await;
    assert_eq!(reader.next().await.event, "reset");
    running.stop().await;
}

#[tokio::test]
async fn one_address_does_not_take_all_places_on_the_stream() {
    let shop = Shop::open().await;
    let running = shop.report("live.clients_per_address = 1\nlive.trusted_proxies = 1").await;
    let from = |address: &str| running.get("/v1/stream").header("x-forwarded-for", format!("1.1.1.1, {address}"));
    let _reader = from("192.0.2.1").send().await.expect("answers").error_for_status().expect("a place");
    let refused = from("192.0.2.1").send().await.expect("answers");
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"5".parse().expect("a value")));
    assert_eq!(refused.json::<Json>().await.expect("JSON")["code"], "too_many_of_one_address");
    from("192.0.2.2").send().await.expect("answers").error_for_status().expect("a place for another");
    // Who comes past the proxy is known by the connection.
    running.get("/v1/stream").send().await.expect("answers").error_for_status().expect("a place");
    running.stop().await;
}

#[tokio::test]
async fn places_on_the_stream_are_bounded() {
    let shop = Shop::open().await;
    let running = shop.report("live.clients = 1").await;
    let reader = Reader::open(&running, None).await;
    let (status, problem) = running.problem("/v1/stream").await;
    assert_eq!((status, &problem["code"]), (503, &json!("too_many_clients")));
    drop(reader);
    tidemill_testkit::eventually("the place is given back", DEADLINE, async || {
        running.get("/v1/stream").send().await.expect("answers").status().is_success().then_some(())
    })
    .await;
    running.stop().await;
}
