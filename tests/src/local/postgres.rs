//! The run's PostgreSQL, with a database for each service, which may go away and
//! come back.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tidemill_testkit::skipped;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::signal::signal;
use crate::error::Error;

const PROGRAM: &str = "postgres";
const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// How the server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Every backend at once, without a checkpoint: it recovers at the start.
    Immediate,
    /// Sessions are ended, the rest in order.
    Fast,
}

/// Whether what it commits waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// As in production.
    On,
    /// Where its processes die and the machine does not: what is in the system's
    /// cache stays.
    Off,
}

/// A real PostgreSQL on a fixed port.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Mutex<Option<Child>>,
    place: Place,
    port: u16,
    sync: Sync,
}

/// Where its programs and files are, and who runs it.
#[derive(Debug)]
struct Place {
    programs: PathBuf,
    folder: PathBuf,
    /// PostgreSQL refuses to run as root: there it runs as its own user.
    owner: Option<(u32, u32)>,
}

impl Postgres {
    /// Starts one with these databases, owned by user `tidemill`.
    pub(crate) async fn start(folder: &Path, port: u16, databases: &[&str], sync: Sync) -> Result<Self, Error> {
        let programs = find_programs().ok_or_else(|| {
            Error::program(PROGRAM)("initdb and postgres were found neither on PATH nor in /usr/lib/postgresql")
        })?;
        let place = Place { programs, folder: folder.to_owned(), owner: unprivileged_owner() };
        place.make(databases).await?;
        let postgres = Self { server: Mutex::new(None), place, port, sync };
        *postgres.server.lock().await = Some(postgres.launch().await?);
        Ok(postgres)
    }

    /// The first of its processes, while it runs.
    pub(crate) async fn pid(&self) -> Option<u32> {
        self.server.lock().await.as_ref()?.id()
    }

    /// Its files.
    pub(crate) fn data(&self) -> PathBuf {
        self.place.data()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Ends it, and starts it again after `down`.
    pub(crate) async fn restart(&self, end: End, down: Duration) -> Result<(), Error> {
        let mut server = self.server.lock().await;
        if let Some(running) = server.take() {
            end_it(running, end).await?;
        }
        sleep(down).await;
        *server = Some(self.launch().await?);
        Ok(())
    }

    /// Ends it.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        match self.server.lock().await.take() {
            Some(running) => end_it(running, End::Fast).await,
            None => Ok(()),
        }
    }

    async fn launch(&self) -> Result<Child, Error> {
        let log = self.place.log()?;
        let mut child = self
            .place
            .command(PROGRAM)
            .arg("-D")
            .arg(self.place.data())
            .args(["-c", &format!("port={}", self.port), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", if self.sync == Sync::On { "fsync=on" } else { "fsync=off" }])
            .args(["-c", "unix_socket_directories=", "-c", "max_connections=400"])
            .stderr(log)
            .spawn()
            .map_err(Error::program(PROGRAM))?;
        let begun = Instant::now();
        let state = self.place.data().join("postmaster.pid");
        loop {
            // The first line of this file is the server's process, the last
            // one its state.
            let text = fs::read_to_string(&state).unwrap_or_default();
            let own = child.id().is_some_and(|pid| text.lines().next() == Some(&pid.to_string()));
            if own && text.trim_end().ends_with("ready") && TcpStream::connect(self.address()).await.is_ok() {
                return Ok(child);
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(Error::program(PROGRAM)(format!("{status}; see {}", self.place.log_path().display())));
            }
            if begun.elapsed() > START_DEADLINE {
                return Err(Error::program(PROGRAM)(format!("not ready within {} s", START_DEADLINE.as_secs())));
            }
            sleep(POLL).await;
        }
    }
}

async fn end_it(mut running: Child, end: End) -> Result<(), Error> {
    let name = match end {
        End::Immediate => "QUIT",
        End::Fast => "INT",
    };
    signal(&running, name).await?;
    if timeout(STOP_DEADLINE, running.wait()).await.is_err() {
        running.kill().await.map_err(Error::program(PROGRAM))?;
    }
    Ok(())
}

impl Place {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    fn log(&self) -> Result<fs::File, Error> {
        let path = self.log_path();
        fs::File::options().create(true).append(true).open(&path).map_err(Error::file(path))
    }

    /// Makes the cluster and its databases.
    async fn make(&self, databases: &[&str]) -> Result<(), Error> {
        fs::create_dir_all(self.data()).map_err(Error::file(self.data()))?;
        if let Some((uid, gid)) = self.owner {
            for path in [self.folder.clone(), self.data()] {
                std::os::unix::fs::chown(&path, Some(uid), Some(gid)).map_err(Error::file(path))?;
            }
        }
        let made = self
            .command("initdb")
            .args(["--auth=trust", "--username=tidemill", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(self.data())
            .stderr(self.log()?)
            .status()
            .await
            .map_err(Error::program("initdb"))?;
        if !made.success() {
            return Err(Error::program("initdb")(format!("{made}; see {}", self.log_path().display())));
        }
        // One user without a server: no client program is needed.
        let statements = self.folder.join("databases.sql");
        let mut file = fs::File::create(&statements).map_err(Error::file(&statements))?;
        for name in databases {
            writeln!(file, "CREATE DATABASE {name}").map_err(Error::file(&statements))?;
        }
        let input = fs::File::open(&statements).map_err(Error::file(&statements))?;
        let made = self
            .command(PROGRAM)
            .args(["--single", "-c", "fsync=off", "-D"])
            .arg(self.data())
            .arg("postgres")
            .stdin(input)
            .stderr(self.log()?)
            .status()
            .await
            .map_err(Error::program(PROGRAM))?;
        if made.success() { Ok(()) } else { Err(Error::program(PROGRAM)(format!("its databases: {made}"))) }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        // Ctrl-C in a terminal reaches this program alone, which ends it later.
        command.process_group(0);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// Whether a PostgreSQL is installed; says so, in the name of `test`, where not.
pub fn is_installed_for(test: &str) -> bool {
    let found = find_programs().is_some();
    if !found {
        skipped(test, "no PostgreSQL on PATH or in /usr/lib/postgresql");
    }
    found
}

/// The folder that holds `initdb` and `postgres`.
fn find_programs() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join(PROGRAM).is_file();
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut packaged: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|e| e.path().join("bin")).collect())
        .unwrap_or_default();
    packaged.sort();
    on_path.into_iter().flatten().chain(packaged.into_iter().rev()).find(complete)
}

fn unprivileged_owner() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    root.then(|| user_ids("postgres").or_else(|| user_ids("nobody"))).flatten()
}

fn user_ids(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
