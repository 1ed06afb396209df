//! A case: what is sold, how the log is cut, and what befalls the owners.

use proptest::prelude::*;

pub(super) const DEFINITIONS: &str = "name: minutes\ntypes: [sale]\nwindow: {sliding: {size: 4m, step: 2m}}\nmeasures:\n  \
                           a_customers: {distinct: data.customer, within: partition}\n  b_rows: {count: rows}\n  \
                           c_sum: {sum: data.price}\n---\n\
                           name: visits\ntypes: [sale]\nwindow: {session: {gap: 1m}}\ndimensions:\n  \
                           customer: data.customer\nmeasures:\n  a_prices: {distinct: data.price, within: partition}\n  \
                           b_rows: {count: rows}\n  c_sum: {sum: data.price}\n";
pub(super) const SIZE: i64 = 240;
pub(super) const STEP: i64 = 120;
pub(super) const GAP: i64 = 60;
pub(super) const LATENESS: i64 = 600;
pub(super) const OUT_OF_ORDER: i64 = 60;
/// Sources that have a clock: fewer than there are.
pub(super) const SOURCES: usize = 2;
pub(super) const DAY: i64 = 24 * 3600;

/// What an event is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sale {
    pub(super) source: u8,
    pub(super) customer: u8,
    pub(super) price: u8,
    /// Seconds around where the log stands.
    pub(super) jitter: i64,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Plain,
    Duplicate,
    /// A duplicate by its business key.
    Repeated,
    /// A clock that is far ahead.
    Future,
    /// Two days pass in the log before it.
    Jump,
    /// Of a load of history.
    Backfill,
    /// An event that came before comes again, as history: a duplicate, unless it
    /// was late.
    Again,
    NotAnEvent,
}

/// A sale where it stands in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) sale: Sale,
    pub(super) time: i64,
    /// The event's id.
    pub(super) id: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// At which of the owner's messages.
    pub(super) at: u8,
    /// Once it was sent, not before.
    pub(super) after: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The owner takes some batches and tells of them, again and again; then it keeps them,
    /// and tells of some more before they are kept.
    Work { take: Vec<usize>, ahead: usize, crash: Option<Fault> },
    /// It dies when all is told, and nothing of it kept.
    DieBeforeKeeping { take: Vec<usize> },
    /// It dies when all is kept and nothing acknowledged.
    DieBeforeAck { take: usize },
    /// It hangs in the middle of its messages. Another takes over and works;
    /// then the first goes on.
    Hang { take: Vec<usize>, at: Fault, meanwhile: usize },
    /// Another takes over; the first knows nothing of it and takes more.
    Oblivious { meanwhile: usize, take: Vec<usize> },
    /// The server loses the end of METRICS.
    LoseTail { messages: usize },
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) sales: Vec<Sale>,
    pub(super) cuts: Vec<usize>,
    pub(super) steps: Vec<Step>,
    pub(super) retention: bool,
    pub(super) little_memory: bool,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![
        12 => Just(Kind::Plain),
        2 => Just(Kind::Duplicate),
        1 => Just(Kind::Repeated),
        1 => Just(Kind::Future),
        1 => Just(Kind::Jump),
        1 => Just(Kind::Backfill),
        3 => Just(Kind::Again),
        1 => Just(Kind::NotAnEvent),
    ];
    let jitter = prop_oneof![8 => -150i64..150, 1 => -2_000i64..-500];
    let sale = (0u8..3, 0u8..3, 1u8..6, jitter, kind).prop_map(|(source, customer, price, jitter, kind)| Sale {
        source,
        customer,
        price,
        jitter,
        kind,
    });
    let fault = || (0u8..12, any::<bool>()).prop_map(|(at, after)| Fault { at, after });
    let take = || prop::collection::vec(1usize..4, 1..4);
    let step = prop_oneof![
        3 => (take(), 0usize..3, prop::option::of(fault()))
            .prop_map(|(take, ahead, crash)| Step::Work { take, ahead, crash }),
        2 => take().prop_map(|take| Step::DieBeforeKeeping { take }),
        1 => (1usize..5).prop_map(|take| Step::DieBeforeAck { take }),
        2 => (take(), fault(), 0usize..5).prop_map(|(take, at, meanwhile)| Step::Hang { take, at, meanwhile }),
        1 => (0usize..5, take()).prop_map(|(meanwhile, take)| Step::Oblivious { meanwhile, take }),
        1 => (1usize..4).prop_map(|messages| Step::LoseTail { messages }),
    ];
    (
        prop::collection::vec(sale, 1..50),
        prop::collection::vec(1usize..6, 1..6),
        prop::collection::vec(step, 0..9),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(sales, cuts, steps, retention, little_memory)| Case {
            sales,
            cuts,
            steps,
            retention,
            little_memory,
        })
}
