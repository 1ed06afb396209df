use std::collections::BTreeSet;

use tidemill_events::AlertState;

use super::*;
use crate::{
    store::{
        Folded,
        testing::{checks, to},
    },
    testing::{at, transition},
};

checks![alerts_go_through_their_transitions, any_text_stands_in_an_alert];

async fn alerts_go_through_their_transitions(store: &Store) {
    let fired = |id| transition(id, AlertState::Firing, at(id as i64));
    let notified = |id| transition(id, AlertState::Notified, at(id as i64 + 100));
    let fold = async |range, transitions: &[(u64, AlertTransition)]| match store.fold_alerts(range, transitions).await {
        Ok(Folded::Done(alerts)) => alerts.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(fold(to(0, 2), &[(1, notified(2)), (2, fired(1))]).await, 2);
    assert_eq!(fold(to(2, 5), &[(3, fired(2)), (4, notified(1)), (5, fired(1))]).await, 2);
    assert_eq!(fold(to(0, 6), &[(5, fired(1)), (6, fired(3))]).await, 1, "what is folded changes nothing");
    assert_eq!(store.fold_alerts(to(9, 10), &[(10, fired(4))]).await.expect("answers"), Folded::DoesNotFollow);
    let changed: Vec<u64> =
        store.alerts_after(4).await.expect("answers").into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(changed, [5, 6]);
    let alerts = store.alerts(None, 50).await.expect("alerts");
    let told: Vec<_> = alerts.iter().map(|alert| (alert.fired_at, alert.notified_at)).collect();
    assert_eq!(told, [(at(3), None), (at(2), Some(at(102))), (at(1), Some(at(101)))]);
    assert_eq!(store.alerts(Some("REVENUE_SPIKE"), 1).await.expect("alerts")[0], alerts[0]);
    assert!(store.alerts(Some("' OR 1=1 --"), 9).await.expect("alerts").is_empty());
}

async fn any_text_stands_in_an_alert(store: &Store) {
    let texts = tidemill_testkit::any_texts();
    let fired: Vec<(u64, AlertTransition)> = (9_000_u64..)
        .zip(&texts)
        .map(|(sequence, text)| {
            let fired = transition(sequence.into(), AlertState::Firing, at(sequence.cast_signed()));
            (sequence, AlertTransition { rule: "TEXTS".into(), title: text.clone(), summary: text.clone(), ..fired })
        })
        .collect();
    let Folded::Done(_) = store.fold_alerts(to(0, 9_999), &fired).await.expect("folds") else {
        panic!("any range follows")
    };
    let titles: BTreeSet<String> =
        store.alerts(Some("TEXTS"), 500).await.expect("alerts").into_iter().map(|alert| alert.title).collect();
    assert_eq!(titles, texts.into_iter().collect());
}
