mod history;
mod merged;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidemill_definitions::Metrics;
use tidemill_domain::{Amount, ReadAmount};
use tidemill_events::{EnrichedBatch, Enrichment, LineFacts, OrderFacts, event::splice_enrichment};
use tidemill_totals::{Measure, MeasureTotal, Totals};

use super::*;
use crate::{fold::parse::parse, testing};

fn metrics() -> Metrics {
    Metrics::load(None).expect("the defaults load")
}

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

#[derive(Debug, Clone)]
struct Sale {
    source: u8,
    seconds: i64,
    customer: u8,
    cents: i64,
    duplicate: bool,
}

fn line(sale: &Sale) -> Vec<u8> {
    let enrichment = Enrichment { duplicate: sale.duplicate, region: "Europe".into(), ..Enrichment::default() };
    line_of("x", sale, &enrichment)
}

fn line_of(id: &str, sale: &Sale, enrichment: &Enrichment) -> Vec<u8> {
    let Sale { source, seconds, customer, cents, .. } = sale;
    let plain = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"s{source}","type":"invoice.line","time":"{}","data":{{"invoice":"i{customer}","quantity":1,"unit_price":{}.{:02},"customer_id":"c{customer}","country":"DE"}}}}"#,
        at(seconds * 1000),
        cents / 100,
        cents % 100
    );
    let mut out = Vec::new();
    splice_enrichment(plain.as_bytes(), enrichment, &mut out).expect("splices");
    out
}

fn batch(raw_seq: u64, sales: &[Sale]) -> EnrichedBatch {
    EnrichedBatch {
        partition: Partition::new(0),
        raw_seq,
        raw_prev: raw_seq - 1,
        remade: None,
        ingested_at: at(1_000_000_000_000),
        refdata: 0,
        count: sales.len() as u32,
        types: None,
        lines: sales.iter().flat_map(line).collect::<Vec<u8>>().into(),
        trace: None,
    }
}

fn windows() -> Windows {
    Windows { allowed_lateness_seconds: 3600, ..Windows::default() }
}

fn state(windows: Windows) -> PartitionState {
    PartitionState::new(Partition::new(0), 0, Arc::new(windows))
}

fn sales() -> impl Strategy<Value = Vec<Sale>> {
    let sale = (0u8..3, 0i64..400_000, 0u8..20, 1i64..100_000, prop::bool::weighted(0.2))
        .prop_map(|(source, seconds, customer, cents, duplicate)| Sale { source, seconds, customer, cents, duplicate });
    prop::collection::vec(sale, 0..60)
}

/// Lines, cents and customers by day.
type Days = BTreeMap<i64, (u64, i64, BTreeSet<u8>)>;

/// The rule in its plainest form: one pass, one clock a source.
fn reference(sales: &[Sale]) -> (EventOutcomes, Days) {
    let (mut outcomes, mut days, mut newest) = (EventOutcomes::default(), Days::new(), BTreeMap::new());
    for sale in sales {
        if sale.duplicate {
            outcomes.duplicate += 1;
            continue;
        }
        let seen: &mut i64 = newest.entry(sale.source).or_insert(sale.seconds);
        if sale.seconds < *seen - 60 - 3600 {
            outcomes.late += 1;
        } else {
            outcomes.counted += 1;
            let day: &mut (u64, i64, BTreeSet<u8>) = days.entry(sale.seconds / 86_400).or_default();
            day.0 += 1;
            day.1 += sale.cents;
            day.2.insert(sale.customer);
        }
        *seen = (*seen).max(sale.seconds);
    }
    (outcomes, days)
}

/// Applies a batch to a state that the store knows nothing more of.
fn apply(state: &mut PartitionState, batch: &EnrichedBatch, metrics: &Metrics) -> EventOutcomes {
    let parsed = parse(batch, metrics);
    if let Some((groups, span)) = state.sessions.missing(&parsed.groups()) {
        state.sessions.now_knows(&groups, span);
    }
    state.apply(parsed, at(0))
}

fn kept(state: &mut PartitionState) -> PartitionChanges {
    let changes = state.take_changes(at(0));
    state.committed(changes.floor);
    changes
}

proptest! {
    #[test]
    fn equals_the_plain_rule_however_the_log_is_cut(sales in sales(), cuts in prop::collection::vec(1usize..9, 1..9)) {
        let metrics = metrics();
        let mut state = state(windows());
        let (mut rest, mut seq, mut total) = (&sales[..], 0, EventOutcomes::default());
        let mut late_lines = 0;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            seq += 1;
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            let applied = apply(&mut state, &batch(seq, head), &metrics);
            total.counted += applied.counted;
            total.late += applied.late;
            total.duplicate += applied.duplicate;
            if seq % 2 == 0 { late_lines += late_count(&kept(&mut state)); }
            rest = tail;
        }
        late_lines += late_count(&kept(&mut state));
        let (outcomes, days) = reference(&sales);
        prop_assert_eq!(total, outcomes);
        prop_assert_eq!(late_lines, outcomes.late);
        prop_assert_eq!(state.cells.len(), days.len());
        for cell in state.cells.values() {
            let (lines, cents, customers) = &days[&(cell.key.start.millis() / 86_400_000)];
            let totals = cell.totals().0;
            prop_assert_eq!(&totals[0].measure, &Measure::DistinctKeyed(customers.len() as u64));
            prop_assert_eq!(&totals[2].measure, &Measure::Count(*lines));
            prop_assert_eq!(&totals[3].measure, &Measure::Sum(Amount::from_micros(i128::from(*cents) * 10_000)));
        }
    }
}

fn late_count(changes: &PartitionChanges) -> u64 {
    for late in &changes.late {
        assert_eq!(tidemill_events::event::lines(&late.lines).count(), late.count as usize);
    }
    changes.late.iter().map(|late| u64::from(late.count)).sum()
}

const GAP: i64 = 60;
const VISITS: &str = "name: visits\ntypes: [invoice.line]\nwindow: {session: {gap: 1m}}\n\
                      dimensions:\n  customer: data.customer_id\nmeasures:\n  a_lines: {count: rows}\n  \
                      b_sum: {sum: data.unit_price}\n  c_min: {min: data.unit_price}\n  \
                      d_max: {max: data.unit_price}\n  e_mean: {average: data.unit_price}\n  \
                      f_prices: {distinct: data.unit_price, within: partition}\n  g_sketch: {distinct: data.unit_price}\n  \
                      h_p95: {quantile: data.unit_price, at: 0.95}\n";

/// Sessions by customer, start and end.
type SessionTotals = BTreeMap<(String, i64, i64), Totals>;

/// The rule in its plainest form: sort, and cut where it is silent for a gap.
fn plain_sessions(sales: &[Sale], metrics: &Metrics) -> SessionTotals {
    let metric = metrics.get("visits").expect("is defined");
    let mut sessions = SessionTotals::new();
    for customer in 0..=u8::MAX {
        let mut own: Vec<&Sale> = sales.iter().filter(|sale| sale.customer == customer).collect();
        own.sort_by_key(|sale| sale.seconds);
        for session in own.chunk_by(|a, b| b.seconds - a.seconds < GAP) {
            let (first, last) = (session[0], session[session.len() - 1]);
            let mut cell = Cell::new(CellKey::new(metric, at(0), &[]), None, metric);
            for sale in session {
                let parsed = batch(1, std::slice::from_ref(*sale));
                for row in parse(&parsed, metrics).events.iter().flat_map(|event| &event.rows) {
                    cell.add(&row.contribution, 1, None);
                }
            }
            let key = (format!("c{customer}"), first.seconds * 1000, (last.seconds + GAP) * 1000);
            sessions.insert(key, cell.totals());
        }
    }
    sessions
}

fn visits() -> impl Strategy<Value = Vec<Sale>> {
    let sale = (0i64..1500, 0u8..3, 1i64..500).prop_map(|(seconds, customer, cents)| Sale {
        source: 0,
        seconds,
        customer,
        cents,
        duplicate: false,
    });
    prop::collection::vec(sale, 0..50)
}

proptest! {
    #[test]
    fn sessions_are_the_same_in_any_order(
        (sorted, shuffled) in visits().prop_flat_map(|sales| (Just(sales.clone()), Just(sales).prop_shuffle())),
        cuts in prop::collection::vec(1usize..9, 1..9),
        kept_every in 1u64..4,
    ) {
        let metrics = testing::metrics(VISITS);
        let mut state = state(Windows { allowed_lateness_seconds: u32::MAX, ..windows() });
        // What a reader knows: the newest word on each start.
        let mut published: BTreeMap<(String, i64), Option<(i64, Totals)>> = BTreeMap::new();
        let (mut rest, mut seq) = (&shuffled[..], 0);
        for cut in cuts.iter().cycle() {
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            rest = tail;
            seq += 1;
            apply(&mut state, &batch(seq, head), &metrics);
            if seq % kept_every == 0 || rest.is_empty() {
                for cell in kept(&mut state).updates().into_iter().flat_map(|update| update.cells) {
                    let key = (cell.group.dimension("customer").expect("is one").to_owned(), cell.start.millis());
                    prop_assert!(published.get(&key) != Some(&None), "what was taken back never comes again");
                    published.insert(key, (!cell.retracted).then(|| (cell.end.millis(), cell.totals.clone())));
                }
            }
            if rest.is_empty() { break; }
        }
        let expected = plain_sessions(&sorted, &metrics);
        let read = published.into_iter().filter_map(|((customer, start), live)| {
            live.map(|(end, totals)| ((customer, start, end), totals))
        });
        prop_assert_eq!(read.collect::<SessionTotals>(), expected.clone());
        prop_assert_eq!(state.cells.len(), expected.len());
        prop_assert!(state.gone.is_empty());
    }
}

/// A line whose price is as it is written here.
fn priced(seconds: i64, price: &str) -> Vec<u8> {
    let plain = String::from_utf8(line(&sale(0, seconds))).expect("is text");
    plain.replace(r#""unit_price":1.00"#, &format!(r#""unit_price":{price}"#)).into_bytes()
}

#[test]
fn what_a_measure_cannot_take_is_counted_beside_it_and_joins_with_its_session() {
    let metrics = testing::metrics(VISITS);
    let mut state = state(windows());
    // Two sessions, which the last line joins.
    let lines = [priced(0, "\"free\""), priced(0, "0.0000000000005"), priced(100, "null"), priced(50, "2")];
    for (seq, text) in (1..).zip(lines) {
        let batch = EnrichedBatch { count: 1, lines: text.into(), ..batch(seq, &[]) };
        assert_eq!(apply(&mut state, &batch, &metrics).counted, 1);
    }
    let cells: Vec<_> = kept(&mut state).updates().into_iter().flat_map(|update| update.cells).collect();
    let [cell] = &cells.iter().filter(|cell| !cell.retracted).collect::<Vec<_>>()[..] else { panic!("{cells:?}") };
    let gaps: Vec<_> = cell.totals.0.iter().map(|total| (total.unread, total.rounded)).collect();
    // Measures: lines, sum, min, max, mean, prices, sketch, p95. A text is a distinct value.
    assert_eq!(gaps, [(0, 0), (2, 1), (2, 1), (2, 1), (2, 1), (1, 0), (1, 0), (2, 1)]);
    assert_eq!(cell.totals.0[1].measure, Measure::Sum(Amount::from_int(2)));
}

/// An order with a line that cannot be read is worth the others, by line and by order,
/// and both say that something is missing.
#[test]
fn an_order_of_which_a_line_cannot_be_read_is_the_same_in_both_metrics() {
    let metrics = metrics();
    let mut state = state(windows());
    let plain = r#"{"id":"o","source":"s","type":"order.placed","time":"2026-01-01T00:00:00Z","data":{}}"#;
    let line = |gross: i64, unread| LineFacts { gross: Amount::from_int(gross), unread, ..LineFacts::default() };
    let enrichment = Enrichment {
        region: "Europe".into(),
        order: Some(OrderFacts { id: "o".into(), ..OrderFacts::default() }),
        lines: vec![line(7, false), line(5, false), line(0, true)],
        ..Enrichment::default()
    };
    let mut lines = Vec::new();
    splice_enrichment(plain.as_bytes(), &enrichment, &mut lines).expect("splices");
    let batch = EnrichedBatch { count: 1, lines: lines.into(), ..batch(1, &[]) };
    assert_eq!(apply(&mut state, &batch, &metrics).counted, 1);
    let cells: Vec<_> = kept(&mut state).updates().into_iter().flat_map(|update| update.cells).collect();
    for name in ["sales_metrics", "order_metrics"] {
        let metric = metrics.iter().find(|metric| metric.name == name).expect("is built in");
        let place = metric.measures.keys().position(|measure| measure == "net").expect("is there");
        let net = |cell: &CellUpdate| (cell.totals.0[place].measure.clone(), cell.totals.0[place].unread);
        let of_metric: Vec<_> = cells.iter().filter(|cell| cell.metric() == name).map(net).collect();
        let mut total = MeasureTotal::from(metric.measures["net"].kind.nothing());
        total.add_money(ReadAmount { amount: Amount::from_int(12), rounded: false }, None);
        assert_eq!(of_metric, [(total.measure, 1)], "{name}");
    }
}

fn sale(source: u8, seconds: i64) -> Sale {
    Sale { source, seconds, customer: 1, cents: 100, duplicate: false }
}

#[test]
fn a_far_future_event_is_counted_and_makes_no_other_late() {
    let metrics = metrics();
    let mut state = state(windows());
    let year_2100 = 4_102_444_800;
    let applied = apply(&mut state, &batch(1, &[sale(0, 500), sale(0, year_2100), sale(0, 400)]), &metrics);
    assert_eq!(applied, EventOutcomes { counted: 3, ..EventOutcomes::default() });
}

#[test]
fn an_import_of_old_orders_beside_live_traffic_makes_neither_late() {
    let metrics = metrics();
    let mut state = state(windows());
    let mixed: Vec<Sale> = (0..50).flat_map(|n| [sale(0, 900_000_000 + n), sale(1, 1_000 + n)]).collect();
    assert_eq!(apply(&mut state, &batch(1, &mixed), &metrics).late, 0);
}

#[test]
fn a_late_event_is_kept_aside_as_it_came() {
    let metrics = testing::metrics(VISITS);
    let mut state = state(windows());
    let late = sale(0, 10);
    apply(&mut state, &batch(1, &[sale(0, 100_000), late.clone(), sale(0, 100_001)]), &metrics);
    let changes = kept(&mut state);
    assert_eq!(changes.late.len(), 1);
    assert_eq!((changes.late[0].raw_seq, changes.late[0].count), (1, 1));
    assert_eq!(&changes.late[0].lines[..], line(&late));
    assert_eq!(state.cells.len(), 1);
    assert!(kept(&mut state).late.is_empty(), "it is said once");
}

#[test]
fn memory_has_a_bound_and_what_is_not_kept_yet_stays() {
    let metrics = metrics();
    let bounds = Windows { max_cells_in_memory: 10, allowed_lateness_seconds: u32::MAX, ..windows() };
    let mut state = state(bounds);
    for seq in 1..40 {
        apply(&mut state, &batch(seq, &[sale(0, seq as i64 * 86_400)]), &metrics);
        if seq < 30 {
            kept(&mut state);
        }
    }
    state.committed(29);
    assert_eq!(state.cells.len(), 10, "what is in no checkpoint cannot be left to the store");
    kept(&mut state);
    state.committed(39);
    assert!(state.cells.len() <= 10);
    assert!(state.cells.values().any(|cell| cell.raw_seq == 39), "the newest stays");
}

#[test]
fn distinct_values_have_a_bound_too() {
    let metrics = metrics();
    let bounds = Windows { max_values_in_memory: 100, allowed_lateness_seconds: u32::MAX, ..windows() };
    let mut state = state(bounds);
    for day in 0..20 {
        let many: Vec<Sale> = (0..30).map(|customer| Sale { customer, ..sale(0, day * 86_400) }).collect();
        apply(&mut state, &batch(day as u64 + 1, &many), &metrics);
        kept(&mut state);
    }
    assert!(state.size().values <= 100, "{:?}", state.size());
    assert!(state.size().bytes() > 60 * 32);
}

#[test]
fn the_sessions_of_a_group_go_together() {
    let metrics = testing::metrics(VISITS);
    let bounds = Windows { max_cells_in_memory: 10, allowed_lateness_seconds: u32::MAX, ..windows() };
    let mut state = state(bounds);
    for seq in 1..20_u8 {
        let visit = |seconds| Sale { customer: seq, ..sale(0, seconds) };
        apply(&mut state, &batch(seq.into(), &[visit(0), visit(1000)]), &metrics);
        kept(&mut state);
    }
    assert!(state.cells.len() <= 10);
    for cell in state.cells.values() {
        let group = cell.group.expect("a session");
        assert_eq!(state.sessions.cells(&group).count(), 2, "a group is known as a whole, or not at all");
    }
}
