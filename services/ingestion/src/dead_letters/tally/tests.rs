use super::*;

#[test]
fn lines_are_bounded_and_no_count_is_lost() {
    let tally = RejectedTally::default();
    let caller = &Caller::ANYBODY;
    for n in 0..1000 {
        let source: SourceName = format!("source-{n}").parse().expect("a name");
        tally.add(caller, Some(&source), Code::UnknownType, NotKept::Budget, 2, Timestamp::EPOCH);
    }
    let lines = tally.0.lock().expect("nobody panicked");
    assert_eq!((lines.len(), lines.values().map(|count| count.events).sum::<u64>()), (MOST_LINES + 1, 2000));
    let thrown_together = lines.iter().find(|(line, _)| line.caller.is_empty()).expect("there");
    assert_eq!(thrown_together.1.events, 2 * (1000 - MOST_LINES as u64));
}
