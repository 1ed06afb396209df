//! One suite for the store, on SQLite and on a real PostgreSQL.

use std::collections::BTreeMap;

use tidemill_alert::{
    rules::Alert,
    store::{CellKey, CellTotals, Changes, Consumer, Notification, Observations, Progress, Store},
};
use tidemill_domain::{Amount, Partition, Timestamp};
use tidemill_events::{AlertState, AlertTransition};
use tidemill_store::Config;
use tidemill_testkit::{Postgres, skipped, tempdir};
use tidemill_totals::{Measure, Totals};
use uuid::Uuid;

#[tokio::test]
async fn on_sqlite() {
    let folder = tempdir();
    suite(&format!("sqlite://{}/alert.db", folder.path().display())).await;
}

#[tokio::test]
async fn on_postgres() {
    match Postgres::start().await {
        Some(server) => suite(&server.url()).await,
        None => skipped("on_postgres", "no PostgreSQL is installed"),
    }
}

async fn suite(url: &str) {
    let config = Config { url: url.into(), max_connections: 4 };
    let store = Store::open(&config).await.expect("opens");
    state_is_kept_and_goes_forward_only(&store).await;
    alerts_pass_through_their_states(&store).await;
    old_alerts_are_forgotten(&store).await;
    // The schema is there already, and so is what was kept.
    let again = Store::open(&config).await.expect("opens again");
    assert_eq!(again.load().await.expect("loads"), store.load().await.expect("loads"));
}

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn cell(start: i64, raw_seq: u64, revenue: i64) -> (CellKey, CellTotals) {
    let key = CellKey {
        metric: "sales".into(),
        version: "abc".into(),
        start: at(start),
        dimensions: BTreeMap::from([("category".into(), "b\u{f8}ker".into())]),
        partition: Partition::new(3),
    };
    let totals = Totals(vec![Measure::Sum(Amount::from_int(revenue))]);
    let exemplar = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
    (key, CellTotals { end: at(start + 10), raw_seq, totals, exemplar })
}

async fn state_is_kept_and_goes_forward_only(store: &Store) {
    let observations = |raw_seq, arrived| Observations {
        partition: Partition::new(1),
        raw_seq,
        arrived: at(arrived),
        entries: vec![("counter".into(), u64::MAX, -5)],
    };
    let progress = |raw_seq, watermark| Progress { raw_seq, watermark, as_of: Some(at(9)) };
    let mut changes = Changes {
        progress: BTreeMap::from([
            ((Consumer::Events, Partition::new(1)), progress(7, None)),
            ((Consumer::Metrics, Partition::new(1)), progress(8, Some(at(-1)))),
        ]),
        observations: Some(observations(7, 100)),
        cells: BTreeMap::from([cell(10, 5, 50), cell(20, 5, 60)]),
        ..Changes::default()
    };
    for _ in 0..2 {
        store.commit(&changes, Notification::Off).await.expect("commits, and once more");
    }
    let saved = store.load().await.expect("loads");
    assert_eq!(saved.progress, changes.progress);
    assert_eq!(saved.observations, [observations(7, 100)]);
    assert_eq!(saved.cells.into_iter().collect::<BTreeMap<_, _>>(), changes.cells);

    changes.cells = BTreeMap::from([cell(10, 4, 1), cell(20, 6, 61)]);
    changes.observations = Some(observations(8, 200));
    changes.forget_observations = Some((Partition::new(1), at(101)));
    store.commit(&changes, Notification::Off).await.expect("commits");
    let saved = store.load().await.expect("loads");
    assert_eq!(saved.observations, [observations(8, 200)]);
    let expected = BTreeMap::from([cell(10, 5, 50), cell(20, 6, 61)]);
    assert_eq!(saved.cells.into_iter().collect::<BTreeMap<_, _>>(), expected, "the furthest totals stay");

    changes.cells.clear();
    changes.forget_cells = BTreeMap::from([(("sales".into(), "abc".into()), at(20))]);
    store.commit(&changes, Notification::Off).await.expect("commits");
    assert_eq!(store.load().await.expect("loads").cells, [cell(20, 6, 61)]);
}

fn alert(id: u128, rule: &str, fired_at: i64) -> Alert {
    let firing = AlertTransition {
        id: Uuid::from_u128(id),
        rule: rule.into(),
        rule_version: "v".into(),
        severity: "info".into(),
        state: AlertState::Firing,
        title: "t\u{ef}tle".into(),
        summary: "summary".into(),
        dimensions: BTreeMap::new(),
        values: BTreeMap::new(),
        event_time: at(fired_at),
        at: at(fired_at),
        partition: Partition::new(0),
        raw_seq: 1,
        trace: None,
    };
    Alert { firing, parent: None }
}

async fn alerts_pass_through_their_states(store: &Store) {
    let alerts = vec![alert(1, "A", 30), alert(2, "B", 20), alert(3, "A", 10)];
    let changes = Changes { alerts: alerts.clone(), ..Changes::default() };
    let fresh = store.commit(&changes, Notification::Pending).await.expect("commits");
    assert_eq!(fresh, [1, 2, 3].map(Uuid::from_u128));
    assert!(store.commit(&changes, Notification::Pending).await.expect("commits").is_empty(), "once each");

    assert_eq!(store.unsent_rules().await.expect("answers"), ["A", "B"]);
    assert_eq!(store.unsent("A", 10).await.expect("answers"), [alerts[2].clone(), alerts[0].clone()]);
    let unpublished = store.unpublished(10).await.expect("answers");
    assert_eq!(unpublished, [&alerts[2], &alerts[1], &alerts[0]].map(|alert| alert.firing.clone()));
    for transition in &unpublished {
        store.published(transition).await.expect("noted");
    }
    assert!(store.unpublished(10).await.expect("answers").is_empty());

    let id = |alert: &Alert| [alert.firing.id];
    store.settle(&id(&alerts[0]), Notification::Sent, at(40), None).await.expect("settles");
    store.settle(&id(&alerts[1]), Notification::Refused, at(41), Some("404: no_service")).await.expect("settles");
    store.settle(&id(&alerts[1]), Notification::Sent, at(42), None).await.expect("changes nothing more");
    let notified = store.unpublished(10).await.expect("answers");
    assert_eq!(notified.len(), 1);
    assert_eq!((notified[0].state, notified[0].at), (AlertState::Notified, at(40)));
    store.published(&notified[0]).await.expect("noted");
    store.published(&unpublished[2]).await.expect("an old note takes nothing back");
    assert!(store.unpublished(10).await.expect("answers").is_empty());

    let newest = store.newest(None, 2).await.expect("answers");
    assert_eq!(newest.iter().map(|r| r.notification).collect::<Vec<_>>(), [Notification::Sent, Notification::Refused]);
    assert_eq!(newest[1].reason.as_deref(), Some("404: no_service"));
    assert_eq!(store.newest(Some("A"), 10).await.expect("answers").len(), 2);
}

async fn old_alerts_are_forgotten(store: &Store) {
    assert_eq!(store.prune(at(30)).await.expect("prunes"), 2);
    assert_eq!(store.newest(None, 10).await.expect("answers").len(), 1);
}
