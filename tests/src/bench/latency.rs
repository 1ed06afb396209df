//! Latencies at fixed rates, each in a suite of its own.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;
use tidemill_domain::{Clock, SystemClock};

use super::{
    ALERTS, Bench, Options,
    generator::{Load, LoadReport, Quantiles},
    held,
    machine::rounded,
    report::float,
    scale::Scale,
    shop_load, slack,
    suite::{PartsUsage, Suite},
    whole,
};
use crate::{error::Error, local::ports::Ports};

/// Events that a suite counts before it is measured, of a time long ago.
const WARM_UP: u64 = 50_000;

/// What one rate came to. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub struct LatencyFigures {
    /// Events a second, open loop.
    pub rate: u64,
    /// From when a probe was to be sent to its total in the live stream.
    pub visible_ms: Option<Quantiles>,
    /// From when an order was to be sent to its message in Slack.
    pub slack_ms: Option<Quantiles>,
    /// From when a request was to be sent to its acknowledgement.
    pub accepted_ms: Option<Quantiles>,
    /// How many cores each part took meanwhile; `total` is all of it.
    pub cores: BTreeMap<String, f64>,
    /// Whether the books balanced.
    pub balanced: bool,
    /// Whether every total was right.
    pub equals_truth: bool,
}

/// A load at a fixed rate, and its messages in Slack.
pub(super) struct TimedLoad {
    pub(super) load: LoadReport,
    pub(super) slack: Option<Quantiles>,
}

/// Measures latencies at these rates.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn latency(options: &Options, rates: &[u64]) -> Result<Vec<LatencyFigures>, Error> {
    held(options, async |bench| {
        let catalogue = bench.folder.join("products.csv");
        bench.generator.write_catalogue(&catalogue).await?;
        let mut ports = Ports::new();
        let mut figures = Vec::new();
        for &rate in rates {
            let suite = bench.suite(&format!("latency-{rate}"), &catalogue, Scale::default(), &mut ports).await?;
            bench.generator.run(&suite, &shop_load(WARM_UP)).await?;
            let before = suite.usage().await?;
            let timed = bench.timed(&suite, rate, whole(bench.seconds)).await?;
            let after = suite.usage().await?;
            suite.stop().await?;
            figures.push(of(timed, &before, &after));
        }
        Ok(figures)
    })
    .await
}

fn of(timed: TimedLoad, before: &PartsUsage, after: &PartsUsage) -> LatencyFigures {
    let TimedLoad { load, slack } = timed;
    let mut cores = after.cores_since(before, load.seconds);
    cores.insert("total".into(), rounded(cores.values().sum()));
    LatencyFigures {
        rate: load.rate.unwrap_or_default(),
        visible_ms: load.visible_ms,
        slack_ms: slack,
        accepted_ms: load.accepted_ms,
        cores,
        balanced: load.balanced,
        equals_truth: load.equals_truth,
    }
}

impl Bench {
    /// The shop's events at a fixed rate for some seconds, in step with the clock.
    pub(super) async fn timed(&self, suite: &Suite, rate: u64, seconds: u64) -> Result<TimedLoad, Error> {
        let load = Load {
            rate: Some(rate),
            alert_every: (rate / ALERTS).max(2),
            connections: 64,
            per_minute: None,
            begin: None,
            ..shop_load(rate * seconds.max(1))
        };
        let report = self.generator.run(suite, &load).await?;
        let now = (SystemClock.now().millis(), Instant::now());
        let slack = slack::latencies(&suite.slack, &report, now);
        self.told(&format!("latency at {} events/s", float(rate)), &report);
        Ok(TimedLoad { load: report, slack })
    }
}
