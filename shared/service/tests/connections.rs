//! What a server puts up with from its clients, seen from raw sockets.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures::stream;
use tidemill_service::{Access, Context, HttpConfig, Needs, Routes, Server};
use tidemill_testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Notify,
    time::{interval, timeout},
};
use utoipa::OpenApi;

#[utoipa::path(post, path = "/length", request_body = String, responses((status = 200, body = String)))]
async fn length(body: Bytes) -> String {
    body.len().to_string()
}

#[derive(OpenApi)]
#[openapi(paths(length))]
struct Documentation;

/// Far more than any test takes, and less than the limits that it is not about.
const SOON: Duration = Duration::from_secs(20);

struct Running {
    context: Context,
    server: Server,
    /// A request for `/waits` is in work.
    begun: Arc<Notify>,
    /// Lets it be answered.
    go: Arc<Notify>,
}

/// A server whose limits are so wide that a test sees none but the one that it
/// sets.
async fn start(change: impl FnOnce(&mut HttpConfig)) -> Running {
    tidemill_service::install_crypto();
    let mut config = HttpConfig::at(([127, 0, 0, 1], 0).into());
    for limit in [&mut config.header_seconds, &mut config.idle_seconds, &mut config.stall_seconds] {
        *limit = 600.try_into().expect("positive");
    }
    change(&mut config);
    let context = Context::new("test");
    let server = Server::start(&context, &config, Documentation::openapi()).await.expect("listens");
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (begun.clone(), go.clone());
    let waits = move || {
        let (begun, go) = signals.clone();
        async move {
            begun.notify_one();
            go.notified().await;
            "waited"
        }
    };
    let endless = || stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 64 << 10])));
    let routes = Routes::new(&Access::everybody(&context))
        .page("/hello", async || "hello")
        .post(Needs::Nothing, "/length", length)
        .page("/endless", move || async move { Body::from_stream(endless()) })
        .page("/waits", waits);
    server.install(routes).expect("installs");
    Running { context, server, begun, go }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        self.connect_from([127, 0, 0, 1]).await
    }

    async fn connect_from(&self, address: impl Into<Ipv4Addr>) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((address.into(), 0))).expect("an address");
        socket.connect(self.server.address()).await.expect("connects")
    }

    /// Waits for a line of `/metrics`.
    async fn counts(&self, line: &str) {
        let is_told = || self.context.registry.encode().expect("encodes").lines().any(|told| told == line);
        eventually(line, SOON, || async { is_told().then_some(()) }).await;
    }

    /// Ends it, which must take no longer than open work does.
    async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(SOON).await, "it ends");
        assert_eq!(self.context.failure(), None);
    }
}

async fn send(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).await.expect("sends");
}

/// Asks on a connection that stays open, and reads an answer of a known length.
async fn ask(client: &mut TcpStream, path: &str, body: &str) {
    send(client, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    let mut answer = Vec::new();
    while !answer.ends_with(body.as_bytes()) {
        assert_ne!(client.read_buf(&mut answer).await.expect("an answer"), 0, "it is closed");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
}

/// Waits until the server closes the connection, and tells what it said last.
async fn closed(client: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // What the server has not read makes its close a reset.
    let _ = timeout(SOON, client.read_to_end(&mut said)).await.expect("the server closes the connection");
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends a byte now and then until the server closes the connection.
async fn trickles(client: &mut TcpStream) {
    let (mut reader, mut writer) = client.split();
    let sends = async {
        let mut ticks = interval(Duration::from_millis(50));
        while writer.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    };
    let mut said = Vec::new();
    tokio::select! {
        read = timeout(SOON, reader.read_to_end(&mut said)) => drop(read.expect("the server closes the connection")),
        () = sends => {}
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let running = start(|config| config.header_seconds = 1.try_into().expect("positive")).await;
    let [mut silent, mut slow] = [running.connect().await, running.connect().await];
    send(&mut slow, "GET /hello HTTP/1.1\r\nX-Padding: ").await;
    tokio::join!(closed(&mut silent), trickles(&mut slow));
    running.counts("tidemill_http_connections_ended_total{reason=\"header\"} 2").await;
    ask(&mut running.connect().await, "/hello", "hello").await;
}

#[tokio::test]
async fn a_head_has_a_size() {
    let running = start(|_| ()).await;
    let mut client = running.connect().await;
    send(&mut client, &format!("GET /hello HTTP/1.1\r\nHost: test\r\nX-Padding: {}\r\n\r\n", "x".repeat(20 << 10)))
        .await;
    assert!(closed(&mut client).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_in_time() {
    let running = start(|config| config.idle_seconds = 1.try_into().expect("positive")).await;
    let mut client = running.connect().await;
    ask(&mut client, "/hello", "hello").await;
    ask(&mut client, "/hello", "hello").await;
    assert_eq!(closed(&mut client).await, "");
    running.counts("tidemill_http_connections_ended_total{reason=\"idle\"} 1").await;
    running.counts("tidemill_http_connections 0").await;
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let running = start(|_| ()).await;
    let mut client = running.connect().await;
    // The preface, and an empty SETTINGS frame.
    send(&mut client, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0").await;
    closed(&mut client).await;
    running.counts("tidemill_http_connections 0").await;
}

#[tokio::test]
async fn a_body_that_trickles_holds_no_place() {
    let running = start(|config| config.stall_seconds = 1.try_into().expect("positive")).await;
    let mut client = running.connect().await;
    send(&mut client, "POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n").await;
    trickles(&mut client).await;
    running.counts("tidemill_http_connections_ended_total{reason=\"body\"} 1").await;

    let mut other = running.connect().await;
    send(&mut other, "POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc").await;
    assert!(closed(&mut other).await.ends_with("\r\n\r\n3"));
}

#[tokio::test]
async fn who_still_sends_sees_the_answer_and_may_go_on() {
    let running = start(|_| ()).await;
    let body = vec![b'x'; 6 << 20];
    for (path, status) in [("/nowhere", "404"), ("/hello", "405"), ("/length", "413")] {
        let mut client = running.connect().await;
        send(&mut client, &format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()))
            .await;
        client.write_all(&body).await.expect("all of it is taken");
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(client.read_buf(&mut answer).await.expect("an answer"), 0, "{path} is closed");
        }
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", String::from_utf8_lossy(&answer));
        send(&mut client, "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
        assert!(closed(&mut client).await.ends_with("hello"), "{path}");
    }
}

#[tokio::test]
async fn who_sends_without_end_is_let_go() {
    let running = start(|_| ()).await;
    let mut client = running.connect().await;
    send(&mut client, "POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000000\r\n\r\n").await;
    let part = vec![b'x'; 1 << 20];
    let sends = async { while client.write_all(&part).await.is_ok() {} };
    timeout(SOON, sends).await.expect("the server takes no more");
    running.counts("tidemill_http_connections 0").await;
}

#[tokio::test]
async fn who_waits_to_be_asked_for_a_body_is_not_asked_when_it_is_refused() {
    let running = start(|_| ()).await;
    let mut client = running.connect().await;
    let head = "POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n";
    send(&mut client, head).await;
    assert!(closed(&mut client).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn who_does_not_read_is_let_go() {
    let running = start(|config| config.stall_seconds = 1.try_into().expect("positive")).await;
    let mut client = running.connect().await;
    send(&mut client, "GET /endless HTTP/1.1\r\nHost: test\r\n\r\n").await;
    running.counts("tidemill_http_connections_ended_total{reason=\"answer\"} 1").await;
    running.counts("tidemill_http_connections 0").await;
}

#[tokio::test]
async fn work_of_ours_is_waited_for() {
    let running = start(|config| {
        for limit in [&mut config.header_seconds, &mut config.idle_seconds, &mut config.stall_seconds] {
            *limit = 1.try_into().expect("positive");
        }
    })
    .await;
    let mut client = running.connect().await;
    let goes = async {
        running.begun.notified().await;
        // Two others reach their limits meanwhile, which begin later.
        let (_silent, mut idle) = (running.connect().await, running.connect().await);
        ask(&mut idle, "/hello", "hello").await;
        for reason in ["header", "idle"] {
            running.counts(&format!("tidemill_http_connections_ended_total{{reason=\"{reason}\"}} 1")).await;
        }
        running.go.notify_one();
    };
    tokio::join!(ask(&mut client, "/waits", "waited"), goes);
}

#[tokio::test]
async fn one_address_leaves_room_for_others() {
    let running = start(|config| config.connections_per_address = 2.try_into().expect("positive")).await;
    let mut held = [running.connect().await, running.connect().await];
    for client in &mut held {
        ask(client, "/hello", "hello").await;
    }
    assert_eq!(closed(&mut running.connect().await).await, "");
    running.counts("tidemill_http_connections_refused_total{reason=\"address\"} 1").await;
    ask(&mut running.connect_from([127, 0, 0, 2]).await, "/hello", "hello").await;

    let [first, _second] = held;
    drop(first);
    running.counts("tidemill_http_connections 1").await;
    ask(&mut running.connect().await, "/hello", "hello").await;
}

#[tokio::test]
async fn all_connections_together_are_bounded() {
    let running = start(|config| config.connections = 1.try_into().expect("positive")).await;
    let mut first = running.connect().await;
    ask(&mut first, "/hello", "hello").await;
    assert_eq!(closed(&mut running.connect_from([127, 0, 0, 2]).await).await, "");
    running.counts("tidemill_http_connections_refused_total{reason=\"all\"} 1").await;
}

#[tokio::test]
async fn a_shutdown_waits_for_answers_and_for_nothing_else() {
    let running = start(|_| ()).await;
    let [mut idle, mut working, _silent] = [running.connect().await, running.connect().await, running.connect().await];
    ask(&mut idle, "/hello", "hello").await;
    send(&mut working, "GET /waits HTTP/1.1\r\nHost: test\r\n\r\n").await;
    running.counts("tidemill_http_connections 3").await;
    running.begun.notified().await;

    running.context.shutdown.cancel();
    assert_eq!(closed(&mut idle).await, "");
    running.go.notify_one();
    assert!(closed(&mut working).await.ends_with("waited"));
    running.stop().await;
}
