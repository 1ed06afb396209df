//! Reference records in bulk: counted, taken in and answered a piece at a time,
//! so that a request costs about what it weighs.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidemill_domain::{Code, Timestamp};
use tidemill_events::event;
use tidemill_service::{FieldError, LISTED, MoreRejected, Problem, Unlisted};
use tidemill_stage::Failure;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::api::{Api, RECORD_BYTES, body, fields};
use crate::{
    error::Error,
    reference::{Record, RecordKind, RecordVerdict},
};

/// Records in one request.
const MOST_RECORDS: usize = 100_000;
/// Records that are read before they are taken in: bounds what is in memory.
const PIECE: usize = 1000;
/// How long a body may take to arrive: it holds a turn.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Changes what is known of many: one JSON object a line, each with its `id`;
/// at most 100,000.
#[utoipa::path(
    post, path = "/v1/reference/{kind}",
    params(("kind" = inline(RecordKind), Path)),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = BulkSummary),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 408, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = BulkSummary, content_type = "application/problem+json",
            description = "No record was taken in; the members of a problem stand beside those of the summary"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change_many(State(api): State<Api>, kind: RecordKind, request: Request) -> Result<Response, Error> {
    let summary = take_in(&api, kind, request).await?;
    Ok(if summary.is_all_rejected() {
        AllRecordsRejected::new(summary).into_response()
    } else {
        Json(summary).into_response()
    })
}

/// What became of many records.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Summary)]
pub(crate) struct BulkSummary {
    /// Records that changed something.
    changed: usize,
    /// Records that say what is known already.
    unchanged: usize,
    /// How many records were not taken in; the others were.
    rejected_total: usize,
    /// The first 100 of them, and why.
    rejected: Vec<RejectedRecord>,
    /// The others, by the code of their problems; absent where `rejected` lists
    /// all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_rejected: Vec<MoreRejected>,
    /// How many records that were taken in say something that is not understood;
    /// absent with none.
    #[serde(skip_serializing_if = "is_zero")]
    hints_total: usize,
    /// The first 100 of them; absent with none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<RecordHint>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What is not understood of a record that was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordHint {
    /// Its line in the body, from 0.
    index: usize,
    #[serde(flatten)]
    hint: FieldError,
}

/// Every record was rejected.
#[derive(Serialize)]
struct AllRecordsRejected {
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    summary: BulkSummary,
}

impl AllRecordsRejected {
    fn new(summary: BulkSummary) -> Self {
        Self { problem: Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::AllRejected), summary }
    }
}

impl IntoResponse for AllRecordsRejected {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (StatusCode::UNPROCESSABLE_ENTITY, kind, Json(self)).into_response()
    }
}

/// A record that was not taken in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rejected)]
pub(crate) struct RejectedRecord {
    /// Its line in the body, from 0.
    index: usize,
    /// Why.
    problem: Problem,
}

/// Takes in a request's records.
async fn take_in(api: &Api, kind: RecordKind, request: Request) -> Result<BulkSummary, Error> {
    let _turn = api.turns.take().await?;
    let content = timeout(BODY_DEADLINE, Bytes::from_request(request, &())).await.map_err(|_| Error::TooSlow)?;
    let content = body(content)?;
    if event::lines(&content).next().is_none() {
        return Err(Error::Body("it holds no record".into()));
    }
    if event::lines(&content).take(MOST_RECORDS + 1).count() > MOST_RECORDS {
        return Err(Error::TooMany { limit: MOST_RECORDS });
    }
    let (mut summary, mut unlisted) = (BulkSummary::default(), Unlisted::default());
    let earliest = api.earliest();
    let mut piece = Vec::new();
    for (index, line) in event::lines(&content).enumerate() {
        match read(api, kind, line) {
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

fn read(api: &Api, kind: RecordKind, line: &[u8]) -> Result<Record, Error> {
    if line.len() > RECORD_BYTES {
        return Err(Error::TooLarge);
    }
    Record::read(kind, None, fields(line)?)?.of_another_currency_than(api.base)
}

impl BulkSummary {
    fn is_all_rejected(&self) -> bool {
        self.rejected_total > 0 && self.changed + self.unchanged == 0
    }

    fn hint(&mut self, index: usize, hint: Option<FieldError>) {
        let Some(hint) = hint else { return };
        self.hints_total += 1;
        if self.hints.len() < LISTED {
            self.hints.push(RecordHint { index, hint });
        }
    }

    fn reject(&mut self, index: usize, error: &Error, unlisted: &mut Unlisted) {
        self.rejected_total += 1;
        match self.rejected.len() < LISTED {
            true => self.rejected.push(RejectedRecord { index, problem: error.problem() }),
            false => unlisted.add(error.code().as_str(), index),
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
        let verdicts = api.accept(&records, earliest).await?;
        for ((index, record), verdict) in places.into_iter().zip(&records).zip(verdicts) {
            match verdict {
                RecordVerdict::Changed(..) => self.changed += 1,
                RecordVerdict::Unchanged(_) => self.unchanged += 1,
                RecordVerdict::TooEarly(last_rate) => {
                    self.reject(index, &Error::TooEarly { earliest, last_rate }, unlisted);
                    continue;
                }
            }
            self.hint(index, api.reference.hint(record));
        }
        Ok(())
    }
}
