use std::collections::BTreeMap;

use tidemill_testkit::TestNats;

use super::{super::part::Parts, *};

/// NATS refuses a message with more than 64 KiB of headers, and a batch that
/// is refused holds up its partition.
#[test]
fn sources_fit_the_header() {
    let sources = |range: std::ops::Range<usize>| {
        let name = |n: usize| format!("{n:04}{}", "\u{1f600}".repeat(49));
        range.map(name).collect::<Vec<_>>()
    };
    let mut parts = Parts::default();
    for source in sources(0..300).iter().chain(&sources(0..300)) {
        parts.push((Partition::new(0), source), None, 64 << 10, |out| out.extend(b"{}"));
    }
    let all: Vec<&BatchPart> = parts.full.iter().map(|(_, lines)| lines).chain(parts.open.values()).collect();
    assert_eq!(all.iter().map(|lines| lines.sources.values().sum::<u32>()).sum::<u32>(), 600);
    assert!(all.len() > 5);
    for lines in &all {
        let named: &BTreeMap<String, u32> = &lines.sources;
        let header: usize =
            serde_json::to_string(named).expect("JSON").chars().map(|c| if c.is_ascii() { 1 } else { 12 }).sum();
        assert!(header <= lines.header && lines.header < MAX_HEADER / 2 + 1024, "{header} {}", lines.header);
    }
    let pending = |lines: &BatchPart| {
        let copy = BatchPart {
            text: lines.text.clone(),
            sources: lines.sources.clone(),
            header: lines.header,
            ..BatchPart::default()
        };
        PendingPart { part: copy, stored: oneshot::channel().0 }
    };
    let mut batch = GroupCommit::default();
    batch.part.append(&mut pending(all[0]).part);
    assert!(!batch.has_room_for(&pending(all[1])) || batch.part.header + all[1].header <= MAX_HEADER);
    batch.part.append(&mut pending(all[0]).part);
    assert_eq!(batch.part.header, all[0].header, "the same sources are named once");
}

#[test]
fn a_part_that_was_given_up_is_left_out() {
    let pending = |text: &str| {
        let (stored, answer) = oneshot::channel();
        let source = "shop".to_owned();
        let part = BatchPart { text: text.into(), sources: [(source, 1)].into(), ..BatchPart::default() };
        (PendingPart { part, stored }, answer)
    };
    let mut batch = GroupCommit::default();
    let (given_up, answer) = pending("a\n");
    drop(answer);
    batch.add(given_up);
    let (kept, mut first) = pending("b\n");
    batch.add(kept);
    let (kept, second) = pending("c\n");
    batch.add(kept);
    assert_eq!(batch.part.text, b"b\nc\n");
    assert_eq!(batch.part.sources.values().sum::<u32>(), 2);
    drop(second);
    assert!(!batch.is_given_up());
    batch.settle(Ok(()));
    assert_eq!(first.try_recv(), Ok(Ok(())));
}

/// A batch that is sent before its turn stands in the server's line with one
/// event, and what comes behind it waits for the whole line once more.
#[tokio::test]
async fn what_arrives_before_its_turn_goes_together() {
    let nats = TestNats::start().await;
    let config = tidemill_bus::Config { url: nats.url(), ..tidemill_bus::Config::default() };
    let bus = Bus::connect(&config, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams");
    let context = Context::new("ingestion");
    let in_flight = Arc::new(Semaphore::new(1));
    let others = in_flight.clone().try_acquire_owned().expect("is free");
    let (queue, parts) = mpsc::channel(8);
    let batcher = Batcher {
        partition: Partition::new(0),
        queue: parts,
        left_over: None,
        batch_bytes: 64 << 10,
        in_flight,
        telemetry: Arc::new(Telemetry::new(&context.registry)),
        context,
        bus: bus.clone(),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(batcher.run(stop.clone()));
    let mut answers = Vec::new();
    for text in ["{\"n\":1}\n", "{\"n\":2}\n", "{\"n\":3}\n"] {
        let (stored, answer) = oneshot::channel();
        let source = "shop".to_owned();
        let part = BatchPart { text: text.into(), sources: [(source, 1)].into(), ..BatchPart::default() };
        queue.send(PendingPart { part, stored }).await.expect("is taken");
        answers.push(answer);
    }
    assert!(bus.message_at::<RawBatch>(1).await.expect("reads").is_none(), "it is not its turn");
    drop(others);
    for answer in answers {
        assert_eq!(answer.await, Ok(Ok(())));
    }
    let stored = bus.message_at::<RawBatch>(1).await.expect("reads").expect("is there");
    assert_eq!(stored.message.lines, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    stop.cancel();
    running.await.expect("no panic").expect("ends");
}
