//! What is sent: invoice lines, each as often as is asked for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::future::try_join_all;
use tidemill::client::Client;

use crate::{
    error::Error,
    shop::{
        dataset::Row,
        truth::{self, Daily},
    },
};

/// Lines in a request.
const BATCH: usize = 1_000;
const SOURCE: &str = "till";
/// Places of the figures that count events or add up what they say; the one between them counts customers, who are
/// the same in each copy of a line.
const GROWING: [usize; 5] = [0, 1, 3, 4, 5];

/// Invoice lines, each sent some times as a line of another invoice, and what they come to.
pub(super) struct PatternWork<'r> {
    rows: &'r [Row],
    times: usize,
    /// What `daily_country` has to say.
    pub(super) truth: Daily,
    bytes: u64,
}

impl<'r> PatternWork<'r> {
    pub(super) fn new(rows: &'r [Row], times: u32) -> Result<Self, Error> {
        let mut truth = truth::of_rows(rows)?;
        for figures in truth.values_mut() {
            GROWING.into_iter().for_each(|at| figures[at] *= i128::from(times));
        }
        let mut work = Self { rows, times: usize::try_from(times).unwrap_or(usize::MAX), truth, bytes: 0 };
        work.bytes = (0..work.bodies()).map(|at| work.body(at).len() as u64).sum();
        Ok(work)
    }

    pub(super) fn times(&self) -> u32 {
        u32::try_from(self.times).unwrap_or(u32::MAX)
    }

    pub(super) fn events(&self) -> u64 {
        (self.rows.len() * self.times) as u64
    }

    /// Bytes of all events, as they are sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn bodies(&self) -> usize {
        (self.rows.len() * self.times).div_ceil(BATCH)
    }

    /// Made when it is sent: ten times the data set is more than fits into memory.
    fn body(&self, at: usize) -> Bytes {
        let last = (self.rows.len() * self.times).min((at + 1) * BATCH);
        let mut lines = String::new();
        for event in at * BATCH..last {
            // Copies are neighbours: events come in the order of their times.
            let (row, copy) = (event / self.times, event % self.times);
            let id = format!("l-{row}-{copy}");
            let line = match copy {
                0 => self.rows[row].event(SOURCE, &id),
                copy => {
                    let one = &self.rows[row];
                    Row { invoice: format!("{}-{copy}", one.invoice), ..one.clone() }.event(SOURCE, &id)
                }
            };
            lines.push_str(&line);
            lines.push('\n');
        }
        lines.into()
    }

    /// Sends all of it, by several at once; each takes the next body that nobody has taken.
    pub(super) async fn send(&self, client: &Client, senders: usize) -> Result<(), Error> {
        let next = Arc::new(AtomicUsize::new(0));
        let send = || {
            let next = Arc::clone(&next);
            async move {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= self.bodies() {
                        return Ok(());
                    }
                    let told = client.send(self.body(at), false, None).await;
                    told.map_err(|error| Error::Refused(error.to_string()))?;
                }
            }
        };
        try_join_all((0..senders).map(|_| send())).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::dataset;

    /// What is said of copies is what the copies come to.
    #[test]
    fn the_truth_of_copies_is_that_of_the_lines_that_are_sent() {
        let rows = dataset::generate(5, 2_500);
        for times in [1, 3] {
            let work = PatternWork::new(&rows, times).expect("lines");
            let (mut ids, mut sent) = (std::collections::BTreeSet::new(), Vec::new());
            for at in 0..work.bodies() {
                for line in String::from_utf8(work.body(at).to_vec()).expect("text").lines() {
                    let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    assert!(ids.insert(event["id"].to_string()), "{line}");
                    let number: usize =
                        event["id"].as_str().and_then(|id| id.split('-').nth(1)?.parse().ok()).expect("a row");
                    let invoice = event["data"]["invoice"].as_str().expect("an invoice").to_owned();
                    sent.push(Row { invoice, ..rows[number].clone() });
                }
            }
            assert_eq!(sent.len() as u64, work.events());
            assert_eq!(truth::of_rows(&sent).expect("lines"), work.truth);
        }
    }
}
