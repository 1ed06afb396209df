//! What JetStream alone does with the same bytes.

use std::{path::Path, process::Stdio};

use serde::Deserialize;
use tidemill_testkit::NatsServer;
use tokio::process::Command;

use super::{generator::LoadGenerator, machine::rounded, usage::Usage};
use crate::error::Error;

/// Bytes of a message: what ingestion takes for a full batch.
const MESSAGE: usize = 64 << 10;
/// Enough for some seconds.
const EVENTS: u64 = 1_000_000;

/// What JetStream alone does.
#[derive(Debug, Clone)]
pub(super) struct RelayReport {
    pub(super) events_per_s: f64,
    /// Of server and client together, for a million events.
    pub(super) cpu_s_per_million: f64,
}

#[derive(Deserialize)]
struct RelayTold {
    events: u64,
    events_per_s: f64,
    cpu_s: Option<f64>,
}

/// Relays the events of the reference job through a server of its own.
pub(super) async fn measure(folder: &Path, program: &Path, generator: &LoadGenerator) -> Result<RelayReport, Error> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let file = folder.join("events.ndjson");
    generator.write(EVENTS, &file).await?;
    let nats = NatsServer::start(&folder.join("nats"), 0).await.map_err(Error::program("nats-server"))?;
    let before = Usage::of(nats.pid())?;
    let output = Command::new(program)
        .arg(nats.url())
        .arg(&file)
        .arg(MESSAGE.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::program("jetstream-relay"))?;
    let after = Usage::of(nats.pid())?;
    nats.stop().await;
    std::fs::remove_dir_all(folder).map_err(Error::file(folder))?;
    let told = String::from_utf8_lossy(&output.stdout);
    let told: RelayTold =
        told.lines().last().and_then(|line| serde_json::from_str(line).ok()).ok_or_else(|| Error::Program {
            program: "jetstream-relay".into(),
            reason: format!("{}; {told}{}", output.status, String::from_utf8_lossy(&output.stderr)),
        })?;
    let cpu = after.cpu_s - before.cpu_s + told.cpu_s.unwrap_or_default();
    Ok(RelayReport {
        events_per_s: rounded(told.events_per_s),
        cpu_s_per_million: rounded(cpu * 1e6 / super::report::float(told.events)),
    })
}
