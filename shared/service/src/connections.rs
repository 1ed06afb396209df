//! The accept loop: who gets a connection, and for how long.
//!
//! HTTP/1.1 alone. Nothing here needs HTTP/2 without TLS: proxies and
//! Kubernetes speak HTTP/1.1 to the servers behind them. A protocol that is not
//! served cannot be attacked (streams without end, resets, tables of headers).

mod body;
mod metrics;
mod patience;
mod places;
mod rest;
mod stream;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, header},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::HttpConfig;
use body::{AnswerBody, Upload};
pub(crate) use metrics::ConnectionMetrics;
use patience::{Activity, Patience};
use places::{Places, TakenPlace};
use rest::RestOfBody;
use stream::Watched;

/// Bytes of a request's head, and likewise of its trailers. Every connection
/// may hold this much of an unfinished one. Node.js allows the same.
const HEAD_BYTES: usize = 16 << 10;
/// How long to wait without a descriptor or memory for one more connection:
/// others have to end first.
const BREATH: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(crate) trait Accept {
    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        Self::accept(self)
    }
}

/// Answers connections until `shutdown`. Then the idle ones are closed, and
/// this ends when the others have their answers.
pub(crate) async fn serve(
    listener: impl Accept,
    app: Router,
    config: &HttpConfig,
    metrics: ConnectionMetrics,
    shutdown: CancellationToken,
) {
    let places = Places::new(config);
    let connections = TaskTracker::new();
    let shared = Arc::new(Acceptor { app, patience: Patience::new(config), metrics, shutdown: shutdown.clone() });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            // A client too many is told so at once. Left unaccepted, it would
            // wait behind the clients that have a place, and later clients
            // would wait with it.
            Ok((stream, address)) => match places.take(address.ip()) {
                Ok(place) => drop(connections.spawn(shared.clone().connection(stream, address, place))),
                Err(refusal) => shared.metrics.refused(refusal, address),
            },
            Err(error) => {
                shared.metrics.not_accepted(&error);
                if !is_of_one_client(&error) {
                    sleep(BREATH).await;
                }
            }
        }
    }
    // From here on the port refuses.
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether the client has left before it was accepted.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What all connections of a port share.
struct Acceptor {
    app: Router,
    patience: Patience,
    metrics: ConnectionMetrics,
    shutdown: CancellationToken,
}

impl Acceptor {
    async fn connection(self: Arc<Self>, stream: TcpStream, address: SocketAddr, _place: TakenPlace) {
        let _open = self.metrics.open();
        // Small parts of an answer go at once. This fails if the client has
        // left.
        let _ = stream.set_nodelay(true);
        let activity = Activity::new(self.patience);
        let service = service_fn(|request: Request<Incoming>| {
            let answered = self.answer(request, address, activity.clone());
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let io = TokioIo::new(Watched::new(stream, activity.clone()));
        let connection = http1::Builder::new()
            .max_header_size(HEAD_BYTES)
            // `Activity` keeps the time. hyper's own timeout for a head begins
            // with the last answer, and so counts the wait for a next request.
            .header_read_timeout(None::<Duration>)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let mut shutdown = std::pin::pin!(self.shutdown.cancelled());
        let mut is_closing = false;
        loop {
            tokio::select! {
                // Bytes that have just come count before the time is looked at.
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, %address, "a connection broke off");
                    }
                    return;
                }
                () = shutdown.as_mut(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                overdue = activity.overdue() => {
                    self.metrics.ended(overdue);
                    tracing::debug!(%address, reason = overdue.as_str(), "a connection was ended");
                    return;
                }
            }
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
        activity: Activity,
    ) -> impl Future<Output = axum::http::Response<AnswerBody>> + use<> {
        let (work, rest) = (Arc::new(activity.begin()), RestOfBody::default());
        let is_held_back = request.headers().contains_key(header::EXPECT);
        let mut request = request.map(|body| Body::new(Upload::new(body, activity, rest.clone(), is_held_back)));
        request.extensions_mut().insert(ConnectInfo(address));
        let answered = self.app.clone().oneshot(request);
        async move {
            let answer = answered.await.unwrap_or_else(|never| match never {});
            rest.read_off(&work);
            answer.map(|body| AnswerBody::new(body, work))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::Registry;

    /// As in a process that has no descriptor left.
    struct Exhausted(TcpListener, AtomicU32);

    const EMFILE: i32 = 24;

    impl Accept for Exhausted {
        async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            match self.1.fetch_add(1, Ordering::Relaxed) {
                0 => Err(io::Error::from_raw_os_error(EMFILE)),
                _ => self.0.accept().await,
            }
        }
    }

    #[tokio::test]
    async fn a_loop_that_cannot_accept_goes_on_when_it_can() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (registry, shutdown) = (Registry::default(), CancellationToken::new());
        let app = Router::new().route("/", get(|| async { "answered" }));
        let (config, exhausted) = (HttpConfig::at(address), Exhausted(listener, AtomicU32::new(0)));
        let serving = serve(exhausted, app, &config, ConnectionMetrics::new(&registry), shutdown.clone());
        let asking = async {
            let mut client = TcpStream::connect(address).await.expect("connects");
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("asks");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("an answer");
            shutdown.cancel();
            answer
        };
        let ((), answer) = tokio::join!(serving, asking);
        assert!(answer.ends_with("answered"), "{answer}");
        let metrics = registry.encode().expect("encodes");
        assert!(metrics.contains("tidemill_http_accept_errors_total 1"), "{metrics}");
    }
}
