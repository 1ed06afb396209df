//! The run's nats-server, which goes away and comes back.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tidemill_testkit::{NatsPassword, NatsServer};
use tokio::{sync::Mutex, time::sleep};

use crate::error::Error;

/// Starts that are tried: an earlier server's port or files may still be held.
const STARTS: u32 = 5;
const BETWEEN_STARTS: Duration = Duration::from_millis(500);

/// How the server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At once, as by a power cut.
    Killed,
    /// In order.
    Stopped,
}

/// A real nats-server on a fixed port, every write synced.
#[derive(Debug)]
pub(super) struct Nats {
    server: Mutex<Option<NatsServer>>,
    folder: PathBuf,
    port: u16,
    /// One for the whole run: replicas go on with it.
    password: NatsPassword,
}

impl Nats {
    /// Starts it.
    pub(super) async fn start(folder: &Path, port: u16) -> Result<Self, Error> {
        let nats = Self { server: Mutex::new(None), folder: folder.to_owned(), port, password: NatsPassword::random() };
        *nats.server.lock().await = Some(nats.launch().await?);
        Ok(nats)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The address for clients that reach it at `address`.
    pub(super) fn url_at(&self, address: SocketAddr) -> String {
        self.password.url(address)
    }

    /// Ends it, and starts it again after `down` on the same files.
    pub(super) async fn restart(&self, end: End, down: Duration) -> Result<(), Error> {
        let mut server = self.server.lock().await;
        if let Some(mut running) = server.take() {
            match end {
                End::Killed => running.kill().await,
                End::Stopped => running.stop().await,
            }
        }
        sleep(down).await;
        *server = Some(self.launch().await?);
        Ok(())
    }

    /// Ends it in order.
    pub(super) async fn stop(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.stop().await;
        }
    }

    async fn launch(&self) -> Result<NatsServer, Error> {
        let mut tries = 1;
        loop {
            match NatsServer::start_with(&self.folder, self.port, self.password.clone()).await {
                Ok(server) => return Ok(server),
                Err(_) if tries < STARTS => tries += 1,
                Err(error) => return Err(Error::program("nats-server")(error)),
            }
            sleep(BETWEEN_STARTS).await;
        }
    }
}
