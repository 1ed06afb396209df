use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn key(n: u64) -> EventKey {
    EventKey::of("shop", &n.to_string(), &mut Vec::new())
}

#[test]
fn a_run_divided_is_the_run_in_parts() {
    let span = BatchSpan { first: 3, last: 9, first_clock: at(0), last_clock: at(10_000) };
    // Every third came again later, and is told first.
    let again = (0..5000).step_by(3).map(|n| (key(n), at(10_000)));
    let keys: Vec<_> = again.chain((0..5000).map(|n| (key(n), at(n.cast_signed())))).collect();
    let whole = RunEntries::of(span, &keys).sealed(10, 7).expect("is sealed");
    let parts = RunEntries::of(span, &keys).divided(10, 7).expect("are sealed");
    assert_eq!((whole.run.keys, whole.run.lane, parts.len()), (5000, None, 16));
    let mut next = 7;
    for part in &parts {
        assert_eq!((part.run.blocks.first, part.run.span), (next, span));
        next = part.run.blocks.end();
        assert_eq!(part.blocks.len(), part.run.blocks.fences.len());
        for entry in part.blocks.iter().flat_map(KeyBlock::entries) {
            assert_eq!(Some(Lane::of(entry.fingerprint())), part.run.lane);
        }
    }
    let entries = |runs: &[SealedRun]| -> Vec<Entry> {
        runs.iter().flat_map(|sealed| sealed.blocks.iter().flat_map(KeyBlock::entries)).collect()
    };
    assert_eq!(entries(std::slice::from_ref(&whole)), entries(&parts));
    for n in 0..5000 {
        let doubt = whole.run.doubt(key(n), Fingerprint::of(key(n))).expect("it may be there");
        let BlockName::Run(number) = doubt.block else { panic!("{doubt:?}") };
        let seen = if n % 3 == 0 { 10_000 } else { n.cast_signed() / 10 * 10 };
        let block = &whole.blocks[(number - 7) as usize];
        assert_eq!(block.last_seen(Fingerprint::of(doubt.key)), Some(at(seen)), "{n}");
    }
}

#[test]
fn a_merged_run_reaches_from_the_first_batch_to_the_last_whatever_their_order() {
    let span = |first: u64, last: u64| {
        let clock = |raw_seq: u64| at(10 * raw_seq.cast_signed());
        BatchSpan { first, last, first_clock: clock(first), last_clock: clock(last) }
    };
    for spans in [[span(1, 9), span(3, 5)], [span(3, 5), span(1, 9)], [span(6, 9), span(1, 5)]] {
        assert_eq!(RunEntries::covering(spans.into_iter(), None).span, span(1, 9));
    }
}
