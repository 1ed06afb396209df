//! Batch views, as far as reporting has them.

use std::{collections::BTreeMap, time::Instant};

use serde::Deserialize;
use tidemill::client::Client;
use tokio::time::sleep;

use super::{POLL, SETTLED};
use crate::error::Error;

const TOTALS: &str = "/v1/metrics/daily_country/totals";

#[derive(Deserialize)]
struct MergedAnswer {
    source: String,
    parts: Option<MergedParts>,
}

/// By partition, how far both are.
#[derive(Deserialize)]
struct MergedParts {
    speed: BTreeMap<String, u64>,
    batch: ViewPart,
}

#[derive(Deserialize)]
struct ViewPart {
    positions: BTreeMap<String, u64>,
}

/// What reporting tells of views: of each the number, and whether live totals say the same.
#[derive(Deserialize)]
pub(super) struct ToldDrift {
    equal: bool,
    metrics: Vec<ToldView>,
}

#[derive(Deserialize)]
struct ToldView {
    metric: String,
    view: u64,
}

impl MergedParts {
    fn reach_all(&self) -> bool {
        let reaches = |(partition, at): (&String, &u64)| self.batch.positions.get(partition) >= Some(at);
        !self.speed.is_empty() && self.speed.iter().all(reaches)
    }
}

impl ToldDrift {
    pub(super) async fn ask(client: &Client) -> Result<Self, Error> {
        get(client, "/v1/drift").await
    }

    /// Whether live totals and views say the same.
    pub(super) const fn is_equal(&self) -> bool {
        self.equal
    }

    /// Whether of each metric a view is there that is newer than the one before.
    fn is_behind(&self, before: &Self) -> bool {
        let newest = |of: &str| self.metrics.iter().find(|view| view.metric == of).map(|view| view.view);
        before.metrics.iter().all(|known| newest(&known.metric) > Some(known.view))
    }
}

/// Waits until views reach as far as the stream has counted, and answer for it.
pub(super) async fn are_merged(client: &Client) -> Result<(), Error> {
    let (begun, mut last) = (Instant::now(), String::new());
    while begun.elapsed() < SETTLED {
        let MergedAnswer { source, parts } = get(client, TOTALS).await?;
        if source == "batch" && parts.as_ref().is_some_and(MergedParts::reach_all) {
            return Ok(());
        }
        let of = |parts: MergedParts| format!("the stream at {:?}, views at {:?}", parts.speed, parts.batch.positions);
        last = format!("answers are of {source}; {}", parts.map_or_else(|| "there are no views".into(), of));
        sleep(POLL).await;
    }
    Err(Error::Deadline { what: "batch views have all events".into(), deadline: SETTLED, last })
}

/// Waits until reporting has views that were told behind these.
pub(super) async fn have_come(client: &Client, before: &ToldDrift) -> Result<ToldDrift, Error> {
    let begun = Instant::now();
    while begun.elapsed() < SETTLED {
        let told = ToldDrift::ask(client).await?;
        if told.is_behind(before) {
            return Ok(told);
        }
        sleep(POLL / 10).await;
    }
    let last = "some are the same as before".into();
    Err(Error::Deadline { what: "new batch views are in the answers".into(), deadline: SETTLED, last })
}

async fn get<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<T, Error> {
    let answer: serde_json::Value = client.get(path).await.map_err(|error| Error::Refused(error.to_string()))?;
    serde_json::from_value(answer).map_err(|error| Error::Refused(format!("{path}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(views: &[(&str, u64)]) -> ToldDrift {
        let view = |(metric, view): &(&str, u64)| ToldView { metric: (*metric).into(), view: *view };
        ToldDrift { equal: true, metrics: views.iter().map(view).collect() }
    }

    #[test]
    fn views_are_new_once_each_of_them_is() {
        let before = told(&[("a", 7), ("b", 9)]);
        assert!(told(&[("a", 8), ("b", 10), ("c", 1)]).is_behind(&before));
        for not_yet in [&[("a", 8), ("b", 9)][..], &[("a", 8)], &[]] {
            assert!(!told(not_yet).is_behind(&before));
        }
    }

    #[test]
    fn views_reach_all_where_no_partition_is_behind() {
        let parts = |text: &str| serde_json::from_str::<MergedParts>(text).expect("parts");
        assert!(parts(r#"{"speed":{"0":5,"1":7},"batch":{"positions":{"0":5,"1":8}}}"#).reach_all());
        for behind in [
            r#"{"speed":{"0":5,"1":7},"batch":{"positions":{"0":5,"1":6}}}"#,
            r#"{"speed":{"0":5,"1":7},"batch":{"positions":{"0":5}}}"#,
            r#"{"speed":{},"batch":{"positions":{"0":5}}}"#,
        ] {
            assert!(!parts(behind).reach_all(), "{behind}");
        }
    }
}
