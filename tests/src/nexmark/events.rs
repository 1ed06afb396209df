//! Events of the crate `nexmark`, and how they are sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use nexmark::{
    EventGenerator,
    config::NexmarkConfig,
    event::{Bid, Event},
};
use serde::Serialize;
use serde_json::json;
use tidemill_domain::Timestamp;

/// 2015-07-15T00:00:00Z, as in Nexmark of Apache Beam.
const BASE_TIME: u64 = 1_436_918_400_000;
/// Keys that Nexmark's side input has.
const SIDE_KEYS: usize = 10_000;
/// The source that they are sent as.
const SOURCE: &str = "nexmark";

/// A log of Nexmark. Each event follows from its number alone, which is its seed.
#[derive(Debug)]
pub struct NexmarkEvents {
    all: Vec<Event>,
}

impl NexmarkEvents {
    /// The first so many events, `rate` in a second of event time.
    pub fn new(count: usize, rate: usize) -> Self {
        let config =
            NexmarkConfig { base_time: BASE_TIME, first_rate: rate, next_rate: rate, ..NexmarkConfig::default() };
        Self { all: EventGenerator::new(config).take(count).collect() }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.all.len() as u64
    }

    /// The bids.
    pub(super) fn bids(&self) -> impl Iterator<Item = &Bid> {
        self.all.iter().filter_map(|event| match event {
            Event::Bid(bid) => Some(bid),
            Event::Person(_) | Event::Auction(_) => None,
        })
    }

    /// The times of the first event and of the last, in milliseconds.
    pub(super) fn span(&self) -> (i64, i64) {
        let times = || self.all.iter().map(|event| millis(event.timestamp()));
        (times().min().unwrap_or_default(), times().max().unwrap_or_default())
    }

    /// The side input: a value for each auction that is bid for, but for some, so that
    /// a bid without one is met too.
    pub(super) fn side_input(&self) -> BTreeMap<usize, String> {
        let auctions = self.bids().map(|bid| bid.auction).filter(|auction| auction % 10 != 3);
        auctions.map(|auction| (auction, format!("side-{}", auction % SIDE_KEYS))).collect()
    }

    /// All as bodies of so many events each, one on a line.
    pub fn bodies(&self, events: usize) -> Vec<Bytes> {
        let lines = |(part, chunk): (usize, &[Event])| {
            let first = part * events;
            chunk.iter().enumerate().map(|(at, event)| line(first + at, event)).collect::<String>().into()
        };
        self.all.chunks(events.max(1)).enumerate().map(lines).collect()
    }
}

/// An event as a CloudEvent. Its subject, and so what decides its partition, is the
/// person that it is about: a bidder's session is in one partition.
fn line(number: usize, event: &Event) -> String {
    let (kind, subject, data) = match event {
        Event::Person(person) => ("person", person.id, json!(person)),
        Event::Auction(auction) => ("auction", auction.seller, json!(auction)),
        Event::Bid(bid) => ("bid", bid.bidder, json!(InDollars { bid, currency: "USD" })),
    };
    let time = Timestamp::saturating_from_millis(millis(event.timestamp()));
    let event = json!({
        "specversion": "1.0", "id": number.to_string(), "source": SOURCE, "type": kind, "time": time,
        "subject": subject.to_string(), "data": data,
    });
    format!("{event}\n")
}

/// A bid as Nexmark has it, and the currency that its prices are in.
#[derive(Serialize)]
struct InDollars<'e> {
    #[serde(flatten)]
    bid: &'e Bid,
    currency: &'static str,
}

/// A time of the generator.
pub(super) fn millis(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
