//! Events of the log, and what is made of them.

use std::sync::LazyLock;

use tidemill_definitions::{Data, Metrics};
use tidemill_events::{EnrichedEventRef, Enrichment, EventRef, ItemFacts, event::splice_enrichment};

/// Characters of a dimension's value.
const MAX_DIMENSION: usize = 120;

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::load(None).expect("the defaults load"));

/// Any line that reads as an event stays that event when enrichment adds to it,
/// and has a bounded place in every metric of a shop.
pub(crate) fn event(line: &[u8]) {
    let Ok(event) = serde_json::from_slice::<EventRef<'_>>(line) else { return };
    let enrichment = Enrichment {
        region: "Europe".into(),
        country: event.subject.as_deref().map(str::to_owned),
        items: vec![ItemFacts { category: event.id.clone().into_owned(), product: [].into() }],
        ..Enrichment::default()
    };
    if event.enriched.is_none() {
        let mut spliced = Vec::new();
        splice_enrichment(line, &enrichment, &mut spliced).expect("writes to memory");
        contribute(&spliced);
        let read: EventRef<'_> = serde_json::from_slice(&spliced).expect("still an event");
        assert_eq!(read.enriched.as_ref(), Some(&enrichment));
        assert_eq!((&read.id, &read.source, read.time), (&event.id, &event.source, event.time));
        assert_eq!(read.data.map(|data| data.get()), event.data.map(|data| data.get()));
        assert_eq!(read.partition_key(), event.partition_key());
    }
}

fn contribute(line: &[u8]) {
    let event: EnrichedEventRef<'_> = serde_json::from_slice(line).expect("still an event");
    let enrichment = event.enriched.as_ref().expect("it was spliced in");
    let data = Data::of(event.data);
    for metric in METRICS.iter() {
        metric.contribute(&event, enrichment, &data, |row| {
            assert_eq!(row.dimensions.len(), metric.dimensions.len());
            assert_eq!(row.values.len(), metric.measures.len());
            let is_bounded = |value: &str| (1..=MAX_DIMENSION).contains(&value.chars().count());
            assert!(row.dimensions.iter().all(|value| is_bounded(value)), "{:?}", row.dimensions);
        });
        for start in metric.window.starts(event.time) {
            let end = start.millis().saturating_add(metric.window.size_millis());
            assert!((start.millis()..=end).contains(&event.time.millis()), "{start} to {end} lacks {}", event.time);
        }
    }
}
