//! A private S3 server.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wait::eventually;

const PROGRAM: &str = "weed";
/// Whom the server knows: one who may do everything, and one who may only read.
const IDENTITIES: &str = r#"{"identities": [
  {"name": "lake", "credentials": [{"accessKey": "lake", "secretKey": "lake-secret"}], "actions": ["Admin"]},
  {"name": "reader", "credentials": [{"accessKey": "reader", "secretKey": "reader-secret"}], "actions": ["Read", "List"]}
]}"#;
/// Ports below the range that systems take outgoing connections' ports from: they stay free while the server is away.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A running SeaweedFS with an empty bucket, on loopback; killed when dropped.
pub struct S3Server {
    program: PathBuf,
    folder: TempDir,
    ports: Vec<u16>,
    child: Child,
}

impl S3Server {
    /// The bucket that it has.
    pub const BUCKET: &str = "lake";
    /// Key and secret of who may do everything.
    pub const WRITER: [&str; 2] = ["lake", "lake-secret"];
    /// Key and secret of who may only read.
    pub const READER: [&str; 2] = ["reader", "reader-secret"];

    /// Starts one, or answers `None` where none is installed.
    ///
    /// # Panics
    /// When one is installed and does not start.
    pub async fn start() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let program = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|found| found.is_file())?;
        let folder = crate::tempdir();
        std::fs::write(folder.path().join("identities.json"), IDENTITIES).unwrap_or_else(|e| panic!("{e}"));
        std::fs::create_dir(folder.path().join("data")).unwrap_or_else(|e| panic!("{e}"));
        let ports: Vec<u16> = (0..8).map(|_| free_port()).collect();
        let child = spawn(&program, &folder, &ports);
        let server = Self { program, folder, ports, child };
        server.answers().await;
        Some(server)
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Ends it where it stands.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, with what it had.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.program, &self.folder, &self.ports);
        self.answers().await;
    }

    /// Waits until it has its bucket, and room for objects.
    async fn answers(&self) {
        let filer = SocketAddr::from(([127, 0, 0, 1], self.ports[2]));
        let requests = [
            (filer, format!("POST /buckets/{}/ HTTP/1.1\r\nContent-Length: 0", Self::BUCKET)),
            (filer, "PUT /ready HTTP/1.1\r\nContent-Length: 2\r\n\r\nok".to_owned()),
            (self.address(), "GET / HTTP/1.1".to_owned()),
        ];
        for (address, request) in requests {
            eventually("the S3 server is ready", Duration::from_secs(60), || async {
                // That the bucket is there already, or that it does not say to whom it speaks, is an answer too.
                status(address, &request).await.is_some_and(|status| !status.starts_with('5')).then_some(())
            })
            .await;
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &PathBuf, folder: &TempDir, ports: &[u16]) -> Child {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let names = ["s3.port", "s3.port.grpc", "filer.port", "filer.port.grpc", "volume.port", "volume.port.grpc"];
    let mut command = Command::new(program);
    command.arg("server").args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-master.telemetry=false"]);
    command.args(["-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=40"]);
    command.args(["-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0"]);
    command.arg(format!("-dir={}", path("data"))).arg(format!("-s3.config={}", path("identities.json")));
    command.arg(format!("-s3.localSocket={}", path("s3.sock")));
    command.arg(format!("-filer.localSocket={}", path("filer.sock")));
    for (name, port) in names.into_iter().chain(["master.port", "master.port.grpc"]).zip(ports) {
        command.arg(format!("-{name}={port}"));
    }
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|e| panic!("{PROGRAM}: {e}"))
}

/// The status of the answer to a request whose head may lack its last lines.
async fn status(address: SocketAddr, request: &str) -> Option<String> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let mut stream = TcpStream::connect(address).await.ok()?;
    let whole = format!("{head}\r\nHost: {address}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(whole.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1).map(str::to_owned)
}

/// Two that are given out in one process are never the same.
fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let range = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id() * 97 % u32::from(range)).unwrap_or_default();
    loop {
        let next = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (first + next % range) % range;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
