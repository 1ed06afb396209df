//! What ends a child process when its parent is gone.

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::Error;

const PROGRAM: &str = "sh";
/// Waits until nothing holds the other end of its input, and then kills. The
/// line that it reads never comes.
const SCRIPT: &str = r#"trap "" HUP INT TERM; read -r line; kill -KILL "$1""#;

/// Holds a child process to this one. This process alone holds one end of a
/// pipe. However this process ends, by `kill -9` too, the system closes that
/// end. Then the shell at the other end kills the child.
///
/// Linux has `PR_SET_PDEATHSIG` for this. It needs unsafe code between fork and
/// exec, other systems lack it, and it kills too early: when the thread that
/// has started the child ends.
#[derive(Debug)]
pub(crate) struct Tether {
    /// Keeps the shell's input open. Nobody writes to it.
    _shell: Child,
}

impl Tether {
    /// Ties the process with this id. It must be a child that nobody has waited
    /// for, so that its id is not that of another process.
    pub(crate) fn to(pid: u32) -> Result<Self, Error> {
        let shell = Command::new(PROGRAM)
            .args(["-c", SCRIPT, "tidemill-tether", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            // The shell has a group of its own: a signal to the parent's group
            // would end it too.
            .process_group(0)
            .spawn()
            .map_err(|e| Error::Start { program: PROGRAM, reason: e.to_string() })?;
        Ok(Self { _shell: shell })
    }

    /// As if this process had been killed.
    #[cfg(test)]
    pub(crate) fn let_go(&mut self) {
        drop(self._shell.stdin.take());
    }
}
