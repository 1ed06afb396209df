//! `tidemill replay backfill`

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use serde::Deserialize;
use serde_json::json;
use tidemill_definitions::{MetricDefinition, Metrics};
use tidemill_domain::{Clock as _, SystemClock, Timestamp};
use tidemill_events::ReferenceMode;
use tokio::sync::Notify;

use super::{
    orders,
    start::{draw, end, patience, stopped_by_signals},
};
use crate::{
    arguments::ReplayBackfill,
    client::LakeClient,
    commands::ended::Ended,
    progress,
    replay::{Replay, ReplayPlan, ReplayRequest, ReplaySettings, ReplayStart, ReplayUntil},
    table::{self, plain},
};

/// Characters of a name that are shown.
const NAME: usize = 60;

#[derive(Deserialize)]
struct ServedTold {
    metrics: Vec<ServedMetricTold>,
}

/// A metric that is served, as far as it is looked at.
#[derive(Deserialize)]
struct ServedMetricTold {
    name: String,
    counted_from: Option<Timestamp>,
    #[serde(default)]
    uncounted: Vec<serde_json::Value>,
}

impl ServedMetricTold {
    fn lacks(&self) -> String {
        match self.counted_from {
            Some(from) => format!("all that came in until {from}"),
            None => format!("{} times in which another definition counted", self.uncounted.len()),
        }
    }
}

pub(super) async fn backfill(arguments: ReplayBackfill) -> Ended {
    let settings = ReplaySettings { lake: arguments.lake.client(), ..arguments.place.suite.settings()? };
    let client = LakeClient::new(arguments.reporting_url.clone(), arguments.key.clone());
    let files = Metrics::files(settings.aggregation.definitions.metrics.as_deref())?;
    let replay = Replay::open(settings, arguments.place.name.clone()).await?;
    let wanted: Vec<String> = match replay.record().await? {
        // What it was begun for.
        Some(record) => names(&record.inputs.definitions.iter().map(|of| of.text.clone()).collect::<Vec<_>>())?,
        None => {
            let lacking = lacking(&client, &arguments.metric).await?;
            if lacking.is_empty() {
                say!("every metric counts all of the log: there is nothing to do");
                return Ok(ExitCode::SUCCESS);
            }
            let wanted: BTreeSet<String> = lacking.iter().map(|metric| metric.name.clone()).collect();
            let folder = tempfile::Builder::new().prefix("tidemill-backfill").tempdir()?;
            let wanted = write(folder.path(), &files, wanted)?;
            let (name, now) = (arguments.place.name.clone(), SystemClock.now());
            let (from, reference) = (ReplayStart::First, ReferenceMode::AsOf);
            let request = ReplayRequest { name, from, definitions: Some(folder.path()), rules: None, reference, now };
            let plan = replay.plan(&request, arguments.rate.unwrap_or_default(), patience(arguments.plan)).await?;
            show(&plan, &lacking);
            if !arguments.plan {
                replay.begin(&plan, arguments.rate.unwrap_or_default()).await?;
            }
            wanted
        }
    };
    if arguments.plan {
        return Ok(ExitCode::SUCCESS);
    }
    follow(&replay, &client, &wanted, &arguments).await
}

/// Metrics that are served and lack a part of the log: all, or those that are named.
async fn lacking(client: &LakeClient, named: &[String]) -> Result<Vec<ServedMetricTold>, Box<dyn std::error::Error>> {
    let told: ServedTold = serde_json::from_slice(&client.get("/v1/metrics").await?)?;
    if let Some(unknown) = named.iter().find(|name| told.metrics.iter().all(|metric| metric.name != **name)) {
        return Err(format!("there is no metric {unknown}").into());
    }
    let lacks = |metric: &ServedMetricTold| metric.counted_from.is_some() || !metric.uncounted.is_empty();
    let is_meant = |metric: &ServedMetricTold| named.is_empty() || named.contains(&metric.name);
    Ok(told.metrics.into_iter().filter(|metric| lacks(metric) && is_meant(metric)).collect())
}

/// Writes the definitions of these metrics into a folder, and of those whose totals they
/// name; answers which.
fn write(
    folder: &Path,
    files: &[(String, String)],
    mut wanted: BTreeSet<String>,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let definitions: Vec<MetricDefinition> =
        files.iter().map(|(file, text)| MetricDefinition::parse(file, text)).collect::<Result<_, _>>()?;
    loop {
        let of = definitions.iter().filter(|metric| wanted.contains(&metric.name));
        let places = of.flat_map(|metric| &metric.measures).filter_map(|(_, measure)| measure.total.as_ref());
        let named: Vec<String> = places.map(|place| place.metric.clone()).collect();
        let before = wanted.len();
        wanted.extend(named);
        if wanted.len() == before {
            break;
        }
    }
    let mut written = Vec::new();
    for ((file, text), metric) in files.iter().zip(&definitions) {
        if wanted.contains(&metric.name) {
            // A file of a folder is known by its path, and must not be written to.
            let own = Path::new(file).file_name().ok_or("a definition without a file")?;
            std::fs::write(folder.join(own), text)?;
            written.push(metric.name.clone());
        }
    }
    match written.is_empty() {
        true => Err("the definitions that the suite names are not those that reporting serves".into()),
        false => Ok(written),
    }
}

fn names(texts: &[String]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let name = |text: &String| Ok(MetricDefinition::parse("definition", text)?.name);
    texts.iter().map(name).collect()
}

fn show(plan: &ReplayPlan, lacking: &[ServedMetricTold]) {
    let row = |of: &ServedMetricTold| [plain(&of.name, NAME), of.lacks()];
    table::print(["metric", "has not counted"], [false; 2], &lacking.iter().map(row).collect::<Vec<_>>());
    say!("");
    say!(
        "They are counted from sequence {} of RAW, {} events, into generation {}.",
        plan.behind + 1,
        plan.events_told(),
        plan.generation
    );
    say!("When it has caught up, it answers in place of the live totals, and follows the log.");
}

/// Counts, has the generation answer once it has caught up, and goes on following the log.
async fn follow(replay: &Replay, client: &LakeClient, metrics: &[String], arguments: &ReplayBackfill) -> Ended {
    let (stop, caught_up) = (stopped_by_signals()?, Notify::new());
    let bar = progress::bar("backfill", 0);
    let draw = |told: &crate::replay::ReplayTold| {
        draw(&bar, told);
        if told.has_caught_up {
            caught_up.notify_one();
        }
    };
    let (until, partitions) = (ReplayUntil::Unwanted, replay.partitions());
    let run = replay.run(&until, &partitions, &stop, draw);
    let cutover = async {
        caught_up.notified().await;
        let (by, reason) = (&arguments.by, &arguments.reason);
        let asked = json!({ "metrics": metrics, "by": by, "reason": reason, "force": false });
        let path = format!("/v1/generations/{}/cutover", arguments.place.name);
        let answer = client.post(&path, &asked).await?;
        bar.suspend(|| orders::show("cutover", &answer))?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let mut run = std::pin::pin!(run);
    let ended = tokio::select! {
        ended = &mut run => ended,
        answered = cutover => {
            answered?;
            run.await
        }
    };
    bar.finish_and_clear();
    say!("{}", end(ended?, arguments.place.name.as_str()));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_comes_with_those_whose_totals_it_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Metrics::files(None).expect("the built-in ones");
        let wanted = write(folder.path(), &files, BTreeSet::from(["sales_metrics".to_owned()])).expect("writes");
        assert_eq!(wanted, ["order_metrics", "sales_metrics"]);
        let written = Metrics::load(Some(folder.path())).expect("they go together");
        assert!(written.get("sales_metrics").is_some() && written.get("conversion").is_none());
        assert!(write(folder.path(), &files, BTreeSet::from(["other".to_owned()])).is_err());
    }
}
