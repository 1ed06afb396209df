//! `tidemill replay cutover`, `rollback` and `retire`

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;

use crate::{
    arguments::ReplayOrder,
    client::LakeClient,
    commands::ended::Ended,
    table::{self, plain},
};

/// Characters of a name that are shown.
const NAME: usize = 60;

#[derive(Deserialize)]
struct OrderTold {
    changes: Vec<ChangeTold>,
}

#[derive(Deserialize)]
struct ChangeTold {
    metric: String,
    before: String,
    after: String,
}

pub(super) async fn order(act: &str, order: ReplayOrder, warm_hours: Option<u32>) -> Ended {
    let ReplayOrder { name, metric, force, by, reason, reporting_url, key, json } = order;
    let client = LakeClient::new(reporting_url, key);
    let metrics = (!metric.is_empty()).then_some(metric);
    let mut asked = json!({ "metrics": metrics, "by": by, "reason": reason, "force": force });
    if let Some(hours) = warm_hours {
        // Only where it is asked for: an older reporting does not know it.
        asked["warm_hours"] = hours.into();
    }
    let answer = client.post(&format!("/v1/generations/{name}/{act}"), &asked).await?;
    if json {
        say!("{}", String::from_utf8_lossy(&answer));
        return Ok(ExitCode::SUCCESS);
    }
    show(act, &answer)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows what was done.
pub(super) fn show(act: &str, answer: &[u8]) -> Result<(), serde_json::Error> {
    let OrderTold { changes } = serde_json::from_slice(answer)?;
    if changes.is_empty() {
        say!("{}", if act == "retire" { "it is gone" } else { "nothing changes: all was so before" });
        return Ok(());
    }
    let version = |text: &str| if text.is_empty() { "live".to_owned() } else { plain(text, NAME) };
    let row = |of: &ChangeTold| [plain(&of.metric, NAME), version(&of.before), version(&of.after)];
    table::print(["metric", "before", "from here on"], [false; 3], &changes.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
