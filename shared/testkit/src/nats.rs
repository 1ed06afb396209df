//! A real nats-server, and what may become of its log.

use std::io;

use tempfile::TempDir;
use tidemill_embedded::NatsServer;

use crate::{
    tempdir,
    wire::{Heard, NatsWire},
};

/// Where answers come.
const INBOX: &str = "_INBOX.testkit";

/// A real nats-server in a folder of its own.
pub struct TestNats {
    /// The server.
    pub server: NatsServer,
    folder: TempDir,
}

impl TestNats {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When it cannot be started: tests need it.
    pub async fn start() -> Self {
        let folder = tempdir();
        let server = NatsServer::start(folder.path(), 0).await.unwrap_or_else(|e| panic!("{e}; see `make test`"));
        Self { server, folder }
    }

    /// The address for clients, with the password.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The address for clients that reach it through a proxy.
    pub fn url_at(&self, address: std::net::SocketAddr) -> String {
        self.server.url_at(address)
    }

    /// Has it lose its disk: it is killed, and comes back on the same port with nothing in it.
    ///
    /// # Panics
    /// When it cannot be started again.
    pub async fn lose_disk(&mut self) {
        self.server.kill().await;
        std::fs::remove_dir_all(self.folder.path().join("jetstream")).unwrap_or_else(|e| panic!("the disk stays: {e}"));
        self.server.restart().await.unwrap_or_else(|e| panic!("{e}"));
    }
}

/// Calls JetStream as an operator does, for instance `STREAM.DELETE.RAW`, on the server at `url`,
/// and gives its answer.
///
/// # Panics
/// When the server does not answer: tests need it.
pub async fn jetstream(url: &str, call: &str, body: &str) -> String {
    asked(url, call, body).await.unwrap_or_else(|e| panic!("nats-server: {call}: {e}"))
}

async fn asked(url: &str, call: &str, body: &str) -> io::Result<String> {
    let mut wire = NatsWire::open(url, INBOX).await?;
    wire.send(&format!("PUB $JS.API.{call} {INBOX} {}\r\n{body}\r\n", body.len())).await?;
    loop {
        if let Heard::Message(answer) = wire.next().await? {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}
