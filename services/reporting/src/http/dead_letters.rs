//! Dead letters over HTTP: list, show, redrive, discard, audit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidemill_domain::{Timestamp, text::has_control};
use tidemill_events::{DeadLetter, Events, bodies};
use tidemill_service::{Caller, FieldError, Problem};
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Asked, MAX_SEQUENCE, PATIENCE, is_json};
use crate::{
    dead_letters::{
        self, Act, Action, ActionFilter, Filter, Kind, Letter, RedriveRequest, Refusal, State as LetterState,
    },
    error::Error,
    masking, query,
    state::Reporting,
    store::{Found, Page},
};

/// Bytes of a request's body: a mended event may take 128 KiB, and be a JSON
/// text in which each byte takes several.
pub(super) const MAX_BODY: usize = 1 << 20;
/// Bytes of a mended event: the most that ingestion lets through.
const MAX_EVENT: usize = 128 << 10;
/// Bytes of a list of mended events: twice what a letter holds of them.
const MAX_LIST: usize = 512 << 10;
/// Letters that one call orders something for.
const AT_ONCE: u16 = 1000;
/// Characters of who orders, and of why.
const MAX_NAME: usize = 200;
const MAX_REASON: usize = 2000;
/// Actions that a letter's history shows, the newest.
const HISTORY: u16 = 100;

#[derive(Serialize, ToSchema)]
pub(super) struct ListAnswer {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The newest first.
    dead_letters: Vec<Letter>,
    /// `before` of the next page; `null` on the last one.
    next: Option<u64>,
}

/// Dead letters, the newest first.
///
/// What is personal in them is masked.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead letters",
    params(
        ("service" = Option<String>, Query, description = "Given up by this service"),
        ("code" = Option<String>, Query, description = "For this reason"),
        ("source" = Option<String>, Query, description = "Events of this source"),
        ("since" = Option<String>, Query, format = DateTime, description = "Failed at or after it (RFC 3339)"),
        ("until" = Option<String>, Query, format = DateTime, description = "Failed before it (RFC 3339)"),
        ("state" = Option<LetterState>, Query, description = "Where they stand"),
        ("before" = Option<u64>, Query, description = "With a lower sequence: the next page"),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 500, description = "At most this many; 50 without it"),
    ),
    responses(
        (status = 200, body = ListAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(State(reporting): State<Arc<Reporting>>, asked: Asked) -> Result<Json<ListAnswer>, Error> {
    asked.only(&["limit", "service", "code", "source", "since", "until", "state", "before"])?;
    let text = |name| asked.text(name).map(str::to_owned);
    let filter = Filter {
        service: text("service"),
        code: text("code"),
        source: text("source"),
        since: asked.parsed("since")?,
        until: asked.parsed("until")?,
        state: asked.parsed("state")?,
    };
    let (limit, before) = (asked.limit()?, asked.sequence("before")?);
    let found = reporting.store.dead_letters(&filter, Page::Before(before), limit).await?;
    let mut letters: Vec<Letter> = found.into_iter().map(|found| found.letter.masked()).collect();
    let bodies = stream::iter(letters.iter_mut())
        .for_each_concurrent(8, async |letter| letter.body = excerpt_of(&reporting, letter.sequence).await);
    // The list is worth something without them.
    let _ = timeout(PATIENCE, bodies).await;
    let next = next_page(letters.iter().map(|letter| letter.sequence), limit);
    Ok(Json(ListAnswer { as_of: reporting.now(), dead_letters: letters, next }))
}

/// Where the next page begins, if this one is full.
fn next_page(sequences: impl ExactSizeIterator<Item = u64>, limit: u16) -> Option<u64> {
    (sequences.len() >= usize::from(limit)).then(|| sequences.last()).flatten()
}

async fn excerpt_of(reporting: &Reporting, sequence: u64) -> Option<String> {
    match reporting.bus.message_at::<DeadLetter>(sequence).await {
        Ok(stored) => stored.and_then(|stored| dead_letters::excerpt_of(&stored.message)),
        Err(error) => {
            tracing::debug!(sequence, %error, "the body of a dead letter cannot be read");
            None
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct LetterAnswer {
    /// The letter; its `body` is whole here, but for what is masked.
    #[serde(flatten)]
    letter: Letter,
    /// `utf-8`, or `base64` for a body that is none; `list` for a JSON array of
    /// the bodies of several events, each an object with `text` or `base64` and,
    /// where several events had it, their `count`.
    body_encoding: &'static str,
    /// Whether what is personal in it is masked.
    masked: bool,
    /// Bytes of the body; of an event, ingestion keeps 64 KiB.
    body_bytes: usize,
    /// The release that gave it up.
    release: Option<String>,
    /// The stream that it came from, where it came from one.
    stream: Option<String>,
    /// Its sequence there.
    stream_sequence: Option<u64>,
    /// How often it was delivered.
    deliveries: Option<u64>,
    /// The event's trace, as a `traceparent`.
    traceparent: Option<String>,
    /// What was ordered for it and what came of that, the newest first.
    history: Vec<Action>,
}

/// One dead letter, with its body and its history.
///
/// What is personal in it is masked: members that schemas mark so, e-mail
/// addresses and card numbers anywhere, and a body that is no JSON as a whole.
/// That somebody asks for all of it is written to the audit.
#[utoipa::path(get, path = "/v1/dead-letters/{sequence}", tag = "dead letters",
    params(
        ("sequence" = u64, Path, description = "Its sequence in the stream of dead letters"),
        ("unmasked" = Option<bool>, Query, description = "Whether to show what is personal too"),
    ),
    responses(
        (status = 200, body = LetterAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn show(
    State(reporting): State<Arc<Reporting>>,
    Path(sequence): Path<String>,
    caller: Caller,
    asked: Asked,
) -> Result<Json<LetterAnswer>, Error> {
    let sequence: u64 = path_parameter("sequence", &sequence)?;
    if sequence == 0 {
        // Streams count from 1, and NATS takes 0 for no sequence.
        return Err(Error::UnknownDeadLetter(0));
    }
    asked.only(&["unmasked"])?;
    let unmasked = asked.parsed::<bool>("unmasked")?.unwrap_or(false);
    let stored = reporting.bus.message_at::<DeadLetter>(sequence).await?.map(|stored| stored.message);
    let found = reporting.store.dead_letters_at(&[sequence].into()).await?.remove(&sequence);
    let letter = match (found, &stored) {
        (Some(Found { letter, .. }), _) => letter,
        // It has just come.
        (None, Some(stored)) => Letter::new(sequence, stored),
        (None, None) => return Err(Error::UnknownDeadLetter(sequence)),
    };
    if unmasked {
        // Written down first: what cannot be told afterwards is not shown.
        let (request, now) = (reporting.context.new_id(), reporting.now());
        reporting.store.unmasked(sequence, request, caller.name(), now).await?;
        tracing::info!(letter = sequence, key = %caller, "a dead letter is shown unmasked");
    }
    let filter = ActionFilter { letter: Some(sequence), ..ActionFilter::default() };
    let history = masked(reporting.store.actions(&filter, HISTORY).await?);
    let stored = stored.as_ref();
    let (body, body_encoding) = match stored.filter(|stored| stored.events.are_kept()) {
        Some(stored) if unmasked => whole(stored),
        Some(stored) => (dead_letters::masked_body(stored), form_of(stored)),
        None => (None, "utf-8"),
    };
    let letter = if unmasked { letter } else { letter.masked() };
    Ok(Json(LetterAnswer {
        letter: Letter { body, ..letter },
        body_encoding,
        masked: !unmasked,
        body_bytes: stored.map(|stored| stored.body.len()).unwrap_or_default(),
        release: stored.map(|stored| stored.release.clone()),
        stream: stored.and_then(|stored| stored.stream.clone()),
        stream_sequence: stored.and_then(|stored| stored.sequence),
        deliveries: stored.map(|stored| stored.deliveries),
        traceparent: stored.and_then(|stored| stored.trace).map(|trace| trace.to_string()),
        history,
    }))
}

/// A body as it is.
fn whole(letter: &DeadLetter) -> (Option<String>, &'static str) {
    match std::str::from_utf8(&letter.body) {
        Ok(text) => (Some(text.to_owned()), form_of(letter)),
        Err(_) => (Some(STANDARD.encode(&letter.body)), "base64"),
    }
}

fn form_of(letter: &DeadLetter) -> &'static str {
    if matches!(letter.events, Events::Several(_)) { "list" } else { "utf-8" }
}

/// Orders, without what looks personal in why they were given. Who gave them is
/// the point of an audit.
fn masked(actions: Vec<Action>) -> Vec<Action> {
    let masked = |action: Action| Action { reason: masking::text(&action.reason).into_owned(), ..action };
    actions.into_iter().map(masked).collect()
}

fn path_parameter<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::Parameters(vec![query::wrong(name, error.to_string())]))
}

/// Which letters are meant. Without a state, those that are dead.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct FilterRequest {
    /// Given up by this service.
    service: Option<String>,
    /// For this reason.
    code: Option<String>,
    /// Events of this source.
    source: Option<String>,
    /// Failed at or after it (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Failed before it (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Where they stand.
    state: Option<LetterState>,
}

impl From<FilterRequest> for Filter {
    fn from(asked: FilterRequest) -> Self {
        let FilterRequest { service, code, source, since, until, state } = asked;
        Self { service, code, source, since, until, state: state.or(Some(LetterState::Dead)) }
    }
}

/// What is to be done with which letters: either `sequences` or `filter`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderRequest {
    /// These letters, at most 1000.
    #[schema(value_type = Option<Vec<u64>>)]
    sequences: Option<BTreeSet<u64>>,
    /// All letters like that, the oldest first, 1000 a call.
    filter: Option<FilterRequest>,
    /// With `filter`: `next` of the call before.
    #[serde(default)]
    after: u64,
    /// With `filter`: letters in this call.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Only tell what would be done.
    #[serde(default)]
    dry_run: bool,
    /// Also those that something was done about before.
    #[serde(default)]
    force: bool,
    /// Who orders it.
    #[schema(min_length = 1, max_length = 200)]
    by: String,
    /// Why; needed to discard.
    #[serde(default)]
    #[schema(max_length = 2000)]
    reason: String,
    /// `request` of an earlier call that this one goes on with or repeats: for
    /// one letter it does nothing twice.
    #[schema(value_type = Option<String>, format = "uuid")]
    request: Option<Uuid>,
    /// To redrive exactly one of `sequences`: the mended event, as a JSON
    /// object, or as a text that holds it. For a letter of several events, their
    /// list as `body` of the letter shows it.
    #[schema(value_type = Option<serde_json::Value>)]
    body: Option<Box<RawValue>>,
}

/// What was done, or with `dry_run` would be.
#[derive(Serialize, ToSchema)]
pub(super) struct OrderAnswer {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The order's name, in the audit too.
    #[schema(value_type = String, format = "uuid")]
    request: Uuid,
    /// Whether nothing was done.
    dry_run: bool,
    /// Letters for which it was ordered.
    ordered: usize,
    /// Letters for which it was refused.
    refused: usize,
    /// The verdict on each letter, in the order of their sequences.
    letters: Vec<Verdict>,
    /// `after` of the next call; `null` where all are through.
    next: Option<u64>,
}

/// The verdict on one letter.
#[derive(Serialize, ToSchema)]
struct Verdict {
    /// The letter.
    sequence: u64,
    /// `redriving`, `discarded`, or `refused`.
    verdict: &'static str,
    /// Why it is refused: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Why it is refused, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The service that gave it up.
    service: Option<String>,
    /// The code of its reason.
    letter_code: Option<String>,
    /// The event's source.
    source: Option<String>,
    /// The event's id.
    event_id: Option<String>,
    /// Where the letter stood.
    state: Option<LetterState>,
}

impl Verdict {
    fn new(kind: Kind, sequence: u64, letter: Option<&Letter>, refusal: Option<Refusal>) -> Self {
        let done = match kind {
            Kind::Redrive => LetterState::Redriving.as_str(),
            Kind::Discard => LetterState::Discarded.as_str(),
        };
        Self {
            sequence,
            verdict: if refusal.is_some() { "refused" } else { done },
            code: refusal.map(Refusal::code),
            detail: refusal.map(|refusal| refusal.to_string()),
            service: letter.map(|letter| letter.service.clone()),
            letter_code: letter.map(|letter| letter.code.clone()),
            source: letter.and_then(|letter| shown(letter.source.as_deref())),
            event_id: letter.and_then(|letter| shown(letter.event_id.as_deref())),
            state: letter.map(|letter| letter.state),
        }
    }
}

fn shown(text: Option<&str>) -> Option<String> {
    text.map(|text| masking::text(text).into_owned())
}

/// Send the events of dead letters again.
///
/// Each is judged by ingestion like any other event, under the source and id
/// that it has (where it has none, under one that follows from the letter): so
/// it is counted once, however often it is redriven. It is received anew, and
/// is accepted, or fails again as another dead letter. The answer comes when
/// the order is written down; `GET /v1/dead-letters/orders/{request}` tells how
/// far it has come. A letter that is redriving, accepted or discarded is
/// refused unless `force` is set; letters of alert and reporting always are,
/// since their events have their outcome.
#[utoipa::path(post, path = "/v1/dead-letters/redrive", tag = "dead letters",
    request_body = OrderRequest,
    responses(
        (status = 200, description = "A dry run", body = OrderAnswer),
        (status = 202, body = OrderAnswer),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn redrive(
    State(reporting): State<Arc<Reporting>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Error> {
    order(&reporting, Kind::Redrive, &caller, request).await
}

/// Give dead letters up for good.
///
/// Their bodies leave the stream, which is room for others, within moments of
/// the answer; the list and the audit keep them as discarded. One that is
/// accepted is refused.
#[utoipa::path(post, path = "/v1/dead-letters/discard", tag = "dead letters",
    request_body = OrderRequest,
    responses(
        (status = 200, description = "Written down, or a dry run", body = OrderAnswer),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn discard(
    State(reporting): State<Arc<Reporting>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Error> {
    order(&reporting, Kind::Discard, &caller, request).await
}

async fn order(reporting: &Reporting, kind: Kind, caller: &Caller, request: Request) -> Result<Response, Error> {
    let asked = read(request).await?;
    let body = check(kind, &asked)?;
    let limit = asked.limit.unwrap_or(AT_ONCE);
    let (found, unknown, next): (Vec<Found>, _, _) = match (asked.sequences, asked.filter) {
        (Some(sequences), None) => {
            let found = reporting.store.dead_letters_at(&sequences).await?;
            let unknown: Vec<u64> = sequences.into_iter().filter(|sequence| !found.contains_key(sequence)).collect();
            (found.into_values().collect(), unknown, None)
        }
        (_, filter) => {
            let filter = filter.unwrap_or_default().into();
            let found = reporting.store.dead_letters(&filter, Page::After(asked.after), limit).await?;
            let next = next_page(found.iter().map(|found| found.letter.sequence), limit);
            (found, Vec::new(), next)
        }
    };
    if !body.is_empty() {
        check_mended(&found, &body)?;
    }
    let order = RedriveRequest {
        request: asked.request.unwrap_or_else(|| reporting.context.new_id()),
        kind,
        force: asked.force,
        by: asked.by,
        key: caller.name().into(),
        reason: asked.reason,
        at: reporting.now(),
        body,
    };
    let verdicts = rule(reporting, &order, asked.dry_run, &found).await?;
    let unknown = unknown.into_iter().map(|sequence| Verdict::new(kind, sequence, None, Some(Refusal::Unknown)));
    let mut letters: Vec<Verdict> = verdicts.into_iter().chain(unknown).collect();
    letters.sort_by_key(|verdict| verdict.sequence);
    let refused = letters.iter().filter(|verdict| verdict.code.is_some()).count();
    let answer = OrderAnswer {
        as_of: order.at,
        request: order.request,
        dry_run: asked.dry_run,
        ordered: letters.len() - refused,
        refused,
        letters,
        next,
    };
    let status = match kind {
        Kind::Redrive if !asked.dry_run => StatusCode::ACCEPTED,
        Kind::Redrive | Kind::Discard => StatusCode::OK,
    };
    Ok((status, Json(answer)).into_response())
}

/// Decides on each letter, and writes down what is decided unless it is a dry
/// run.
async fn rule(
    reporting: &Reporting,
    order: &RedriveRequest,
    dry_run: bool,
    found: &[Found],
) -> Result<Vec<Verdict>, Error> {
    // A call that is repeated finds its own work.
    let is_done = |found: &Found| found.action == Some(order.action(found.letter.sequence));
    let refusal = |found: &Found| {
        if is_done(found) { None } else { found.letter.refusal(order.kind, order.force) }
    };
    let refusals: BTreeMap<u64, Option<Refusal>> =
        found.iter().map(|found| (found.letter.sequence, refusal(found))).collect();
    let open: Vec<u64> = found
        .iter()
        .filter(|found| refusal(found).is_none() && !is_done(found))
        .map(|found| found.letter.sequence)
        .collect();
    let ordered = match dry_run || open.is_empty() {
        true => open.iter().copied().collect(),
        false => reporting.store.order(order, &open).await?,
    };
    if !dry_run {
        reporting.ordered.notify_one();
    }
    let verdict = |found: &Found| {
        let letter = &found.letter;
        let overtaken = open.contains(&letter.sequence) && !ordered.contains(&letter.sequence);
        let refusal = if overtaken { Some(Refusal::Overtaken) } else { refusals[&letter.sequence] };
        Verdict::new(order.kind, letter.sequence, Some(letter), refusal)
    };
    if !dry_run {
        tracing::info!(
            request = %order.request, kind = %order.kind, by = order.by, key = order.key, letters = ordered.len(),
            "an order for dead letters"
        );
    }
    Ok(found.iter().map(verdict).collect())
}

/// Reads the body of an order.
async fn read(request: Request) -> Result<OrderRequest, Error> {
    if !is_json(request.headers()) {
        return Err(Error::MediaType);
    }
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(Error::TooLarge(MAX_BODY)),
        Err(rejection) => return Err(wrong("", rejection.body_text())),
    };
    serde_json::from_slice(&body).map_err(|error| wrong("", error.to_string()))
}

/// Checks an order; answers the mended event, empty where there is none.
fn check(kind: Kind, asked: &OrderRequest) -> Result<Vec<u8>, Error> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, detail: &str| {
        errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
    };
    match (&asked.sequences, &asked.filter) {
        (Some(sequences), None) if sequences.is_empty() => wrong("/sequences", "must not be empty"),
        (Some(sequences), None) if sequences.len() > usize::from(AT_ONCE) => {
            wrong("/sequences", "must be at most 1000")
        }
        (Some(sequences), None) if sequences.last().is_some_and(|last| *last > MAX_SEQUENCE) => {
            wrong("/sequences", "must not hold a sequence that no letter can have")
        }
        (Some(_), None) | (None, Some(_)) => {}
        (Some(_), Some(_)) => wrong("/filter", "must not stand beside sequences"),
        (None, None) => wrong("", "needs sequences or a filter"),
    }
    if let Some(FilterRequest { service, code, source, .. }) = &asked.filter {
        for (pointer, text) in [("/filter/service", service), ("/filter/code", code), ("/filter/source", source)] {
            if text.as_deref().is_some_and(has_control) {
                wrong(pointer, "must not hold control characters");
            }
        }
    }
    if asked.after > MAX_SEQUENCE {
        wrong("/after", "is a sequence that no letter can have");
    }
    if asked.limit.is_some_and(|limit| !(1..=AT_ONCE).contains(&limit)) {
        wrong("/limit", "must be between 1 and 1000");
    }
    for (pointer, text, most) in [("/by", &asked.by, MAX_NAME), ("/reason", &asked.reason, MAX_REASON)] {
        if text.chars().count() > most || text.chars().any(|c| c.is_control() && c != '\n') {
            wrong(pointer, &format!("must be at most {most} characters, and none of them control characters"));
        }
    }
    if asked.by.trim().is_empty() {
        wrong("/by", "must say who orders it");
    }
    if kind == Kind::Discard && asked.reason.trim().is_empty() {
        wrong("/reason", "must say why they are given up");
    }
    let body = asked.body.as_deref().map(mended).unwrap_or_default();
    if asked.body.is_some() {
        let is_one = asked.sequences.as_ref().is_some_and(|sequences| sequences.len() == 1);
        match kind {
            Kind::Discard => wrong("/body", "is for a redrive"),
            Kind::Redrive if !is_one => wrong("/body", "is for exactly one of sequences"),
            Kind::Redrive if body.trim_ascii().is_empty() => wrong("/body", "must not be empty"),
            Kind::Redrive if !asked.force && is_masked(&body) => {
                wrong("/body", "is of a letter that was shown masked; ask for it unmasked, or set force")
            }
            Kind::Redrive if body.len() > MAX_LIST => wrong("/body", "must be at most 524288 bytes"),
            Kind::Redrive => {}
        }
    }
    if errors.is_empty() { Ok(body) } else { Err(Error::Request(errors)) }
}

/// A mended body has the form of the letter's own.
fn check_mended(found: &[Found], body: &[u8]) -> Result<(), Error> {
    let several = found.iter().any(|found| found.letter.count > 1);
    match (several, bodies::decode(body)) {
        (true, Err(error)) => Err(wrong("/body", format!("must be a list of bodies, as the letter's own: {error}"))),
        (true, Ok(_)) => Ok(()),
        (false, _) if body.len() > MAX_EVENT => Err(wrong("/body", format!("must be at most {MAX_EVENT} bytes"))),
        (false, _) => Ok(()),
    }
}

/// Whether a mask was left in a mended body, or in one of several.
fn is_masked(body: &[u8]) -> bool {
    let holds = |body: &[u8]| body.windows(masking::MASK.len()).any(|part| part == masking::MASK.as_bytes());
    holds(body) || bodies::decode(body).is_ok_and(|bodies| bodies.iter().any(|body| holds(&body.bytes)))
}

/// A mended event: a JSON value as it is written, or the text that one holds.
fn mended(body: &RawValue) -> Vec<u8> {
    let text = serde_json::from_str::<String>(body.get());
    text.map_or_else(|_| body.get().as_bytes().to_vec(), String::into_bytes)
}

fn wrong(pointer: &str, detail: String) -> Error {
    Error::Request(vec![FieldError { pointer: pointer.into(), detail }])
}

#[derive(Serialize, ToSchema)]
pub(super) struct AuditAnswer {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The newest first.
    actions: Vec<Action>,
    /// `before` of the next page; `null` on the last one.
    next: Option<u64>,
}

/// Who had what done with which dead letter, and what came of it.
#[utoipa::path(get, path = "/v1/dead-letters/audit", tag = "dead letters",
    params(
        ("letter" = Option<u64>, Query, description = "For this letter"),
        ("request" = Option<String>, Query, format = "uuid", description = "By this order"),
        ("by" = Option<String>, Query, description = "Ordered by them"),
        ("kind" = Option<Act>, Query, description = "`redrive`, `discard` or `unmask`"),
        ("state" = Option<dead_letters::Progress>, Query, description = "How far it has come"),
        ("before" = Option<u64>, Query, description = "With a lower number: the next page"),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 500, description = "At most this many; 50 without it"),
    ),
    responses(
        (status = 200, body = AuditAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn audit(State(reporting): State<Arc<Reporting>>, asked: Asked) -> Result<Json<AuditAnswer>, Error> {
    asked.only(&["limit", "letter", "request", "by", "kind", "state", "before"])?;
    let filter = ActionFilter {
        letter: asked.sequence("letter")?,
        request: asked.parsed("request")?,
        by: asked.text("by").map(str::to_owned),
        kind: asked.parsed("kind")?,
        state: asked.parsed("state")?,
        before: asked.sequence("before")?,
    };
    let limit = asked.limit()?;
    let actions = masked(reporting.store.actions(&filter, limit).await?);
    let next = next_page(actions.iter().map(|action| action.number), limit);
    Ok(Json(AuditAnswer { as_of: reporting.now(), actions, next }))
}

/// How many letters of an order have come how far.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct ProgressAnswer {
    /// Letters that it is for.
    letters: u64,
    /// Those that are written down, and not done yet.
    requested: u64,
    /// Those on their way to ingestion.
    sent: u64,
    /// Those whose event is in the log.
    accepted: u64,
    /// Those whose event has failed once more.
    failed_again: u64,
    /// Those that are discarded.
    done: u64,
    /// Those whose body was gone before it could be sent.
    lost: u64,
    /// Whether none is on its way.
    settled: bool,
}

/// How far an order has come.
#[utoipa::path(get, path = "/v1/dead-letters/orders/{request}", tag = "dead letters",
    params(("request" = String, Path, format = "uuid", description = "The order's name, as its answer gave it")),
    responses(
        (status = 200, body = ProgressAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn progress(
    State(reporting): State<Arc<Reporting>>,
    Path(request): Path<String>,
) -> Result<Json<ProgressAnswer>, Error> {
    let counts = reporting.store.order_progress(path_parameter("request", &request)?).await?;
    let of = |state: dead_letters::Progress| counts.get(state.as_str()).copied().unwrap_or_default();
    use dead_letters::Progress::{Accepted, Done, FailedAgain, Lost, Requested, Sent};
    Ok(Json(ProgressAnswer {
        letters: counts.values().sum(),
        requested: of(Requested),
        sent: of(Sent),
        accepted: of(Accepted),
        failed_again: of(FailedAgain),
        done: of(Done),
        lost: of(Lost),
        settled: of(Requested) + of(Sent) == 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(kind: Kind, json: &str) -> Result<Vec<u8>, Vec<String>> {
        let asked = serde_json::from_str(json).map_err(|e: serde_json::Error| vec![e.to_string()])?;
        check(kind, &asked).map_err(|error| match error {
            Error::Request(errors) => errors.into_iter().map(|e| e.pointer).collect(),
            other => panic!("{other}"),
        })
    }

    #[test]
    fn an_order_says_which_letters_and_who() {
        let ok =
            [r#"{"sequences":[1],"by":"anna"}"#, r#"{"filter":{},"by":"anna","limit":5,"after":3,"dry_run":true}"#];
        ok.iter().for_each(|json| assert_eq!(checked(Kind::Redrive, json), Ok(Vec::new()), "{json}"));
        for (json, pointers) in [
            (r#"{"by":"anna"}"#, &[""][..]),
            (r#"{"sequences":[],"by":" "}"#, &["/sequences", "/by"]),
            (r#"{"sequences":[1],"filter":{},"by":"a\u0000"}"#, &["/filter", "/by"]),
            (r#"{"filter":{"source":"a\u0000","code":"\u001b"},"by":"a"}"#, &["/filter/code", "/filter/source"]),
            (r#"{"filter":{},"by":"a","limit":0,"body":{}}"#, &["/limit", "/body"]),
            (r#"{"sequences":[1,2],"by":"a","body":{}}"#, &["/body"]),
            (r#"{"sequences":[1],"by":"a","body":" "}"#, &["/body"]),
        ] {
            assert_eq!(checked(Kind::Redrive, json).expect_err(json), pointers, "{json}");
        }
        assert_eq!(checked(Kind::Discard, ok[0]), Err(vec!["/reason".to_owned()]));
        assert!(checked(Kind::Redrive, r#"{"sequences":[1],"by":"a","dryrun":true}"#).is_err());
    }

    #[test]
    fn a_mended_event_is_taken_to_the_letter() {
        let of = |body: &str| {
            let order = format!(r#"{{"sequences":[1],"by":"a","body":{body}}}"#);
            String::from_utf8(checked(Kind::Redrive, &order).expect("right")).expect("text")
        };
        assert_eq!(of(r#"{"n": 0.10000000000000000001}"#), r#"{"n": 0.10000000000000000001}"#);
        assert_eq!(of(r#""{\"a\":1}""#), r#"{"a":1}"#);
    }
}
