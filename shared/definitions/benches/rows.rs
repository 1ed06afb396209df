//! What it costs to find out what an event contributes to a metric, and whether a
//! condition holds.

use std::collections::BTreeMap;

use divan::{Bencher, black_box, counter::ItemsCount};
use tidemill_definitions::{Data, MetricDefinition, Metrics};
use tidemill_events::{Enrichment, EventRef, ItemFacts};

const EVENTS: usize = 1_000;

fn main() {
    divan::main();
}

fn line(n: usize) -> String {
    format!(
        "{{\"id\":\"{n}\",\"source\":\"shop\",\"type\":\"invoice.line\",\"time\":\"2026-11-29T12:00:00Z\",\
         \"subject\":\"c-{n}\",\"data\":{{\"invoice\":\"{}\",\"customer_id\":\"c-{n}\",\"stock_code\":\"P-{n}\",\
         \"unit_price\":12.{:02},\"quantity\":{},\"country\":\"United Kingdom\"}}}}",
        n / 8,
        n % 100,
        1 + n % 12
    )
}

fn enrichment() -> Enrichment {
    let facts = ItemFacts { category: "Books".into(), product: BTreeMap::new() };
    Enrichment { region: "Europe".into(), items: vec![facts], ..Enrichment::default() }
}

#[inline(never)]
fn counted_window_add(metric: &MetricDefinition, events: &[EventRef<'_>], enrichment: &Enrichment) -> usize {
    let rows = |event: &EventRef<'_>| metric.contributions(event, enrichment, &Data::of(event.data)).len();
    events.iter().map(rows).sum()
}

/// Five of the six measures of `daily_country` read a member, and one has a
/// condition.
#[divan::bench]
fn window_add(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::load(None).unwrap_or_else(|e| panic!("{e:?}"));
    let metric = metrics.get("daily_country").unwrap_or_else(|| panic!("it is built in"));
    let lines: Vec<String> = (0..EVENTS).map(line).collect();
    let read = |line: &'static str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}"));
    let lines: &'static [String] = lines.leak();
    let events: Vec<EventRef<'_>> = lines.iter().map(|line| read(line)).collect();
    let enrichment = enrichment();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| counted_window_add(metric, black_box(&events), &enrichment));
}
