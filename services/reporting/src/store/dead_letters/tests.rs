use super::*;
use crate::{
    books::BookEntry,
    store::{
        Folded,
        testing::{checks, letter, to},
    },
    testing::{at, dead_letter},
};

checks![dead_letters_are_listed, a_letter_that_was_published_twice_counts_once, any_text_stands_in_a_letter,];

async fn dead_letters_are_listed(store: &Store) {
    let hostile = "\u{0} <script>, \"'\u{1f600}";
    let letters = [letter(1, "a", hostile), letter(2, "b", hostile), letter(3, "a", hostile)];
    for _ in 0..2 {
        let folded = store.fold_dead_letters(to(0, 3), &[], &letters, at(1)).await.expect("folds");
        assert_eq!(folded, Folded::Done(()));
    }
    let listed = async |filter: LetterFilter, before, limit| -> Vec<u64> {
        let found = store.dead_letters(&filter, LetterPage::Before(before), limit).await.expect("letters");
        found.iter().map(|found| found.letter.sequence).collect()
    };
    let all = LetterFilter::default;
    assert_eq!(listed(all(), None, 2).await, [3, 2]);
    assert_eq!(listed(LetterFilter { code: Some("a".into()), ..all() }, Some(3), 9).await, [1]);
    assert!(listed(LetterFilter { service: Some("alert".into()), ..all() }, None, 9).await.is_empty());
    assert_eq!(listed(LetterFilter { since: Some(at(2)), until: Some(at(3)), ..all() }, None, 9).await, [2]);
    assert_eq!(listed(LetterFilter { source: Some("unknown".into()), ..all() }, None, 9).await, [3, 2, 1]);
    assert!(listed(LetterFilter { source: Some("' OR 1=1 --".into()), ..all() }, None, 9).await.is_empty());
    assert_eq!(listed(LetterFilter { state: Some(LetterState::Dead), ..all() }, None, 9).await, [3, 2, 1]);
    assert!(listed(LetterFilter { state: Some(LetterState::Accepted), ..all() }, None, 9).await.is_empty());
    let found = store.dead_letters(&all(), LetterPage::After(1), 1).await.expect("letters");
    assert_eq!((found.len(), &found[0].letter), (1, &letters[1]));
    store.forget_dead_letters(at(3), at(0)).await.expect("forgets");
    assert_eq!(listed(all(), None, 9).await, [3]);
}

/// In the same chunk, and in a later one.
async fn a_letter_that_was_published_twice_counts_once(store: &Store) {
    let dead =
        async || -> u64 { store.book_lines().await.expect("lines").iter().map(|(_, line)| line.dead_lettered).sum() };
    let letters = [(12, "x"), (13, "y"), (14, "x"), (15, "y"), (16, "z")]
        .map(|(sequence, id)| ListedLetter { id: id.into(), ..letter(sequence, "c", "shop") });
    let entries =
        letters.each_ref().map(|letter| BookEntry::of_letter(letter.sequence, &dead_letter("ingestion", None)));
    for (range, chunk) in [(to(0, 14), 0..3), (to(14, 16), 3..5)] {
        let (entries, letters) = (&entries[chunk.clone()], &letters[chunk]);
        let folded = store.fold_dead_letters(range, entries, letters, at(1)).await.expect("folds");
        assert_eq!(folded, Folded::Done(()));
    }
    assert_eq!(dead().await, 3);
    let listed = store.dead_letters(&LetterFilter::default(), LetterPage::After(11), 9).await.expect("letters");
    assert_eq!(listed.iter().map(|found| found.letter.sequence).collect::<Vec<_>>(), [12, 13, 16]);
}

async fn any_text_stands_in_a_letter(store: &Store) {
    let texts = tidemill_testkit::any_texts();
    let letters: Vec<ListedLetter> =
        (9_000..).zip(&texts).map(|(sequence, text)| letter(sequence, "any_text", text)).collect();
    let folded = store.fold_dead_letters(to(0, 9_999), &[], &letters, at(1)).await.expect("folds");
    assert_eq!(folded, Folded::Done(()));
    let listed = store
        .dead_letters(
            &LetterFilter { code: Some("any_text".into()), ..LetterFilter::default() },
            LetterPage::After(0),
            500,
        )
        .await
        .expect("letters");
    assert_eq!(listed.into_iter().map(|found| found.letter).collect::<Vec<_>>(), letters);
}
