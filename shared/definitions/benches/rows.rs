//! What it costs to find out what an event contributes to a metric, and whether a
//! condition holds.

use divan::{Bencher, black_box, counter::ItemsCount};
use tidemill_definitions::{Data, MetricDefinition};
use tidemill_events::EnrichedEventRef;

const EVENTS: usize = 1_000;
/// Where instructions are counted.
const COUNTED: usize = 200;

fn main() {
    // Once and without divan, for scripts/check-counts.
    if std::env::args().nth(1).as_deref() == Some("counted") {
        black_box(counted_window_add(&daily_country(), &events(COUNTED)));
        return;
    }
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

fn daily_country() -> MetricDefinition {
    let text = include_str!("../metrics/daily_country.yaml");
    MetricDefinition::parse("daily_country.yaml", text).unwrap_or_else(|e| panic!("{e}"))
}

fn events(count: usize) -> Vec<EnrichedEventRef<'static>> {
    let lines: &'static [String] = (0..count).map(line).collect::<Vec<_>>().leak();
    let read = |line: &'static String| EnrichedEventRef::read(line.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    lines.iter().map(read).collect()
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
    let (metric, events) = (daily_country(), events(EVENTS));
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| counted_window_add(&metric, black_box(&events)));
}
