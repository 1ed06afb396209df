//! A connection to a nats-server that speaks its protocol, and knows nothing of the suite.

use std::io;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// One, with one subscription.
pub(crate) struct NatsWire(BufReader<TcpStream>);

/// What came.
pub(crate) enum Heard {
    /// A message on the subscription.
    Message(Vec<u8>),
    /// The answer to a ping: what was published before is there by then.
    Pong,
}

impl NatsWire {
    /// Connects to a server by its address with the password, and hears `subject`; it may
    /// hold wildcards.
    pub(crate) async fn open(url: &str, subject: &str) -> io::Result<Self> {
        let parts = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        let (login, server) = parts.ok_or(io::ErrorKind::InvalidInput)?;
        let (user, password) = login.split_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        let mut this = Self(BufReader::new(TcpStream::connect(server.trim_end_matches('/')).await?));
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\nSUB {subject} 1\r\n"
        );
        this.send(&hello).await?;
        Ok(this)
    }

    pub(crate) async fn send(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(line.as_bytes()).await
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> io::Result<Heard> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.split_ascii_whitespace().next() {
                Some("PONG") => return Ok(Heard::Pong),
                Some("PING") => self.send("PONG\r\n").await?,
                Some("MSG" | "HMSG") => {
                    let bytes = line.split_ascii_whitespace().next_back().and_then(|bytes| bytes.parse().ok());
                    let mut body = vec![0; bytes.unwrap_or(0_usize) + 2];
                    self.0.read_exact(&mut body).await?;
                    body.truncate(body.len() - 2);
                    return Ok(Heard::Message(body));
                }
                Some("-ERR") => return Err(io::Error::other(line.clone())),
                _ => {}
            }
        }
    }
}
