//! Reference records in bulk: counted, taken in and answered a piece at a time,
//! so that a request costs about what it weighs.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_events::event;
use tidemill_service::{LISTED, MoreRejected, Problem, Unlisted};
use tidemill_stage::Failure;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use utoipa::ToSchema;

use crate::{
    error::Error,
    http::{Api, body, fields},
    records::Record,
    reference::{Kind, Verdict},
};

/// Bytes of one record as it is written: far more than a valid one takes.
pub(crate) const RECORD_BYTES: usize = 64 << 10;
/// Records in one request.
const MOST_RECORDS: usize = 100_000;
/// Records that are read before they are taken in: bounds what is in memory.
const PIECE: usize = 1000;
/// Requests in work at once; others wait their turn before their bodies are read.
const AT_ONCE: usize = 2;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a body may take to arrive: it holds a turn.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// The turns of requests.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Turns {
    async fn take(&self) -> Result<OwnedSemaphorePermit, Error> {
        match timeout(PATIENCE, self.0.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            // Nobody closes it.
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }
}

/// What became of many records.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Summary {
    /// Records that changed something.
    changed: usize,
    /// Records that say what is known already.
    unchanged: usize,
    /// How many records were not taken in; the others were.
    rejected_total: usize,
    /// The first 100 of them, and why.
    rejected: Vec<Rejected>,
    /// The others, by the code of their problems; absent where `rejected` lists
    /// all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_rejected: Vec<MoreRejected>,
}

/// A record that was not taken in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rejected {
    /// Its line in the body, from 0.
    index: usize,
    /// Why.
    problem: Problem,
}

/// Takes in a request's records.
pub(crate) async fn take_in(api: &Api, kind: Kind, request: Request) -> Result<Summary, Error> {
    let _turn = api.turns.take().await?;
    let content = timeout(BODY_DEADLINE, Bytes::from_request(request, &())).await.map_err(|_| Error::TooSlow)?;
    let content = body(content)?;
    if event::lines(&content).take(MOST_RECORDS + 1).count() > MOST_RECORDS {
        return Err(Error::TooMany { limit: MOST_RECORDS });
    }
    let (mut summary, mut unlisted) = (Summary::default(), Unlisted::default());
    let earliest = api.earliest();
    let mut piece = Vec::new();
    for (index, line) in event::lines(&content).enumerate() {
        match read(kind, line) {
            Ok(record) => piece.push((index, record)),
            Err(error) => summary.reject(index, &error, &mut unlisted),
        }
        if piece.len() == PIECE {
            summary.accept(api, std::mem::take(&mut piece), earliest, &mut unlisted).await?;
        }
    }
    summary.accept(api, piece, earliest, &mut unlisted).await?;
    summary.rejected.sort_by_key(|rejected| rejected.index);
    summary.more_rejected = unlisted.told();
    Ok(summary)
}

fn read(kind: Kind, line: &[u8]) -> Result<Record, Error> {
    if line.len() > RECORD_BYTES {
        return Err(Error::TooLarge);
    }
    Record::read(kind, None, fields(line)?)
}

impl Summary {
    fn reject(&mut self, index: usize, error: &Error, unlisted: &mut Unlisted) {
        self.rejected_total += 1;
        match self.rejected.len() < LISTED {
            true => self.rejected.push(Rejected { index, problem: error.problem() }),
            false => unlisted.add(error.code(), index),
        }
    }

    async fn accept(
        &mut self,
        api: &Api,
        piece: Vec<(usize, Record)>,
        earliest: Timestamp,
        unlisted: &mut Unlisted,
    ) -> Result<(), Error> {
        if piece.is_empty() {
            return Ok(());
        }
        let (places, records): (Vec<usize>, Vec<Record>) = piece.into_iter().unzip();
        for (index, verdict) in places.into_iter().zip(api.accept(&records, earliest).await?) {
            match verdict {
                Verdict::Changed(..) => self.changed += 1,
                Verdict::Unchanged(_) => self.unchanged += 1,
                Verdict::TooEarly => self.reject(index, &Error::TooEarly { earliest }, unlisted),
            }
        }
        Ok(())
    }
}
