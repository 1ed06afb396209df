//! How much is taken in at once.

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

use crate::{config::LimitsConfig, error::Error};

/// Bytes are counted in units of this size, which keeps the count in a `u32`.
const UNIT: usize = 1024;
/// Callers whose rate is remembered: more than anybody has keys. One that is
/// forgotten begins anew.
pub(crate) const MOST_CALLERS: u64 = 4096;
/// Bodies validated off the runtime's threads at once, for each core: more would
/// be no faster, and each needs memory.
const WORKERS_PER_CORE: usize = 2;

/// The bounds of all requests together.
pub(crate) struct Limits {
    config: LimitsConfig,
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

impl Limits {
    pub(crate) fn new(config: &LimitsConfig) -> Self {
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
        let limit = self.config.wire_bytes;
        let seconds = self.config.body_seconds;
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

impl Admission {
    /// Takes memory for `bytes` more, if there is any.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.memory.charge(bytes)
    }

    /// What was charged so far is not held any more.
    pub(crate) fn give_back(&mut self) {
        self.memory.used = 0;
        self.memory.held = None;
    }

    /// Memory for what is needed for a while alone, none taken yet.
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
        let more = self.bytes.clone().try_acquire_many_owned(missing).map_err(|_| Error::Busy)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tidemill_service::{Access, AuthConfig, Context, Role};

    use super::*;

    fn limits(change: impl FnOnce(&mut LimitsConfig)) -> Limits {
        let mut config = LimitsConfig::default();
        change(&mut config);
        Limits::new(&config)
    }

    #[test]
    fn places_and_memory_are_bounded_and_come_back() {
        let limits = limits(|l| (l.in_flight_requests, l.in_flight_bytes) = (1, 4 * UNIT));
        let mut admission = limits.admit().expect("one place");
        assert_eq!(limits.admit().err(), Some(Error::Busy));
        admission.charge(3 * UNIT).expect("fits");
        assert_eq!(admission.charge(UNIT + 1), Err(Error::Busy));
        drop(admission);
        limits.admit().expect("the place is back").charge(4 * UNIT).expect("and the memory");
    }

    #[test]
    fn what_is_needed_for_a_while_is_given_back_before_the_rest() {
        let limits = limits(|l| l.in_flight_bytes = 4 * UNIT);
        let mut admission = limits.admit().expect("a place");
        let mut scratch = admission.scratch();
        scratch
            .cover(2 * UNIT)
            .and_then(|()| scratch.cover(UNIT))
            .and_then(|()| scratch.cover(3 * UNIT))
            .expect("fits");
        assert_eq!(admission.charge(2 * UNIT), Err(Error::Busy));
        drop(scratch);
        let mut again = limits.admit().expect("a place");
        drop(admission);
        again.charge(4 * UNIT).expect("all of it is back");
    }

    #[tokio::test]
    async fn a_body_has_a_size_and_a_time() {
        let limits = limits(|l| (l.wire_bytes, l.body_seconds) = (10, 0));
        let mut admission = limits.admit().expect("a place");
        let too_large = Err(Error::BodyTooLarge { limit: 10 });
        assert_eq!(limits.read(Body::from("0123456789"), 10, &mut admission).await, Ok("0123456789".into()));
        assert_eq!(limits.read(Body::from("0123456789a"), 0, &mut admission).await, too_large);
        assert_eq!(limits.read(Body::empty(), 11, &mut admission).await, too_large);
        let endless = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(limits.read(endless, 0, &mut admission).await, Err(Error::BodyTimeout { seconds: 0 }));
    }

    /// With a key of their own each.
    pub(crate) fn two_callers() -> (Caller, Caller) {
        let auth: AuthConfig =
            tidemill_service::config::parse("write = 'one key-number-one-1,two key-number-two-2'").expect("right");
        let access = Access::start(&auth, &Context::new("test"), &[Role::Write]).expect("keys");
        let caller = |key: &str| {
            let header = ("x-write-key".parse().expect("a name"), key.parse().expect("a value"));
            let headers = axum::http::HeaderMap::from_iter([header]);
            access.check(&axum::http::Method::POST, &headers, Role::Write).expect("known")
        };
        (caller("key-number-one-1"), caller("key-number-two-2"))
    }

    #[test]
    fn a_rate_is_the_keys_own() {
        let mut config = LimitsConfig { events_per_request: 10, ..LimitsConfig::default() };
        (config.rate_per_key, config.burst) = (NonZeroU32::MIN, NonZeroU32::MIN.saturating_add(9));
        let limits = Limits::new(&config);
        let (one, two) = two_callers();
        assert_eq!(limits.spend(&one, 10), Ok(()));
        assert!(matches!(limits.spend(&one, 5), Err(Error::RateLimited { retry_after: 1..=6 })));
        assert_eq!(limits.spend(&two, 10), Ok(()));
    }

    #[tokio::test]
    async fn draining_waits_for_the_last_answer_and_lets_nobody_in() {
        let limits = Arc::new(limits(|_| ()));
        let last = limits.admit().expect("a place");
        let draining = tokio::spawn({
            let limits = limits.clone();
            async move { limits.drain().await }
        });
        tidemill_testkit::eventually("nobody is let in", Duration::from_secs(5), || {
            let refused = limits.admit().is_err();
            async move { refused.then_some(()) }
        })
        .await;
        assert!(!draining.is_finished());
        drop(last);
        draining.await.expect("drains");
        assert_eq!(limits.admit().err(), Some(Error::Busy));
    }
}
