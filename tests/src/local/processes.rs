//! A service's process: started, killed, asked to end, held and started again.

use std::{
    fs::File,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, timeout},
};

use super::signal::signal;
use crate::{error::Error, service::Service};

/// How long a service may take to end in order: its own deadline is 20 s.
const GRACE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// What a process is started with.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its configuration.
    pub(crate) config: PathBuf,
    /// Where its output goes, behind that of earlier starts.
    pub(crate) log: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// How much less of a busy processor it gets than others do, as nice(1) has it.
    pub(crate) nice: u8,
}

/// A replica of a service: the place of one process after the other.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Its service.
    pub(crate) service: Service,
    /// Its name, for instance `alert-2`.
    pub(crate) name: String,
    launch: Launch,
    process: Mutex<Process>,
    http: reqwest::Client,
}

/// The process of a replica, held by whoever does something to it.
#[derive(Debug, Default)]
pub(crate) struct Process {
    child: Option<Child>,
    starts: u32,
}

/// How a process ended that was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this status, after so long.
    Exited(ExitStatus, Duration),
    /// Not in time: it was killed.
    Overdue,
    /// It had ended before.
    Gone(Option<ExitStatus>),
}

impl Replica {
    /// One that is not started yet.
    pub(crate) fn new(service: Service, name: String, launch: Launch, http: reqwest::Client) -> Self {
        Self { service, name, launch, process: Mutex::default(), http }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.launch.address
    }

    /// Its process's id, while it runs.
    pub(crate) async fn pid(&self) -> Option<u32> {
        self.hold().await.child.as_ref()?.id()
    }

    /// Its process, once nobody else has it.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, Process> {
        self.process.lock().await
    }

    /// Starts it.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        self.hold().await.start(&self.launch)
    }

    /// Starts it, where it was stopped by who holds it.
    pub(crate) fn start_again(&self, process: &mut Process) -> Result<(), Error> {
        process.start(&self.launch)
    }

    /// How it ended by itself, if it did, and nobody is doing anything to it.
    pub(crate) fn ended_by_itself(&self) -> Option<ExitStatus> {
        let mut process = self.process.try_lock().ok()?;
        let status = process.child.as_mut()?.try_wait().ok()??;
        process.child = None;
        Some(status)
    }

    /// What `/readyz` says: nothing is wrong, or what is.
    pub(crate) async fn readiness(&self) -> Result<(), String> {
        let url = format!("http://{}/readyz", self.launch.address);
        let answer = self.http.get(url).send().await.map_err(|e| e.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
    }

    /// Waits until it is ready; answers the last reason where it is not.
    pub(crate) async fn ready_within(&self, deadline: Duration) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match self.readiness().await {
                Ok(()) => return Ok(()),
                Err(reason) if begun.elapsed() > deadline => return Err(reason),
                Err(_) => sleep(POLL).await,
            }
        }
    }
}

impl Launch {
    fn command(&self) -> Command {
        if self.nice == 0 {
            return Command::new(&self.program);
        }
        // It becomes the program: the process stays the same.
        let mut command = Command::new("nice");
        command.arg("-n").arg(self.nice.to_string()).arg(&self.program);
        command
    }
}

impl Process {
    fn start(&mut self, launch: &Launch) -> Result<(), Error> {
        self.starts += 1;
        let mut log = File::options().create(true).append(true).open(&launch.log).map_err(Error::file(&launch.log))?;
        writeln!(log, "--- start {}", self.starts).map_err(Error::file(&launch.log))?;
        let output = log.try_clone().map_err(Error::file(&launch.log))?;
        let mut command = launch.command();
        // What the caller's environment sets is not meant for this suite.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIDEMILL_")) {
            command.env_remove(name);
        }
        let child = command
            .arg("--config")
            .arg(&launch.config)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::program(launch.program.display().to_string()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills it at once.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which serves as well.
            let _ = child.kill().await;
        }
    }

    /// Asks it to end, and waits.
    pub(crate) async fn terminate(&mut self) -> Result<End, Error> {
        let Some(mut child) = self.child.take() else { return Ok(End::Gone(None)) };
        if let Ok(Some(status)) = child.try_wait() {
            return Ok(End::Gone(Some(status)));
        }
        let begun = Instant::now();
        signal(&child, "TERM").await?;
        match timeout(GRACE, child.wait()).await {
            Ok(Ok(status)) => Ok(End::Exited(status, begun.elapsed())),
            Ok(Err(error)) => Err(Error::program("wait")(error)),
            Err(_) => {
                let _ = child.kill().await;
                Ok(End::Overdue)
            }
        }
    }

    /// Takes the processor away from it for so long.
    pub(crate) async fn pause(&mut self, lasts: Duration) -> Result<(), Error> {
        let Some(child) = &self.child else { return Ok(()) };
        signal(child, "STOP").await?;
        sleep(lasts).await;
        signal(child, "CONT").await
    }
}
