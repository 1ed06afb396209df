use tidemill_events::{MetricsUpdate, RedrivenOutcomes};

use super::*;
use crate::{
    dead_letters::ListedLetter,
    read_model::MetricsFold,
    store::{
        Folded,
        testing::{checks, letter, to},
    },
    testing::{at, update},
    unit::SequenceRange,
};

checks![dead_letters_are_ordered_and_settled, settled_before_it_is_listed];

fn order(request: u128, kind: RequestKind, force: bool) -> ActionRequest {
    let (by, key) = ("anna".to_owned(), "anybody".to_owned());
    let (request, reason, at, body) = (Uuid::from_u128(request), "mended".to_owned(), at(9), Vec::new());
    ActionRequest { request, kind, force, by, key, reason, at, body }
}

async fn list(store: &Store, range: SequenceRange, letters: &[ListedLetter]) {
    let folded = store.fold_dead_letters(range, &[], letters, at(4)).await.expect("folds");
    assert_eq!(folded, Folded::Done(()));
}

/// The log holds the events of letters, by the sequence of their batch.
async fn accept(store: &Store, range: SequenceRange, letters: &BTreeMap<u64, u64>) {
    let folded = store.fold_log(range, &[], &BTreeMap::new(), letters, at(2)).await.expect("folds");
    assert_eq!(folded, Folded::Done(()));
}

async fn stands(store: &Store, letter: u64) -> (LetterState, Option<u64>, Option<u64>) {
    let found = store.dead_letters_at(&[letter].into()).await.expect("answers");
    let letter = &found[&letter].letter;
    (letter.state, letter.raw_sequence, letter.failed_again_as)
}

async fn dead_letters_are_ordered_and_settled(store: &Store) {
    let letters: Vec<ListedLetter> = (4..9).map(|sequence| letter(sequence, "c", "shop")).collect();
    list(store, to(0, 8), &letters).await;
    let redrive = order(1, RequestKind::Redrive, false);
    assert_eq!(store.order(&redrive, &[4, 5, 6]).await.expect("writes"), [4, 5, 6].into());
    assert!(store.order(&order(2, RequestKind::Redrive, false), &[4]).await.expect("answers").is_empty());
    assert!(store.order(&order(2, RequestKind::Discard, false), &[4]).await.expect("answers").is_empty());
    assert_eq!(store.order(&order(3, RequestKind::Discard, false), &[7]).await.expect("writes"), [7].into());
    assert_eq!(stands(store, 4).await, (LetterState::Redriving, None, None));
    assert_eq!(stands(store, 7).await, (LetterState::Discarded, None, None));
    let waiting = store.redrives_to_send(9).await.expect("answers");
    assert_eq!(waiting.iter().map(|order| order.letter).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!((waiting[0].id, waiting[0].by.as_str()), (redrive.action(4), "anna"));

    // One is settled before the outbox has noted that it was sent.
    let accepted = BTreeMap::from([(4, 10)]);
    accept(store, to(0, 10), &accepted).await;
    store.redrives_sent(&[redrive.action(4), redrive.action(5)]).await.expect("writes");
    store.redrive_lost(redrive.action(6), 6, at(3)).await.expect("writes");
    let again = ListedLetter { redriven_from: Some(5), ..letter(9, "c", "shop") };
    list(store, to(8, 9), &[again]).await;
    assert_eq!(stands(store, 4).await, (LetterState::Accepted, Some(10), None));
    assert_eq!(stands(store, 5).await, (LetterState::FailedAgain, None, Some(9)));
    assert_eq!(stands(store, 6).await.0, LetterState::Dead);
    assert!(store.redrives_to_send(9).await.expect("answers").is_empty());
    let discards = store.discards_to_do(9).await.expect("answers");
    assert_eq!(discards.iter().map(|discard| discard.letter).collect::<Vec<_>>(), [7], "and no redrive");
    let ids: Vec<Uuid> = discards.iter().map(|discard| discard.id).collect();
    for now in [at(11), at(12)] {
        store.discards_done(&ids, now).await.expect("writes");
        assert!(store.discards_to_do(9).await.expect("answers").is_empty());
    }
    let counts = store.order_progress(redrive.request).await.expect("answers");
    let counted = |name: &str| counts.get(name).copied();
    assert_eq!((counted("accepted"), counted("failed_again"), counted("lost")), (Some(1), Some(1), Some(1)));

    // What became of the events is told by request, however often it is said.
    assert_eq!(store.order_outcomes(redrive.request).await.expect("answers"), OrderOutcomes::default());
    let told = |redrive: Uuid, raw_seq, counted, late, duplicate| {
        let redrive = redrive.to_string();
        RedrivenOutcomes { redrive, raw_seq, counted, late, duplicate }
    };
    let mut fold = MetricsFold::default();
    for redriven in [
        vec![told(redrive.action(4), 10, 1, 0, 0)],
        vec![told(redrive.action(4), 10, 1, 0, 0), told(redrive.action(5), 12, 2, 3, 4)],
        vec![told(Uuid::from_u128(99), 10, 7, 7, 7)],
    ] {
        fold.observe(MetricsUpdate { redriven, ..update(0, 12) });
    }
    for last in [1, 2] {
        let folded = store.fold_metrics(to(0, last), &fold, at(5)).await.expect("folds");
        assert!(matches!(folded, Folded::Done(_)), "{folded:?}");
    }
    let expected = OrderOutcomes { letters: 2, counted: 3, late: 3, duplicate: 4 };
    assert_eq!(store.order_outcomes(redrive.request).await.expect("answers"), expected);

    let actions =
        store.actions(&ActionFilter { letter: Some(5), ..ActionFilter::default() }, 9).await.expect("answers");
    assert_eq!(
        (actions.len(), actions[0].state, actions[0].failed_again_as),
        (1, ActionProgress::FailedAgain, Some(9))
    );
    let filter = ActionFilter { by: Some("anna".into()), kind: Some(Act::Discard), ..ActionFilter::default() };
    let discarded = store.actions(&filter, 9).await.expect("answers");
    assert_eq!((discarded.len(), discarded[0].letter, discarded[0].settled_at), (1, 7, Some(at(11))));
    let page = ActionFilter { before: Some(discarded[0].number), ..ActionFilter::default() };
    assert_eq!(store.actions(&page, 2).await.expect("answers").len(), 2);

    // A letter that failed again may be redriven, an accepted one by force alone.
    assert!(store.order(&order(4, RequestKind::Redrive, false), &[4]).await.expect("answers").is_empty());
    assert_eq!(store.order(&order(4, RequestKind::Redrive, true), &[4, 5]).await.expect("writes"), [4, 5].into());
    assert_eq!(store.order(&order(5, RequestKind::Discard, true), &[4]).await.expect("writes"), [4].into());
}

/// After the database was lost, the log may be read before the letters are.
async fn settled_before_it_is_listed(store: &Store) {
    let accepted = BTreeMap::from([(11, 12)]);
    accept(store, to(0, 12), &accepted).await;
    list(store, to(0, 11), &[letter(11, "c", "shop")]).await;
    assert_eq!(stands(store, 11).await, (LetterState::Accepted, Some(12), None));
}
