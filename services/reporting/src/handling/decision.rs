//! Decides on each letter of an order, and writes the decisions down.

use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_service::Caller;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    request::{AT_ONCE, OrderRequest, check_mended},
    show::next_page,
};
use crate::{
    dead_letters::{ActionRefusal, ActionRequest, LetterState, ListedLetter, RequestKind, masked_text},
    error::Error,
    state::Reporting,
    store::{LetterPage, StoredLetter},
};

/// What was done, or with `dry_run` would be.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderAnswer {
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
    letters: Vec<LetterVerdict>,
    /// `after` of the next call; `null` where all are through.
    next: Option<u64>,
}

/// The verdict on one letter.
#[derive(Serialize, ToSchema)]
#[schema(as = Verdict)]
pub(crate) struct LetterVerdict {
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

impl LetterVerdict {
    fn new(kind: RequestKind, sequence: u64, letter: Option<&ListedLetter>, refusal: Option<ActionRefusal>) -> Self {
        let done = match kind {
            RequestKind::Redrive => LetterState::Redriving.as_str(),
            RequestKind::Discard => LetterState::Discarded.as_str(),
        };
        Self {
            sequence,
            verdict: if refusal.is_some() { "refused" } else { done },
            code: refusal.map(|refusal| refusal.code().as_str()),
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
    text.map(|text| masked_text(text).into_owned())
}

/// Decides on an order's letters, and writes down what is decided unless it is a
/// dry run.
pub(crate) async fn order(
    reporting: &Reporting,
    kind: RequestKind,
    caller: &Caller,
    asked: OrderRequest,
) -> Result<OrderAnswer, Error> {
    let body = asked.check(kind)?;
    let Meant { found, unknown, next } = meant(reporting, &asked).await?;
    if !body.is_empty() {
        check_mended(&found, &body)?;
    }
    let OrderRequest { request, force, by, reason, dry_run, .. } = asked;
    let order = ActionRequest {
        request: request.unwrap_or_else(|| reporting.context.new_id()),
        kind,
        force,
        by,
        key: caller.name().into(),
        reason,
        at: reporting.now(),
        body,
    };
    let decided = decide(reporting, &order, dry_run, &found).await?;
    let unknown =
        unknown.into_iter().map(|sequence| LetterVerdict::new(kind, sequence, None, Some(ActionRefusal::Unknown)));
    let mut letters: Vec<LetterVerdict> = decided.into_iter().chain(unknown).collect();
    letters.sort_by_key(|verdict| verdict.sequence);
    let refused = letters.iter().filter(|verdict| verdict.code.is_some()).count();
    Ok(OrderAnswer {
        as_of: order.at,
        request: order.request,
        dry_run,
        ordered: letters.len() - refused,
        refused,
        letters,
        next,
    })
}

/// The letters that an order is for.
struct Meant {
    found: Vec<StoredLetter>,
    /// Sequences that it names and that no letter has.
    unknown: Vec<u64>,
    /// Where the next call goes on.
    next: Option<u64>,
}

async fn meant(reporting: &Reporting, asked: &OrderRequest) -> Result<Meant, Error> {
    if let Some(sequences) = &asked.sequences {
        let found = reporting.store.dead_letters_at(sequences).await?;
        let unknown = sequences.iter().copied().filter(|sequence| !found.contains_key(sequence)).collect();
        return Ok(Meant { found: found.into_values().collect(), unknown, next: None });
    }
    let (filter, limit) = (asked.filter.clone().unwrap_or_default().into(), asked.limit.unwrap_or(AT_ONCE));
    let found = reporting.store.dead_letters(&filter, LetterPage::After(asked.after), limit).await?;
    let next = next_page(found.iter().map(|found| found.letter.sequence), limit);
    Ok(Meant { found, unknown: Vec::new(), next })
}

/// The verdict on each letter.
async fn decide(
    reporting: &Reporting,
    order: &ActionRequest,
    dry_run: bool,
    found: &[StoredLetter],
) -> Result<Vec<LetterVerdict>, Error> {
    // A call that is repeated finds its own work.
    let is_done = |found: &StoredLetter| found.action == Some(order.action(found.letter.sequence));
    let refusal = |found: &StoredLetter| {
        if is_done(found) { None } else { found.letter.refusal(order.kind, order.force) }
    };
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
        tracing::info!(
            request = %order.request, kind = %order.kind, by = order.by, key = order.key, letters = ordered.len(),
            "an order for dead letters"
        );
    }
    let verdict = |found: &StoredLetter| {
        let letter = &found.letter;
        let overtaken = open.contains(&letter.sequence) && !ordered.contains(&letter.sequence);
        let refusal = if overtaken { Some(ActionRefusal::Overtaken) } else { refusal(found) };
        LetterVerdict::new(order.kind, letter.sequence, Some(letter), refusal)
    };
    Ok(found.iter().map(verdict).collect())
}
