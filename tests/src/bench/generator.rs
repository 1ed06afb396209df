//! `tidemill bench` as a process, and what it says.

use std::{path::PathBuf, process::Stdio};

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tokio::process::Command;

use super::suite::Suite;
use crate::error::Error;

/// The load generator.
pub(super) struct LoadGenerator {
    pub(super) program: PathBuf,
}

/// A load: the rest is as `tidemill bench` has it.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) shape: &'static str,
    pub(super) metric: &'static str,
    pub(super) events: u64,
    pub(super) batch: u32,
    pub(super) connections: u16,
    pub(super) rate: Option<u64>,
    pub(super) per_minute: Option<u64>,
    pub(super) begin: Option<Timestamp>,
    pub(super) alert_every: u64,
    pub(super) customers: u64,
    /// Bytes that each event is longer by.
    pub(super) padding: u64,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half are below.
    pub p50: f64,
    /// 95 % are below.
    pub p95: f64,
    /// 99 % are below.
    pub p99: f64,
    /// 99.9 % are below.
    pub p999: f64,
    /// The worst.
    pub max: f64,
    /// How many there were.
    pub count: u64,
}

/// What it says of a load.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct LoadReport {
    pub(super) sent: u64,
    pub(super) rate: Option<u64>,
    pub(super) batch: u64,
    pub(super) started_ms: i64,
    pub(super) acknowledged_per_s: f64,
    pub(super) events_per_s: f64,
    /// Until the last request was acknowledged.
    pub(super) send_seconds: f64,
    /// Until the books balanced.
    pub(super) seconds: f64,
    /// Requests that were not taken and were sent again.
    pub(super) repeated_requests: u64,
    pub(super) accepted_ms: Option<Quantiles>,
    pub(super) visible_ms: Option<Quantiles>,
    pub(super) bytes: u64,
    pub(super) cpu_s: Option<f64>,
    pub(super) balanced: bool,
    pub(super) equals_truth: bool,
}

impl LoadGenerator {
    /// Loads a suite; answers what came of it.
    pub(super) async fn run(&self, suite: &Suite, load: &Load) -> Result<LoadReport, Error> {
        let mut arguments = vec![
            format!("--url=http://{}", suite.ingestion),
            format!("--reporting-url=http://{}", suite.reporting()?),
            format!("--shape={}", load.shape),
            format!("--metric={}", load.metric),
            format!("--events={}", load.events),
            format!("--batch={}", load.batch),
            format!("--connections={}", load.connections),
            format!("--alert-every={}", load.alert_every),
            format!("--customers={}", load.customers),
            format!("--padding={}", load.padding),
        ];
        arguments.extend(load.rate.map(|rate| format!("--rate={rate}")));
        arguments.extend(load.per_minute.map(|events| format!("--per-minute={events}")));
        arguments.extend(load.begin.map(|begin| format!("--begin={begin}")));
        let told = self.call(&arguments).await?;
        let last = told.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|e| self.failed(format!("{e}: {told}")))
    }

    /// Writes what enrichment has to know of products.
    pub(super) async fn write_catalogue(&self, file: &std::path::Path) -> Result<(), Error> {
        self.call(&[format!("--catalogue={}", file.display())]).await.map(drop)
    }

    /// Writes the events of a load.
    pub(super) async fn write(&self, events: u64, file: &std::path::Path) -> Result<(), Error> {
        let arguments = [format!("--events={events}"), format!("--write={}", file.display())];
        self.call(&arguments).await.map(drop)
    }

    async fn call(&self, arguments: &[String]) -> Result<String, Error> {
        let output = Command::new(&self.program)
            .arg("bench")
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(Error::program("tidemill bench"))?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        // A run that found something wrong says what, in its last line.
        if output.status.success() || told.trim_end().ends_with('}') {
            return Ok(told);
        }
        Err(self.failed(format!("{}; {told}{}", output.status, String::from_utf8_lossy(&output.stderr))))
    }

    fn failed(&self, reason: String) -> Error {
        Error::Program { program: "tidemill bench".into(), reason }
    }
}
