//! `tidemill drift`

use std::{collections::BTreeMap, process::ExitCode};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    arguments::DriftArguments,
    client::LakeClient,
    failure::whole,
    table::{self, plain},
};

/// Characters of a text that are shown.
const SHOWN: usize = 60;
const DIFFERENT: u8 = 1;
const NOT_TOLD: u8 = 2;

#[derive(Deserialize)]
struct DriftTold {
    equal: bool,
    metrics: Vec<DriftOfMetric>,
    cells: Vec<DriftingCell>,
}

#[derive(Deserialize)]
struct DriftOfMetric {
    metric: String,
    computed_at: String,
    since: String,
    compared: u64,
    differ: u64,
}

#[derive(Deserialize)]
struct DriftingCell {
    metric: String,
    start: String,
    dimensions: BTreeMap<String, String>,
    partition: u16,
    raw_seq: u64,
    speed: BTreeMap<String, Value>,
    batch: BTreeMap<String, Value>,
    difference: BTreeMap<String, Value>,
}

pub(crate) async fn drift(arguments: DriftArguments) -> ExitCode {
    let told = told(arguments).await;
    match told {
        Ok(DriftTold { metrics, equal: true, .. }) if !metrics.is_empty() => ExitCode::SUCCESS,
        Ok(DriftTold { equal: false, .. }) => ExitCode::from(DIFFERENT),
        Ok(DriftTold { equal: true, .. }) => {
            tell!("No batch view has come yet: the lake computes them, where there is one.");
            ExitCode::from(NOT_TOLD)
        }
        Err(error) => {
            tell!("tidemill: {}", tidemill_service::Printable(whole(&*error)));
            ExitCode::from(NOT_TOLD)
        }
    }
}

async fn told(arguments: DriftArguments) -> Result<DriftTold, Box<dyn std::error::Error>> {
    let DriftArguments { metric, limit, reporting_url, key, json } = arguments;
    let mut path = format!("/v1/drift?limit={limit}");
    if let Some(metric) = metric {
        path.extend(["&metric=", &url::form_urlencoded::byte_serialize(metric.as_bytes()).collect::<String>()]);
    }
    let answer = LakeClient::new(reporting_url, key).get(&path).await?;
    let told: DriftTold = serde_json::from_slice(&answer)?;
    if json {
        say!("{}", String::from_utf8_lossy(&answer));
    } else {
        show(&told);
    }
    Ok(told)
}

fn show(told: &DriftTold) {
    let row = |of: &DriftOfMetric| {
        let DriftOfMetric { metric, computed_at, since, compared, differ } = of;
        [plain(metric, SHOWN), computed_at.clone(), since.clone(), compared.to_string(), differ.to_string()]
    };
    let rows: Vec<_> = told.metrics.iter().map(row).collect();
    if !rows.is_empty() {
        let header = ["metric", "computed at", "windows since", "compared", "differ"];
        table::print(header, [false, false, false, true, true], &rows);
    }
    let cells: Vec<_> = told.cells.iter().map(shown).collect();
    if !cells.is_empty() {
        say!("");
        let header = ["metric", "window", "dimensions", "partition", "at", "stream", "batch", "stream less batch"];
        table::print(header, [false, false, false, true, true, false, false, false], &cells);
        say!("");
        say!(
            "Where what was wrong is mended, a later view finds it so (`tidemill lake refresh`): the next one, or one more"
        );
        say!("of a window into which events come.");
    }
}

fn shown(cell: &DriftingCell) -> [String; 8] {
    let DriftingCell { metric, start, dimensions, partition, raw_seq, speed, batch, difference } = cell;
    let dimensions: Vec<_> = dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let of = |values: &BTreeMap<String, Value>| {
        let value = |name: &String| values.get(name).map(|value| format!("{name} {}", bare(value)));
        let all: Vec<_> = difference.keys().filter_map(value).collect();
        if all.is_empty() { "-".to_owned() } else { all.join(", ") }
    };
    let by: Vec<_> = difference.iter().map(|(name, by)| format!("{name} {}", bare(by))).collect();
    let (partition, at) = (partition.to_string(), raw_seq.to_string());
    [metric.clone(), start.clone(), dimensions.join(", "), partition, at, of(speed), of(batch), by.join(", ")]
        .map(|text| plain(&text, SHOWN))
}

/// A value without quotation marks.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
