//! A year of orders, and how much it takes. A larger one is measured with
//! `TIDEMILL_YEAR_OF_ORDERS=365000 cargo test -p tidemill-reporting a_year -- --nocapture`.

use std::time::Instant;

use tidemill_definitions::Metrics;
use tidemill_domain::Amount;
use tidemill_totals::{Distinct, Measure};

use super::*;
use crate::query::{Grouping, Question, QuestionView, add_up};

const YEAR: i64 = 365 * DAY;
const CATEGORIES: u64 = 200;
const PARTITIONS: u64 = 4;

/// A cell of `sales_metrics` with an order of one line.
fn line(definition: &MetricDefinition, order: u64, start: i64, line: u64) -> CellUpdate {
    // Popular categories, and others: the square of what is spread evenly.
    let spread = (order * 7919 + line * 104_729) % 1_000_003;
    let category = spread * spread / 1_000_003 * CATEGORIES / 1_000_003;
    let category = format!("Category {category}");
    let price = Amount::from_int(5 + (order % 90).cast_signed());
    let mut customers = Distinct::default();
    customers.insert(&format!("customer-{}", order % 9000));
    CellUpdate {
        retracted: false,
        group: definition.cell_group([&category, "EUR", ["Asia", "Europe"][(order % 2) as usize]]),
        start: at(start),
        end: at(start + 60_000),
        totals: definition.totals([
            ("gross", Measure::Sum(price)),
            ("net", Measure::Sum(price)),
            ("revenue", Measure::Sum(price)),
            ("quantity", Measure::Sum(Amount::from_int(1))),
            ("orders", Measure::DistinctKeyed(1)),
            ("customers", Measure::DistinctSketch(customers)),
        ]),
        exemplar: None,
    }
}

/// Orders of two lines, spread over a year; a fold for each thousand.
async fn fill(store: &Store, orders: u64) {
    let metrics = Metrics::load(None).expect("the defaults");
    let definition = metrics.get("sales_metrics").expect("it");
    let like = MetricsUpdate { books: Vec::new(), ..update(0, 1) };
    for block in 0..orders.div_ceil(1000) {
        let of_order = |order: u64| {
            let minute = (order.cast_signed() * (YEAR / 60_000) / orders.cast_signed()) * 60_000;
            let cells = vec![line(definition, order, minute, 0), line(definition, order, minute, 1)];
            let partition = Partition::new(u16::try_from(order % PARTITIONS).expect("small"));
            MetricsUpdate { partition, raw_seq: order + 1, cells, ..like.clone() }
        };
        let updates: Vec<_> = (block * 1000..orders.min((block + 1) * 1000)).map(of_order).collect();
        fold(store, &updates).await;
    }
}

fn sold() -> Metric {
    Metrics::load(None).expect("the defaults").get("sales_metrics").expect("it").into()
}

/// Cells read, points, and seconds, for "this year by day by category".
async fn ask(store: &Store, shop: Zone, zone: &str) -> (usize, usize, f64) {
    let metric = sold();
    let pairs = [("resolution", "day"), ("group_by", "category"), ("zone", zone)];
    let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let question = Question::parse(&metric, QuestionView::Series, Zone::UTC, &pairs).expect("right");
    let rollup = question.rollups(&metric, QuestionView::Series, None)[0];
    let mut grouping = Grouping::new(&metric, &question, rollup, usize::MAX, usize::MAX);
    let begun = Instant::now();
    add_up(store, &metric, shop, (at(i64::MIN), at(i64::MAX)), rollup, &mut grouping).await.expect("adds up");
    let seconds = begun.elapsed().as_secs_f64();
    let cells = grouping.cells();
    let points = grouping.finish().iter().map(|group| group.sums.len()).sum();
    (cells, points, seconds)
}

/// Roll-ups tell what cells tell, by reading no more of them.
#[tokio::test]
async fn a_year_is_told_from_roll_ups_as_from_cells() {
    let berlin: Zone = "Europe/Berlin".parse().expect("a zone");
    let orders = std::env::var("TIDEMILL_YEAR_OF_ORDERS").ok().map(|orders| orders.parse().expect("a number"));
    let orders: u64 = orders.unwrap_or(1_000);
    let (store, folder) = crate::store::testing::sqlite().await;
    store.save_definitions([&sold()].into_iter()).await.expect("saves");
    let begun = Instant::now();
    fill(&store, orders).await;
    println!("{orders} orders folded in {:.1} s", begun.elapsed().as_secs_f64());
    let size = || std::fs::metadata(folder.path().join("reporting.db")).map_or(0, |file| file.len() / 1_000_000);
    let cells = rows(&store, "cells").await;
    println!("  {cells} cells, {} MB", size());
    let zones = ["Europe/Berlin", "UTC", "Asia/Kolkata"];
    let mut before = Vec::new();
    for zone in zones {
        before.push(ask(&store, berlin, zone).await);
    }
    println!("  before: {:?}", before[0]);
    let begun = Instant::now();
    store.begin_rollups(berlin).await.expect("begins");
    let (mut now, mut steps, mut longest) = (at(YEAR), 0, 0.0_f64);
    loop {
        let step = Instant::now();
        let made = store.make_rollups(berlin, now).await.expect("makes");
        let marked = store.extend_rollups(berlin, now).await.expect("marks");
        longest = longest.max(step.elapsed().as_secs_f64());
        steps += 1;
        if made == 0 && marked.is_none() {
            if store.rollups_waiting().await.expect("counts") == 0 {
                break;
            }
            now = now.plus_millis(HOUR);
        }
    }
    println!(
        "  rolled up in {:.1} s, {steps} steps, the longest {longest:.2} s; {} MB",
        begun.elapsed().as_secs_f64(),
        size()
    );
    for (zone, (cells, points, _)) in zones.into_iter().zip(before) {
        let after = ask(&store, berlin, zone).await;
        println!("  after, days of {zone}: {after:?}");
        assert!(after.0 <= cells && after.1 == points, "{zone}: {after:?}, of cells {cells} and {points}");
    }
}
