//! The Jaeger UI over an in-memory trace collector.

use std::net::SocketAddr;

use otlp_embedded::{TraceServiceServer, ui_app};
use tidemill_service::{HttpConfig, Registry, StartError, guard::HostName, server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

use super::{collector::Collector, settings::LOCAL_HOSTS};

/// A running collector and its UI; both end with the process.
#[derive(Debug, Clone, Copy)]
pub struct Jaeger {
    /// Where the UI listens.
    pub ui: SocketAddr,
    /// Where the collector takes in OTLP over gRPC.
    pub otlp: SocketAddr,
}

impl Jaeger {
    /// Starts both on loopback; `port` is the UI's, 0 for a free one.
    pub async fn start(port: u16) -> Result<Self, StartError> {
        let failed = |what: &str, e: &dyn std::fmt::Display| StartError::new(format!("{what}: {e}"));
        let (collector, traces) = Collector::new();
        let incoming =
            TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(|e| failed("trace collector", &e))?;
        let otlp = incoming.local_addr().map_err(|e| failed("trace collector", &e))?;
        let service = TraceServiceServer::new(collector).max_decoding_message_size(64 << 20);
        tokio::spawn(async move {
            if let Err(error) = Server::builder().add_service(service).serve_with_incoming(incoming).await {
                tracing::error!(%error, "the trace collector ended");
            }
        });
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(|e| StartError::listening(format_args!("Jaeger UI on port {port}"), &e))?;
        let ui = listener.local_addr().map_err(|e| failed("Jaeger UI", &e))?;
        let mut http = HttpConfig::at(ui);
        http.hosts = LOCAL_HOSTS.into_iter().flat_map(|name| HostName::try_from(name.to_owned())).collect();
        tokio::spawn(async move {
            // It ends with the process.
            server::serve(listener, ui_app(traces, "/"), &http, &Registry::default(), CancellationToken::new()).await;
        });
        Ok(Self { ui, otlp })
    }
}
