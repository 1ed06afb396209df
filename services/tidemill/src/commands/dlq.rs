//! `tidemill dlq`: dead letters, listed, shown, redriven and discarded.

mod order;

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;
use tidemill_domain::{Clock, SystemClock, Timestamp};

use super::Outcome;
use crate::{
    cli::{Dlq, DlqAudit, DlqCommand, DlqFilter, DlqList, DlqShow},
    client::{Client, ClientError},
    table::{self, plain},
};

/// Letters and actions in one answer.
const PAGE: u32 = 500;

pub(crate) async fn dlq(arguments: Dlq) -> Outcome {
    match arguments.command {
        DlqCommand::List(arguments) => list(arguments).await,
        DlqCommand::Show(arguments) => show(arguments).await,
        DlqCommand::Redrive(arguments) => order::redrive(arguments).await,
        DlqCommand::Discard(arguments) => order::discard(arguments).await,
        DlqCommand::Audit(arguments) => audit(arguments).await,
    }
}

/// A dead letter, as far as a table shows it.
#[derive(Debug, Deserialize)]
struct Letter {
    sequence: u64,
    service: String,
    code: String,
    reason: String,
    pointer: Option<String>,
    source: Option<String>,
    event_id: Option<String>,
    failed_at: String,
    #[serde(default = "one")]
    count: u64,
    #[serde(default = "yes")]
    kept: bool,
    trace_id: Option<String>,
    state: String,
    redriven_from: Option<u64>,
    raw_sequence: Option<u64>,
    failed_again_as: Option<u64>,
    body: Option<String>,
    #[serde(default)]
    body_encoding: String,
    #[serde(default)]
    history: Vec<Action>,
}

const fn one() -> u64 {
    1
}

const fn yes() -> bool {
    true
}

impl Letter {
    /// How many events it stands for.
    fn events(&self) -> String {
        if self.kept { self.count.to_string() } else { format!("{}, not kept", self.count) }
    }
}

/// What was ordered for one, and what came of it.
#[derive(Debug, Deserialize)]
struct Action {
    number: u64,
    letter: u64,
    kind: String,
    state: String,
    by: String,
    reason: String,
    at: String,
    mended: bool,
    raw_sequence: Option<u64>,
    failed_again_as: Option<u64>,
}

/// A filter's points in time, as the API reads them.
fn moments(filter: &DlqFilter) -> [Option<Timestamp>; 2] {
    let now = SystemClock.now();
    [filter.since, filter.until].map(|when| when.map(|when| when.at(now)))
}

/// A filter as parameters of a URL.
fn parameters(filter: &DlqFilter) -> Vec<(&'static str, String)> {
    let [since, until] = moments(filter).map(|moment| moment.map(|moment| moment.to_string()));
    let DlqFilter { service, code, source, state, .. } = filter.clone();
    let all = [
        ("service", service),
        ("code", code),
        ("source", source),
        ("since", since),
        ("until", until),
        ("state", state),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn path(base: &str, parameters: &[(&str, String)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    if query.is_empty() { base.into() } else { format!("{base}?{query}") }
}

async fn list(arguments: DlqList) -> Outcome {
    let client = Client::of_reporting(arguments.target.url, arguments.target.key);
    let mut letters: Vec<Value> = Vec::new();
    let mut before: Option<u64> = None;
    loop {
        let missing = arguments.limit.saturating_sub(u32::try_from(letters.len()).unwrap_or(u32::MAX));
        if missing == 0 {
            break;
        }
        let mut parameters = parameters(&arguments.filter);
        parameters.push(("limit", missing.min(PAGE).to_string()));
        parameters.extend(before.map(|before| ("before", before.to_string())));
        let answer: Value = client.get(&path("/v1/dead-letters", &parameters)).await?;
        letters.extend(answer["dead_letters"].as_array().cloned().unwrap_or_default());
        before = answer["next"].as_u64();
        if before.is_none() {
            break;
        }
    }
    if arguments.target.json {
        println!("{}", serde_json::json!({ "dead_letters": letters, "next": before }));
        return Ok(ExitCode::SUCCESS);
    }
    let letters: Vec<Letter> = letters.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
    if letters.is_empty() {
        println!("No dead letters.");
        return Ok(ExitCode::SUCCESS);
    }
    let row = |letter: &Letter| {
        [
            letter.sequence.to_string(),
            plain(&letter.failed_at, 24),
            letter.state.clone(),
            letter.events(),
            plain(&letter.service, 20),
            plain(&letter.code, 24),
            plain(letter.source.as_deref().unwrap_or_default(), 24),
            plain(letter.event_id.as_deref().unwrap_or_default(), 24),
            plain(&letter.reason, 60),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    let header = ["number", "failed at", "state", "events", "service", "code", "source", "event", "reason"];
    table::print(header, std::array::from_fn(|column| matches!(column, 0 | 3)), &rows);
    if before.is_some() {
        println!("There are more; --limit lists them.");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(arguments: DlqShow) -> Outcome {
    let client = Client::of_reporting(arguments.target.url, arguments.target.key);
    let answer: Value = client.get(&letter_path(arguments.sequence, arguments.unmasked)).await?;
    if arguments.target.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let letter: Letter = serde_json::from_value(answer)?;
    let line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            println!("{name:<14} {}", plain(value, 2000));
        }
    };
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    line("dead letter", Some(&letter.sequence.to_string()));
    line("state", Some(&letter.state));
    line("events", Some(&letter.events()));
    line("in RAW as", number(letter.raw_sequence).as_deref());
    line("failed again as", number(letter.failed_again_as).as_deref());
    line("redriven from", number(letter.redriven_from).as_deref());
    line("service", Some(&letter.service));
    line("code", Some(&letter.code));
    line("reason", Some(&letter.reason));
    line("at", letter.pointer.as_deref());
    line("source", letter.source.as_deref());
    line("event", letter.event_id.as_deref());
    line("failed at", Some(&letter.failed_at));
    line("trace", letter.trace_id.as_deref());
    println!();
    match letter.body.as_deref() {
        None if !letter.kept => println!("Nothing is kept of these events: they were counted alone."),
        None => println!("The stream has forgotten its body."),
        Some(body) if letter.body_encoding == "base64" => println!("(not UTF-8; base64)\n{}", plain(body, usize::MAX)),
        Some(body) => println!("{}", readable(body)),
    }
    if !letter.history.is_empty() {
        println!();
        print_actions(&letter.history);
    }
    Ok(ExitCode::SUCCESS)
}

fn letter_path(sequence: u64, unmasked: bool) -> String {
    let query = if unmasked { "?unmasked=true" } else { "" };
    format!("/v1/dead-letters/{sequence}{query}")
}

/// A body over several lines where it is JSON, and fit for a terminal in any
/// case.
fn readable(body: &str) -> String {
    let pretty = serde_json::from_str::<Value>(body).ok().and_then(|body| serde_json::to_string_pretty(&body).ok());
    let text = pretty.unwrap_or_else(|| body.to_owned());
    text.lines().map(|line| plain(line, usize::MAX)).collect::<Vec<_>>().join("\n")
}

async fn audit(arguments: DlqAudit) -> Outcome {
    let client = Client::of_reporting(arguments.target.url, arguments.target.key);
    let mut parameters = vec![("limit", arguments.limit.to_string())];
    parameters.extend(arguments.letter.map(|letter| ("letter", letter.to_string())));
    parameters.extend(arguments.by.map(|by| ("by", by)));
    let answer: Value = client.get(&path("/v1/dead-letters/audit", &parameters)).await?;
    if arguments.target.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let actions: Vec<Action> = serde_json::from_value(answer["actions"].clone())?;
    match actions.is_empty() {
        true => println!("Nothing was ordered."),
        false => print_actions(&actions),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_actions(actions: &[Action]) {
    let row = |action: &Action| {
        let came_of_it = match (action.raw_sequence, action.failed_again_as) {
            (Some(sequence), _) => format!("in RAW as {sequence}"),
            (_, Some(letter)) => format!("as dead letter {letter}"),
            _ => String::new(),
        };
        [
            action.number.to_string(),
            plain(&action.at, 24),
            action.letter.to_string(),
            if action.mended { "redrive, mended".into() } else { action.kind.clone() },
            action.state.clone(),
            came_of_it,
            plain(&action.by, 24),
            plain(&action.reason, 60),
        ]
    };
    let rows: Vec<_> = actions.iter().map(row).collect();
    let header = ["action", "at", "letter", "what", "state", "", "by", "reason"];
    table::print(header, std::array::from_fn(|column| matches!(column, 0 | 2)), &rows);
}

/// The reason for which a letter is dead.
async fn reason_of(client: &Client, letter: u64) -> Result<(String, String), ClientError> {
    let letter: Letter = client.get(&format!("/v1/dead-letters/{letter}")).await?;
    Ok((letter.code, letter.reason))
}
