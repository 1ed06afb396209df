//! Sends the lines, by several requests at once and in any order: they are
//! history, so none is late.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use tidemill_domain::Timestamp;

use super::{
    error::ImportError,
    line::{BACKFILL, Columns, LineIds, event, lines},
};
use crate::{client::Client, progress};

/// How the lines are sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// Events in a request.
    pub batch: usize,
    /// Requests at once.
    pub senders: usize,
    /// In an order that this seed decides, for tests; else in that of the file.
    pub shuffle: Option<u64>,
}

/// What was sent.
pub(super) struct Sent {
    pub(super) lines: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

impl Sent {
    fn and(self, other: Self) -> Self {
        Self { lines: self.lines + other.lines, first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// Events of one request.
struct Batch {
    body: Bytes,
    sent: Sent,
}

/// The requests of a file, in its order.
struct Batches<'t> {
    records: csv::StringRecordsIntoIter<&'t [u8]>,
    columns: Columns,
    ids: LineIds,
    /// The last line that was read, the header being 1.
    line: u64,
    batch: usize,
}

impl Batches<'_> {
    fn read(&mut self) -> Result<Option<Batch>, ImportError> {
        let (mut body, mut sent): (Vec<u8>, Option<Sent>) = (Vec::new(), None);
        for record in self.records.by_ref().take(self.batch) {
            self.line += 1;
            let wrong = |reason: String| ImportError::Line { line: self.line, reason };
            let record = record.map_err(|e| wrong(e.to_string()))?;
            let (time, json) = event(&record, self.columns, &mut self.ids).map_err(wrong)?;
            let one = Sent { lines: 1, first: time, last: time };
            sent = Some(match sent {
                None => one,
                Some(sent) => sent.and(one),
            });
            body.extend_from_slice(&json);
        }
        Ok(sent.map(|sent| Batch { body: body.into(), sent }))
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Sends every line. A line that cannot be read, or a request that is refused,
/// ends it; what is on its way then is given up.
pub(super) async fn send(text: &str, columns: Columns, client: &Client, sending: Sending) -> Result<Sent, ImportError> {
    let Sending { batch, senders, shuffle } = sending;
    let records = lines(text).into_records();
    let mut batches = Batches { records, columns, ids: LineIds::default(), line: 1, batch: batch.max(1) };
    let batches: Box<dyn Iterator<Item = _> + Send> = match shuffle {
        None => Box::new(batches),
        Some(seed) => {
            let mut all = batches.by_ref().collect::<Result<Vec<_>, _>>()?;
            all.shuffle(&mut StdRng::seed_from_u64(seed));
            Box::new(all.into_iter().map(Ok))
        }
    };
    let client = client.clone().with_backfill(BACKFILL);
    let total = text.bytes().filter(|b| *b == b'\n').count().saturating_sub(1) as u64;
    let bar = progress::bar("sending", total);
    let post = async |batch: Result<Batch, ImportError>| {
        let Batch { body, sent } = batch?;
        let verdict = client.send(body, true, None).await?;
        if let Some(first) = verdict.rejected.first() {
            return Err(ImportError::Refused { count: verdict.rejected_total, first: first.clone() });
        }
        bar.inc(sent.lines);
        Ok(sent)
    };
    let answered = stream::iter(batches).map(post).buffer_unordered(senders.max(1));
    let sent = answered.try_fold(None::<Sent>, async |all, sent| {
        Ok(Some(match all {
            None => sent,
            Some(all) => all.and(sent),
        }))
    });
    let sent = sent.await?;
    bar.finish();
    sent.ok_or_else(|| ImportError::Line { line: 2, reason: "there are no lines".into() })
}
