use proptest::{collection::vec, prelude::*};
use tidemill_domain::{Amount, BaseAmount, Currency};
use tidemill_totals::{Measure, MeasureTotal, Totals, Value};

use super::*;
use crate::rules::Rules;

const MINUTE: i64 = 60_000;
const PARTITIONS: usize = 3;
const WINDOWS: usize = 14;

fn window(index: usize) -> Timestamp {
    Timestamp::saturating_from_millis(1_800_000_000_000).floor_to(MINUTE).plus_millis(index as i64 * MINUTE)
}

fn metrics() -> Metrics {
    Metrics::load(None).expect("the defaults load")
}

fn spike(thresholds: &str) -> MetricRules {
    let metrics = metrics();
    let mut rules = Rules::default();
    let text = include_str!("../../../rules/revenue_spike.yaml").replace("thresholds: {}", thresholds);
    rules.add("rule.yaml", &text, &metrics).expect("the rule is right");
    MetricRules::new(rules.metric, &metrics, &Saved::default(), Arc::default())
}

fn cell(start: Timestamp, category: &str, region: &str, revenue: i64) -> CellUpdate {
    let mut money = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    let read = Amount::read(&revenue.to_string()).expect("a number");
    money.add_money(read, Some(BaseAmount { base: Currency::EUR, converted: None }));
    in_currency(start, category, region, "EUR", money)
}

/// A cell of one currency, with its revenue.
fn in_currency(start: Timestamp, category: &str, region: &str, currency: &str, revenue: MeasureTotal) -> CellUpdate {
    let sales = metrics();
    let totals = sales.get("sales_metrics").expect("is there").totals([
        ("customers", Measure::DistinctKeyed(1).into()),
        ("orders", Measure::DistinctKeyed(1).into()),
        ("quantity", Measure::Sum(Amount::from_int(1)).into()),
        ("revenue", revenue),
    ]);
    CellUpdate {
        retracted: false,
        group: sales.get("sales_metrics").expect("is there").cell_group([category, currency, region]),
        start,
        end: start.plus_millis(MINUTE),
        totals,
        exemplar: None,
    }
}

fn update(partition: usize, raw_seq: u64, watermark: Timestamp, cells: Vec<CellUpdate>) -> MetricsUpdate {
    MetricsUpdate {
        partition: Partition::new(partition as u16),
        raw_seq,
        raw_prev: 0,
        part: 0,
        as_of: window(WINDOWS),
        watermark: Some(watermark),
        idle: false,
        cells,
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: None,
    }
}

fn ids(alerts: &[FiredAlert]) -> Vec<(Timestamp, String)> {
    alerts.iter().map(|alert| (alert.firing.event_time, alert.firing.dimensions["category"].clone())).collect()
}

#[test]
fn a_threshold_needs_no_history_and_adds_regions_and_partitions_up() {
    let mut rules = spike("thresholds: {books: 100.0, \"*\": 1000.0}");
    let start = window(0);
    let quiet = rules.apply(&[update(0, 1, start, vec![cell(start, "books", "Europe", 150)])], start);
    assert!(quiet.alerts.is_empty());
    let more = [
        update(1, 2, start, vec![cell(start, "books", "Asia", 51)]),
        update(1, 3, start, vec![cell(start, "games", "Asia", 1999)]),
    ];
    let changes = rules.apply(&more, start);
    assert_eq!(ids(&changes.alerts), [(start, "books".into())]);
    let firing = &changes.alerts[0].firing;
    assert_eq!(firing.title, "Revenue spike in books");
    assert!(firing.summary.contains("201.00") && firing.summary.contains("Baseline: none"), "{}", firing.summary);
    let again = rules.apply(&[update(1, 4, start, vec![cell(start, "books", "Asia", 500)])], start);
    assert!(again.alerts.is_empty(), "once per window");
}

#[test]
fn a_rule_sees_the_rows_that_a_measure_lacks() {
    let metrics = metrics();
    let mut rules = Rules::default();
    let text = include_str!("../../../rules/revenue_spike.yaml");
    let (head, rest) = text.split_once("condition:").expect("has a condition");
    let (_, tail) = rest.split_once("max_age:").expect("and a greatest age behind it");
    let text = format!("{head}condition: unread.revenue > 1 || unconverted.revenue > 1\nmax_age:{tail}");
    rules.add("rule.yaml", &text, &metrics).expect("the rule is right");
    let mut rules = MetricRules::new(rules.metric, &metrics, &Saved::default(), Arc::default());
    let start = window(0);
    let revenue =
        metrics.get("sales_metrics").and_then(|sales| sales.measures.keys().position(|name| name == "revenue"));
    let revenue = revenue.expect("is there");
    let lacking = |unread| {
        let mut cell = cell(start, "books", "Europe", 1);
        cell.totals.0[revenue].unread = unread;
        cell
    };
    assert!(rules.apply(&[update(0, 1, start, vec![lacking(1)])], start).alerts.is_empty());
    // Another partition lacks one too.
    assert_eq!(rules.apply(&[update(1, 2, start, vec![lacking(1)])], start).alerts.len(), 1);
}

#[test]
fn a_baseline_waits_for_the_windows_before_it_and_for_enough_of_them() {
    let mut rules = spike("thresholds: {}");
    let now = window(WINDOWS);
    for index in 0..5 {
        let cells = [("books", 300), ("cards", 30)].map(|(name, revenue)| cell(window(index), name, "Europe", revenue));
        assert!(rules.apply(&[update(0, index as u64 + 1, window(index), cells.into())], now).alerts.is_empty());
    }
    let cells = [("books", 601), ("cards", 499)].map(|(name, revenue)| cell(window(5), name, "Europe", revenue));
    let early = update(0, 6, window(4), cells.into());
    assert!(rules.apply(&[early], now).alerts.is_empty(), "the window before may still grow");
    let passed = update(0, 7, window(5), Vec::new());
    let fired = ids(&rules.apply(&[passed], now).alerts);
    assert_eq!(fired, [(window(5), "books".into())], "and cards are too few to wake anybody for");
}

#[test]
fn a_cell_that_was_taken_back_counts_as_nothing_and_stays_so() {
    let metrics = metrics();
    let mut rules = spike("thresholds: {\"*\": 100.0}");
    let (start, now) = (window(0), window(WINDOWS));
    let books = |revenue| cell(start, "books", "Europe", revenue);
    let first = rules.apply(&[update(0, 1, start, vec![books(150)])], now);
    assert!(first.alerts.is_empty());
    let mut back = books(0);
    (back.totals, back.retracted) = (back.totals.nothing(), true);
    let retraction = rules.apply(&[update(0, 3, start, vec![back])], now);
    let mut saved = Saved::default();
    saved.cells.extend(retraction.cells.clone());
    saved.progress.extend(retraction.progress);
    let mut restarted = MetricRules::new(rules.rules.clone(), &metrics, &saved, Arc::default());
    for rules in [&mut rules, &mut restarted] {
        let series = &rules.series["sales_metrics"];
        assert_eq!(series.totals(&rules.rules[0], start, &["books".into()]), None, "as if it were not there");
        let old = rules.apply(&[update(0, 2, start, vec![books(1000)])], now);
        assert!(old.alerts.is_empty(), "an older word does not bring it back");
        let other = rules.apply(&[update(1, 4, start, vec![books(150)])], now);
        assert!(other.alerts.is_empty(), "150 of another partition, and not 300");
    }
}

#[test]
fn sessions_start_anywhere_and_are_no_baseline() {
    let text = "name: visits\ntypes: [product.viewed]\nwindow: {session: {gap: 30m}}\n\
         dimensions: {visitor: subject}\nmeasures: {views: {count: rows}}\n";
    let folder = tidemill_testkit::tempdir();
    std::fs::write(folder.path().join("visits.yaml"), text).expect("written");
    let metrics = Metrics::load(Some(folder.path())).expect("the metric is right");
    let rule = "rule: LONG_VISIT\nseverity: info\ntitle: \"{visitor}\"\nsummary: \"until {window_end}\"\n\
         on: metric\nmetric: visits\ngroup_by: [visitor]\ncondition: views > 2.0\n";
    let refused =
        Rules::default().add("rule.yaml", &format!("{rule}baseline: {{windows: 2, min_windows: 1}}\n"), &metrics);
    assert!(refused.expect_err("no baseline").to_string().contains("sessions"));
    let mut rules = Rules::default();
    rules.add("rule.yaml", rule, &metrics).expect("the rule is right");
    let mut rules = MetricRules::new(rules.metric, &metrics, &Saved::default(), Arc::default());
    let group = metrics.get("visits").expect("is there").cell_group(["v1"]);
    let mut apply = |raw_seq: u64, start: Timestamp, end: Timestamp, views: u64| {
        let visit =
            CellUpdate { group: group.clone(), totals: Totals::of([Measure::Count(views)]), ..cell(start, "", "", 0) };
        rules.apply(&[update(0, raw_seq, start, vec![CellUpdate { end, ..visit }])], window(WINDOWS)).alerts
    };
    // More sessions than windows of a grid are kept, and all of them alive.
    for n in 0..100 {
        let start = window(0).plus_millis(n * 7);
        assert!(apply(n.unsigned_abs() + 1, start, start.plus_millis(30 * MINUTE), 1).is_empty());
    }
    let end = window(45);
    let fired = apply(200, window(0), end, 3);
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].firing.summary, format!("until {end}"), "a session grows");
}

#[test]
fn a_partition_that_stays_behind_cannot_hold_an_alert_back_for_long() {
    let mut rules = spike("thresholds: {}");
    let now = window(WINDOWS);
    let behind = update(1, 1, window(0), Vec::new());
    rules.apply(&[behind], now);
    for index in 0..6 {
        let revenue = if index == 5 { 501 } else { 100 };
        let step = update(0, index + 2, window(9), vec![cell(window(index as usize), "books", "Europe", revenue)]);
        assert!(rules.apply(&[step], now).alerts.is_empty());
    }
    let mut later = update(0, 9, window(9), Vec::new());
    later.as_of = now.plus_millis(PATIENCE);
    assert_eq!(ids(&rules.apply(&[later], now).alerts), [(window(5), "books".into())]);
}

#[test]
fn history_and_the_far_future_raise_nothing_and_push_nothing_out() {
    let mut rules = spike("thresholds: {\"*\": 1.0}");
    let (day, now) = (24 * 60 * MINUTE, window(WINDOWS));
    let old = cell(now.plus_millis(-day - 2 * MINUTE), "books", "Europe", 100);
    let future = cell(now.plus_millis(day), "books", "Europe", 100);
    let changes = rules.apply(&[update(0, 1, now, vec![old, future.clone()])], now);
    assert!(changes.alerts.is_empty());
    assert!(!changes.cells.keys().any(|key| key.start == future.start));
}

#[test]
fn windows_are_bounded_and_what_is_forgotten_stays_forgotten() {
    let mut rules = spike("thresholds: {}");
    let mut changes = StepChanges::default();
    for index in 0..100 {
        let now = window(index);
        let mut step = update(0, index as u64 + 1, now, vec![cell(now, "books", "Europe", 1)]);
        step.as_of = now;
        changes = rules.apply(&[step], now);
    }
    let series = &rules.series["sales_metrics"];
    assert_eq!(series.windows.len(), series.keep);
    let oldest = *series.windows.first_key_value().expect("windows").0;
    assert_eq!(changes.forget_cells.values().copied().collect::<Vec<_>>(), [oldest]);
    let late = update(0, 200, window(99), vec![cell(window(0), "books", "Europe", 5)]);
    assert!(rules.apply(&[late], window(99)).cells.is_empty());
}

#[test]
fn a_restart_keeps_baselines_and_repeats_no_id() {
    let metrics = metrics();
    let mut rules = spike("thresholds: {}");
    let mut saved = Saved::default();
    let now = window(WINDOWS);
    for index in 0..5 {
        let step = update(0, index as u64 + 1, window(5), vec![cell(window(index), "books", "Europe", 100)]);
        let changes = rules.apply(&[step], now);
        saved.cells.extend(changes.cells);
        saved.progress.extend(changes.progress);
    }
    let spike = update(0, 9, window(5), vec![cell(window(5), "books", "Europe", 500)]);
    let mut restarted = MetricRules::new(rules.rules.clone(), &metrics, &saved, Arc::default());
    let first = rules.apply(std::slice::from_ref(&spike), now);
    let second = restarted.apply(&[spike], now);
    assert_eq!(first.alerts.len(), 1);
    assert_eq!(first.alerts[0].firing.id, second.alerts[0].firing.id);
}

/// What each partition says, in its own order: revenue by window grows in
/// steps, then the watermark passes the window.
fn history(revenues: &[[[i64; 2]; WINDOWS]; PARTITIONS]) -> Vec<Vec<MetricsUpdate>> {
    (0..PARTITIONS)
        .map(|partition| {
            let mut updates = vec![update(partition, 1, window(0), Vec::new())];
            for (index, by_category) in revenues[partition].iter().enumerate() {
                for part in 1..=2 {
                    let cells = ["books", "games"].iter().zip(by_category);
                    let cells =
                        cells.map(|(category, revenue)| cell(window(index), category, "Europe", revenue * part / 2));
                    let raw_seq = updates.len() as u64 * 10 + partition as u64;
                    updates.push(update(partition, raw_seq, window(index), cells.collect()));
                }
            }
            let mut idle = update(partition, updates.len() as u64 * 10 + 9, window(WINDOWS), Vec::new());
            idle.idle = true;
            updates.push(idle);
            updates
        })
        .collect()
}

/// What must have fired in the end, computed from the sums alone.
fn expected(revenues: &[[[i64; 2]; WINDOWS]; PARTITIONS]) -> BTreeSet<(Timestamp, String)> {
    let sum = |index: usize, category: usize| revenues.iter().map(|p| p[index][category]).sum::<i64>() as f64;
    let mut fired = BTreeSet::new();
    for index in 5..WINDOWS {
        for (category, name) in ["books", "games"].iter().enumerate() {
            let before = index.saturating_sub(10)..index;
            let mean = before.clone().map(|i| sum(i, category)).sum::<f64>() / before.len() as f64;
            if sum(index, category) > 2.0 * mean && sum(index, category) >= 500.0 {
                fired.insert((window(index), (*name).to_owned()));
            }
        }
    }
    fired
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_fires_does_not_depend_on_the_order_in_which_partitions_report(
        revenues in proptest::array::uniform3(proptest::array::uniform14(proptest::array::uniform2(1i64..400))),
        picks in vec((0usize..PARTITIONS, 1usize..6), 400),
    ) {
        let mut queues: Vec<_> = history(&revenues).into_iter().map(std::collections::VecDeque::from).collect();
        let mut rules = spike("thresholds: {}");
        let now = window(WINDOWS);
        let mut fired = Vec::new();
        // Each partition is heard of once before windows begin to close.
        let first: Vec<_> = queues.iter_mut().filter_map(std::collections::VecDeque::pop_front).collect();
        rules.apply(&first, now);
        for (partition, count) in picks {
            let queue = &mut queues[partition];
            let chunk: Vec<_> = queue.drain(..count.min(queue.len())).collect();
            fired.extend(ids(&rules.apply(&chunk, now).alerts));
            // A repeat, as after a consumer was opened anew.
            fired.extend(ids(&rules.apply(&chunk, now).alerts));
        }
        prop_assert!(queues.iter().all(std::collections::VecDeque::is_empty));
        let unique: BTreeSet<_> = fired.iter().cloned().collect();
        prop_assert_eq!(unique.len(), fired.len(), "each fires once");
        prop_assert_eq!(unique, expected(&revenues));
    }
}

#[test]
fn money_is_compared_in_the_base_currency_over_all_currencies() {
    let start = window(0);
    let yen = |amount: &str, converted: Option<&str>| {
        let read = |text: &str| Amount::read(text).expect(text);
        let mut total = MeasureTotal::from(Measure::Sum(Amount::ZERO));
        let base = converted.map(|converted| BaseAmount { base: Currency::EUR, converted: Some(read(converted)) });
        total.add_money(read(amount), base);
        in_currency(start, "books", "Asia", "JPY", total)
    };
    let thresholds = "thresholds: {\"*\": 50.0}";
    let mut rules = spike(thresholds);
    let cells = vec![cell(start, "books", "Europe", 20), yen("15000", None)];
    assert!(rules.apply(&[update(0, 1, start, cells)], start).alerts.is_empty(), "20 euros are all that is known");
    let mut rules = spike(thresholds);
    let cells = vec![cell(start, "books", "Europe", 20), yen("15000", Some("93"))];
    let changes = rules.apply(&[update(0, 1, start, cells)], start);
    let firing = &changes.alerts[0].firing;
    assert_eq!(firing.values["revenue"], Value::Amount(Amount::from_int(113)));
    assert!(firing.summary.contains("took in 113.00 EUR with"), "{}", firing.summary);
}
