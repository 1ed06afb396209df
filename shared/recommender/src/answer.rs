//! What is asked, and what is answered.

use std::sync::Arc;

use serde::Serialize;
use tidemill_domain::Timestamp;

use crate::{interaction::Recent, ranking::Ranked};

/// A session to be continued.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Whose it is, if that is known: their sessions that go on are no neighbours of it.
    pub visitor: Option<&'a str>,
    /// Its items, oldest first.
    pub items: &'a [Recent],
    /// When it is asked, by event time: sessions of long ago count less.
    pub at: Timestamp,
    /// How many items are wanted at most.
    pub n: usize,
}

/// An item that is recommended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    /// Which one.
    pub item: String,
    /// How strongly; comparable within an answer alone.
    pub score: f64,
    /// The reason: by how many sessions that have something in common with the query.
    pub neighbours: u32,
}

/// An item that continues a session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Continuation<'i> {
    /// Which one.
    pub item: &'i str,
    /// How strongly; comparable within an answer alone.
    pub score: f64,
    /// By how many sessions that have something in common with the query.
    pub neighbours: u32,
}

impl From<Continuation<'_>> for Recommendation {
    fn from(Continuation { item, score, neighbours }: Continuation<'_>) -> Self {
        Self { item: item.to_owned(), score, neighbours }
    }
}

impl From<Ranked<'_, u32>> for Recommendation {
    fn from(Ranked { score, item, more }: Ranked<'_, u32>) -> Self {
        Self { item: item.to_owned(), score, neighbours: more }
    }
}

/// An item that is bought together with another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoughtTogether {
    /// Which one.
    pub item: String,
    /// In how many baskets both are.
    pub support: u32,
    /// Which share of the baskets with the one has the other.
    pub confidence: f64,
    /// How many times more often than by chance.
    pub lift: f64,
}

/// An item of a chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Charted {
    /// Which one.
    pub item: Arc<str>,
    /// What it is ordered by: the weights of its interactions, decayed for a trend.
    pub score: f64,
    /// How many sessions have it.
    pub sessions: u32,
}
