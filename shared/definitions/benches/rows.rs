//! What it costs to find out what an event contributes to a metric, and whether a
//! condition holds.

use divan::{Bencher, black_box, counter::ItemsCount};
use tidemill_definitions::{Data, MetricDefinition, Metrics};
use tidemill_events::EnrichedEventRef;

const EVENTS: usize = 1_000;

fn main() {
    divan::main();
}

fn line(n: usize) -> String {
    format!(
        "{{\"id\":\"{n}\",\"source\":\"shop\",\"type\":\"invoice.line\",\"time\":\"2026-11-29T12:00:00Z\",\
         \"subject\":\"c-{n}\",\"data\":{{\"invoice\":\"{}\",\"customer_id\":\"c-{n}\",\"stock_code\":\"P-{n}\",\
         \"unit_price\":12.{:02},\"quantity\":{},\"country\":\"United Kingdom\"}},\"enriched\":{{\"refdata\":1,\
         \"region\":\"Europe\",\"items\":[{{\"category\":\"Books\"}}]}}}}",
        n / 8,
        n % 100,
        1 + n % 12
    )
}

#[inline(never)]
fn counted_window_add(metric: &MetricDefinition, events: &[EnrichedEventRef<'_>]) -> usize {
    let mut rows = 0;
    for event in events {
        if let Some(enrichment) = &event.enriched {
            metric.contribute(event, enrichment, &Data::of(event.data), |row| rows += row.values.len());
        }
    }
    rows
}

/// Five of the six measures of `daily_country` read a member, and one has a
/// condition.
#[divan::bench]
fn window_add(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::load(None).unwrap_or_else(|e| panic!("{e:?}"));
    let metric = metrics.get("daily_country").unwrap_or_else(|| panic!("it is built in"));
    let lines: Vec<String> = (0..EVENTS).map(line).collect();
    let read = |line: &'static str| EnrichedEventRef::read(line.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let lines: &'static [String] = lines.leak();
    let events: Vec<EnrichedEventRef<'_>> = lines.iter().map(|line| read(line)).collect();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| counted_window_add(metric, black_box(&events)));
}
