//! The rules in their plainest form, over a prefix of the log.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_domain::Amount;
use tidemill_events::EnrichedBatch;
use tidemill_totals::{Measure, Totals};

use super::case::{DAY, GAP, Kind, LATENESS, OUT_OF_ORDER, Placed, SIZE, SOURCES, STEP, Sale};
use crate::fold::books::EventOutcomes;

/// A cell as readers know it: metric, customer and start.
pub(super) type Key = (String, String, i64);
/// Its end and totals.
pub(super) type Known = BTreeMap<Key, (i64, Totals)>;

/// The rules in their plainest form, over a prefix of the log.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Truth {
    pub(super) cells: Known,
    pub(super) books: BTreeMap<(String, i64), EventOutcomes>,
    pub(super) late: BTreeMap<u64, u32>,
    pub(super) letters: usize,
}

fn totals(values: BTreeSet<u8>, prices: &[u8]) -> Totals {
    let sum = prices.iter().map(|price| i64::from(*price)).sum();
    Totals::of([
        Measure::DistinctKeyed(values.len() as u64),
        Measure::Count(prices.len() as u64),
        Measure::Sum(Amount::from_int(sum)),
    ])
}

impl Truth {
    pub(super) fn of(batches: &[EnrichedBatch], events: &[Vec<Placed>], retention: bool) -> Self {
        let (mut truth, counted) = outcomes(batches, events, retention);
        truth.cells = windows(&counted).chain(sessions(&counted)).collect();
        truth
    }
}

/// Books, late events and dead letters, and the sales that are counted.
fn outcomes(batches: &[EnrichedBatch], events: &[Vec<Placed>], retention: bool) -> (Truth, Vec<(Sale, i64)>) {
    let (mut truth, mut counted) = (Truth::default(), Vec::new());
    // Source and newest event, the one met least recently first.
    let mut clocks: Vec<(u8, i64)> = Vec::new();
    let mut furthest: Option<i64> = None;
    // Events that were late, and came not again as history.
    let mut left_out: BTreeSet<usize> = BTreeSet::new();
    for (batch, events) in batches.iter().zip(events) {
        let before = left_out.clone();
        let log_time = batch.ingested_at.millis() / 1000;
        for Placed { sale, time, id } in events {
            if sale.kind == Kind::NotAnEvent {
                truth.letters += 1;
                continue;
            }
            let hour = log_time.div_euclid(3600) * 3600;
            let books = truth.books.entry((format!("s{}", sale.source), hour)).or_default();
            let is_left_out = before.contains(id) && left_out.contains(id);
            if matches!(sale.kind, Kind::Duplicate | Kind::Repeated) || (sale.kind == Kind::Again && !is_left_out) {
                books.duplicate += 1;
                books.repeated += u64::from(sale.kind == Kind::Repeated);
                continue;
            }
            let newest = clocks.iter().find(|(source, _)| *source == sale.source).map(|(_, newest)| *newest);
            let is_backfill = matches!(sale.kind, Kind::Backfill | Kind::Again);
            let is_late = (!is_backfill && newest.is_some_and(|newest| time + LATENESS < newest - OUT_OF_ORDER))
                || (retention && furthest.is_some_and(|furthest| *time < furthest - DAY));
            if is_late {
                books.late += 1;
                left_out.insert(*id);
                *truth.late.entry(batch.raw_seq).or_default() += 1;
            } else {
                books.counted += 1;
                left_out.remove(id);
                counted.push((*sale, *time));
            }
            if *time <= log_time + 300 && !is_backfill {
                furthest = furthest.max(Some(*time));
                clocks.retain(|(source, _)| *source != sale.source);
                clocks.push((sale.source, newest.map_or(*time, |newest| newest.max(*time))));
                clocks.drain(..clocks.len().saturating_sub(SOURCES));
            }
        }
    }
    (truth, counted)
}

fn windows(counted: &[(Sale, i64)]) -> impl Iterator<Item = (Key, (i64, Totals))> {
    let starts: BTreeSet<i64> = counted
        .iter()
        .flat_map(|(_, time)| {
            let last = time.div_euclid(STEP) * STEP;
            [last, last - STEP]
        })
        .collect();
    starts.into_iter().map(|start| {
        let inside: Vec<Sale> =
            counted.iter().filter(|(_, time)| (start..start + SIZE).contains(time)).map(|(sale, _)| *sale).collect();
        let customers = inside.iter().map(|sale| sale.customer).collect();
        let prices: Vec<u8> = inside.iter().map(|sale| sale.price).collect();
        (("minutes".into(), String::new(), start), (start + SIZE, totals(customers, &prices)))
    })
}

fn sessions(counted: &[(Sale, i64)]) -> impl Iterator<Item = (Key, (i64, Totals))> {
    (0..3).flat_map(|customer| {
        let mut own: Vec<(i64, u8)> = counted
            .iter()
            .filter(|(sale, _)| sale.customer == customer)
            .map(|(sale, time)| (*time, sale.price))
            .collect();
        own.sort_unstable();
        let session = |session: &[(i64, u8)]| {
            let prices: Vec<u8> = session.iter().map(|(_, price)| *price).collect();
            let totals = totals(prices.iter().copied().collect(), &prices);
            let end = session[session.len() - 1].0 + GAP;
            (("visits".into(), format!("c{customer}"), session[0].0), (end, totals))
        };
        own.chunk_by(|a, b| b.0 - a.0 < GAP).map(session).collect::<Vec<_>>()
    })
}
