//! What is marked as history.

use super::*;

/// As the owner does it where the store knows nothing of what was left out.
fn apply_again(state: &mut PartitionState, batch: &EnrichedBatch, metrics: &Metrics) -> EventOutcomes {
    let mut parsed = parse(batch, metrics);
    parsed.count_again(batch, metrics, |key| state.left_out.has(key, batch.ingested_at));
    state.apply(parsed, at(0))
}

#[test]
fn what_was_late_is_counted_once_when_it_comes_again_as_history() {
    let metrics = metrics();
    let mut state = state(Windows { retention_days: 2, ..windows() });
    let again = |seq, seconds| history(seq, &Sale { duplicate: true, ..sale(0, seconds) });
    let counted = |outcomes: EventOutcomes| (outcomes.counted, outcomes.late, outcomes.duplicate);
    assert_eq!(counted(apply(&mut state, &batch(1, &[sale(0, 200_000), sale(0, 100_000)]), &metrics)), (1, 1, 0));
    // Sent again without the mark it is a repetition like any other.
    let plain = Sale { duplicate: true, ..sale(0, 100_000) };
    assert_eq!(counted(apply_again(&mut state, &batch(2, &[plain]), &metrics)), (0, 0, 1));
    let cells = state.cells.len();
    assert_eq!(counted(apply_again(&mut state, &again(3, 100_000), &metrics)), (1, 0, 0));
    assert_eq!(state.cells.len(), cells + 1);
    assert_eq!(counted(apply_again(&mut state, &again(4, 100_000), &metrics)), (0, 0, 1));
    // The first may be of a time that is not kept any more: it stays late.
    let mut state = self::state(Windows { retention_days: 1, ..windows() });
    apply(&mut state, &batch(1, &[sale(0, 200_000), sale(0, 100_000)]), &metrics);
    assert_eq!(counted(apply_again(&mut state, &again(2, 100_000), &metrics)), (0, 1, 0));
}

/// A browser with a wrong clock told of an order first; the shop's server tells of the
/// same order in time.
#[test]
fn what_another_one_told_too_late_is_counted_once_when_it_is_told_in_time() {
    let metrics = metrics();
    let about = |repeated, id: &str, sale: &Sale| {
        let enrichment = Enrichment {
            duplicate: sale.duplicate,
            repeated,
            about: Some("00112233445566778899aabbccddeeff".into()),
            region: "Europe".into(),
            ..Enrichment::default()
        };
        line_of(id, sale, &enrichment)
    };
    let one = |seq, line: Vec<u8>| EnrichedBatch { count: 1, lines: line.into(), ..batch(seq, &[]) };
    let counted = |outcomes: EventOutcomes| (outcomes.counted, outcomes.late, outcomes.repeated);
    let mut state = state(windows());
    apply(&mut state, &batch(1, &[sale(0, 200_000)]), &metrics);
    assert_eq!(counted(apply(&mut state, &one(2, about(false, "a", &sale(0, 100_000))), &metrics)), (0, 1, 0));
    let late = Sale { duplicate: true, ..sale(0, 110_000) };
    assert_eq!(counted(apply_again(&mut state, &one(3, about(true, "b", &late)), &metrics)), (0, 0, 1));
    let in_time = Sale { duplicate: true, ..sale(0, 200_000) };
    assert_eq!(counted(apply_again(&mut state, &one(4, about(true, "c", &in_time)), &metrics)), (1, 0, 0));
    assert_eq!(counted(apply_again(&mut state, &one(5, about(true, "d", &in_time)), &metrics)), (0, 0, 1));
    // The first, as history, is known by the same name.
    let first = String::from_utf8(about(false, "a", &Sale { duplicate: true, ..sale(0, 100_000) })).expect("is text");
    let first = first.replacen('{', r#"{"backfill":"of old","#, 1).into_bytes();
    assert_eq!(apply_again(&mut state, &one(6, first), &metrics).duplicate, 1);
}

/// Enrichment remembers for a week what came before, aggregation for a month what was
/// late: what is new by then takes the place of what was left out.
#[test]
fn what_is_told_anew_after_enrichment_forgot_it_is_not_left_out_any_more() {
    let metrics = metrics();
    let about = |is_repeated, id: &str, sale: &Sale| {
        let enrichment = Enrichment {
            duplicate: is_repeated,
            repeated: is_repeated,
            about: Some("00112233445566778899aabbccddeeff".into()),
            ..Enrichment::default()
        };
        line_of(id, sale, &enrichment)
    };
    let one = |seq, line: Vec<u8>| EnrichedBatch { count: 1, lines: line.into(), ..batch(seq, &[]) };
    let mut state = state(windows());
    apply(&mut state, &batch(1, &[sale(0, 200_000)]), &metrics);
    assert_eq!(apply_again(&mut state, &one(2, about(false, "a", &sale(0, 100_000))), &metrics).late, 1);
    assert_eq!(apply_again(&mut state, &one(3, about(false, "b", &sale(0, 200_000))), &metrics).counted, 1);
    assert_eq!(apply_again(&mut state, &one(4, about(true, "c", &sale(0, 200_000))), &metrics).repeated, 1);
}

#[test]
fn what_was_left_out_is_forgotten_with_its_body() {
    let metrics = metrics();
    let mut state = state(windows());
    apply(&mut state, &batch(1, &[sale(0, 200_000), sale(0, 100_000)]), &metrics);
    let mut again = history(2, &Sale { duplicate: true, ..sale(0, 100_000) });
    again.ingested_at = again.ingested_at.plus_millis(30 * 86_400_000 + 1);
    assert_eq!(apply_again(&mut state, &again, &metrics).duplicate, 1);
}

/// A batch of one sale that is marked as history.
fn history(raw_seq: u64, sale: &Sale) -> EnrichedBatch {
    let plain = String::from_utf8(line(sale)).expect("is text");
    let marked = plain.replacen('{', r#"{"backfill":"of old","#, 1);
    EnrichedBatch { count: 1, lines: marked.into(), ..batch(raw_seq, &[]) }
}

#[test]
fn history_is_not_late_and_moves_no_clock() {
    let metrics = metrics();
    let mut state = state(Windows { retention_days: 2, ..windows() });
    let day = 86_400;
    // A load that comes first, and out of order.
    for (seq, seconds) in [(1, 9 * day), (2, 8 * day), (3, 0)] {
        assert_eq!(apply(&mut state, &history(seq, &sale(0, seconds)), &metrics).counted, 1);
    }
    assert_eq!(state.watermark(at(0)), (Some(Timestamp::EPOCH), true), "nothing is known of the source's own time");
    // The source's own events are late by its own clock alone.
    assert_eq!(apply(&mut state, &batch(4, &[sale(0, 7 * day), sale(0, 5 * day)]), &metrics).late, 1);
    let known = state.watermark(at(0));
    assert_eq!(known.0, Some(at((7 * day - 60) * 1000)));
    assert_eq!(apply(&mut state, &history(5, &sale(0, 5 * day)), &metrics).counted, 1);
    assert_eq!(apply(&mut state, &history(6, &sale(0, 20 * day)), &metrics).counted, 1);
    assert_eq!(state.watermark(at(0)), known);
    // Of a time that is not kept any more there are no totals that it could add to.
    assert_eq!(apply(&mut state, &history(7, &sale(1, 5 * day - 1)), &metrics).late, 1);
    let duplicate = Sale { duplicate: true, ..sale(2, 6 * day) };
    assert_eq!(apply(&mut state, &history(8, &duplicate), &metrics).duplicate, 1);
}
