//! What came in, as rows.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tidemill_domain::Timestamp;
use tidemill_events::{Body, DeadLetter, EnrichedEventRef, RawBatch, event};
use tidemill_lake_tables::{
    Date, TableRows,
    tables::{BronzeEvent, RejectedBody},
};

/// A number of the log, as tables have it.
pub(crate) fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The place of a line or an item, as tables have it.
pub(crate) fn int(place: usize) -> i32 {
    i32::try_from(place).unwrap_or(i32::MAX)
}

/// A line as a text. What is no UTF-8 is looked for only where there is some.
pub(crate) fn text_of(line: &[u8]) -> Cow<'_, str> {
    str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed)
}

/// Adds the events of a batch of the log, each with its line as it stands there. A line
/// that is no event has no attributes.
pub(crate) fn add_batch(rows: &mut TableRows<BronzeEvent<'static>>, batch: &RawBatch, raw_seq: u64) {
    let Date { year, month, day } = batch.ingested_at.into();
    for (index, line) in event::lines(&batch.lines).enumerate() {
        let event = EnrichedEventRef::read(line).ok();
        rows.push(&BronzeEvent {
            partition: batch.partition.index().into(),
            raw_seq: long(raw_seq),
            index: int(index),
            ingested_at: batch.ingested_at,
            source: event.as_ref().map_or("", |event| &*event.source),
            r#type: event.as_ref().map_or("", |event| &*event.kind),
            id: event.as_ref().map_or("", |event| &*event.id),
            time: event.as_ref().map_or(batch.ingested_at, |event| event.time),
            backfill: event.as_ref().and_then(|event| event.backfill.as_deref()),
            event: &text_of(line),
            year,
            month,
            day,
        });
    }
}

/// Adds the bodies of a dead letter; one that keeps none is a row without a body.
pub(crate) fn add_letter(
    rows: &mut TableRows<RejectedBody<'static>>,
    letter: &DeadLetter,
    dlq_seq: u64,
    at: Timestamp,
) {
    let Date { year, month, day } = at.into();
    // A list that cannot be taken apart is kept as it is.
    let bodies = letter.bodies().unwrap_or_else(|_| vec![Body { count: 1, bytes: letter.body.clone() }]);
    let counted = (letter.events.count(), None);
    let bodies = bodies.into_iter().map(|body| (body.count, Some(body.bytes))).collect::<Vec<_>>();
    let bodies = if bodies.is_empty() { vec![counted] } else { bodies };
    for (index, (count, body)) in bodies.into_iter().enumerate() {
        let (text, base64) = written(body.as_ref());
        // The letter names the first of its events; the others say it themselves.
        let event_id = if index == 0 { letter.event_id.clone() } else { text.and_then(id_of) };
        rows.push(&RejectedBody {
            dlq_seq: long(dlq_seq),
            index: int(index),
            count: long(count),
            rejected_at: at,
            letter: &letter.id,
            service: &letter.service,
            code: &letter.code,
            reason: &letter.reason,
            pointer: letter.pointer.as_deref(),
            stream: letter.stream.as_deref(),
            stream_seq: letter.sequence.map(long),
            source: &letter.source,
            event_id: event_id.as_deref(),
            redriven_from: letter.redriven_from.map(long),
            body: text,
            body_base64: base64.as_deref(),
            year,
            month,
            day,
        });
    }
}

/// The id that a body gives its event, where it can be read.
fn id_of(body: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: Option<String>,
    }
    serde_json::from_str::<Named>(body).ok()?.id
}

/// A body as a text, or in base64 where it is none.
fn written(body: Option<&Bytes>) -> (Option<&str>, Option<String>) {
    match body.map(|body| (str::from_utf8(body), body)) {
        None => (None, None),
        Some((Ok(text), _)) => (Some(text), None),
        Some((Err(_), body)) => (None, Some(STANDARD.encode(body))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_as_far_as_it_is_text() {
        assert!(matches!(text_of("{\"a\":\"ä\"}".as_bytes()), Cow::Borrowed("{\"a\":\"ä\"}")));
        assert_eq!(text_of(b"{\xff}"), "{\u{fffd}}");
    }

    #[test]
    fn a_body_says_the_id_of_its_event() {
        assert_eq!(id_of(r#"{"type":"a.b","id":"o-1","data":{"id":2}}"#).as_deref(), Some("o-1"));
        assert_eq!(id_of(r#"{"type":"a.b"}"#), None);
        assert_eq!(id_of(r#"{"id":7}"#), None);
        assert_eq!(id_of("[1,2"), None);
    }
}
