//! Dead letters as they are shown: a list of them, and one with all that is
//! known of it.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_events::DeadLetter;
use tidemill_service::Caller;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    dead_letters::{
        ActionFilter, LetterAction, LetterFilter, ListedLetter, excerpt_of, format_of, masked_body, masked_text,
        whole_body,
    },
    error::Error,
    state::Reporting,
    store::{LetterPage, StoredLetter},
};

/// How long dead letters wait for their bodies.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bodies that a list reads at once.
const BODIES_AT_ONCE: usize = 8;
/// Actions that a letter's history shows, the newest.
const HISTORY: u16 = 100;

#[derive(Serialize, ToSchema)]
pub(crate) struct ListAnswer {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The newest first.
    dead_letters: Vec<ListedLetter>,
    /// `before` of the next page; `null` on the last one.
    next: Option<u64>,
}

/// Lists letters, the newest first, masked.
pub(crate) async fn list(
    reporting: &Reporting,
    filter: &LetterFilter,
    before: Option<u64>,
    limit: u16,
) -> Result<ListAnswer, Error> {
    let found = reporting.store.dead_letters(filter, LetterPage::Before(before), limit).await?;
    let mut letters: Vec<ListedLetter> = found.into_iter().map(|found| found.letter.masked()).collect();
    let bodies = stream::iter(letters.iter_mut())
        .for_each_concurrent(BODIES_AT_ONCE, async |letter| letter.body = excerpt(reporting, letter.sequence).await);
    // The list is worth something without them.
    let _ = timeout(PATIENCE, bodies).await;
    let next = next_page(letters.iter().map(|letter| letter.sequence), limit);
    Ok(ListAnswer { as_of: reporting.now(), dead_letters: letters, next })
}

/// Where the next page begins, if this one is full.
pub(super) fn next_page(numbers: impl ExactSizeIterator<Item = u64>, limit: u16) -> Option<u64> {
    (numbers.len() >= usize::from(limit)).then(|| numbers.last()).flatten()
}

async fn excerpt(reporting: &Reporting, sequence: u64) -> Option<String> {
    match reporting.bus.message_at::<DeadLetter>(sequence).await {
        Ok(stored) => stored.and_then(|stored| excerpt_of(&stored.message)),
        Err(error) => {
            tracing::debug!(sequence, %error, "the body of a dead letter cannot be read");
            None
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LetterAnswer {
    /// The letter; its `body` is whole here, but for what is masked.
    #[serde(flatten)]
    letter: ListedLetter,
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
    history: Vec<LetterAction>,
}

/// Shows one letter. That somebody sees it unmasked is written to the audit.
pub(crate) async fn show(
    reporting: &Reporting,
    caller: &Caller,
    sequence: u64,
    unmasked: bool,
) -> Result<LetterAnswer, Error> {
    if sequence == 0 {
        // Streams count from 1, and NATS takes 0 for no sequence.
        return Err(Error::UnknownDeadLetter(0));
    }
    let stored = reporting.bus.message_at::<DeadLetter>(sequence).await?.map(|stored| stored.message);
    let found = reporting.store.dead_letters_at(&[sequence].into()).await?.remove(&sequence);
    let letter = match (found, &stored) {
        (Some(StoredLetter { letter, .. }), _) => letter,
        // It has just come.
        (None, Some(stored)) => ListedLetter::new(sequence, stored),
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
        Some(stored) if unmasked => whole_body(stored),
        Some(stored) => (masked_body(stored), format_of(stored)),
        None => (None, "utf-8"),
    };
    let letter = if unmasked { letter } else { letter.masked() };
    Ok(LetterAnswer {
        letter: ListedLetter { body, ..letter },
        body_encoding,
        masked: !unmasked,
        body_bytes: stored.map(|stored| stored.body.len()).unwrap_or_default(),
        release: stored.map(|stored| stored.release.clone()),
        stream: stored.and_then(|stored| stored.stream.clone()),
        stream_sequence: stored.and_then(|stored| stored.sequence),
        deliveries: stored.map(|stored| stored.deliveries),
        traceparent: stored.and_then(|stored| stored.trace).map(|trace| trace.to_string()),
        history,
    })
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AuditAnswer {
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The newest first.
    actions: Vec<LetterAction>,
    /// `before` of the next page; `null` on the last one.
    next: Option<u64>,
}

/// Lists what was ordered, the newest first.
pub(crate) async fn audit(reporting: &Reporting, filter: &ActionFilter, limit: u16) -> Result<AuditAnswer, Error> {
    let actions = masked(reporting.store.actions(filter, limit).await?);
    let next = next_page(actions.iter().map(|action| action.number), limit);
    Ok(AuditAnswer { as_of: reporting.now(), actions, next })
}

/// Orders, without what looks personal in why they were given. Who gave them is
/// the point of an audit.
fn masked(actions: Vec<LetterAction>) -> Vec<LetterAction> {
    let masked = |action: LetterAction| LetterAction { reason: masked_text(&action.reason).into_owned(), ..action };
    actions.into_iter().map(masked).collect()
}
