//! A service asks another process of its kind how it is. This is for images
//! without a shell, where there is nothing else to ask with.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, header},
};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

const DEADLINE: Duration = Duration::from_secs(3);
const MAX_ANSWER: usize = 64 * 1024;

/// Asks the service that listens on `listen` whether it is ready. An error
/// holds its answer, or says why there was none.
pub(crate) async fn ready(listen: SocketAddr) -> Result<(), String> {
    timeout(DEADLINE, ask(reachable(listen))).await.map_err(|_| format!("no answer within {DEADLINE:?}"))?
}

/// One cannot connect to "every address".
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| format!("{address}: {error}");
    let stream = TcpStream::connect(address).await.map_err(|e| failed(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
    tokio::spawn(connection);
    let request = Request::get("/readyz").header(header::HOST, address.to_string()).body(Body::empty());
    let response = sender.send_request(request.map_err(|e| failed(&e))?).await.map_err(|e| failed(&e))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| failed(&*e))?;
    Err(format!("{status}: {}", String::from_utf8_lossy(&body.to_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_asked_at_home() {
        let ask = |listen: &str| reachable(listen.parse().expect("an address")).to_string();
        assert_eq!(ask("0.0.0.0:7070"), "127.0.0.1:7070");
        assert_eq!(ask("[::]:7070"), "[::1]:7070");
        assert_eq!(ask("10.0.0.1:7070"), "10.0.0.1:7070");
    }
}
