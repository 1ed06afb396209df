//! The log as bronze has it, for who reads what `RAW` has forgotten.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tidemill_batch_views::{BronzeBatch, BronzeExtent, BronzeFrom, BronzePage, BronzeQuestion};
use tidemill_bus::Bus;
use tidemill_domain::{Code, Partition, Timestamp};
use tidemill_events::{Durable, StreamName};
use tidemill_service::{
    FieldError, Problem,
    parameters::{Given, given},
};
use utoipa::{IntoParams, ToSchema};

use super::{sql::SqlRequestError, state::LakeApi};
use crate::error::Error;

/// Sequences of a page, without a word and at most.
const SEQUENCES: (u64, u64) = (1024, 65_536);
/// Bytes of lines of a page: no further batch begins behind them, and a batch has 256 KiB at most.
const PAGE_BYTES: usize = 4 << 20;

/// Why the log is not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum BronzeRequestError {
    #[error(transparent)]
    Sql(#[from] SqlRequestError),
    #[error(transparent)]
    Lake(#[from] Error),
    /// Parameters are wrong.
    #[error("the parameters are not as they should be")]
    Invalid(FieldError),
    /// Nobody has it any more.
    #[error("bronze lacks sequence {missing} of RAW, and the log begins at {first}: nobody has it any more")]
    Gap {
        /// The first that is missing.
        missing: u64,
        /// The first that the log has.
        first: u64,
    },
}

impl BronzeRequestError {
    fn wrong(pointer: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(FieldError { pointer: pointer.into(), detail: detail.into() })
    }
}

impl IntoResponse for BronzeRequestError {
    fn into_response(self) -> Response {
        match self {
            Self::Sql(error) => error.into_response(),
            Self::Lake(error) => error.into_response(),
            Self::Invalid(error) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidParameter)
                .errors(vec![error])
                .into_response(),
            Self::Gap { .. } => {
                Problem::new(StatusCode::GONE, Code::BronzeGap).detail(self.to_string()).into_response()
            }
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BronzeBatchesParameters {
    /// Partition of the log.
    #[param(value_type = u16)]
    partition: Partition,
    /// Batches behind this sequence of `RAW` are told; 0 for the first.
    behind: u64,
    /// So many sequences of all partitions are looked at, 1 to 65536; 1024 without it.
    #[param(minimum = 1, maximum = 65536)]
    sequences: Option<u64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BronzeLogParameters {
    /// The sequence of `RAW` that the part begins with.
    #[param(minimum = 1)]
    from: Option<u64>,
    /// In place of it: the part begins with the first batch that was taken in then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// The part ends before this sequence.
    #[param(minimum = 1)]
    before: u64,
}

/// The first line of a page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BronzePageHead {
    behind: u64,
    /// All that the partition has up to this sequence of `RAW` was told. If that is `behind`, the next batch is not
    /// there yet.
    reaches: u64,
}

/// The line before those of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BronzeBatchHead<'a> {
    /// Its sequence in `RAW`.
    raw_seq: u64,
    /// When ingestion took it in.
    #[schema(value_type = String, format = DateTime)]
    ingested_at: Timestamp,
    /// How many lines follow, by source.
    sources: &'a BTreeMap<String, u32>,
}

/// What bronze has of a part of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BronzeLogAnswer {
    /// The sequence of `RAW` that it begins with.
    first: u64,
    /// When the batch before it was taken in, or else the first one that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    begins_at: Option<Timestamp>,
    batches: u64,
    events: u64,
    /// What is not there, the last parts first, 20 at most.
    missing: Vec<MissingBatches>,
}

/// Batches that are not there.
#[derive(Debug, Serialize, ToSchema)]
struct MissingBatches {
    from: u64,
    to: u64,
    /// They may still come: the lake has taken them, and not written them yet, or the log has them.
    pending: bool,
}

/// How far readers and the log are.
struct BronzeStanding {
    /// The first sequence that the log has.
    first: u64,
    /// Partitions of which nothing waits to be written.
    idle: BTreeSet<Partition>,
    partitions: Vec<Partition>,
}

impl BronzeStanding {
    /// To be looked at before the table: what is acknowledged is in it.
    async fn look(bus: &Bus) -> Result<Self, Error> {
        let (first, _) = bus.extent(StreamName::Raw).await?;
        let partitions: Vec<Partition> = bus.partitions().all().collect();
        let mut idle = BTreeSet::new();
        for partition in &partitions {
            // Who does not read at the moment may go on later.
            let standing = bus.progress(Durable::LakeBronze(*partition)).await;
            if standing.is_ok_and(|standing| standing.waiting == 0) {
                idle.insert(*partition);
            }
        }
        Ok(Self { first, idle, partitions })
    }

    /// Whether a sequence that is not in the table never will be: the log has forgotten it, and each
    /// partition is written beyond it or has nothing left to be written.
    fn is_lost(&self, sequence: u64, written: &BTreeMap<Partition, u64>) -> bool {
        let is_beyond = |partition| written.get(partition).is_some_and(|reached| *reached >= sequence);
        sequence < self.first
            && self.partitions.iter().all(|partition| self.idle.contains(partition) || is_beyond(partition))
    }
}

/// Batches of a partition as the log had them, behind a place in it.
///
/// The first line says how far they reach. Each batch is a line of its own, and then its events, a line each, as they
/// stand in the log.
#[utoipa::path(get, path = "/v1/bronze/batches",
    params(BronzeBatchesParameters),
    responses(
        (status = 200, content((String = "application/x-ndjson"))),
        (status = 410, description = "A batch is neither here nor in the log", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn batches(
    State(api): State<LakeApi>,
    parameters: Given<BronzeBatchesParameters>,
) -> Result<Response, BronzeRequestError> {
    let BronzeBatchesParameters { partition, behind, sequences } =
        given(parameters).map_err(|told| BronzeRequestError::wrong("", told))?;
    let sequences = sequences.unwrap_or(SEQUENCES.0);
    if !(1..=SEQUENCES.1).contains(&sequences) {
        return Err(BronzeRequestError::wrong("/sequences", format!("must be between 1 and {}", SEQUENCES.1)));
    }
    if i64::try_from(behind).is_err() {
        return Err(BronzeRequestError::wrong("/behind", "no log is as long"));
    }
    let standing = BronzeStanding::look(&api.bus).await?;
    if !standing.partitions.contains(&partition) {
        return Err(BronzeRequestError::wrong("/partition", "the log has no such partition"));
    }
    let question = BronzeQuestion { partition, behind, sequences, bytes: PAGE_BYTES };
    let page = api.engine.bronze_page(standing.partitions.clone(), question).await;
    let BronzePage { reaches, batches, written } = page.map_err(SqlRequestError::from)?;
    if reaches == behind && standing.is_lost(behind + 1, &written) {
        return Err(BronzeRequestError::Gap { missing: behind + 1, first: standing.first });
    }
    let page = page_of(BronzePageHead { behind, reaches }, &batches).map_err(SqlRequestError::from)?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], page).into_response())
}

fn page_of(head: BronzePageHead, batches: &[BronzeBatch]) -> Result<Vec<u8>, tidemill_batch_views::SqlError> {
    let failed = |error: serde_json::Error| tidemill_batch_views::SqlError::Failed(error.to_string());
    let mut page = serde_json::to_vec(&head).map_err(failed)?;
    page.push(b'\n');
    for BronzeBatch { raw_seq, ingested_at, sources, lines } in batches {
        let head = BronzeBatchHead { raw_seq: *raw_seq, ingested_at: *ingested_at, sources };
        serde_json::to_writer(&mut page, &head).map_err(failed)?;
        page.push(b'\n');
        page.extend_from_slice(lines);
    }
    Ok(page)
}

/// What there is of a part of the log: how many batches and events, and which are missing.
#[utoipa::path(get, path = "/v1/bronze/log",
    params(BronzeLogParameters),
    responses(
        (status = 200, body = BronzeLogAnswer),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn log(
    State(api): State<LakeApi>,
    parameters: Given<BronzeLogParameters>,
) -> Result<Json<BronzeLogAnswer>, BronzeRequestError> {
    let BronzeLogParameters { from, since, before } =
        given(parameters).map_err(|told| BronzeRequestError::wrong("", told))?;
    let from = match (from, since) {
        (Some(from), None) if from > 0 => BronzeFrom::Sequence(from),
        (None, Some(since)) => match since.parse::<Timestamp>() {
            Ok(time) => BronzeFrom::Time(time),
            Err(error) => return Err(BronzeRequestError::wrong("/since", error.to_string())),
        },
        (Some(_), None) => return Err(BronzeRequestError::wrong("/from", "sequences begin with 1")),
        _ => return Err(BronzeRequestError::wrong("/from", "say where it begins, by `from` or by `since`")),
    };
    if !(1..=i64::MAX.cast_unsigned()).contains(&before) {
        return Err(BronzeRequestError::wrong("/before", "must be a sequence"));
    }
    let standing = BronzeStanding::look(&api.bus).await?;
    let extent = api.engine.bronze_extent(standing.partitions.clone(), from, before).await;
    let BronzeExtent { first, begins_at, batches, events, missing, written } = extent.map_err(SqlRequestError::from)?;
    // A part of which the last one is lost has nothing that may still come.
    let span = |(from, to)| MissingBatches { from, to, pending: !standing.is_lost(to, &written) };
    let missing = missing.into_iter().map(span).collect();
    Ok(Json(BronzeLogAnswer { first, begins_at, batches, events, missing }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_be_written_is_not_lost() {
        let [a, b] = [0, 1].map(Partition::new);
        let standing = |first, idle: &[Partition]| BronzeStanding {
            first,
            idle: idle.iter().copied().collect(),
            partitions: vec![a, b],
        };
        let written = |reached: &[(Partition, u64)]| reached.iter().copied().collect::<BTreeMap<_, _>>();
        assert!(standing(9, &[]).is_lost(5, &written(&[(a, 7), (b, 5)])), "both are beyond it");
        assert!(!standing(9, &[]).is_lost(5, &written(&[(a, 7), (b, 4)])), "b may have it in hand");
        assert!(standing(9, &[b]).is_lost(5, &written(&[(a, 7)])), "b has nothing in hand");
        assert!(!standing(5, &[a, b]).is_lost(5, &written(&[(a, 7), (b, 7)])), "the log has it");
        assert!(standing(6, &[a, b]).is_lost(5, &written(&[])), "nobody reads what is gone");
    }

    #[test]
    fn a_page_has_lines_as_they_stand_in_the_log() {
        let sources = BTreeMap::from([("till".to_owned(), 2)]);
        let lines = b"{\"a\": 1.0}\n{\"b\":2}\n".to_vec();
        let batch = BronzeBatch { raw_seq: 7, ingested_at: Timestamp::EPOCH, sources, lines };
        let page = page_of(BronzePageHead { behind: 3, reaches: 9 }, &[batch]).expect("is written");
        let want = "{\"behind\":3,\"reaches\":9}\n\
                    {\"raw_seq\":7,\"ingested_at\":\"1970-01-01T00:00:00Z\",\"sources\":{\"till\":2}}\n\
                    {\"a\": 1.0}\n{\"b\":2}\n";
        assert_eq!(String::from_utf8(page).expect("text"), want);
    }
}
