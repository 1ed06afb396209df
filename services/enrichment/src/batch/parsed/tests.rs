use std::collections::BTreeMap;

use tidemill_domain::{Partition, Timestamp};

use super::*;
use crate::shop::ShopDefinition;

fn line(data: &str) -> String {
    format!(r#"{{"id":"1","source":"s","type":"t","time":"2026-01-02T03:04:05Z","data":{data}}}"#)
}

fn batch(sources: &[&str], lines: &[String]) -> RawBatch {
    RawBatch {
        redriven: Vec::new(),
        batch_id: uuid::Uuid::nil(),
        partition: Partition::new(0),
        ingested_at: Timestamp::EPOCH,
        sources: sources.iter().map(|source| ((*source).to_owned(), 1)).collect::<BTreeMap<_, _>>(),
        lines: lines.join("\n").into(),
        trace: None,
    }
}

fn unreadable(raw: &RawBatch) -> (usize, Vec<(usize, String)>) {
    let shop = ShopDefinition::load(None).expect("parses");
    let (batch, unreadable) = ParsedBatch::parse(1, raw, &shop);
    (batch.len(), unreadable.iter().map(|line| (line.index, line.source(raw))).collect())
}

#[test]
fn a_broken_line_goes_alone() {
    let enriched = line("1").replace("\"id\"", "\"enriched\":{\"refdata\":1,\"region\":\"x\"},\"id\"");
    let raw = batch(&["s"], &[line("1"), "{\"source\":\"s\"".into(), enriched, line("2"), String::new()]);
    assert_eq!(unreadable(&raw), (2, vec![(1, "s".into()), (2, "s".into())]));
}

#[test]
fn a_broken_line_is_booked_to_whom_it_came_from() {
    for (sources, line, source) in
        [(&["a"][..], r#"{"source":"b"}"#, "b"), (&["a"], "{", "a"), (&["a", "b"], "{", "unknown")]
    {
        assert_eq!(unreadable(&batch(sources, &[line.into()])), (0, vec![(0, source.into())]), "{line}");
    }
}
