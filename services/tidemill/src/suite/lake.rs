//! The lake beside the all-in-one, as a process of its own: Parquet's memory stays out of
//! the other services.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use tidemill_embedded::{ServiceProcess, find_program};
use tidemill_service::StartError;
use tokio::time::{Instant, sleep};

use super::{folder, services::Suite, settings::Settings};
use crate::profile::{ProfilePart, SuiteProfile};

const PROGRAM: &str = "tidemill-lake";
const HINT: &str = "`cargo build --package tidemill-lake` puts it beside this program";
/// How long it may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Ports behind that of ingestion.
const PORT: u16 = 5;

/// A lake that has joined a suite.
pub(super) struct JoinedLake {
    /// Where it answers.
    pub(super) address: SocketAddr,
    process: ServiceProcess,
}

impl JoinedLake {
    /// Starts it over a suite's log, and waits until it is ready. Its tables are in `data`.
    pub(super) async fn start(suite: &Suite, data: &Path) -> Result<Self, StartError> {
        let program = find_program(PROGRAM, HINT).map_err(StartError::new)?;
        let port = match suite.settings.first_port() {
            0 => free_port()?,
            first => first.saturating_add(PORT),
        };
        let settings = folder::private(data, "settings")?.join("lake.toml");
        write(&settings, &suite.settings.lake(port, data)?)?;
        let log = data.join("lake.log");
        let variables = suite.settings.key_variables();
        let process = ServiceProcess::start(&program, &settings, variables, &log).map_err(StartError::new)?;
        let mut lake = Self { address: SocketAddr::new(suite.ingestion.ip(), port), process };
        lake.ready().await?;
        Ok(lake)
    }

    async fn ready(&mut self) -> Result<(), StartError> {
        let deadline = Instant::now() + PATIENCE;
        let url = format!("http://{}/readyz", SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.address.port()));
        loop {
            let answer = tokio::select! {
                answer = reqwest::get(&url) => answer,
                told = self.process.ended() => return Err(StartError::new(format!("the lake: {told}"))),
            };
            match answer {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                _ if Instant::now() < deadline => sleep(POLL).await,
                Ok(answer) => {
                    let told = answer.text().await.unwrap_or_default();
                    return Err(StartError::new(format!("the lake is not ready: {told}")));
                }
                Err(error) => return Err(StartError::new(format!("the lake does not answer: {error}"))),
            }
        }
    }

    /// Waits until it ends by itself, and says how.
    pub(super) async fn ended(&mut self) -> String {
        format!("lake: {}", self.process.ended().await)
    }

    /// Ends it in order; what it has not written stays in the log.
    pub(super) async fn stop(self) -> bool {
        self.process.stop().await
    }
}

impl Settings {
    /// As the lake reads them.
    pub(super) fn lake(&self, port: u16, data: &Path) -> Result<String, StartError> {
        let quoted = |path: &Path| serde_json::Value::from(path.display().to_string());
        let store = format!("sqlite://{}", data.join("lake.db").display());
        let views = match self.profile().is_some_and(SuiteProfile::merges) {
            true => "",
            false => "[batch]\nevery_seconds = 0\n",
        };
        let text = format!(
            "{}[store]\nurl = {}\n[lake]\nurl = {}\n[telemetry]\nlog_format = \"text\"\n{views}{}",
            self.common(port),
            serde_json::Value::from(store),
            quoted(&data.join("lake")),
            self.metrics()
        );
        self.with_file(text, ProfilePart::Lake)
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> Result<u16, StartError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(StartError::new)?;
    listener.local_addr().map(|address| address.port()).map_err(StartError::new)
}

/// Writes a file that nobody else may read: it holds the password of NATS.
fn write(path: &Path, text: &str) -> Result<(), StartError> {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| StartError::new(format!("{}: {error}", path.display())))
}
