//! `tidemill replay diff`

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    arguments::ReplayDiff,
    client::{ClientError, LakeClient},
    failure::whole,
    table::{self, plain},
};

/// Between two comparisons.
const LOOK: Duration = Duration::from_millis(500);
/// Characters of a text that are shown.
const SHOWN: usize = 60;
const DIFFERENT: u8 = 1;
const NOT_COMPARED: u8 = 2;

#[derive(Deserialize)]
struct DifferencesTold {
    equal: bool,
    at: BTreeMap<String, u64>,
    #[serde(default)]
    late: LateTold,
    metrics: Vec<MetricTold>,
}

/// Events that were late for one side alone.
#[derive(Default, Deserialize)]
struct LateTold {
    only_live: u64,
    only_generation: u64,
}

#[derive(Deserialize)]
struct MetricTold {
    metric: String,
    reasons: Vec<String>,
    #[serde(default)]
    new_measures: Vec<String>,
    #[serde(default)]
    gone_measures: Vec<String>,
    equal: u64,
    changed: u64,
    only_live: u64,
    only_generation: u64,
    open: u64,
    cells: Vec<CellTold>,
}

#[derive(Deserialize)]
struct CellTold {
    start: String,
    dimensions: BTreeMap<String, String>,
    kind: String,
    live: BTreeMap<String, Value>,
    generation: BTreeMap<String, Value>,
    difference: BTreeMap<String, Value>,
    lineage: Option<EventsTold>,
}

/// Where the events of a cell are.
#[derive(Deserialize)]
struct EventsTold {
    command: String,
}

pub(super) async fn differences(arguments: ReplayDiff) -> ExitCode {
    let json = arguments.json;
    let told = async {
        let (answer, told) = compared(arguments).await?;
        match json {
            true => say!("{}", String::from_utf8_lossy(&answer)),
            false => show(&told),
        }
        Ok::<_, Box<dyn std::error::Error>>(told.equal)
    };
    match told.await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DIFFERENT),
        Err(error) => {
            tell!("tidemill: {}", tidemill_service::Printable(whole(&*error)));
            ExitCode::from(NOT_COMPARED)
        }
    }
}

/// The comparison, once nothing is open or there is no more time.
async fn compared(arguments: ReplayDiff) -> Result<(Bytes, DifferencesTold), Box<dyn std::error::Error>> {
    let ReplayDiff { name, metric, limit, wait, reporting_url, key, json: _ } = arguments;
    let client = LakeClient::new(reporting_url, key);
    let mut path = format!("/v1/generations/{name}/differences?limit={limit}");
    if let Some(metric) = metric {
        path.extend(["&metric=", &url::form_urlencoded::byte_serialize(metric.as_bytes()).collect::<String>()]);
    }
    let until = Instant::now() + Duration::from_secs(wait);
    loop {
        let answer: Result<Bytes, ClientError> = client.get(&path).await;
        let answer = answer?;
        let told: DifferencesTold = serde_json::from_slice(&answer)?;
        if told.metrics.iter().all(|metric| metric.open == 0) || Instant::now() >= until {
            return Ok((answer, told));
        }
        sleep(LOOK).await;
    }
}

fn show(told: &DifferencesTold) {
    let number = |count: u64| count.to_string();
    let row = |of: &MetricTold| {
        let MetricTold { metric, equal, changed, only_live, only_generation, open, .. } = of;
        let [equal, changed, live, generation, open] =
            [equal, changed, only_live, only_generation, open].map(|n| number(*n));
        [plain(metric, SHOWN), equal, changed, live, generation, open, of.reasons.join(", ")]
    };
    let header = ["metric", "equal", "changed", "only live", "only here", "open", "why"];
    let rows: Vec<_> = told.metrics.iter().map(row).collect();
    table::print(header, [false, true, true, true, true, true, false], &rows);
    for metric in &told.metrics {
        for (what, names) in [("new", &metric.new_measures), ("gone", &metric.gone_measures)] {
            if !names.is_empty() {
                say!("{}: measures {what}: {}", plain(&metric.metric, SHOWN), plain(&names.join(", "), 3 * SHOWN));
            }
        }
    }
    let cells: Vec<_> =
        told.metrics.iter().flat_map(|of| of.cells.iter().map(|cell| shown(&of.metric, cell))).collect();
    if !cells.is_empty() {
        say!("");
        table::print(["metric", "window", "dimensions", "live", "here", "more by"], [false; 6], &cells);
        let cells = told.metrics.iter().flat_map(|of| &of.cells);
        if let Some(EventsTold { command }) = cells.filter_map(|cell| cell.lineage.as_ref()).next() {
            say!("its events, where a lake is: {}", plain(command, 5 * SHOWN));
        }
    }
    let LateTold { only_live, only_generation } = told.late;
    if only_live + only_generation > 0 {
        say!("late events: {only_live} for the live totals alone, {only_generation} for the generation alone");
    }
    let at: Vec<String> = told.at.iter().map(|(partition, sequence)| format!("{partition}: {sequence}")).collect();
    tell!("compared at the sequences of RAW, by partition: {}", at.join(", "));
}

fn shown(metric: &str, cell: &CellTold) -> [String; 6] {
    let CellTold { start, dimensions, kind, live, generation, difference, lineage: _ } = cell;
    let dimensions: Vec<_> = dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let more: Vec<_> = difference.iter().map(|(name, by)| format!("{name} {}", bare(by))).collect();
    let changed = |values: &BTreeMap<String, Value>| {
        let of = |name: &String| values.get(name).map(|value| format!("{name} {}", bare(value)));
        difference.keys().filter_map(of).collect::<Vec<_>>().join(", ")
    };
    let (live, here) = match kind.as_str() {
        "only_live" => (changed(live), "-".into()),
        "only_generation" => ("-".into(), changed(generation)),
        _ => (changed(live), changed(generation)),
    };
    [metric.to_owned(), start.clone(), dimensions.join(", "), live, here, more.join(", ")]
        .map(|text| plain(&text, SHOWN))
}

/// A value without quotation marks.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
