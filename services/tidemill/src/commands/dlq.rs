//! `tidemill dlq`: dead letters, listed, shown, redriven and discarded.

mod api;
mod order;
mod ruled;
mod settled;

use std::process::ExitCode;

use serde_json::Value;

use super::ended::Ended;
use crate::{
    arguments::{DlqArguments, DlqAudit, DlqCommand, DlqList, DlqShow},
    client::Client,
    table::{self, plain},
};

use api::{Action, Letter, parameters, path};

/// Letters and actions in one answer.
const PAGE: u32 = 500;

pub(crate) async fn dlq(arguments: DlqArguments) -> Ended {
    match arguments.command {
        DlqCommand::List(arguments) => list(arguments).await,
        DlqCommand::Show(arguments) => show(arguments).await,
        DlqCommand::Redrive(arguments) => order::redrive(arguments).await,
        DlqCommand::Discard(arguments) => order::discard(arguments).await,
        DlqCommand::Audit(arguments) => audit(arguments).await,
    }
}

async fn list(arguments: DlqList) -> Ended {
    let client = Client::of_reporting(arguments.target.reporting_url, arguments.target.key);
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
        say!("{}", serde_json::json!({ "dead_letters": letters, "next": before }));
        return Ok(ExitCode::SUCCESS);
    }
    let letters: Vec<Letter> = letters.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
    if letters.is_empty() {
        say!("No dead letters.");
        return Ok(ExitCode::SUCCESS);
    }
    let cut = cut(arguments.wide);
    let row = |letter: &Letter| {
        [
            letter.sequence.to_string(),
            cut(&letter.failed_at, 24),
            letter.state.clone(),
            letter.events(),
            cut(&letter.service, 20),
            cut(&letter.code, 24),
            cut(letter.source.as_deref().unwrap_or_default(), 24),
            cut(letter.event_id.as_deref().unwrap_or_default(), 24),
            cut(&letter.reason, 60),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    let header = ["number", "failed at", "state", "events", "service", "code", "source", "event", "reason"];
    table::print(header, std::array::from_fn(|column| matches!(column, 0 | 3)), &rows);
    if rows.iter().flatten().any(|cell| cell.ends_with('…')) {
        say!("What ends in … is cut; --wide tells all of it, and `tidemill dlq show NUMBER` all of one.");
    }
    if before.is_some() {
        say!("There are more; --limit lists them.");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(arguments: DlqShow) -> Ended {
    let client = Client::of_reporting(arguments.target.reporting_url, arguments.target.key);
    let answer: Value = client.get(&letter_path(arguments.sequence, arguments.unmasked)).await?;
    if arguments.target.json {
        say!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let letter: Letter = serde_json::from_value(answer)?;
    let line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            say!("{name:<14} {}", plain(value, usize::MAX));
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
    say!("");
    match letter.body.as_deref() {
        None if !letter.kept => say!("Nothing is kept of these events: they were counted alone."),
        None => say!("The stream has forgotten its body."),
        Some(body) if letter.body_encoding == "base64" => say!("(not UTF-8; base64)\n{}", plain(body, usize::MAX)),
        Some(body) => say!("{}", readable(body)),
    }
    if !letter.history.is_empty() {
        say!("");
        print_actions(&letter.history, true);
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

async fn audit(arguments: DlqAudit) -> Ended {
    let client = Client::of_reporting(arguments.target.reporting_url, arguments.target.key);
    let mut parameters = vec![("limit", arguments.limit.to_string())];
    parameters.extend(arguments.letter.map(|letter| ("letter", letter.to_string())));
    parameters.extend(arguments.by.map(|by| ("by", by)));
    let answer: Value = client.get(&path("/v1/dead-letters/audit", &parameters)).await?;
    if arguments.target.json {
        say!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let actions: Vec<Action> = serde_json::from_value(answer["actions"].clone())?;
    match actions.is_empty() {
        true => say!("Nothing was ordered."),
        false => print_actions(&actions, arguments.wide),
    }
    Ok(ExitCode::SUCCESS)
}

/// Cuts cells of a table, unless all of them is wanted.
fn cut(is_wide: bool) -> impl Fn(&str, usize) -> String {
    move |text, most| plain(text, if is_wide { usize::MAX } else { most })
}

fn print_actions(actions: &[Action], is_wide: bool) {
    let cut = cut(is_wide);
    let row = |action: &Action| {
        let came_of_it = match (action.raw_sequence, action.failed_again_as) {
            (Some(sequence), _) => format!("in RAW as {sequence}"),
            (_, Some(letter)) => format!("as dead letter {letter}"),
            _ => String::new(),
        };
        [
            action.number.to_string(),
            cut(&action.at, 24),
            action.letter.to_string(),
            if action.mended { "redrive, mended".into() } else { action.kind.clone() },
            action.state.clone(),
            came_of_it,
            cut(&action.by, 24),
            cut(&action.reason, 60),
        ]
    };
    let rows: Vec<_> = actions.iter().map(row).collect();
    let header = ["action", "at", "letter", "what", "state", "", "by", "reason"];
    table::print(header, std::array::from_fn(|column| matches!(column, 0 | 2)), &rows);
}
