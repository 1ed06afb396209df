use tidemill_domain::Partition;
use tidemill_lake_tables::Money;
use tidemill_lateness::{EventTimeRules, LeftOut};

use super::*;
use crate::config::ContractsConfig;

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

/// The rules that come with the lake, or with a rule of this severity for orders of a country.
fn rules(severity: Option<&str>) -> SilverRules {
    let folder = tempfile::tempdir().expect("a folder");
    let contract = include_str!("../../contracts/silver.events.yaml");
    let rule = |severity| {
        format!(
            "    quality:\n      - name: not_germany\n        type: custom\n        engine: cel\n        severity: {severity}\n        \
             implementation: {{condition: \"country != 'DE'\", pointer: /data/country}}\n"
        )
    };
    if let Some(severity) = severity {
        let changed = contract.replacen("    quality:\n", &rule(severity), 1);
        std::fs::write(folder.path().join("events.yaml"), changed).expect("writes");
    }
    SilverRules::load(&ContractsConfig { folder: Some(folder.path().into()), ..ContractsConfig::default() })
        .expect("rules")
}

fn added(lines: &str, rules: &SilverRules) -> Result<SilverRows, BrokenContract> {
    let batch = batch(lines);
    let mut rows = SilverRows::new(rules).expect("rows");
    let mut clocks = Clocks::new(EventTimeRules::default());
    SilverBatch::read(&batch).add(&mut rows, &mut clocks, &mut LeftOut::default(), rules).map(|()| rows)
}

/// Events, lines, and what is held back.
fn counts(lines: &str, rules: &SilverRules) -> (usize, usize, usize) {
    let rows = added(lines, rules).expect("no rule stops it");
    (rows.events.len(), rows.lines.len(), rows.quarantine.len())
}

#[test]
fn duplicates_and_what_is_no_event_are_left_out() {
    let duplicate = ORDER.replace(r#""refdata":1"#, r#""refdata":1,"duplicate":true"#);
    assert_eq!(counts(&format!("{ORDER}\n{duplicate}\n{{}}\n"), &rules(None)), (1, 2, 1));
}

#[test]
fn a_rule_holds_back_or_stops_as_its_contract_says() {
    let abroad = ORDER.replace(r#""country":"DE""#, r#""country":"FR""#).replace(r#""id":"1""#, r#""id":"2""#);
    let both = format!("{ORDER}\n{abroad}\n");
    assert_eq!(counts(&both, &rules(Some("warn"))), (2, 4, 0));
    assert_eq!(counts(&both, &rules(Some("quarantine"))), (1, 2, 1));
    let told = added(&both, &rules(Some("fail"))).map(drop).expect_err("it stops").to_string();
    let expected = "rule `not_germany` of urn:tidemill:contract:silver.events 1.0.0 does not hold for the event at \
                    line 0 of batch 7 in partition 2, at /data/country";
    assert_eq!(told, expected);
}

/// Whether an event is late is decided before any rule is asked, so that clocks are those of
/// aggregation whatever is held back.
#[test]
fn what_is_held_back_moves_clocks_all_the_same() {
    let batch = batch(&format!("{ORDER}\n"));
    let changes = |rules: &SilverRules| {
        let (mut rows, mut left_out) = (SilverRows::new(rules).expect("rows"), LeftOut::default());
        let mut clocks = Clocks::new(EventTimeRules::default());
        SilverBatch::read(&batch).add(&mut rows, &mut clocks, &mut left_out, rules).expect("no rule stops it");
        clocks.take_changes().moved
    };
    assert_eq!(changes(&rules(Some("quarantine"))), changes(&rules(None)));
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
