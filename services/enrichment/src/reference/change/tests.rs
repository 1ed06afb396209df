use super::*;
use crate::reference::RecordKind;

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn category(name: &str) -> RecordAttributes {
    RecordAttributes::from([("category".into(), name.into())])
}

fn record(valid_from: Option<i64>, name: &str) -> Record {
    Record { kind: RecordKind::Product, id: "x".into(), valid_from: valid_from.map(at), attributes: category(name) }
}

fn change(version: u64, valid_from: Option<i64>, name: &str) -> RecordChange {
    RecordChange { version, valid_from: valid_from.map(at), attributes: category(name), claimed_at: None, base: None }
}

#[test]
fn a_record_changes_what_will_be_and_never_what_was() {
    let accepted = [change(1, None, "a"), change(5, Some(900), "c")];
    for (record, verdict) in [
        (record(None, "a"), RecordVerdict::Unchanged(1)),
        (record(None, "b"), RecordVerdict::Changed(9, Some(at(500)))),
        (record(Some(499), "b"), RecordVerdict::TooEarly(None)),
        (record(Some(499), "a"), RecordVerdict::Unchanged(1)),
        (record(Some(900), "c"), RecordVerdict::Unchanged(5)),
        (record(Some(900), "a"), RecordVerdict::Changed(9, Some(at(900)))),
    ] {
        assert_eq!(decide(&accepted, false, &record, at(500), 9), verdict, "{record:?}");
    }
    assert_eq!(decide(&[], true, &record(None, "a"), at(500), 1), RecordVerdict::Changed(1, None));
    let first = [change(3, Some(7), "a")];
    assert_eq!(decide(&first, true, &record(Some(9), "b"), at(500), 4), RecordVerdict::Changed(4, Some(at(9))));
    assert_eq!(decide(&[], true, &record(Some(7), "a"), at(500), 1), RecordVerdict::Changed(1, Some(at(7))));
}

#[test]
fn a_table_of_rates_goes_on_from_its_last_day() {
    let rate = |valid_from, name| Record { kind: RecordKind::Rate, ..record(valid_from, name) };
    let accepted = [change(1, Some(100), "a"), change(2, Some(200), "b")];
    for (record, verdict) in [
        (rate(Some(300), "c"), RecordVerdict::Changed(9, Some(at(300)))),
        (rate(Some(300), "b"), RecordVerdict::Unchanged(2)),
        (rate(Some(200), "b"), RecordVerdict::Unchanged(2)),
        (rate(Some(200), "c"), RecordVerdict::TooEarly(Some(at(200)))),
        (rate(Some(150), "c"), RecordVerdict::TooEarly(Some(at(200)))),
        (rate(Some(50), "c"), RecordVerdict::TooEarly(Some(at(200)))),
        (rate(None, "c"), RecordVerdict::Changed(9, Some(at(500)))),
        (record(Some(300), "c"), RecordVerdict::TooEarly(None)),
    ] {
        assert_eq!(decide(&accepted, false, &record, at(500), 9), verdict, "{record:?}");
    }
    let announced = [change(1, Some(100), "a"), change(2, Some(900), "b")];
    let verdict = decide(&announced, false, &rate(Some(150), "c"), at(500), 9);
    assert_eq!(verdict, RecordVerdict::TooEarly(None), "before a rate that is to come there is room from now on");
    let always = [change(1, None, "a")];
    assert_eq!(decide(&always, false, &rate(Some(7), "b"), at(500), 2), RecordVerdict::Changed(2, Some(at(7))));
}
