//! What the log has forgotten, from bronze: the lake tells it, page by page.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use tidemill_bus::Delivery;
use tidemill_domain::{Backoff, Code, Partition, Timestamp};
use tidemill_events::RawBatch;
use tidemill_stage::{Disposition, Failure as _, StageFailure};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::client::{ClientError, LakeClient};

/// Pages that are asked for at once: others ask the lake, too.
const AT_ONCE: usize = 2;

/// Reads bronze. All partitions share it.
#[derive(Debug, Clone)]
pub(super) struct BronzeReader {
    client: LakeClient,
    turns: Arc<Semaphore>,
}

/// How long a plan waits for a lake that is away, is starting, or has too much to do.
#[derive(Clone, Copy)]
pub struct LakePatience<'t> {
    /// So long at most; `None` for as long as it takes.
    pub most: Option<Duration>,
    /// Hears why it waits, once for each reason.
    pub tell: &'t (dyn Fn(&str) + Sync),
}

impl LakePatience<'_> {
    /// For who only asks, and begins nothing.
    pub const OF_A_QUESTION: Duration = Duration::from_secs(120);

    /// So long, without a word.
    pub const fn silent(most: Duration) -> Self {
        Self { most: Some(most), tell: &|_| {} }
    }
}

/// Where a part of the log begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum BronzeStart {
    Sequence(u64),
    Time(Timestamp),
}

/// What bronze has of a part of the log.
#[derive(Debug, Deserialize)]
pub(super) struct BronzeLogTold {
    /// The sequence that it begins with.
    pub(super) first: u64,
    /// When the batch before it came in, or else the first that is there.
    pub(super) begins_at: Option<Timestamp>,
    pub(super) batches: u64,
    pub(super) events: u64,
    /// The last parts first.
    pub(super) missing: Vec<MissingTold>,
}

/// Batches that are not there.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct MissingTold {
    pub(super) from: u64,
    pub(super) to: u64,
    /// They may still come.
    pub(super) pending: bool,
}

/// Batches of a partition as the log had them.
#[derive(Debug)]
pub(super) struct BronzePageTold {
    /// All that the partition has up to there is here, or was before.
    pub(super) reaches: u64,
    pub(super) batches: Vec<Delivery>,
    /// Its size.
    pub(super) bytes: usize,
}

#[derive(Deserialize)]
struct PageHead {
    behind: u64,
    reaches: u64,
}

#[derive(Deserialize)]
struct BatchHead {
    raw_seq: u64,
    ingested_at: Timestamp,
    sources: BTreeMap<String, u32>,
}

impl BronzeReader {
    pub(super) fn new(client: LakeClient) -> Self {
        Self { client, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What there is from a place up to the batch `before`. A lake that does not answer now is waited for.
    pub(super) async fn log(
        &self,
        from: BronzeStart,
        before: u64,
        patience: LakePatience<'_>,
    ) -> Result<BronzeLogTold, StageFailure> {
        let mut last = None;
        let Some(most) = patience.most else { return self.log_in_time(from, before, patience, &mut last).await };
        if let Ok(ended) = timeout(most, self.log_in_time(from, before, patience, &mut last)).await {
            return ended;
        }
        let last = last.unwrap_or_else(|| "it has not answered yet".into());
        let told = format!("the lake was waited for, {} seconds long: {last}", most.as_secs());
        Err(StageFailure::new(Code::Unavailable, Disposition::Fail, told))
    }

    /// The same, as long as it takes. `last` is why it has waited last.
    async fn log_in_time(
        &self,
        from: BronzeStart,
        before: u64,
        patience: LakePatience<'_>,
        last: &mut Option<String>,
    ) -> Result<BronzeLogTold, StageFailure> {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.log_now(from, before).await {
                Err(error) if error.disposition() == Disposition::Retry => error.to_string(),
                ended => return ended,
            };
            if last.as_ref() != Some(&error) {
                (patience.tell)(&format!("waiting for the lake: {error}"));
                *last = Some(error);
            }
            sleep(backoff.failed()).await;
        }
    }

    async fn log_now(&self, from: BronzeStart, before: u64) -> Result<BronzeLogTold, StageFailure> {
        let from = match from {
            BronzeStart::Sequence(sequence) => format!("from={sequence}"),
            BronzeStart::Time(time) => {
                let time = time.to_string();
                format!("since={}", url::form_urlencoded::byte_serialize(time.as_bytes()).collect::<String>())
            }
        };
        let answer = self.get(&format!("/v1/bronze/log?{from}&before={before}")).await?;
        serde_json::from_slice(&answer).map_err(|error| malformed(&error.to_string()))
    }

    /// Batches of a partition behind a place, of about so many sequences.
    pub(super) async fn page(
        &self,
        partition: Partition,
        behind: u64,
        sequences: u64,
    ) -> Result<BronzePageTold, StageFailure> {
        let path = format!("/v1/bronze/batches?partition={partition}&behind={behind}&sequences={sequences}");
        read(partition, behind, &self.get(&path).await?)
    }

    async fn get(&self, path: &str) -> Result<Bytes, StageFailure> {
        // Nobody closes it.
        let _turn = self.turns.acquire().await.map_err(|error| malformed(&error.to_string()))?;
        self.client.get(path).await.map_err(failure)
    }
}

/// Reads a page, whose lines are those of the log.
fn read(partition: Partition, behind: u64, page: &Bytes) -> Result<BronzePageTold, StageFailure> {
    let mut lines = PageLines { page, at: 0 };
    let head: PageHead = lines.head()?.ok_or_else(|| malformed("it is empty"))?;
    if head.behind != behind || head.reaches < behind {
        return Err(malformed("it is another page"));
    }
    let (mut batches, mut last) = (Vec::new(), behind);
    while let Some(BatchHead { raw_seq, ingested_at, sources }) = lines.head()? {
        if raw_seq <= last || raw_seq > head.reaches {
            return Err(malformed(&format!("batch {raw_seq} is out of place")));
        }
        last = raw_seq;
        let count = sources.values().fold(0_u64, |sum, count| sum + u64::from(*count));
        let lines = lines.take(count)?;
        // What bronze does not keep, no number depends on: the batch's name, its span, and which of its events
        // came out of dead letters, which they say themselves.
        let (batch_id, redriven, trace) = (Uuid::nil(), Vec::new(), None);
        let batch = RawBatch { batch_id, partition, ingested_at, sources, redriven, lines, trace };
        let encoded = batch.encode_here().map_err(|error| malformed(&error.to_string()))?;
        batches.push(Delivery::kept(encoded, raw_seq, ingested_at));
    }
    Ok(BronzePageTold { reaches: head.reaches, batches, bytes: page.len() })
}

/// The lines of a page, from one place on.
struct PageLines<'p> {
    page: &'p Bytes,
    at: usize,
}

impl PageLines<'_> {
    /// The next line, of which this has to be made; `None` behind the last.
    fn head<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StageFailure> {
        if self.at == self.page.len() {
            return Ok(None);
        }
        let line = self.take(1)?;
        serde_json::from_slice(&line).map(Some).map_err(|error| malformed(&error.to_string()))
    }

    /// So many lines, as they are.
    fn take(&mut self, count: u64) -> Result<Bytes, StageFailure> {
        let begin = self.at;
        for _ in 0..count {
            let end = self.page[self.at..].iter().position(|byte| *byte == b'\n');
            self.at += end.ok_or_else(|| malformed("it is cut"))? + 1;
        }
        Ok(self.page.slice(begin..self.at))
    }
}

fn malformed(reason: &str) -> StageFailure {
    StageFailure::new(
        Code::MalformedMessage,
        Disposition::Retry,
        format!("what the lake tells cannot be read: {reason}"),
    )
}

/// What follows from an answer that is none: a lake that is away is waited for.
fn failure(error: ClientError) -> StageFailure {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    let (code, disposition) = match &error {
        ClientError::Refused { status, body, .. } => {
            let told = serde_json::from_str::<Problem>(body).ok().and_then(|problem| problem.code.parse::<Code>().ok());
            // It has a limit for what one question takes, and a busy one gets there sooner.
            let passes = status.is_server_error() || status.as_u16() == 429 || told == Some(Code::SqlTooCostly);
            (told.unwrap_or(Code::Unavailable), if passes { Disposition::Retry } else { Disposition::Fail })
        }
        _ => (Code::Unavailable, Disposition::Retry),
    };
    let told = match (&error, code) {
        // What the lake advises is for who asks by SQL.
        (ClientError::Refused { url, .. }, Code::SqlTooCostly) => {
            format!("{url}: the answer takes the lake longer than it allows, or more memory; it may be busy")
        }
        _ => error.to_string(),
    };
    StageFailure::new(code, disposition, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Result<BronzePageTold, StageFailure> {
        read(Partition::new(3), 4, &Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_page_has_the_batches_of_the_log() {
        let text = "{\"behind\":4,\"reaches\":9}\n\
            {\"raw_seq\":5,\"ingested_at\":\"2026-01-31T00:00:00Z\",\"sources\":{\"a\":1,\"Zoë\":1}}\n{\"n\": 1.0}\n{\"é\":2}\n\
            {\"raw_seq\":9,\"ingested_at\":\"2026-01-31T00:00:01Z\",\"sources\":{\"\":1}}\nno event\n";
        let told = page(text).expect("is read");
        assert_eq!((told.reaches, told.bytes), (9, text.len()));
        let batches: Vec<RawBatch> = told.batches.iter().map(|of| of.decode().expect("a batch")).collect();
        let sequences: Vec<u64> = told.batches.iter().map(|of| of.sequence).collect();
        assert_eq!(sequences, [5, 9]);
        assert_eq!(batches[0].lines, "{\"n\": 1.0}\n{\"é\":2}\n".as_bytes());
        assert_eq!((batches[0].count(), batches[1].count(), batches[1].partition), (2, 1, Partition::new(3)));
        assert_eq!(batches[1].ingested_at.to_string(), "2026-01-31T00:00:01Z");
        let none = page("{\"behind\":4,\"reaches\":4}\n").expect("is read");
        assert!(none.batches.is_empty() && none.reaches == 4);
    }

    #[test]
    fn a_page_that_is_cut_or_another_one_is_not_read() {
        let head = "{\"raw_seq\":5,\"ingested_at\":\"2026-01-31T00:00:00Z\",\"sources\":{\"a\":2}}\n";
        for wrong in [
            String::new(),
            "{\"behind\":3,\"reaches\":9}\n".into(),
            "{\"behind\":4,\"reaches\":9}".into(),
            format!("{{\"behind\":4,\"reaches\":9}}\n{head}"),
            format!("{{\"behind\":4,\"reaches\":9}}\n{head}{{}}\n{{}}"),
            format!("{{\"behind\":4,\"reaches\":9}}\n{head}{{}}\n"),
            format!("{{\"behind\":4,\"reaches\":4}}\n{head}{{}}\n{{}}\n"),
            format!("{{\"behind\":4,\"reaches\":9}}\n{head}{{}}\n{{}}\n{head}{{}}\n{{}}\n"),
        ] {
            let error = page(&wrong).expect_err("is not read");
            assert_eq!(error.disposition(), Disposition::Retry, "{wrong}: {error}");
        }
    }

    #[test]
    fn who_is_away_is_waited_for_and_a_hole_is_the_end() {
        let refused = |status: u16, code: &str| {
            let url = "http://lake/".parse().expect("a URL");
            let body = format!("{{\"title\":\"t\",\"code\":\"{code}\"}}");
            let error = failure(ClientError::Refused { url, status: status.try_into().expect("a status"), body });
            (error.code(), error.disposition())
        };
        assert_eq!(refused(410, "bronze_gap"), (Code::BronzeGap, Disposition::Fail));
        assert_eq!(refused(503, "lake_store"), (Code::LakeStore, Disposition::Retry));
        assert_eq!(refused(429, "busy"), (Code::Busy, Disposition::Retry));
        assert_eq!(refused(422, "sql_too_costly"), (Code::SqlTooCostly, Disposition::Retry), "it is busy");
        assert_eq!(refused(422, "invalid_parameter"), (Code::InvalidParameter, Disposition::Fail));
        assert_eq!(refused(401, "unauthorized"), (Code::Unauthorized, Disposition::Fail));
        let url = "http://lake/".parse().expect("a URL");
        let away = failure(ClientError::Unavailable { url, reason: "refused".into() });
        assert_eq!(away.disposition(), Disposition::Retry);
    }
}
