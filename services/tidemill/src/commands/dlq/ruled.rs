//! What was decided on the letters of an order.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::table::plain;

/// Letters that are told of one by one.
pub(super) const TOLD: u16 = 20;

#[derive(Debug, Deserialize)]
pub(super) struct Ordered {
    pub(super) ordered: u64,
    pub(super) refused: u64,
    letters: Vec<OrderedLetter>,
    pub(super) next: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OrderedLetter {
    sequence: u64,
    verdict: String,
    code: Option<String>,
    detail: Option<String>,
    service: Option<String>,
    letter_code: Option<String>,
    event_id: Option<String>,
}

/// What was decided on all letters together.
#[derive(Debug, Default)]
pub(super) struct Ruled {
    pub(super) ordered: u64,
    refused: BTreeMap<String, (u64, String)>,
    /// The first few that it is done for.
    some: Vec<OrderedLetter>,
}

impl Ruled {
    pub(super) fn add(&mut self, answer: Ordered) {
        self.ordered += answer.ordered;
        for verdict in answer.letters {
            match (&verdict.code, &verdict.detail) {
                (Some(code), Some(detail)) => {
                    self.refused.entry(code.clone()).or_insert_with(|| (0, detail.clone())).0 += 1;
                }
                _ if self.some.len() < usize::from(TOLD) => self.some.push(verdict),
                _ => {}
            }
        }
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.values().map(|(count, _)| count).sum()
    }

    /// Tells a person.
    pub(super) fn print(&self, done: &str) {
        for verdict in &self.some {
            say!(
                "{:>10}  {}  {}  {}",
                verdict.sequence,
                plain(verdict.service.as_deref().unwrap_or_default(), 20),
                plain(verdict.letter_code.as_deref().unwrap_or_default(), 24),
                plain(verdict.event_id.as_deref().unwrap_or_default(), 40),
            );
        }
        let more = self.ordered.saturating_sub(self.some.len() as u64);
        if more > 0 {
            say!("            and {more} more");
        }
        say!("{done}: {}", self.ordered);
        for (code, (count, detail)) in &self.refused {
            say!("refused: {count} ({}: {})", plain(code, 30), plain(detail, 200));
        }
    }

    pub(super) fn json(&self) -> Value {
        let refused: BTreeMap<&String, u64> = self.refused.iter().map(|(code, (count, _))| (code, *count)).collect();
        let letters: Vec<_> = self.some.iter().map(|v| json!({"sequence": v.sequence, "verdict": v.verdict})).collect();
        json!({"ordered": self.ordered, "refused": self.refused(), "refusals": refused, "first": letters})
    }
}
