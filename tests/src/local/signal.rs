//! Signals to child processes.

use tokio::process::{Child, Command};

use crate::error::Error;

/// Sends a signal, for instance `TERM`, to a child that has not been waited
/// for: until then its id is nobody else's.
pub(crate) async fn signal(child: &Child, name: &str) -> Result<(), Error> {
    let Some(pid) = child.id() else {
        return Err(Error::program("kill")("the process has ended"));
    };
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await;
    match sent {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::program("kill")(status)),
        Err(error) => Err(Error::program("kill")(error)),
    }
}
