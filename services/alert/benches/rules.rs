//! What an event costs the rules over events, in seconds of CPU, whatever else the
//! machine does: of a type that no rule is about, told by the message and not, and of one
//! that a rule is about. Without the store, and without NATS.
//!
//! `cargo bench --package tidemill-alert --bench rules -- order.placed` measures events
//! of one type. A number says how many events there are, for a profiler.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench tells its figures, or ends")]

use std::time::Duration;

use tidemill_alert::measured::MeasuredRules;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Encoded, EnrichedBatch, EventTypes, Message as _};

const EVENTS: u64 = 100_000;
/// A request of a thousand events, over eight partitions.
const BATCH: u64 = 125;
const RULE: &str = include_str!("../rules/fraud_detection.yaml");

fn line(kind: &str, n: u64) -> String {
    let time = Timestamp::saturating_from_millis(1_764_000_000_000 + n as i64 * 3);
    let customer = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50;
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"17c-{n}\",\"source\":\"tidemill-bench\",\"type\":\"{kind}\",\
         \"time\":\"{time}\",\"subject\":\"c-{customer}\",\"data\":{{\"order_id\":\"{n}\",\"customer_id\":\"c-{customer}\",\
         \"stock_code\":\"P-7\",\"description\":\"PRODUCT NUMBER 7\",\"unit_price\":12.50,\"quantity\":2,\
         \"country\":\"Germany\"}},\"enriched\":{{\"refdata\":1,\"region\":\"Europe\",\"country\":\"DE\",\
         \"currency\":\"EUR\",\"items\":[{{\"category\":\"Books\"}}],\"quality\":[\"customer_unknown\"]}}}}\n"
    )
}

fn batches(events: u64, kind: &str, types: Option<&EventTypes>) -> Vec<Encoded> {
    let batch = |first: u64| EnrichedBatch {
        partition: Partition::new(0),
        raw_seq: first + 1,
        raw_prev: first,
        remade: None,
        ingested_at: Timestamp::saturating_from_millis(1_764_000_000_000),
        refdata: 1,
        count: BATCH as u32,
        types: types.cloned(),
        lines: (first..first + BATCH).map(|n| line(kind, n)).collect::<String>().into(),
        trace: None,
    };
    (0..events).step_by(BATCH as usize).map(|first| batch(first).encode().expect("is written")).collect()
}

/// What this thread has had, as Linux tells it.
fn cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells of its threads");
    Duration::from_nanos(told.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
}

#[inline(never)]
fn counted_rules(rules: &MeasuredRules, batches: &[Encoded]) -> usize {
    batches.iter().map(|batch| rules.apply(batch)).sum()
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let events = given.iter().find_map(|given| given.parse().ok()).unwrap_or(EVENTS);
    let wants = |kind: &str| given.iter().all(|given| given.parse::<u64>().is_ok() || given == kind);
    let named = |kind: &str| EventTypes::of([kind].into_iter());
    for (name, kind, types) in [
        ("of no rule, told", "invoice.line", named("invoice.line")),
        ("of no rule", "invoice.line", None),
        ("of a rule", "order.placed", named("order.placed")),
    ] {
        if !wants(kind) {
            continue;
        }
        let (batches, rules) = (batches(events, kind, types.as_ref()), MeasuredRules::new(RULE));
        let before = cpu();
        let fired = counted_rules(&rules, &batches);
        let each = (cpu() - before).as_secs_f64() / events as f64 * 1e6;
        println!("{name:<18} {each:>7.3} us each, {fired} alerts");
    }
}
