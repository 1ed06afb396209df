//! A service of the suite as a child process.

use std::{
    ffi::OsStr,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{Error, tether::Tether};

/// How long a service may take to end in order: its own deadline is 20 s.
const GRACE: Duration = Duration::from_secs(30);
/// Variables of the owner's environment that begin so are the owner's settings.
const OWN_SETTINGS: &str = "TIDEMILL_";

/// A program of the suite: beside this one, or in the folder above (where cargo puts it for
/// tests), else on `PATH`.
pub fn find_program(name: &'static str, hint: &'static str) -> Result<PathBuf, Error> {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.ancestors().skip(1).take(2).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = beside.chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    places.find(|program| program.is_file()).ok_or(Error::NotFound { program: name, hint })
}

/// A service that runs as a child process. It is killed when dropped, and when this process
/// dies; [`stop`](Self::stop) lets it end in order.
#[derive(Debug)]
pub struct ServiceProcess {
    child: Child,
    /// Held for as long as it runs.
    _tether: Option<Tether>,
    log: PathBuf,
}

impl ServiceProcess {
    /// Starts a program with a file of settings and these variables; what it says goes to a
    /// file, behind what is there.
    ///
    /// # Errors
    /// It cannot be started, or the file cannot be written.
    pub fn start<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        program: &Path,
        settings: &Path,
        variables: impl IntoIterator<Item = (N, V)>,
        log: &Path,
    ) -> Result<Self, Error> {
        let io = |source| Error::Io { path: log.display().to_string(), source };
        let output = OpenOptions::new().create(true).append(true).mode(0o600).open(log).map_err(io)?;
        let errors = output.try_clone().map_err(io)?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(OWN_SETTINGS)) {
            command.env_remove(name);
        }
        let child = command
            .arg("--config")
            .arg(settings)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            // Ctrl-C in a terminal is for the owner, which ends it in order.
            .process_group(0)
            .spawn()
            .map_err(|e| Error::Start { program: "a service", reason: format!("{}: {e}", program.display()) })?;
        let tether = child.id().map(Tether::to).transpose()?;
        Ok(Self { child, _tether: tether, log: log.to_owned() })
    }

    /// Waits until it ends by itself, and says how.
    pub async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        let status = status.as_ref().map_or_else(ToString::to_string, ExitStatus::to_string);
        format!("{status}; its log is {}", self.log.display())
    }

    /// Asks it to end, and waits; kills it after a while. Answers whether it ended in order.
    pub async fn stop(mut self) -> bool {
        let Some(pid) = self.child.id() else { return true };
        let asked = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
        let is_asked = asked.is_ok_and(|status| status.success());
        if is_asked && timeout(GRACE, self.child.wait()).await.is_ok() {
            return true;
        }
        // It may have ended by itself meanwhile, which serves as well.
        let _ = self.child.kill().await;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that says with what it was started, and ends when it is told to.
    fn script(folder: &Path, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let program = folder.join("service");
        std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).expect("writes");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("sets");
        program
    }

    #[tokio::test]
    async fn it_is_told_its_settings_and_ends_when_it_is_asked_to() {
        let folder = std::env::temp_dir().join(format!("tidemill-program-{:032x}", rand::random::<u128>()));
        std::fs::create_dir(&folder).expect("a folder");
        let log = folder.join("log");
        let program = script(&folder, "echo \"$@ $TIDEMILL_AUTH__READ\"; while :; do sleep 0.05; done");
        let variables = [("TIDEMILL_AUTH__READ", "wall")];
        let service = ServiceProcess::start(&program, Path::new("s.toml"), variables, &log).expect("starts");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        timeout(Duration::from_secs(20), async {
            while said() != "--config s.toml wall\n" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("it says with what it runs");
        assert!(service.stop().await, "it ends");

        let program = script(&folder, "exit 3");
        let none: [(&str, &str); 0] = [];
        let mut service = ServiceProcess::start(&program, Path::new("s.toml"), none, &log).expect("starts");
        let told = timeout(Duration::from_secs(20), service.ended()).await.expect("it ends by itself");
        assert!(told.contains('3') && told.contains("log"), "{told}");
        assert!(service.stop().await, "it has ended already");
        std::fs::remove_dir_all(&folder).expect("removes");
    }

    #[test]
    fn a_program_that_is_nowhere_is_told_with_a_hint() {
        let told = find_program("tidemill-nowhere", "build it").expect_err("it is nowhere").to_string();
        assert!(told.contains("tidemill-nowhere") && told.contains("build it"), "{told}");
        assert!(find_program("sh", "").is_ok(), "it is on PATH");
    }
}
