use std::collections::BTreeMap;

use proptest::prelude::*;
use tidemill_domain::{Partition, Timestamp};

use super::*;
use crate::{contract::Described, trace::TraceParent};

fn trace() -> Option<TraceParent> {
    TraceParent::new(7, 9, true)
}

proptest! {
    #[test]
    fn a_raw_batch_comes_back(
        lines in "[a-z\n]{0,9000}", source in any::<String>(), redriven in proptest::collection::vec(any::<u64>(), 0..4),
    ) {
        let batch = RawBatch {
            batch_id: uuid::Uuid::from_u128(5), partition: Partition::new(3), ingested_at: Timestamp::EPOCH,
            sources: BTreeMap::from([(source, 2)]), redriven, lines: lines.into(), trace: None,
        };
        let encoded = batch.encode().expect("encodes");
        prop_assert_eq!(RawBatch::CONTRACT.breach(&encoded), None);
        prop_assert_eq!(RawBatch::decode(&encoded, encoded.payload.clone()).expect("decodes"), batch);
    }
}

#[test]
fn an_enriched_batch_comes_back() {
    let batch = EnrichedBatch {
        partition: Partition::new(1),
        raw_seq: 9,
        raw_prev: 4,
        remade: None,
        ingested_at: Timestamp::saturating_from_millis(1234),
        refdata: 2,
        count: 1,
        types: None,
        lines: "x".repeat(5000).into(),
        trace: trace(),
    };
    let again = EnrichedBatch { remade: Some(3), ..batch.clone() };
    for (batch, id) in [(batch, "enriched-9"), (again, "enriched-9-again-3")] {
        let encoded = batch.encode().expect("encodes");
        assert!(encoded.payload.len() < 1000, "repetitive text is compressed");
        assert_eq!(encoded.message_id, id);
        assert_eq!(EnrichedBatch::decode(&encoded, encoded.payload.clone()).expect("decodes"), batch);
    }
}

#[test]
fn a_batch_without_a_wanted_type_is_not_inflated() {
    let batch = EnrichedBatch {
        partition: Partition::new(1),
        raw_seq: 9,
        raw_prev: 4,
        remade: None,
        ingested_at: Timestamp::EPOCH,
        refdata: 2,
        count: 3,
        types: EventTypes::of(["a", "b"].into_iter()),
        lines: "x".repeat(5000).into(),
        trace: None,
    };
    let read = |batch: &EnrichedBatch, wanted: &str| {
        let encoded = batch.encode().expect("encodes");
        let is_wanted = |types: &EventTypes| types.iter().any(|name| name == wanted);
        EnrichedBatch::decode_if(&encoded, encoded.payload.clone(), is_wanted).expect("decodes")
    };
    assert_eq!(read(&batch, "b"), batch);
    assert_eq!(read(&batch, "c"), EnrichedBatch { lines: Vec::new().into(), ..batch.clone() });
    let of_before = EnrichedBatch { types: None, ..batch };
    assert_eq!(read(&of_before, "c"), of_before, "one of a release that named no types is read");
}

/// Replicas of two releases read each other's messages during an upgrade.
#[test]
fn an_update_comes_back_also_from_a_release_that_did_not_tell_its_predecessor() {
    let update = MetricsUpdate {
        partition: Partition::new(1),
        raw_seq: 9,
        raw_prev: 4,
        part: 2,
        as_of: Timestamp::EPOCH,
        watermark: None,
        idle: true,
        cells: Vec::new(),
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: trace(),
    };
    let mut encoded = update.encode().expect("encodes");
    assert_eq!(encoded.get("Tm-Raw-Prev"), Some("4"));
    assert!(!String::from_utf8_lossy(&encoded.payload).contains("raw_prev"), "older readers know no such member");
    assert_eq!(MetricsUpdate::decode(&encoded, encoded.payload.clone()).expect("decodes"), update);
    encoded.headers.retain(|(name, _)| *name != "Tm-Raw-Prev");
    let old = MetricsUpdate::decode(&encoded, encoded.payload.clone()).expect("decodes");
    assert_eq!(old, MetricsUpdate { raw_prev: 0, ..update });
}

#[test]
fn another_version_is_refused() {
    let mut encoded = RawBatch {
        batch_id: uuid::Uuid::nil(),
        partition: Partition::new(0),
        ingested_at: Timestamp::EPOCH,
        sources: BTreeMap::new(),
        redriven: Vec::new(),
        lines: Bytes::new(),
        trace: None,
    }
    .encode()
    .expect("encodes");
    encoded.headers[0].1 = "2".into();
    assert!(matches!(RawBatch::decode(&encoded, Bytes::new()), Err(DecodeError::Version(v)) if v == "2"));
}
