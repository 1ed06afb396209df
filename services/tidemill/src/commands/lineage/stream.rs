//! The same number as the stream has it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidemill_domain::Timestamp;
use url::form_urlencoded;

use super::answer::{LineageNumber, StreamNumber};
use crate::client::{Client, ClientError};

#[derive(Deserialize)]
struct StreamSeries {
    as_of: Option<String>,
    series: Vec<StreamLine>,
}

#[derive(Deserialize)]
struct StreamLine {
    dimensions: BTreeMap<String, String>,
    points: Vec<StreamPoint>,
}

#[derive(Deserialize)]
struct StreamPoint {
    start: String,
    values: BTreeMap<String, Value>,
}

/// Asks reporting for a number of gold.
pub(super) async fn of_number(
    client: &Client,
    metric: &str,
    version: &str,
    window: &str,
    number: &LineageNumber,
) -> Result<StreamNumber, ClientError> {
    let path = format!("/v1/metrics/{metric}/series?{}", parameters(version, window, number));
    let StreamSeries { as_of, series } = client.get(&path).await?;
    let line = series.into_iter().find(|line| line.dimensions == number.dimensions);
    let start = number.window_start.parse::<Timestamp>().ok();
    let is_it = |point: &StreamPoint| point.start.parse::<Timestamp>().ok() == start;
    let point = line.and_then(|line| line.points.into_iter().find(is_it));
    let values = point.map(|point| point.values).unwrap_or_default();
    let equal = !values.is_empty() && values.iter().all(|(name, value)| number.gold.get(name) == Some(value));
    Ok(StreamNumber { values, as_of, equal, compared: true })
}

fn parameters(version: &str, window: &str, number: &LineageNumber) -> String {
    let start = number.window_start.parse::<Timestamp>();
    // What overlaps or starts anywhere is in the range where it starts there.
    let end = match (window, start) {
        ("tumbling", _) | (_, Err(_)) => number.window_end.clone(),
        (_, Ok(start)) => start.plus_millis(1).to_string(),
    };
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("from", &number.window_start).append_pair("to", &end);
    pairs.append_pair("resolution", "window").append_pair("version", version);
    if !number.dimensions.is_empty() {
        let names: Vec<&str> = number.dimensions.keys().map(String::as_str).collect();
        pairs.append_pair("group_by", &names.join(","));
    }
    pairs.extend_pairs(&number.dimensions);
    pairs.finish()
}
