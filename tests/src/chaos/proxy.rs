//! A TCP proxy that can be cut, refuse, stall and slow down: the bad network
//! between one process and one dependency.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, watch},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// How long a port may be taken by a listener that was dropped just now.
const REBIND: Duration = Duration::from_millis(50);
const CHUNK: usize = 64 << 10;

/// What the proxy does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Passes them on.
    Open,
    /// Does not listen.
    Refuse,
    /// Keeps connections, and passes nothing on.
    Stall,
    /// Passes each chunk on after a wait.
    Slow(Duration),
}

/// How a connection goes bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// All connections break once; new ones work.
    Sever,
    /// All connections break, and none can be made for a while.
    Refuse(Duration),
    /// Nothing passes for a while; connections stay.
    Stall(Duration),
    /// Everything passes late for a while: for how long, and how late.
    Slow(Duration, Duration),
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
    /// One trouble at a time.
    troubled: Mutex<()>,
}

impl Proxy {
    /// Listens on `port` of loopback, and passes on to `backend`.
    pub(super) async fn start(port: u16, backend: SocketAddr) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = TcpListener::bind(address).await?;
        let (mode, _) = watch::channel(Mode::Open);
        let (cuts, _) = watch::channel(0);
        let task = tokio::spawn(serve(listener, address, backend, mode.subscribe(), cuts.subscribe()));
        Ok(Self { address, mode, cuts, task, troubled: Mutex::new(()) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes trouble, and answers when it is over.
    pub(super) async fn suffer(&self, trouble: Trouble) {
        let _alone = self.troubled.lock().await;
        match trouble {
            Trouble::Sever => self.cut(),
            Trouble::Refuse(lasts) => {
                self.mode.send_replace(Mode::Refuse);
                self.cut();
                sleep(lasts).await;
            }
            Trouble::Stall(lasts) => {
                self.mode.send_replace(Mode::Stall);
                sleep(lasts).await;
            }
            Trouble::Slow(lasts, delay) => {
                self.mode.send_replace(Mode::Slow(delay));
                sleep(lasts).await;
            }
        }
        self.mode.send_replace(Mode::Open);
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    first: TcpListener,
    address: SocketAddr,
    backend: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    cuts: watch::Receiver<u64>,
) {
    let mut relays = JoinSet::new();
    let mut first = Some(first);
    loop {
        if mode.wait_for(|mode| *mode != Mode::Refuse).await.is_err() {
            return;
        }
        let listener = match first.take() {
            Some(listener) => listener,
            None => match TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(_) => {
                    sleep(REBIND).await;
                    continue;
                }
            },
        };
        loop {
            tokio::select! {
                refuses = async { mode.wait_for(|mode| *mode == Mode::Refuse).await.is_ok() } => {
                    if refuses {
                        break;
                    }
                    return;
                }
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        relays.spawn(relay(client, backend, mode.clone(), cuts.clone()));
                    }
                }
                // Reaps what has ended, so that the set does not grow.
                Some(_) = relays.join_next() => {}
            }
        }
    }
}

async fn relay(client: TcpStream, backend: SocketAddr, mode: watch::Receiver<Mode>, mut cuts: watch::Receiver<u64>) {
    cuts.mark_unchanged();
    let work = async {
        let server = TcpStream::connect(backend).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        // Either end's goodbye ends both ways, as a broken connection does.
        tokio::select! {
            ended = pump(client_read, server_write, mode.clone()) => ended,
            ended = pump(server_read, client_write, mode) => ended,
        }
    };
    tokio::select! {
        // Both ends see a broken connection, whatever the reason was.
        _ = work => {}
        _ = cuts.changed() => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        let now = *mode.borrow_and_update();
        match now {
            Mode::Open | Mode::Refuse => {}
            Mode::Slow(delay) => sleep(delay).await,
            Mode::Stall => {
                let over = mode.wait_for(|mode| *mode != Mode::Stall).await;
                over.map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
            }
        }
        to.write_all(&chunk[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// A server that sends back what it is sent.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn said(stream: &mut TcpStream, word: &[u8; 4]) -> io::Result<()> {
        stream.write_all(word).await?;
        let mut back = [0; 4];
        stream.read_exact(&mut back).await?;
        assert_eq!(&back, word);
        Ok(())
    }

    #[tokio::test]
    async fn connections_are_cut_refused_and_held() {
        let port = crate::local::ports::Ports::new().take().expect("a port");
        let proxy = Proxy::start(port, echo().await).await.expect("listens");
        let connect = || TcpStream::connect(proxy.address());
        let mut stream = connect().await.expect("connects");
        said(&mut stream, b"open").await.expect("passes");

        proxy.suffer(Trouble::Sever).await;
        said(&mut stream, b"dead").await.expect_err("it is cut");
        let mut stream = connect().await.expect("a new one works");
        said(&mut stream, b"anew").await.expect("passes");

        let refusing = async {
            while connect().await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let refuse = proxy.suffer(Trouble::Refuse(Duration::from_millis(500)));
        let ((), refused) = tokio::join!(refuse, timeout(Duration::from_millis(450), refusing));
        refused.expect("nobody listens meanwhile");
        let again = async {
            loop {
                if let Ok(stream) = connect().await {
                    break stream;
                }
                sleep(REBIND).await;
            }
        };
        let mut stream = timeout(Duration::from_secs(5), again).await.expect("listens again");
        said(&mut stream, b"back").await.expect("passes");

        let stall = proxy.suffer(Trouble::Stall(Duration::from_millis(300)));
        let held = async {
            // The proxy is asked first in `join`, so it stalls by now.
            let early = timeout(Duration::from_millis(150), said(&mut stream, b"held")).await;
            assert!(early.is_err(), "nothing passes");
        };
        tokio::join!(stall, held);
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.expect("it passes later");
        assert_eq!(&back, b"held");
    }
}
