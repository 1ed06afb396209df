//! `tidemill lake rebuild`

use std::{process::ExitCode, time::Duration};

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::json;
use tidemill_domain::{Clock, SystemClock};
use tokio::{signal::ctrl_c, time::sleep};

use crate::{
    arguments::LakeRebuild,
    client::LakeClient,
    commands::ended::Ended,
    progress,
    table::{self, plain},
};

const PATH: &str = "/v1/rebuilds";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// Characters of a name that are shown.
const NAME: usize = 70;

/// It did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the rebuild has {phase}{}; tables that are not listed are as they were", reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
struct RebuildEnded {
    phase: &'static str,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct RebuildTold {
    id: String,
    phase: String,
    reason: Option<String>,
    stage: String,
    done: u64,
    total: u64,
    tables: Vec<TableTold>,
}

#[derive(Deserialize)]
struct TableTold {
    table: String,
    before: u64,
    after: u64,
    differ: Vec<FolderTold>,
    version: Option<u64>,
}

#[derive(Deserialize)]
struct FolderTold {
    folder: String,
    before: u64,
    after: u64,
}

pub(super) async fn rebuild(arguments: LakeRebuild) -> Ended {
    let client = LakeClient::new(arguments.lake_url, arguments.key);
    let now = SystemClock.now();
    let at = |when: Option<crate::when::When>| when.map(|when| when.at(now).to_string());
    let layer = arguments.layer.to_possible_value().map(|value| value.get_name().to_owned());
    let order = json!({ "layer": layer, "from": at(arguments.from), "to": at(arguments.to) });
    let begun: RebuildTold = serde_json::from_slice(&client.post(PATH, &order).await?)?;
    let (told, answer) = followed(&client, &begun.id).await?;
    if arguments.json {
        say!("{}", String::from_utf8_lossy(&answer));
    } else {
        show(&told);
    }
    let phase = match told.phase.as_str() {
        "done" => return Ok(ExitCode::SUCCESS),
        "stopped" => "ended before",
        _ => "failed",
    };
    Err(RebuildEnded { phase, reason: told.reason }.into())
}

/// Waits until it has ended. Who does not want to wait ends it.
async fn followed(client: &LakeClient, id: &str) -> Result<(RebuildTold, bytes::Bytes), Box<dyn std::error::Error>> {
    let bar = progress::bar("rebuild", 0);
    loop {
        let answer = client.get(PATH).await?;
        let told: RebuildTold = serde_json::from_slice(&answer)?;
        if told.id != id {
            bar.finish_and_clear();
            let reason = Some("another one has begun".into());
            return Err(RebuildEnded { phase: "failed", reason }.into());
        }
        if told.phase != "running" {
            bar.finish_and_clear();
            return Ok((told, answer));
        }
        bar.set_length(told.total);
        bar.set_position(told.done);
        bar.set_message(plain(&told.stage, NAME));
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = ctrl_c() => drop(client.delete(PATH).await?),
        }
    }
}

fn show(told: &RebuildTold) {
    let row = |of: &TableTold| {
        let version = of.version.map_or_else(|| "as it was".into(), |version| version.to_string());
        let differ = of.differ.len().to_string();
        [plain(&of.table, NAME), of.before.to_string(), of.after.to_string(), differ, version]
    };
    let rows: Vec<_> = told.tables.iter().map(row).collect();
    let header = ["table", "rows before", "rows now", "folders that differed", "version"];
    table::print(header, [false, true, true, true, true], &rows);
    let folder = |table: &str, of: &FolderTold| {
        let name = if of.folder.is_empty() { "all of it" } else { &of.folder };
        [plain(table, NAME), plain(name, NAME), of.before.to_string(), of.after.to_string()]
    };
    let folders: Vec<_> = told.tables.iter().flat_map(|of| of.differ.iter().map(|f| folder(&of.table, f))).collect();
    if !folders.is_empty() {
        say!("");
        table::print(["table", "folder", "rows before", "rows now"], [false, false, true, true], &folders);
    }
}
