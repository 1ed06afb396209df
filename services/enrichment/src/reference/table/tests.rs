use super::*;
use crate::reference::{RecordAttributes, RecordChange};

fn history(name: Option<&str>) -> Arc<History<String>> {
    let change = |name: &str| RecordChange {
        version: 1,
        valid_from: None,
        attributes: RecordAttributes::from([("name".into(), name.into())]),
        claimed_at: None,
        base: None,
    };
    let read = |mut attributes: RecordAttributes| attributes.remove("name").unwrap_or_default();
    Arc::new(History::read(name.into_iter().map(change).collect(), read))
}

/// Those of the ids that are in memory.
fn found(table: &Table<String>, ids: &[&'static str], now: Instant) -> Vec<&'static str> {
    let mut found = FoundHistories::default();
    let missing = table.find(ids.iter().copied().collect(), now, &mut found);
    assert_eq!(found.len() + missing.len(), ids.len());
    let mut ids: Vec<_> = found.into_keys().collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_is_used_stays_and_the_rest_is_bounded() {
    let now = Instant::now();
    let table = Table::new(RecordKind::Product, 8);
    table.insert(&[("often", history(Some("a")))], now);
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    for name in &names {
        table.insert(&[(name.as_str(), history(Some("b")))], now);
        assert_eq!(found(&table, &["often"], now), ["often"]);
        let generations = table.read();
        assert!(generations.young.len() + generations.old.len() <= 8);
    }
    assert_eq!(found(&table, &["0", "50", "99"], now), ["99"]);
}

#[test]
fn it_is_read_again_in_time_and_a_miss_sooner() {
    let now = Instant::now();
    let table = Table::new(RecordKind::Product, 8);
    table.insert(&[("known", history(Some("a"))), ("unknown", history(None))], now);
    assert_eq!(found(&table, &["known", "unknown"], now), ["known", "unknown"]);
    assert_eq!(found(&table, &["known", "unknown"], now + MISS_KEPT), ["known"]);
    assert_eq!(found(&table, &["known"], now + KEPT), [""; 0]);
}

#[test]
fn what_changed_is_read_again() {
    let now = Instant::now();
    let table = Table::new(RecordKind::Product, 2);
    table.insert(&[("a", history(Some("a"))), ("b", history(Some("b")))], now);
    assert_eq!(found(&table, &["a", "b"], now), ["a", "b"]);
    table.changed("a");
    assert_eq!(found(&table, &["a", "b"], now), ["b"]);
    table.all_changed();
    assert_eq!(found(&table, &["b"], now), [""; 0]);
}
