//! The network before a server that speaks HTTP: it can be shut, slow, or answer in the server's place.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

const CHUNK: usize = 64 << 10;

/// What becomes of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateMode {
    /// What is sent is passed on.
    Open,
    /// Connections end as soon as they are made.
    Shut,
    /// Each chunk is passed on after a wait.
    Slow(Duration),
    /// Connections end once so many bytes were sent to the server.
    Cut(usize),
    /// All requests are answered by this, and none is passed on: a status with its words, and a body.
    Answer(&'static str, &'static str),
}

/// A proxy before a server; it ends when dropped. Connections end whenever its mode changes.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    mode: watch::Sender<GateMode>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Listens on loopback, and passes on to `server`.
    ///
    /// # Panics
    /// When the system has no port.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|e| panic!("no port: {e}"));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("no address: {e}"));
        let (mode, modes) = watch::channel(GateMode::Open);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, modes.clone()));
            }
        });
        Self { address, mode, task }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From here on connections are treated so.
    pub fn set(&self, mode: GateMode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(mut client: TcpStream, server: SocketAddr, mut modes: watch::Receiver<GateMode>) {
    let mode = modes.borrow_and_update().clone();
    let work = async {
        match mode {
            GateMode::Shut => Ok(()),
            GateMode::Answer(status, body) => answer(&mut client, status, body).await,
            GateMode::Open => relay(client, server, Duration::ZERO, usize::MAX).await,
            GateMode::Slow(delay) => relay(client, server, delay, usize::MAX).await,
            GateMode::Cut(bytes) => relay(client, server, Duration::ZERO, bytes).await,
        }
    };
    tokio::select! {
        // Either side sees that the connection has ended, whatever the reason is.
        _ = work => {}
        _ = modes.changed() => {}
    }
}

async fn relay(client: TcpStream, server: SocketAddr, delay: Duration, most: usize) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        ended = pump(client_read, server_write, delay, most) => ended,
        ended = pump(server_read, client_write, delay, usize::MAX) => ended,
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
    most: usize,
) -> io::Result<()> {
    let (mut chunk, mut sent) = (vec![0; CHUNK], 0);
    loop {
        let length = from.read(&mut chunk).await?;
        sent += length;
        if length == 0 || sent > most {
            return Ok(());
        }
        sleep(delay).await;
        to.write_all(&chunk[..length]).await?;
    }
}

/// Answers the first request, once all of its head is there, and ends the connection.
async fn answer(client: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    let (mut head, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = client.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&chunk[..length]);
    }
    let length = body.len();
    let whole = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    client.write_all(whole.as_bytes()).await?;
    // What is still being sent is taken in: a reset would take the answer away from the client.
    while client.read(&mut chunk).await? > 0 {}
    Ok(())
}
