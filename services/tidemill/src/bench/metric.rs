//! The metric that a load is checked by, as reporting has it.

use serde::Deserialize;
use serde_json::Value;
use tidemill_domain::Timestamp;

use super::{error::BenchError, truth::CheckedDimension};
use crate::client::{Client, Series};

/// A metric whose windows and dimensions are understood here.
#[derive(Debug, Clone)]
pub(super) struct CheckedMetric {
    pub(super) name: String,
    pub(super) window_millis: i64,
    pub(super) dimensions: Vec<CheckedDimension>,
}

#[derive(Deserialize)]
struct MetricsList {
    metrics: Vec<ListedMetric>,
}

#[derive(Deserialize)]
struct ListedMetric {
    name: String,
    window: ListedWindow,
    dimensions: Vec<String>,
}

#[derive(Deserialize)]
struct ListedWindow {
    kind: String,
    seconds: i64,
}

impl CheckedMetric {
    /// Asks reporting for it.
    pub(super) async fn find(client: &Client, name: &str) -> Result<Self, BenchError> {
        let wrong = |reason: String| BenchError::Metric { name: name.to_owned(), reason };
        let list: MetricsList = client.get("/v1/metrics").await?;
        let names = || list.metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>().join(", ");
        let Some(metric) = list.metrics.iter().find(|metric| metric.name == name) else {
            return Err(wrong(format!("the suite has {}", names())));
        };
        if metric.window.kind != "tumbling" {
            return Err(wrong(format!("its windows are {}", metric.window.kind)));
        }
        let dimensions = metric.dimensions.iter().filter_map(|name| CheckedDimension::named(name)).collect();
        Ok(Self { name: name.to_owned(), window_millis: metric.window.seconds * 1000, dimensions })
    }

    /// The start of the window that a time is in.
    pub(super) fn window_of(&self, time: Timestamp) -> Timestamp {
        time.floor_to(self.window_millis)
    }

    /// Fails if there are totals in these windows already.
    pub(super) async fn is_free(&self, client: &Client, (from, to): (Timestamp, Timestamp)) -> Result<(), BenchError> {
        let path = format!("/v1/metrics/{}/totals?from={from}&to={to}", self.name);
        let totals: Value = client.get(&path).await?;
        match totals["rows"].as_array() {
            Some(rows) if rows.is_empty() => Ok(()),
            _ => Err(BenchError::Occupied { metric: self.name.clone(), from }),
        }
    }

    /// Its windows that start in `from..to`, split by the dimensions; `filter` is
    /// further parameters.
    pub(super) async fn windows(
        &self,
        client: &Client,
        (from, to): (Timestamp, Timestamp),
        filter: &str,
    ) -> Result<Series, BenchError> {
        let dimensions = self.dimensions.iter().map(|dimension| dimension.name()).collect::<Vec<_>>().join(",");
        let group = if dimensions.is_empty() { String::new() } else { format!("&group_by={dimensions}") };
        let name = &self.name;
        let path = format!("/v1/metrics/{name}/series?resolution=window&from={from}&to={to}{group}{filter}");
        Ok(client.get(&path).await?)
    }
}
