//! Messages of the log, from headers and payload.

use std::fmt::Debug;

use bytes::Bytes;
use tidemill_events::{
    AlertTransition, DeadLetter, Described, EnrichedBatch, HeaderSource, LateBatch, MeasuredEvent, MetricsUpdate,
    ProfileUpdate, RawBatch, Redrive, bodies,
};
use tidemill_ingestion::fuzzing;

use crate::{
    input::{self, Headers},
    intake,
};

/// A message is refused, or comes back as it was when it is written again. The
/// first line names its stream.
pub(crate) fn message(input: &[u8]) {
    let Some(message) = input::request(input) else { return };
    let (headers, payload) = (message.headers, message.body);
    match message.first {
        "RAW" => {
            if let Some(batch) = comes_back::<RawBatch>(&headers, payload) {
                assert!(batch.count() >= batch.sources.values().copied().max().unwrap_or_default());
            }
        }
        "ENRICHED" => drop(comes_back::<EnrichedBatch>(&headers, payload)),
        "LATE" => drop(comes_back::<LateBatch>(&headers, payload)),
        "METRICS" => {
            for mut cell in comes_back::<MetricsUpdate>(&headers, payload).into_iter().flat_map(|update| update.cells) {
                let (totals, nothing) = (cell.totals.clone(), cell.totals.nothing());
                cell.totals.add(&nothing).expect("of one shape");
                assert_eq!(cell.totals, totals, "nothing adds nothing");
                cell.totals.add(&totals).expect("of one shape");
                for measure in &cell.totals.0 {
                    let _ = measure.value();
                }
            }
        }
        "PROFILES" => drop(comes_back::<ProfileUpdate>(&headers, payload)),
        "ALERTS" => drop(comes_back::<AlertTransition>(&headers, payload)),
        "DLQ" => {
            if let Some(Ok(listed)) = comes_back::<DeadLetter>(&headers, payload).map(|letter| letter.bodies()) {
                let again = bodies::encode(&listed).expect("what was read can be written");
                assert_eq!(bodies::decode(&again).expect("what was written can be read"), listed);
            }
        }
        "REDRIVE" => {
            if let Some(order) = comes_back::<Redrive>(&headers, payload) {
                intake::is_an_answer(fuzzing::validate_again(&order));
            }
        }
        "MEASURED" => {
            if let Some(event) = comes_back::<MeasuredEvent>(&headers, payload) {
                intake::is_an_answer(fuzzing::validate_measured(&event));
            }
        }
        _ => {}
    }
}

fn comes_back<M: Described + PartialEq + Debug>(headers: &Headers<'_>, payload: Bytes) -> Option<M> {
    let message = M::decode(headers, payload).ok()?;
    let encoded = message.encode().expect("what was read can be written");
    let again = M::decode(&encoded, encoded.payload.clone());
    assert_eq!(again.expect("what was written can be read"), message);
    assert_eq!(encoded.get("Tm-Version"), Some(M::VERSION.to_string().as_str()));
    assert_eq!(M::CONTRACT.breach(&encoded), None);
    Some(message)
}
