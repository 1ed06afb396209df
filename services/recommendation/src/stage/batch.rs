//! A batch, as it is learnt.

use tidemill_events::{EnrichedBatch, EnrichedEventRef, event};

use crate::{
    learning::{LearntAs, LearntBatch, LearntMembers},
    telemetry::ReadCounts,
};

/// What a batch is learnt as, and what became of its events.
pub(super) fn read(members: &LearntMembers, batch: &EnrichedBatch) -> (LearntBatch, ReadCounts) {
    let mut counts = ReadCounts::default();
    let mut events = Vec::new();
    for line in event::lines(&batch.lines) {
        let read = EnrichedEventRef::read(line).map(|event| members.read(&event));
        match read {
            Ok(LearntAs::Learnt(event)) => {
                counts.learnt += 1;
                events.push(event);
            }
            Ok(LearntAs::Duplicate) => counts.duplicate += 1,
            Ok(LearntAs::Unconcerned) => counts.unconcerned += 1,
            Err(_) => counts.unreadable += 1,
        }
    }
    let EnrichedBatch { raw_seq, ingested_at, refdata, count, .. } = *batch;
    if batch.lines.is_empty() {
        // By its types the batch has nothing that is learnt from, and was not read.
        counts.unconcerned += u64::from(count);
    }
    let learnt = LearntBatch { raw_seq, ingested_at, refdata, events };
    (learnt.until_intake(), counts)
}

#[cfg(test)]
mod tests {
    use tidemill_domain::{Partition, Timestamp};

    use super::*;

    fn batch(lines: String, count: u32) -> EnrichedBatch {
        EnrichedBatch {
            partition: Partition::new(0),
            raw_seq: 1,
            raw_prev: 0,
            remade: None,
            ingested_at: "2026-01-01T00:00:00Z".parse().expect("a time"),
            refdata: 1,
            count,
            types: None,
            lines: lines.into_bytes().into(),
            trace: None,
        }
    }

    #[test]
    fn events_of_other_types_are_counted_whether_they_come_alone_or_not() {
        let members = LearntMembers::load(None).expect("the built-in definition");
        let counts = |lines: &str, count| read(&members, &batch(lines.to_owned(), count)).1;
        let other = r#"{"specversion":"1.0","id":"e","source":"s","type":"page.seen","time":"2026-01-01T00:00:00Z","subject":"c","enriched":{"refdata":1,"region":"Europe"}}"#;
        let expected = |unconcerned, unreadable| ReadCounts { unconcerned, unreadable, ..ReadCounts::default() };
        assert_eq!(counts(&format!("{other}\nno event\n"), 2), expected(1, 1));
        assert_eq!(counts("", 3), expected(3, 0), "it was not read, by its types");
    }

    #[test]
    fn no_event_is_later_than_its_intake() {
        let event = |time: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"e","source":"s","type":"product.viewed","time":"{time}","subject":"c","data":{{"product_id":"p"}},"enriched":{{"refdata":1,"region":"Europe"}}}}"#
            )
        };
        let lines = [event("2999-01-01T00:00:00Z"), event("2020-01-01T00:00:00Z")].join("\n") + "\n";
        let ingested_at: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let (learnt, _) = read(&LearntMembers::load(None).expect("the built-in definition"), &batch(lines, 2));
        let times: Vec<Timestamp> = learnt.events.iter().map(|event| event.at).collect();
        assert_eq!(times, [ingested_at, "2020-01-01T00:00:00Z".parse().expect("a time")]);
    }
}
