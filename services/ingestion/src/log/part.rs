//! Accepted events on their way to the log, by partition.

use std::collections::BTreeMap;

use tidemill_domain::Partition;
use tidemill_events::TraceParent;

/// Bytes of the header that names a batch's sources, from which on it is full.
pub(super) const FULL_HEADER: usize = 24 << 10;

/// Events of one partition, one a line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct BatchPart {
    pub(crate) text: Vec<u8>,
    pub(crate) sources: BTreeMap<String, u32>,
    /// Bytes of the header that names them, at most.
    pub(super) header: usize,
    /// The spans of those that are traced.
    pub(crate) traces: Vec<TraceParent>,
    /// Dead letters whose events are among them.
    pub(crate) redriven: Vec<u64>,
}

impl BatchPart {
    pub(super) fn append(&mut self, other: &mut Self) {
        self.text.append(&mut other.text);
        self.traces.append(&mut other.traces);
        self.redriven.append(&mut other.redriven);
        for (source, count) in std::mem::take(&mut other.sources) {
            self.count(&source, count);
        }
    }

    fn count(&mut self, source: &str, count: u32) {
        if let Some(known) = self.sources.get_mut(source) {
            *known += count;
        } else {
            self.header += header_bytes(source);
            self.sources.insert(source.to_owned(), count);
        }
    }
}

/// A source with its count in ASCII JSON, at most: what is no ASCII takes six
/// bytes for each unit of UTF-16, a quote two.
fn header_bytes(source: &str) -> usize {
    let text: usize = source.chars().map(|c| if c.is_ascii() { 2 } else { 6 * c.len_utf16() }).sum();
    text + 16
}

/// The accepted events of one request, as parts that each fit a batch.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) open: BTreeMap<Partition, BatchPart>,
    pub(crate) full: Vec<(Partition, BatchPart)>,
}

impl Parts {
    /// The events are those of a dead letter.
    pub(crate) fn redriven(&mut self, letter: u64) {
        let parts = self.open.values_mut().chain(self.full.iter_mut().map(|(_, lines)| lines));
        parts.for_each(|lines| lines.redriven.push(letter));
    }

    /// Bytes of all events.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.open.values().chain(self.full.iter().map(|(_, lines)| lines));
        parts.map(|lines| lines.text.len()).sum()
    }

    /// Adds an event of a source to a partition; `write` writes its line, without the
    /// end. Answers the line's length.
    pub(crate) fn push(
        &mut self,
        (partition, source): (Partition, &str),
        trace: Option<TraceParent>,
        batch_bytes: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let part = self.open.entry(partition).or_default();
        let before = part.text.len();
        write(&mut part.text);
        let length = part.text.len() - before;
        part.text.push(b'\n');
        part.count(source, 1);
        part.traces.extend(trace);
        if part.text.len() >= batch_bytes || part.header >= FULL_HEADER {
            self.full.extend(self.open.remove_entry(&partition));
        }
        length
    }
}

#[cfg(test)]
mod tests;
