//! Counts messages on their way through a nats-server.

use std::io;

use crate::{
    TestNats,
    wire::{Heard, NatsWire},
};

/// Hears what is published on some subjects, by whomever.
pub struct Overheard {
    wire: NatsWire,
    count: usize,
}

impl TestNats {
    /// Hears what is published on `subject` from now on; it may hold wildcards.
    ///
    /// # Panics
    /// When the server does not answer: tests need it.
    pub async fn overhear(&self, subject: &str) -> Overheard {
        Overheard::open(&self.url(), subject).await.unwrap_or_else(|e| panic!("nats-server: {e}"))
    }
}

impl Overheard {
    async fn open(url: &str, subject: &str) -> io::Result<Self> {
        let mut this = Self { wire: NatsWire::open(url, subject).await?, count: 0 };
        this.catch_up().await?;
        Ok(this)
    }

    /// How many messages there were so far.
    ///
    /// # Panics
    /// When the server does not answer: tests need it.
    pub async fn count(&mut self) -> usize {
        self.catch_up().await.unwrap_or_else(|e| panic!("nats-server: {e}"));
        self.count
    }

    /// Reads up to the answer to a ping: what was published before is there by then.
    async fn catch_up(&mut self) -> io::Result<()> {
        self.wire.send("PING\r\n").await?;
        while let Heard::Message(_) = self.wire.next().await? {
            self.count += 1;
        }
        Ok(())
    }
}
