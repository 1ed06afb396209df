//! The rows that are right, worked out of the events in the plainest way.

use std::collections::BTreeMap;

use nexmark::event::Bid;
use tidemill_domain::Amount;

use super::{
    Figure, NexmarkRow,
    events::{NexmarkEvents, millis},
    query::NexmarkQuery,
};

const WINDOW: i64 = 10_000;
const STEP: i64 = 2_000;
const GAP: i64 = 10_000;

/// Bids, and the sum of their prices.
type BidSums = BTreeMap<(i64, Vec<String>), (u64, u64)>;

/// All rows of a query, in order.
pub fn true_rows(query: NexmarkQuery, events: &NexmarkEvents) -> Vec<NexmarkRow> {
    let mut rows = match query {
        NexmarkQuery::Q1 => currency_conversion(events),
        NexmarkQuery::Q2 => selection(events),
        NexmarkQuery::Q5 => hot_items(events),
        NexmarkQuery::Q7 => highest_bid(events),
        NexmarkQuery::Q11 => user_sessions(events),
        NexmarkQuery::Q13 => side_input(events),
    };
    rows.sort();
    rows
}

fn window(bid: &Bid) -> i64 {
    let time = millis(bid.date_time);
    time - time.rem_euclid(WINDOW)
}

fn row(start: i64, end: i64, dimensions: &[(&str, String)], values: &[(&str, Figure)]) -> NexmarkRow {
    let named = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    NexmarkRow { start, end, dimensions: dimensions.iter().map(named).collect(), values: values.collect() }
}

/// So many thousandths.
fn thousandths(number: u64) -> Figure {
    let text = format!("{}.{:03}", number / 1_000, number % 1_000);
    Figure::Amount(text.parse().unwrap_or(Amount::ZERO))
}

fn whole(number: u64) -> Figure {
    thousandths(number * 1_000)
}

/// Bids and their prices by window and what `of` says of a bid; those of which it says
/// nothing are left out.
fn sums(events: &NexmarkEvents, of: impl Fn(&Bid) -> Option<Vec<String>>) -> BidSums {
    let mut sums = BidSums::new();
    for bid in events.bids() {
        if let Some(values) = of(bid) {
            let sum = sums.entry((window(bid), values)).or_default();
            sum.0 += 1;
            sum.1 += bid.price as u64;
        }
    }
    sums
}

fn rows_of(sums: BidSums, names: &[&str], price: impl Fn(u64) -> Figure) -> Vec<NexmarkRow> {
    let row = |((start, values), (bids, sum)): ((i64, Vec<String>), (u64, u64))| {
        let dimensions: Vec<(&str, String)> = names.iter().copied().zip(values).collect();
        row(start, start + WINDOW, &dimensions, &[("bids", Figure::Count(bids)), ("price", price(sum))])
    };
    sums.into_iter().map(row).collect()
}

/// `SELECT auction, bidder, 0.908 * price FROM bid`, by window.
fn currency_conversion(events: &NexmarkEvents) -> Vec<NexmarkRow> {
    let sums = sums(events, |bid| Some(vec![bid.auction.to_string(), bid.bidder.to_string()]));
    rows_of(sums, &["auction", "bidder"], |cents| thousandths(cents * 908))
}

/// `SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0`, by window.
fn selection(events: &NexmarkEvents) -> Vec<NexmarkRow> {
    let sums = sums(events, |bid| bid.auction.is_multiple_of(123).then(|| vec![bid.auction.to_string()]));
    rows_of(sums, &["auction"], whole)
}

/// The auctions with the most bids of each sliding window.
fn hot_items(events: &NexmarkEvents) -> Vec<NexmarkRow> {
    let mut counts: BTreeMap<i64, BTreeMap<usize, u64>> = BTreeMap::new();
    for bid in events.bids() {
        let time = millis(bid.date_time);
        let mut start = time - time.rem_euclid(STEP);
        while start > time - WINDOW {
            *counts.entry(start).or_default().entry(bid.auction).or_default() += 1;
            start -= STEP;
        }
    }
    let mut rows = Vec::new();
    for (start, of_window) in counts {
        let most = of_window.values().copied().max().unwrap_or_default();
        for (auction, count) in of_window.into_iter().filter(|(_, count)| *count == most) {
            let auction = [("auction", auction.to_string())];
            rows.push(row(start, start + WINDOW, &auction, &[("bids", Figure::Count(count))]));
        }
    }
    rows
}

/// The bids of each window at the highest price in it.
fn highest_bid(events: &NexmarkEvents) -> Vec<NexmarkRow> {
    let mut highest: BTreeMap<i64, usize> = BTreeMap::new();
    for bid in events.bids() {
        let price = highest.entry(window(bid)).or_default();
        *price = bid.price.max(*price);
    }
    let is_highest = |bid: &&Bid| highest.get(&window(bid)) == Some(&bid.price);
    let of_bid = |bid: &Bid| {
        let dimensions = [("auction", bid.auction.to_string()), ("bidder", bid.bidder.to_string())];
        row(window(bid), window(bid) + WINDOW, &dimensions, &[("price", whole(bid.price as u64))])
    };
    let mut rows: Vec<NexmarkRow> = events.bids().filter(is_highest).map(of_bid).collect();
    rows.sort();
    // The same bidder may bid the same twice.
    rows.dedup();
    rows
}

/// Bids of a bidder less than a gap apart.
fn user_sessions(events: &NexmarkEvents) -> Vec<NexmarkRow> {
    let mut times: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    for bid in events.bids() {
        times.entry(bid.bidder).or_default().push(millis(bid.date_time));
    }
    let mut rows = Vec::new();
    for (bidder, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|one, next| next - one < GAP) {
            let (Some(first), Some(last)) = (session.first(), session.last()) else { continue };
            let bids = Figure::Count(session.len() as u64);
            rows.push(row(*first, last + GAP, &[("bidder", bidder.to_string())], &[("bids", bids)]));
        }
    }
    rows
}

/// Bids for auctions that the side input knows, by window.
fn side_input(events: &NexmarkEvents) -> Vec<NexmarkRow> {
    let side = events.side_input();
    let sums = sums(events, |bid| Some(vec![bid.auction.to_string(), side.get(&bid.auction)?.clone()]));
    rows_of(sums, &["auction", "value"], whole)
}
