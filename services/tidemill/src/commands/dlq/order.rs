//! Orders for dead letters: shown first, agreed to, given page by page under
//! one name, and followed until they are settled.

use std::{
    io::{IsTerminal, Read, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, json};
use tidemill_domain::Timestamp;
use uuid::Uuid;

use super::{
    super::ended::Ended,
    api::moments,
    ruled::{Ordered, Ruled},
    settled::{failures, follow},
};
use crate::{
    arguments::{DlqOrder, DlqRedrive},
    client::{Client, ClientError},
};

/// Letters in one call.
const PAGE: u32 = 1000;

/// An order as the API reads it.
#[derive(Debug, Serialize)]
struct OrderBody<'o> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sequences: Option<&'o [u64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Filter<'o>>,
    after: u64,
    limit: u32,
    dry_run: bool,
    force: bool,
    by: &'o str,
    reason: &'o str,
    request: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'o str>,
}

#[derive(Debug, Serialize)]
struct Filter<'o> {
    service: Option<&'o str>,
    code: Option<&'o str>,
    source: Option<&'o str>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    state: Option<&'o str>,
}

/// One order and whom it is given to.
struct Giver<'o> {
    client: Client,
    kind: &'static str,
    order: &'o DlqOrder,
    since_until: [Option<Timestamp>; 2],
    body: Option<String>,
    request: Uuid,
}

impl<'o> Giver<'o> {
    fn new(kind: &'static str, order: &'o DlqOrder, body: Option<String>) -> Result<Self, &'static str> {
        let filter = &order.filter;
        let texts = [&filter.service, &filter.code, &filter.source, &filter.state];
        let is_filtered = texts.iter().any(|text| text.is_some()) || filter.since.is_some() || filter.until.is_some();
        match (order.sequences.is_empty(), is_filtered || order.all) {
            (true, false) => return Err("say which: numbers, a filter (see --help), or --all that are dead"),
            (false, true) => return Err("give numbers or a filter, not both"),
            _ => {}
        }
        if body.is_some() && order.sequences.len() != 1 {
            return Err("--body is for exactly one number");
        }
        if kind == "discard" && order.reason.trim().is_empty() {
            return Err("say why they are given up, with --reason");
        }
        let client = Client::of_reporting(order.target.reporting_url.clone(), order.target.key.clone());
        // The name is made here, so that a call whose answer was lost can be
        // repeated.
        let request = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        Ok(Self { client, kind, order, since_until: moments(filter), body, request })
    }

    /// Gives the order, page by page; with `dry_run` nothing is done.
    async fn give(&self, dry_run: bool) -> Result<Ruled, ClientError> {
        let order = self.order;
        let mut ruled = Ruled::default();
        let mut left = u64::from(order.limit.unwrap_or(u32::MAX));
        if !order.sequences.is_empty() {
            for some in order.sequences.chunks(PAGE as usize) {
                ruled.add(self.call(Some(some), 0, PAGE, dry_run).await?);
            }
            return Ok(ruled);
        }
        let mut after = Some(0);
        while let Some(from) = after.filter(|_| left > 0) {
            let limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
            let answer = self.call(None, from, limit, dry_run).await?;
            left = left.saturating_sub(answer.ordered + answer.refused);
            after = answer.next;
            ruled.add(answer);
        }
        Ok(ruled)
    }

    async fn call(
        &self,
        sequences: Option<&[u64]>,
        after: u64,
        limit: u32,
        dry_run: bool,
    ) -> Result<Ordered, ClientError> {
        let DlqOrder { filter, force, by, reason, .. } = self.order;
        let [since, until] = self.since_until;
        let [service, code, source, state] =
            [&filter.service, &filter.code, &filter.source, &filter.state].map(Option::as_deref);
        let request = OrderBody {
            filter: sequences.is_none().then_some(Filter { service, code, source, since, until, state }),
            sequences,
            after,
            limit,
            dry_run,
            force: *force,
            by,
            reason,
            request: self.request,
            body: self.body.as_deref(),
        };
        self.client.post(&format!("/v1/dead-letters/{}", self.kind), &request).await
    }

    /// Whether the person agrees to what would be done.
    fn is_agreed(&self, would: &Ruled) -> Result<bool, Box<dyn std::error::Error>> {
        if self.order.yes {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err("there is nobody to ask: say --yes, or --dry-run to see what would be done".into());
        }
        would.print(&format!("would {}", self.kind));
        let mut asked = std::io::stderr();
        write!(asked, "{} {}? [y/N] ", capitalised(self.kind), letters(would.ordered))?;
        asked.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// The steps that both kinds of order begin with. `None` where that was
    /// all: a dry run, nothing to do, or no.
    async fn begin(&self) -> Result<Result<Ruled, ExitCode>, Box<dyn std::error::Error>> {
        let json = self.order.target.json;
        if self.order.dry_run || !self.order.yes {
            let would = self.give(true).await?;
            if self.order.dry_run {
                match json {
                    true => say!("{}", with(would.json(), json!({"dry_run": true}))),
                    false => would.print(&format!("would {}", self.kind)),
                }
                return Ok(Err(ExitCode::SUCCESS));
            }
            if would.ordered > 0 && !self.is_agreed(&would)? {
                tell!("Nothing was done.");
                return Ok(Err(ExitCode::FAILURE));
            }
        }
        Ok(Ok(self.give(false).await?))
    }
}

pub(super) async fn discard(order: DlqOrder) -> Ended {
    let giver = Giver::new("discard", &order, None)?;
    let ruled = match giver.begin().await? {
        Ok(ruled) => ruled,
        Err(code) => return Ok(code),
    };
    match order.target.json {
        true => say!("{}", with(ruled.json(), json!({"request": giver.request, "dry_run": false}))),
        false => ruled.print("discarded"),
    }
    Ok(code(ruled.refused() == 0))
}

pub(super) async fn redrive(arguments: DlqRedrive) -> Ended {
    let body = arguments.body.as_deref().map(read_body).transpose()?;
    let order = &arguments.order;
    let giver = Giver::new("redrive", order, body)?;
    let ruled = match giver.begin().await? {
        Ok(ruled) => ruled,
        Err(code) => return Ok(code),
    };
    let settled = match arguments.wait {
        0 => None,
        seconds => Some(follow(&giver.client, giver.request, ruled.ordered, Duration::from_secs(seconds)).await?),
    };
    let failures = match &settled {
        Some(settled) if settled.failed_again > 0 => failures(&giver.client, giver.request).await?,
        _ => Vec::new(),
    };
    if order.target.json {
        let told = with(ruled.json(), json!({"request": giver.request, "dry_run": false}));
        say!("{}", with(told, settled.as_ref().map_or_else(|| json!({}), |settled| settled.json(&failures))));
    } else {
        ruled.print("redriven");
        if let Some(settled) = &settled {
            settled.print(&failures);
        }
    }
    let is_well = settled.is_none_or(|settled| settled.accepted == settled.letters && settled.late == 0);
    Ok(code(is_well && ruled.refused() == 0))
}

fn read_body(file: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(failed)
}

fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

fn letters(count: u64) -> String {
    if count == 1 { "1 dead letter".into() } else { format!("{count} dead letters") }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn code(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
