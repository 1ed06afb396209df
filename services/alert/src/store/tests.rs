//! Each check, on SQLite and on a real PostgreSQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tidemill_domain::{Amount, Partition, Timestamp};
use tidemill_events::{AlertState, AlertTransition};
use tidemill_stage::{Disposition, Failure};
use tidemill_store::Config;
use tidemill_totals::{Measure, Totals};
use uuid::Uuid;

use super::{Store, UnitClaim};
use crate::{
    alert::{FiredAlert, Notification},
    error::Error,
    state::{CellName, CellTotals, ConsumerProgress, FigureName, FigureStanding, Observations, StepChanges},
    unit::AlertUnit,
};

/// A test of each check on each database, each with a store of its own.
macro_rules! on_each_database {
    ($($check:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $check() {
                    let folder = tidemill_testkit::tempdir();
                    super::$check(&format!("sqlite://{}/alert.db", folder.path().display())).await;
                }
            )+
        }

        mod on_postgres {
            $(
                #[tokio::test]
                async fn $check() {
                    match tidemill_testkit::Postgres::start().await {
                        Some(server) => super::$check(&server.url()).await,
                        None => tidemill_testkit::skipped(stringify!($check), "no PostgreSQL is installed"),
                    }
                }
            )+
        }
    };
}

on_each_database! {
    state_is_kept_and_goes_forward_only,
    standings_with_figures_are_kept,
    who_was_superseded_changes_nothing,
    a_commit_and_a_take_over_at_once_are_one_after_the_other,
    alerts_pass_through_their_states,
    old_alerts_are_forgotten,
    any_text_is_held,
    a_store_that_is_opened_again_has_what_it_had,
}

async fn open(url: &str) -> Store {
    Store::open(&Config { url: url.into(), max_connections: 4 }).await.expect("opens")
}

async fn a_store_that_is_opened_again_has_what_it_had(url: &str) {
    let store = open(url).await;
    for unit in AlertUnit::ALL {
        let mine = claim(&store, unit).await;
        store.commit(&mine, &reached(7), Notification::Off).await.expect("commits");
    }
    let again = open(url).await;
    for unit in AlertUnit::ALL {
        let saved = again.load(unit).await.expect("loads");
        assert_eq!(saved, store.load(unit).await.expect("loads"));
        assert_eq!(saved.progress[&Partition::new(9)].raw_seq, 7, "{unit}");
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn cell(start: i64, raw_seq: u64, revenue: i64) -> (CellName, CellTotals) {
    let name = CellName {
        metric: "sales".into(),
        version: "abc".into(),
        start: at(start),
        dimensions: BTreeMap::from([("category".into(), "b\u{f8}ker".into())]),
        partition: Partition::new(3),
    };
    let totals = Totals::of([Measure::Sum(Amount::from_int(revenue))]);
    let exemplar = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
    (name, CellTotals { end: at(start + 10), raw_seq, totals, retracted: raw_seq == 6, exemplar })
}

async fn state_is_kept_and_goes_forward_only(url: &str) {
    let store = &open(url).await;
    let observations = |raw_seq, arrived| Observations {
        partition: Partition::new(1),
        raw_seq,
        arrived: at(arrived),
        entries: vec![("counter".into(), u64::MAX, -5)],
    };
    let progress = |raw_seq, watermark| ConsumerProgress { raw_seq, watermark, as_of: Some(at(9)) };
    let (events, metrics) = (claim(store, AlertUnit::Events).await, claim(store, AlertUnit::Metrics).await);
    let mut counted = StepChanges {
        progress: BTreeMap::from([(Partition::new(1), progress(7, None))]),
        observations: Some(observations(7, 100)),
        ..StepChanges::default()
    };
    let mut summed = StepChanges {
        progress: BTreeMap::from([(Partition::new(1), progress(8, Some(at(-1))))]),
        cells: BTreeMap::from([cell(10, 5, 50), cell(20, 5, 60)]),
        ..StepChanges::default()
    };
    for _ in 0..2 {
        store.commit(&events, &counted, Notification::Off).await.expect("commits, and once more");
        store.commit(&metrics, &summed, Notification::Off).await.expect("commits, and once more");
    }
    let saved = store.load(AlertUnit::Events).await.expect("loads");
    assert_eq!((&saved.progress, &saved.observations[..]), (&counted.progress, &[observations(7, 100)][..]));
    assert!(saved.cells.is_empty(), "they are of the other unit");
    let saved = store.load(AlertUnit::Metrics).await.expect("loads");
    assert_eq!(saved.progress, summed.progress);
    assert_eq!(saved.cells.into_iter().collect::<BTreeMap<_, _>>(), summed.cells);
    assert!(saved.observations.is_empty());

    counted.observations = Some(observations(8, 200));
    counted.forget_observations = Some((Partition::new(1), at(101)));
    store.commit(&events, &counted, Notification::Off).await.expect("commits");
    assert_eq!(store.load(AlertUnit::Events).await.expect("loads").observations, [observations(8, 200)]);

    summed.cells = BTreeMap::from([cell(10, 4, 1), cell(20, 6, 61)]);
    store.commit(&metrics, &summed, Notification::Off).await.expect("commits");
    let saved = store.load(AlertUnit::Metrics).await.expect("loads");
    let expected = BTreeMap::from([cell(10, 5, 50), cell(20, 6, 61)]);
    assert_eq!(saved.cells.into_iter().collect::<BTreeMap<_, _>>(), expected, "the furthest totals stay");

    summed.cells.clear();
    summed.forget_cells = BTreeMap::from([(("sales".into(), "abc".into()), at(20))]);
    store.commit(&metrics, &summed, Notification::Off).await.expect("commits");
    assert_eq!(store.load(AlertUnit::Metrics).await.expect("loads").cells, [cell(20, 6, 61)]);
}

async fn standings_with_figures_are_kept(url: &str) {
    let store = &open(url).await;
    let mine = claim(store, AlertUnit::Events).await;
    let name = |measure: &str, contract_rule| FigureName {
        rule_version: "v".into(),
        table: "silver.\u{0}\u{f8}".into(),
        measure: measure.into(),
        contract_rule,
    };
    let standing = |measured_at, value, since: Option<i64>| FigureStanding {
        measured_at: at(measured_at),
        value,
        since: since.map(at),
    };
    let (share, failed) = (name("share", None), name("failed_rows", Some((None, "r".into()))));
    let first =
        BTreeMap::from([(share.clone(), standing(5, 1.0 / 3.0, Some(5))), (failed.clone(), standing(5, 1e12, None))]);
    let changes = StepChanges { figures: first.clone(), ..StepChanges::default() };
    for _ in 0..2 {
        store.commit(&mine, &changes, Notification::Off).await.expect("commits, and once more");
    }
    assert_eq!(store.load(AlertUnit::Events).await.expect("loads").figures, first);
    let older = StepChanges { figures: [(share.clone(), standing(4, 0.0, None))].into(), ..StepChanges::default() };
    store.commit(&mine, &older, Notification::Off).await.expect("commits");
    assert_eq!(store.load(AlertUnit::Events).await.expect("loads").figures, first, "the newest stays");
    let newer = StepChanges { figures: [(share.clone(), standing(9, 0.5, None))].into(), ..StepChanges::default() };
    store.commit(&mine, &newer, Notification::Off).await.expect("commits");
    store.prune(at(6)).await.expect("prunes");
    let left = store.load(AlertUnit::Events).await.expect("loads").figures;
    assert_eq!(left, [(share, standing(9, 0.5, None))].into(), "{failed:?} is not measured any more");
}

async fn claim(store: &Store, unit: AlertUnit) -> UnitClaim {
    store.claim(unit).await.expect("claims")
}

fn reached(raw_seq: u64) -> StepChanges {
    let progress = ConsumerProgress { raw_seq, watermark: None, as_of: None };
    StepChanges {
        progress: BTreeMap::from([(Partition::new(9), progress)]),
        alerts: vec![alert(u128::from(raw_seq) + 1000, "FENCED", 1_000_000)],
        ..StepChanges::default()
    }
}

async fn who_was_superseded_changes_nothing(url: &str) {
    let store = &open(url).await;
    let old = claim(store, AlertUnit::Events).await;
    store.commit(&old, &reached(100), Notification::Off).await.expect("it is the owner");
    let other = claim(store, AlertUnit::Metrics).await;
    let new = claim(store, AlertUnit::Events).await;
    let error = store.commit(&old, &reached(999), Notification::Off).await.expect_err("it is not any more");
    assert!(matches!(error, Error::Superseded(AlertUnit::Events)), "{error}");
    assert_eq!((error.code().as_str(), error.disposition()), ("superseded", Disposition::Retry));
    let saved = store.load(AlertUnit::Events).await.expect("loads");
    assert_eq!(saved.progress[&Partition::new(9)].raw_seq, 100);
    assert_eq!(store.newest(Some("FENCED"), 10).await.expect("answers").len(), 1, "its alert neither");
    store.commit(&new, &reached(101), Notification::Off).await.expect("the new owner goes on");
    store.commit(&other, &reached(5), Notification::Off).await.expect("another unit has nothing to do with it");
}

/// Owners that take a unit over from each other while they write: whoever
/// takes over reads the last that was committed, and nothing is committed
/// behind its back.
async fn a_commit_and_a_take_over_at_once_are_one_after_the_other(url: &str) {
    let store = &open(url).await;
    let first = claim(store, AlertUnit::Events).await;
    store.commit(&first, &reached(101), Notification::Off).await.expect("commits");
    let next = Arc::new(AtomicU64::new(10_000));
    let owner = |store: Store| {
        let next = next.clone();
        tokio::spawn(async move {
            let mut terms: Vec<(i64, u64, Vec<u64>)> = Vec::new();
            for _ in 0..20 {
                let mine = claim(&store, AlertUnit::Events).await;
                let found = store.load(AlertUnit::Events).await.expect("loads").progress[&Partition::new(9)].raw_seq;
                let mut committed = Vec::new();
                while committed.len() < 3 {
                    let reach = next.fetch_add(1, Ordering::SeqCst);
                    match store.commit(&mine, &reached(reach), Notification::Off).await {
                        Ok(_) => committed.push(reach),
                        Err(Error::Superseded(_)) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                terms.push((mine.epoch, found, committed));
            }
            terms
        })
    };
    let owners = [owner(store.clone()), owner(store.clone()), owner(store.clone())];
    let mut terms = Vec::new();
    for owner in owners {
        terms.extend(owner.await.expect("it ends"));
    }
    terms.sort();
    // Who committed nothing may have read what a later owner had committed.
    terms.retain(|(_, _, committed)| !committed.is_empty());
    for (earlier, later) in terms.iter().zip(&terms[1..]) {
        assert_eq!(Some(&later.1), earlier.2.last(), "{earlier:?}, then {later:?}");
    }
    assert_eq!(terms[0].1, 101);
    let committed: BTreeSet<Uuid> =
        terms.iter().flat_map(|term| &term.2).map(|n| reached(*n).alerts[0].firing.id).collect();
    let recorded = store.newest(Some("FENCED"), 1000).await.expect("answers").into_iter().map(|r| r.alert.firing.id);
    let before: BTreeSet<Uuid> = [reached(101).alerts[0].firing.id].into();
    assert_eq!(recorded.collect::<BTreeSet<_>>(), committed.union(&before).copied().collect());
}

fn alert(id: u128, rule: &str, fired_at: i64) -> FiredAlert {
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
    FiredAlert { firing, parent: None }
}

async fn alerts_pass_through_their_states(url: &str) {
    let store = &open(url).await;
    let mine = claim(store, AlertUnit::Metrics).await;
    let alerts = vec![alert(1, "A", 30), alert(2, "B", 20), alert(3, "A", 10)];
    let changes = StepChanges { alerts: alerts.clone(), ..StepChanges::default() };
    let fresh = store.commit(&mine, &changes, Notification::Pending).await.expect("commits");
    assert_eq!(fresh, [1, 2, 3].map(Uuid::from_u128));
    assert!(store.commit(&mine, &changes, Notification::Pending).await.expect("commits").is_empty(), "once each");

    assert_eq!(store.unsent_rules().await.expect("answers"), ["A", "B"]);
    assert_eq!(store.unsent("A", 10).await.expect("answers"), [alerts[2].clone(), alerts[0].clone()]);
    let unpublished = store.unpublished(10).await.expect("answers");
    assert_eq!(unpublished, [&alerts[2], &alerts[1], &alerts[0]].map(|alert| alert.firing.clone()));
    for transition in &unpublished {
        store.published(transition).await.expect("noted");
    }
    assert!(store.unpublished(10).await.expect("answers").is_empty());

    let id = |alert: &FiredAlert| [alert.firing.id];
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

/// Whatever an event says may stand in an alert, and be a dimension.
async fn any_text_is_held(url: &str) {
    let store = &open(url).await;
    let mine = claim(store, AlertUnit::Metrics).await;
    let texts = tidemill_testkit::any_texts();
    let mut changes = StepChanges::default();
    for (n, text) in texts.iter().enumerate() {
        let mut made = alert(5_000 + n as u128, "TEXTS", 2_000_000 + n as i64);
        made.firing.title = text.clone();
        made.firing.summary = text.clone();
        made.firing.dimensions = BTreeMap::from([(text.clone(), text.clone())]);
        changes.alerts.push(made);
        let (mut name, totals) = cell(5_000 + n as i64, 5, 1);
        name.dimensions = BTreeMap::from([(text.clone(), text.clone()), ("more".into(), text.repeat(3))]);
        changes.cells.insert(name, totals);
    }
    let fresh = store.commit(&mine, &changes, Notification::Off).await.expect("commits");
    assert_eq!(fresh.len(), texts.len());
    let mut found: Vec<FiredAlert> =
        store.newest(Some("TEXTS"), 500).await.expect("answers").into_iter().map(|recorded| recorded.alert).collect();
    found.reverse();
    assert_eq!(found, changes.alerts);
    let saved: BTreeMap<_, _> = store.load(AlertUnit::Metrics).await.expect("loads").cells.into_iter().collect();
    assert!(changes.cells.iter().all(|(name, totals)| saved.get(name) == Some(totals)));
}

async fn old_alerts_are_forgotten(url: &str) {
    let store = &open(url).await;
    let mine = claim(store, AlertUnit::Metrics).await;
    let alerts = vec![alert(1, "A", 30), alert(2, "B", 20), alert(3, "A", 10)];
    let changes = StepChanges { alerts, ..StepChanges::default() };
    store.commit(&mine, &changes, Notification::Off).await.expect("commits");
    assert_eq!(store.prune(at(30)).await.expect("prunes"), 2);
    let left = store.newest(None, 10).await.expect("answers");
    assert_eq!(left.iter().map(|recorded| &recorded.alert).collect::<Vec<_>>(), [&changes.alerts[0]]);
}
