//! What it costs to read and validate a request, without server and log.

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use divan::{Bencher, black_box, counter::ItemsCount};
use tidemill_ingestion::fuzzing;

const EVENTS: usize = 1_000;
/// Where instructions are counted.
const COUNTED: usize = 200;

fn main() {
    // Once and without divan, for scripts/check-counts.
    if std::env::args().nth(1).as_deref() == Some("counted") {
        let body: String = (0..COUNTED).map(line).collect();
        let headers = headers("application/x-ndjson");
        // The first request reads the schemas.
        assert_eq!(validated(&headers, &line(0).into()), 1, "it is taken");
        assert_eq!(counted_validate(&headers, &body.into()), COUNTED, "every event is taken");
        return;
    }
    divan::main();
}

fn line(n: usize) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"1-{n}\",\"source\":\"tidemill-bench\",\"type\":\"invoice.line\",\
         \"time\":\"1970-01-01T00:00:00Z\",\"subject\":\"c-{n}\",\"data\":{{\"invoice\":\"{}\",\
         \"customer_id\":\"c-{n}\",\"stock_code\":\"P-{n}\",\"description\":\"PRODUCT NUMBER {n}\",\
         \"unit_price\":12.{:02},\"quantity\":{},\"country\":\"United Kingdom\"}}}}\n",
        n / 8,
        n % 100,
        1 + n % 12
    )
}

fn parsed(lines: &[String]) -> usize {
    lines.iter().filter(|line| fuzzing::parse(line.as_bytes(), 64).is_ok()).count()
}

#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let lines: Vec<String> = (0..EVENTS).map(line).collect();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| parsed(black_box(&lines)));
}

fn headers(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

#[inline(never)]
fn counted_validate(headers: &HeaderMap, body: &Bytes) -> usize {
    validated(headers, body)
}

fn validated(headers: &HeaderMap, body: &Bytes) -> usize {
    fuzzing::validate_request("/v1/events", headers, body.clone()).map_or(0, |validated| validated.lines.len())
}

fn bench_validate(bencher: Bencher<'_, '_>, content_type: &'static str, body: String) {
    let body = Bytes::from(body);
    let headers = headers(content_type);
    assert_eq!(counted_validate(&headers, &body), EVENTS, "every event is taken");
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| counted_validate(&headers, black_box(&body)));
}

/// A request of a thousand events, from its body to the lines of the log.
#[divan::bench]
fn validate(bencher: Bencher<'_, '_>) {
    bench_validate(bencher, "application/x-ndjson", (0..EVENTS).map(line).collect());
}

/// The same in an array, with blanks as many programs write them.
#[divan::bench]
fn validate_array(bencher: Bencher<'_, '_>) {
    let lines: Vec<String> = (0..EVENTS).map(|n| line(n).trim_end().replace("\":", "\": ")).collect();
    bench_validate(bencher, "application/json", format!("[{}]", lines.join(", ")));
}

/// Events that are written anew, because each id is a number.
#[divan::bench]
fn validate_anew(bencher: Bencher<'_, '_>) {
    let lines = (0..EVENTS).map(|n| line(n).replace(&format!("\"1-{n}\""), &n.to_string()));
    bench_validate(bencher, "application/x-ndjson", lines.collect());
}
