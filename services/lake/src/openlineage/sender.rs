//! Takes events out of the queue, to the catalogue's address, in their order.

use std::{convert::Infallible, time::Duration};

use reqwest::{Client, StatusCode, Url, header, redirect};
use tidemill_domain::Backoff;
use tidemill_service::{StartError, install_crypto};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::telemetry::{DropReason, LineageTelemetry};
use crate::config::OpenLineageConfig;

/// How often an event is sent while the address is away.
const TRIES: u32 = 8;
/// For how long a service that ends goes on sending what waits.
const PARTING: Duration = Duration::from_secs(2);

/// Sends events, one after the other.
#[derive(Debug)]
pub(super) struct EventSender {
    http: Client,
    url: Url,
    key: Option<String>,
    telemetry: LineageTelemetry,
}

/// Why an event was not taken.
#[derive(Debug)]
enum NotTaken {
    /// It may be, later.
    Now(String),
    /// It never will be.
    Ever(String),
}

impl EventSender {
    pub(super) fn open(
        address: &str,
        config: &OpenLineageConfig,
        telemetry: LineageTelemetry,
    ) -> Result<Self, StartError> {
        let url = Url::parse(address).map_err(|error| StartError::new(format!("openlineage.url: {error}")))?;
        install_crypto();
        let http = Client::builder()
            .timeout(config.timeout())
            .connect_timeout(config.timeout())
            .redirect(redirect::Policy::none())
            .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| StartError::new(format!("openlineage: {}", error.without_url())))?;
        Ok(Self { http, url, key: config.bearer().map(str::to_owned), telemetry })
    }

    /// Goes on until the service ends, and then for a moment more.
    pub(super) async fn run(
        self,
        mut waiting: mpsc::Receiver<String>,
        shutdown: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut cut_off = None;
        while let Some(Some(event)) = shutdown.run_until_cancelled(waiting.recv()).await {
            if shutdown.run_until_cancelled(self.deliver(&event)).await.is_none() {
                cut_off = Some(event);
                break;
            }
        }
        waiting.close();
        // Once each: a catalogue that is away does not hold the service up.
        let last = async {
            while let Some(event) = cut_off.take().or_else(|| waiting.try_recv().ok()) {
                match self.send(&event).await {
                    Ok(()) => self.telemetry.sent(),
                    Err(reason) => self.drop(reason),
                }
            }
        };
        if timeout(PARTING, last).await.is_err() {
            self.telemetry.dropped(DropReason::Away, "the service has ended");
            while waiting.try_recv().is_ok() {
                self.telemetry.dropped(DropReason::Away, "the service has ended");
            }
        }
        Ok(())
    }

    /// Sends an event until it is taken, or is given up.
    async fn deliver(&self, event: &str) {
        let mut backoff = Backoff::new();
        for attempt in 1.. {
            match self.send(event).await {
                Ok(()) => return self.telemetry.sent(),
                Err(NotTaken::Now(_)) if attempt < TRIES => sleep(backoff.failed()).await,
                Err(reason) => return self.drop(reason),
            }
        }
    }

    async fn send(&self, event: &str) -> Result<(), NotTaken> {
        let request = self.http.post(self.url.clone()).header(header::CONTENT_TYPE, "application/json");
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let answer = request.body(event.to_owned()).send().await;
        let answer = answer.map_err(|error| NotTaken::Now(error.without_url().to_string()))?;
        let status = answer.status();
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(NotTaken::Now(status.to_string())),
            _ if status.is_server_error() => Err(NotTaken::Now(status.to_string())),
            _ => Err(NotTaken::Ever(status.to_string())),
        }
    }

    fn drop(&self, reason: NotTaken) {
        match reason {
            NotTaken::Now(detail) => self.telemetry.dropped(DropReason::Away, &detail),
            NotTaken::Ever(detail) => self.telemetry.dropped(DropReason::Refused, &detail),
        }
    }
}
