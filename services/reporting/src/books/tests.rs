use proptest::{collection::vec, prelude::*};
use tidemill_events::Events;

use super::*;

fn entry() -> impl Strategy<Value = BookEntry> {
    (1u64..30).prop_map(|sequence| BookEntry {
        sequence,
        lines: vec![(
            (
                format!("shop-{}", sequence % 3),
                hour_of(Timestamp::saturating_from_millis(sequence.cast_signed() * HOUR / 4)),
            ),
            IntakeCounts { accepted: sequence, rejected: sequence % 2, dead_lettered: sequence % 2 },
        )],
    })
}

type Sums = BTreeMap<(String, Timestamp), IntakeCounts>;

/// As a consumer folds: chunk by chunk, each above what is folded.
fn consumed<'a>(chunks: impl IntoIterator<Item = &'a [BookEntry]>) -> Sums {
    let (mut floor, mut sums) = (0, Sums::new());
    for chunk in chunks {
        fold(chunk, floor).into_iter().for_each(|(key, intake)| *sums.entry(key).or_default() += intake);
        floor = chunk.iter().map(|entry| entry.sequence).max().unwrap_or(floor).max(floor);
    }
    sums
}

proptest! {
    #[test]
    fn deliveries_that_come_again_change_nothing(
        mut log in vec(entry(), 1..20), size in 1usize..7, cut in 0usize..20, again in 1usize..7,
    ) {
        log.sort_by_key(|entry| entry.sequence);
        log.dedup_by_key(|entry| entry.sequence);
        let straight = consumed([&log[..]]);
        // A crash after `cut` messages, some of them unacknowledged.
        let cut = cut.min(log.len());
        let seen = log[..cut].chunks(size);
        let redelivered = log[cut.saturating_sub(again)..].chunks(size);
        prop_assert_eq!(consumed(seen.chain(redelivered)), straight);
    }
}

fn letter(service: &str, source: &str) -> DeadLetter {
    DeadLetter { source: source.into(), ..crate::testing::dead_letter(service, None) }
}

#[test]
fn a_dead_letter_is_an_outcome_where_the_event_ends() {
    let of = |service| BookEntry::of_letter(1, &letter(service, "shop")).lines;
    let key = ("shop".to_owned(), Timestamp::saturating_from_millis(HOUR));
    let later = IntakeCounts { dead_lettered: 1, ..IntakeCounts::default() };
    assert_eq!(of("ingestion"), [(key.clone(), IntakeCounts { rejected: 1, ..later })]);
    assert_eq!(of("enrichment"), [(key, later)]);
    assert_eq!(of("alert"), []);
    for events in [Events::Several(7), Events::Counted(7)] {
        let lines = BookEntry::of_letter(1, &DeadLetter { events, ..letter("ingestion", "shop") }).lines;
        assert_eq!(lines[0].1, IntakeCounts { rejected: 7, dead_lettered: 7, ..IntakeCounts::default() });
    }
    assert_eq!(BookEntry::of_letter(1, &letter("ingestion", "a\nb")).lines[0].0.0, SourceName::UNKNOWN);
}

#[test]
fn sources_that_cancel_out_are_not_balanced() {
    let lines = || {
        [
            ("a".to_owned(), BookLine::intake(IntakeCounts { accepted: 3, ..IntakeCounts::default() })),
            ("a".to_owned(), BookLine::outcomes(1, 1, 0, 0)),
            ("b".to_owned(), BookLine::outcomes(1, 0, 0, 0)),
        ]
    };
    let books = BooksAnswer::new(Timestamp::EPOCH, lines(), 1);
    assert_eq!((books.totals.received, books.totals.in_flight, books.balanced), (3, 0, false));
    assert_eq!((books.sources.len(), books.more_sources, books.sources[0].sums.in_flight), (1, 1, 1));
    let mended = lines().into_iter().chain([
        ("a".to_owned(), BookLine::outcomes(0, 0, 1, 1)),
        ("b".to_owned(), BookLine::intake(IntakeCounts { accepted: 1, ..IntakeCounts::default() })),
    ]);
    assert!(BooksAnswer::new(Timestamp::EPOCH, mended, 9).balanced);
}
