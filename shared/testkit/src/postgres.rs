//! A private PostgreSQL server.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::wait::eventually;

/// A running PostgreSQL with an empty database, on loopback; killed when
/// dropped.
pub struct Postgres {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Starts one, or answers `None` where no PostgreSQL is installed.
    ///
    /// # Panics
    /// When one is installed and does not start.
    pub async fn start() -> Option<Self> {
        let programs = find_programs()?;
        let folder = crate::tempdir();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap_or_else(|e| panic!("{e}"));
        // PostgreSQL refuses to run as root: there it runs as its own user.
        let owner = unprivileged_owner();
        if let Some((uid, gid)) = owner {
            for path in [folder.path(), &data] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap_or_else(|e| panic!("chown: {e}"));
            }
        }
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command
        };
        let made = command("initdb")
            .args(["--auth=trust", "--username=tidemill", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(&data)
            .status()
            .unwrap_or_else(|e| panic!("initdb: {e}"));
        assert!(made.success(), "initdb: {made}");
        let port = free_port();
        let child = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("port={port}"), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", "unix_socket_directories="])
            .spawn()
            .unwrap_or_else(|e| panic!("postgres: {e}"));
        let server = Self { child, port, _folder: folder };
        // The server writes its state into the last line of this file.
        let state = data.join("postmaster.pid");
        eventually("PostgreSQL is ready", Duration::from_secs(30), || {
            let ready = std::fs::read_to_string(&state).is_ok_and(|text| text.trim_end().ends_with("ready"));
            std::future::ready(ready.then_some(()))
        })
        .await;
        Some(server)
    }

    /// The address of its database, as sqlx reads it.
    pub fn url(&self) -> String {
        format!("postgres://tidemill@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder that holds `initdb` and `postgres`.
fn find_programs() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut packaged: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|e| e.path().join("bin")).collect())
        .unwrap_or_default();
    packaged.sort();
    on_path.into_iter().flatten().chain(packaged.into_iter().rev()).find(complete)
}

/// The user that PostgreSQL runs as where the tests run as root.
fn unprivileged_owner() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    root.then(|| user_ids("postgres").or_else(|| user_ids("nobody"))).flatten()
}

fn user_ids(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|e| panic!("no port: {e}"))
        .port()
}
