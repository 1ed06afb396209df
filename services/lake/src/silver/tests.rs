use tidemill_domain::Partition;
use tidemill_lake_tables::Money;
use tidemill_lateness::{EventTimeRules, LeftOut};

use super::*;

const ORDER: &str = r#"{"specversion":"1.0","id":"1","source":"shop","type":"order.placed","time":"2026-01-02T03:04:05Z","subject":"c","data":{"order_id":"o1"},"enriched":{"refdata":1,"region":"Europe","country":"DE","currency":"USD","base":"EUR","rate":"0.5","items":[{"category":"Books"}],"order":{"id":"o1"},"lines":[{"product":"p","quantity":"2","gross":"10","discount":"1"},{"gross":"3","unread":true}]}}"#;

fn batch(lines: &str) -> EnrichedBatch {
    EnrichedBatch {
        partition: Partition::new(2),
        raw_seq: 7,
        raw_prev: 0,
        remade: None,
        ingested_at: Timestamp::saturating_from_millis(1_767_323_045_000),
        refdata: 1,
        count: 1,
        types: None,
        lines: lines.to_owned().into(),
        trace: None,
    }
}

fn counts(lines: &str) -> (usize, usize) {
    let batch = batch(lines);
    let mut rows = SilverRows::new().expect("rows");
    let mut clocks = Clocks::new(EventTimeRules::default());
    SilverBatch::read(&batch).add(&mut rows, &mut clocks, &mut LeftOut::default());
    (rows.events.len(), rows.lines.len())
}

#[test]
fn duplicates_and_what_is_no_event_are_left_out() {
    let duplicate = ORDER.replace(r#""refdata":1"#, r#""refdata":1,"duplicate":true"#);
    assert_eq!(counts(&format!("{ORDER}\n{duplicate}\n{{}}\n")), (1, 2));
}

#[test]
fn amounts_are_converted_once_and_what_cannot_be_read_is_none() {
    let batch = batch(ORDER);
    let read = SilverBatch::read(&batch);
    let enrichment = read.events[0].event.enriched.as_ref().expect("it is enriched");
    assert_eq!(read.events[0].enriched.map(|text| text.contains(r#""rate":"0.5""#)), Some(true));
    let conversion = enrichment.conversion().expect("a rate");
    let [line, unread] = &enrichment.lines[..] else { panic!("two lines") };
    let base = lines::in_base(line, conversion).expect("amounts");
    assert_eq!(base, [Money::read("5"), Money::read("0.5"), Money::read("4.5"), Money::read("4.5")]);
    assert!(lines::in_base(unread, conversion).is_none());
}
