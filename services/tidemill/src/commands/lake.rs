//! `tidemill lake`

mod quality;
mod rebuild;
mod refresh;

use std::{process::ExitCode, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tidemill_domain::{Clock, SystemClock, Timestamp};

use super::ended::Ended;
use crate::{
    arguments::{LakeArguments, LakeCommand, LakePlan, LakeRedrive, LakeTables},
    client::LakeClient,
    table::{self, plain},
};

/// Characters of a name that are shown.
const NAME: usize = 70;
/// Characters of what is wrong that are shown.
const DETAIL: usize = 300;

#[derive(Deserialize)]
struct ListedTables {
    tables: Vec<ListedTable>,
    #[serde(default)]
    unreadable: Vec<ListedFault>,
}

#[derive(Deserialize)]
struct ListedFault {
    name: String,
    code: String,
    detail: String,
}

#[derive(Deserialize)]
struct ListedTable {
    name: String,
    version: u64,
    changed_at: Option<Timestamp>,
    files: u64,
    bytes: u64,
}

pub(crate) async fn lake(arguments: LakeArguments) -> Ended {
    match arguments.command {
        LakeCommand::Tables(arguments) => tables(arguments).await,
        LakeCommand::Quality(arguments) => quality::quality(arguments).await,
        LakeCommand::Plan(arguments) => plan(arguments).await,
        LakeCommand::Redrive(arguments) => redrive(arguments).await,
        LakeCommand::Rebuild(arguments) => rebuild::rebuild(arguments).await,
        LakeCommand::Refresh(arguments) => refresh::refresh(arguments).await,
    }
}

async fn tables(arguments: LakeTables) -> Ended {
    let client = LakeClient::new(arguments.target.lake_url, arguments.target.key);
    let answer = client.get("/v1/tables").await?;
    if arguments.json {
        say!("{}", String::from_utf8_lossy(&answer));
        return Ok(ExitCode::SUCCESS);
    }
    let ListedTables { tables, unreadable } = serde_json::from_slice(&answer)?;
    for ListedFault { name, code, detail } in &unreadable {
        say!("{} cannot be read: {} ({})", plain(name, NAME), plain(detail, DETAIL), plain(code, NAME));
    }
    if tables.is_empty() {
        if unreadable.is_empty() {
            say!("No tables yet.");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let now = SystemClock.now();
    let row = |table: &ListedTable| {
        let age = table.changed_at.map(|at| age((now.millis() - at.millis()).max(0) / 1000));
        [
            plain(&table.name, NAME),
            table.version.to_string(),
            table.changed_at.map(|at| at.to_string()).unwrap_or_default(),
            age.unwrap_or_default(),
            table.files.to_string(),
            table.bytes.to_string(),
        ]
    };
    let rows: Vec<_> = tables.iter().map(row).collect();
    let header = ["table", "version", "changed at", "age", "files", "bytes"];
    table::print(header, [false, true, false, true, true, true], &rows);
    Ok(ExitCode::SUCCESS)
}

async fn plan(arguments: LakePlan) -> Ended {
    let client = LakeClient::new(arguments.target.lake_url, arguments.target.key);
    let metric: String = url::form_urlencoded::byte_serialize(arguments.metric.as_bytes()).collect();
    let engine = arguments.engine.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let answer = client.get(&format!("/v1/plans/{metric}?engine={engine}")).await?;
    say!("{}", String::from_utf8_lossy(&answer).trim_end());
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct OrderedRedrive {
    rule: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

#[derive(Deserialize)]
struct ToldRedrive {
    number: i64,
    done_at: Option<Timestamp>,
    released: Option<u64>,
}

/// Orders it, and waits until it is done.
async fn redrive(arguments: LakeRedrive) -> Ended {
    let LakeRedrive { rule, from, to, lake_url, key } = arguments;
    let client = LakeClient::new(lake_url, key);
    let answer = client.post("/v1/redrives", &OrderedRedrive { rule, from, to }).await?;
    let mut told: ToldRedrive = serde_json::from_slice(&answer)?;
    while told.done_at.is_none() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        told = serde_json::from_slice(&client.get(&format!("/v1/redrives/{}", told.number)).await?)?;
    }
    say!("Redrive {}: {} events have left the quarantine.", told.number, told.released.unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

/// A time that has passed, as people say it.
fn age(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        assert_eq!([age(5), age(300), age(7200), age(259_200)], ["5 s", "5 min", "2 h", "3 days"]);
    }
}
