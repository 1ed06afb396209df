//! A real InfluxDB 2, where `TIDEMILL_INFLUXD` names one.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{error::Error, local::signal::signal};

const START_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Organisation and bucket.
pub(super) const ORG: &str = "tidemill";
/// The bucket.
pub(super) const BUCKET: &str = "metrics";
/// The token that services write with.
pub(super) const TOKEN: &str = "chaos-token";

/// A running influxd.
#[derive(Debug)]
pub(super) struct Influx {
    child: Child,
    port: u16,
}

impl Influx {
    /// Starts and sets up the influxd that the environment names.
    pub(super) async fn start(folder: &Path, port: u16) -> Result<Option<Self>, Error> {
        let Some(program) = std::env::var_os("TIDEMILL_INFLUXD") else { return Ok(None) };
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let log = folder.join("influxd.log");
        let log = std::fs::File::create(&log).map_err(Error::file(log))?;
        let again = log.try_clone().map_err(Error::program("influxd"))?;
        let child = Command::new(program)
            .arg("--bolt-path")
            .arg(folder.join("influxd.bolt"))
            .arg("--sqlite-path")
            .arg(folder.join("influxd.sqlite"))
            .arg("--engine-path")
            .arg(folder.join("engine"))
            .args(["--http-bind-address", &format!("127.0.0.1:{port}")])
            .env("INFLUXD_REPORTING_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::program("influxd"))?;
        let influx = Self { child, port };
        influx.set_up().await?;
        Ok(Some(influx))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        let asked = signal(&self.child, "TERM").await.is_ok();
        if !asked || tokio::time::timeout(START_DEADLINE, self.child.wait()).await.is_err() {
            // It may have ended by itself, which serves as well.
            let _ = self.child.kill().await;
        }
    }

    async fn set_up(&self) -> Result<(), Error> {
        let setup = json!({"username": "tidemill", "password": "tidemill-chaos", "org": ORG, "bucket": BUCKET,
            "token": TOKEN});
        let url = format!("http://{}/api/v2/setup", self.address());
        let client = reqwest::Client::new();
        let begun = Instant::now();
        loop {
            let last = match client.post(&url).json(&setup).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            if begun.elapsed() > START_DEADLINE {
                return Err(Error::Deadline { what: "InfluxDB is set up".into(), deadline: START_DEADLINE, last });
            }
            sleep(POLL).await;
        }
    }
}
