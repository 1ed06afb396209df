//! `tidemill lake refresh`

use std::{process::ExitCode, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    arguments::LakeRefresh,
    client::LakeClient,
    commands::ended::Ended,
    table::{self, plain},
};

const ORDERS: &str = "/v1/batch-views/orders";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// Characters of a name that are shown.
const NAME: usize = 70;

/// It did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("batch views could not be computed and told: {0}")]
struct RefreshFailed(String);

#[derive(Deserialize)]
struct ToldOrder {
    number: i64,
    done_at: Option<String>,
    failed: Option<String>,
}

#[derive(Deserialize)]
struct ToldViews {
    views: Vec<ToldView>,
}

#[derive(Deserialize)]
struct ToldView {
    metric: String,
    since: String,
    computed_at: String,
    cells: u64,
}

pub(super) async fn refresh(arguments: LakeRefresh) -> Ended {
    let LakeRefresh { whole, lake_url, key, json } = arguments;
    let client = LakeClient::new(lake_url, key);
    let mut order: ToldOrder = serde_json::from_slice(&client.post(ORDERS, &json!({ "whole": whole })).await?)?;
    while order.done_at.is_none() {
        sleep(LOOK).await;
        order = serde_json::from_slice(&client.get(&format!("{ORDERS}/{}", order.number)).await?)?;
    }
    if let Some(reason) = order.failed {
        return Err(RefreshFailed(reason).into());
    }
    let answer = client.get("/v1/batch-views").await?;
    if json {
        say!("{}", String::from_utf8_lossy(&answer));
        return Ok(ExitCode::SUCCESS);
    }
    let ToldViews { views } = serde_json::from_slice(&answer)?;
    let row = |view: &ToldView| {
        let ToldView { metric, since, computed_at, cells } = view;
        [plain(metric, NAME), since.clone(), computed_at.clone(), cells.to_string()]
    };
    let rows: Vec<_> = views.iter().map(row).collect();
    if rows.is_empty() {
        say!("Silver has no events yet.");
    } else {
        table::print(["metric", "windows since", "computed at", "totals told"], [false, false, false, true], &rows);
    }
    Ok(ExitCode::SUCCESS)
}
