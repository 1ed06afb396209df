//! What it costs to read a line, and to write what enrichment knows into it.

use divan::{Bencher, black_box, counter::ItemsCount};
use tidemill_events::{Enrichment, EventRef, event::splice_enrichment};

const EVENTS: usize = 1_000;

fn main() {
    // Once and without divan, for scripts/check-counts.
    if std::env::args().nth(1).as_deref() == Some("counted") {
        black_box(counted_parse(&lines()));
        return;
    }
    divan::main();
}

/// An invoice line as ingestion writes it into the log.
fn line(n: usize) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"1-19ad0c5b2f0-{n}\",\"source\":\"tidemill-bench\",\"type\":\"invoice.line\",\
         \"time\":\"2026-11-29T12:00:{:02}.000Z\",\"subject\":\"c-{n}\",\"data\":{{\"invoice\":\"{}\",\
         \"customer_id\":\"c-{n}\",\"stock_code\":\"P-{n}\",\"description\":\"PRODUCT NUMBER {n}\",\
         \"unit_price\":12.{:02},\"quantity\":{},\"country\":\"United Kingdom\"}}}}",
        n % 60,
        n / 8,
        n % 100,
        1 + n % 12
    )
}

fn lines() -> Vec<String> {
    (0..EVENTS).map(line).collect()
}

#[inline(never)]
fn counted_parse(lines: &[String]) -> usize {
    let read = |line: &String| serde_json::from_str::<EventRef<'_>>(line).is_ok_and(|event| event.data.is_some());
    lines.iter().filter(|line| read(line)).count()
}

#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let lines = lines();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| counted_parse(black_box(&lines)));
}

fn enriched(lines: &[String], enrichment: &Enrichment) -> usize {
    let mut out = Vec::with_capacity(lines.len() * 512);
    let spliced = |line: &&String| splice_enrichment(line.as_bytes(), enrichment, &mut out).is_ok();
    lines.iter().filter(spliced).count()
}

#[divan::bench]
fn enrich(bencher: Bencher<'_, '_>) {
    let lines = lines();
    let enrichment = Enrichment { region: "Europe".into(), country: Some("GB".into()), ..Enrichment::default() };
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| enriched(black_box(&lines), &enrichment));
}
