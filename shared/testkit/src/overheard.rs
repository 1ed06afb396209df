//! Counts messages on their way through a nats-server.

use std::io;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::TestNats;

/// Hears what is published on some subjects, by whomever.
pub struct Overheard {
    connection: BufReader<TcpStream>,
    count: usize,
}

impl TestNats {
    /// Hears what is published on `subject` from now on; it may hold wildcards.
    ///
    /// # Panics
    /// When the server does not answer: tests need it.
    pub async fn overhear(&self, subject: &str) -> Overheard {
        Overheard::open(&self.url(), self.server.port(), subject).await.unwrap_or_else(|e| panic!("nats-server: {e}"))
    }
}

impl Overheard {
    async fn open(url: &str, port: u16, subject: &str) -> io::Result<Self> {
        let (user, password) = url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@')?.0.split_once(':'))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let connection = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
        let mut this = Self { connection, count: 0 };
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\nSUB {subject} 1\r\n"
        );
        this.connection.write_all(hello.as_bytes()).await?;
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
        self.connection.write_all(b"PING\r\n").await?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.connection.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.split_ascii_whitespace().next() {
                Some("PONG") => return Ok(()),
                Some("PING") => self.connection.write_all(b"PONG\r\n").await?,
                Some("MSG" | "HMSG") => {
                    let bytes = line.split_ascii_whitespace().next_back().and_then(|bytes| bytes.parse().ok());
                    let mut body = vec![0; bytes.unwrap_or(0_usize) + 2];
                    self.connection.read_exact(&mut body).await?;
                    self.count += 1;
                }
                Some("-ERR") => return Err(io::Error::other(line.clone())),
                _ => {}
            }
        }
    }
}
