//! Who has a suite end: a person by Ctrl-C, by Ctrl-\ or by closing the terminal,
//! or a supervisor.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a suite drains for. Those that come while nobody asks are
/// told of then.
pub(super) struct Ending {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
}

impl Ending {
    /// From now on no such signal ends the process by itself.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits until somebody has the suite end.
    pub(super) async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}
