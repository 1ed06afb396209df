//! How much is taken in at once.

mod backlog;
mod undecided;

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use governor::{
    DefaultDirectRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use moka::sync::Cache;
use tidemill_service::Caller;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use backlog::{Backlog, watch as watch_backlog};
pub(crate) use undecided::{INFLATED_KEY_BYTES, KEY_BYTES, KEY_SECONDS, UndecidedLimits};

use crate::{config::RequestLimitsConfig, error::Error};

/// Bytes are counted in units of this size, which keeps the count in a `u32`.
const UNIT: usize = 1024;
/// Callers whose rate is remembered: more than anybody has keys. One that is
/// forgotten begins anew.
pub(crate) const MOST_CALLERS: u64 = 4096;
/// Bodies validated off the runtime's threads at once, for each core: more would
/// be no faster, and each needs memory.
const WORKERS_PER_CORE: usize = 2;

/// The bounds of all requests together.
pub(crate) struct RequestLimits {
    config: RequestLimitsConfig,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    /// By the name of the key.
    rates: Cache<String, Arc<DefaultDirectRateLimiter>>,
}

/// A request's place among those in work, and the memory that it holds until
/// it is answered. Dropping it gives both back.
pub(crate) struct Admission {
    _place: OwnedSemaphorePermit,
    memory: Memory,
}

/// Memory out of what all requests share. Dropping it gives it back.
pub(crate) struct Memory {
    bytes: Arc<Semaphore>,
    used: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl RequestLimits {
    pub(crate) fn new(config: &RequestLimitsConfig) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            config: config.clone(),
            requests: Arc::new(Semaphore::new(config.in_flight_requests as usize)),
            bytes: Arc::new(Semaphore::new(config.in_flight_bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS))),
            workers: Arc::new(Semaphore::new(cores * WORKERS_PER_CORE)),
            rates: Cache::new(MOST_CALLERS),
        }
    }

    /// A place for one request, if there is one.
    pub(crate) fn admit(&self) -> Result<Admission, Error> {
        let place = self.requests.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        Ok(Admission { _place: place, memory: Memory { bytes: self.bytes.clone(), used: 0, held: None } })
    }

    /// A turn to validate a body off the runtime's threads.
    pub(crate) async fn worker(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.workers.clone().acquire_owned().await.map_err(|_| Error::Internal)
    }

    /// The body as it was sent. `announced` is its `Content-Length`.
    pub(crate) async fn read(&self, body: Body, announced: u64, admission: &mut Admission) -> Result<Bytes, Error> {
        let RequestLimitsConfig { wire_bytes, body_seconds, .. } = self.config;
        read_up_to(wire_bytes, body_seconds, body, announced, admission).await
    }

    /// The same of a body whose sender is not known yet.
    pub(crate) async fn read_undecided(
        &self,
        body: Body,
        announced: u64,
        admission: &mut Admission,
    ) -> Result<Bytes, Error> {
        let (limit, seconds) = (KEY_BYTES.min(self.config.wire_bytes), KEY_SECONDS.min(self.config.body_seconds));
        read_up_to(limit, seconds, body, announced, admission).await
    }

    /// Counts `events` against the caller's rate.
    pub(crate) fn spend(&self, caller: &Caller, events: usize) -> Result<(), Error> {
        let Some(events) = u32::try_from(events).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        let quota = Quota::per_second(self.config.rate_per_key).allow_burst(self.config.burst);
        let rate = self.rates.get_with(caller.name().to_owned(), || Arc::new(DefaultDirectRateLimiter::direct(quota)));
        match rate.check_n(events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                Err(Error::RateLimited { retry_after: wait.as_secs() + 1 })
            }
            // Never: a burst holds the largest request.
            Err(_) => Err(Error::TooManyEvents { limit: self.config.events_per_request }),
        }
    }

    /// Takes in no more, and waits until all that was taken in is answered.
    pub(crate) async fn drain(&self) {
        // It fails only when closed, which nobody does.
        let _all = self.requests.acquire_many(self.config.in_flight_requests).await;
        self.requests.close();
    }
}

async fn read_up_to(
    limit: usize,
    seconds: u64,
    body: Body,
    announced: u64,
    admission: &mut Admission,
) -> Result<Bytes, Error> {
    if announced > limit as u64 {
        return Err(Error::BodyTooLarge { limit });
    }
    let read = async {
        let mut chunks = body.into_data_stream();
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| Error::MalformedBody(format!("the body broke off: {e}")))?;
            if whole.len() + chunk.len() > limit {
                return Err(Error::BodyTooLarge { limit });
            }
            admission.charge(chunk.len())?;
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(Duration::from_secs(seconds), read).await.unwrap_or(Err(Error::BodyTimeout { seconds }))
}

impl Admission {
    /// Takes memory for `bytes` more, if there is any.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.memory.charge(bytes)
    }

    /// Gives back what was charged so far.
    pub(crate) fn give_back(&mut self) {
        self.memory.used = 0;
        self.memory.held = None;
    }

    /// Memory that is needed for a while alone; none is taken yet.
    pub(crate) fn scratch(&self) -> Memory {
        Memory { bytes: self.memory.bytes.clone(), used: 0, held: None }
    }
}

impl Memory {
    /// Takes as much more as makes `bytes` in all, if there is any.
    pub(crate) fn cover(&mut self, bytes: usize) -> Result<(), Error> {
        self.charge(bytes.saturating_sub(self.used))
    }

    /// Takes memory for `bytes` more, if there is any.
    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.used += bytes;
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(self.used.div_ceil(UNIT) - held).map_err(|_| Error::Busy)?;
        if missing == 0 {
            return Ok(());
        }
        let more = self.bytes.clone().try_acquire_many_owned(missing).map_err(|_| Error::Busy)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
