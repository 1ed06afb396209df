//! Breakers: when a dependency is away, one caller at a time tries whether it
//! is back, and all others wait for what it finds.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use tidemill_domain::{Backoff, Outage};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{Health, Registry};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DependencyLabel {
    dependency: &'static str,
}

/// The breakers of a process, one for each dependency.
#[derive(Debug, Clone)]
pub(crate) struct Breakers {
    health: Health,
    open: Family<DependencyLabel, Gauge>,
    trips: Family<DependencyLabel, Counter>,
    by_name: Arc<Mutex<BTreeMap<&'static str, Breaker>>>,
}

impl Breakers {
    pub(crate) fn new(health: &Health, registry: &Registry) -> Self {
        let (open, trips) = (Family::default(), Family::default());
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_breaker");
            registry.register("open", "Whether a dependency is known to be away", Family::clone(&open));
            registry.register("trips", "Times that a dependency was found away", Family::clone(&trips));
        });
        Self { health: health.clone(), open, trips, by_name: Arc::default() }
    }

    pub(crate) fn of(&self, dependency: &'static str) -> Breaker {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let label = DependencyLabel { dependency };
            Breaker(Arc::new(Dependency {
                dependency,
                health: self.health.clone(),
                open: self.open.get_or_create(&label).clone(),
                trips: self.trips.get_or_create(&label).clone(),
                state: Mutex::new(Circuit { open: None, backoff: Backoff::new(), probing: false }),
                changed: Notify::new(),
            }))
        };
        by_name.entry(dependency).or_insert_with(new).clone()
    }
}

/// The breaker of one dependency; clones share it.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Dependency>);

#[derive(Debug)]
struct Dependency {
    dependency: &'static str,
    health: Health,
    open: Gauge,
    trips: Counter,
    state: Mutex<Circuit>,
    changed: Notify,
}

#[derive(Debug)]
struct Circuit {
    /// When the next probe may go, while the dependency is away. `None` while
    /// it works.
    open: Option<Instant>,
    backoff: Backoff,
    probing: bool,
}

/// Leave to try the dependency. An attempt that is dropped without a result
/// leaves the question open.
#[must_use = "say what came of it"]
#[derive(Debug)]
pub struct Attempt {
    breaker: Breaker,
    probe: bool,
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, Circuit> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the dependency is known to be away.
    pub fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Waits while the dependency is away. At each wait's end (200 ms at first,
    /// 5 s at last) one caller goes ahead; the others wait for what it finds.
    pub async fn attempt(&self) -> Attempt {
        loop {
            let changed = self.0.changed.notified();
            let due = {
                let mut state = self.state();
                match state.open {
                    None => return Attempt { breaker: self.clone(), probe: false },
                    Some(due) if !state.probing && due <= Instant::now() => {
                        state.probing = true;
                        return Attempt { breaker: self.clone(), probe: true };
                    }
                    Some(due) => (!state.probing).then_some(due),
                }
            };
            match due {
                Some(due) => tokio::select! { () = changed => {}, () = sleep_until(due) => {} },
                None => changed.await,
            }
        }
    }

    /// Waits while the dependency is known to be away, then calls it and takes
    /// note of the result. Every call goes this way, or by
    /// [`call_until_done`](Self::call_until_done).
    pub async fn call<T, E: Outage>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let attempt = self.attempt().await;
        let done = call.await;
        match &done {
            Err(error) if error.is_outage() => attempt.failed(error),
            _ => attempt.succeeded(),
        }
        done
    }

    /// Calls the dependency again and again while it is away. Answers `None` if
    /// `stop` comes meanwhile. A dependency that works is called even after
    /// `stop`, so that the step in hand can be finished.
    pub async fn call_until_done<T, E: Outage, F: Future<Output = Result<T, E>>>(
        &self,
        stop: &CancellationToken,
        mut call: impl FnMut() -> F,
    ) -> Option<Result<T, E>> {
        loop {
            let attempt = tokio::select! {
                biased;
                attempt = self.attempt() => attempt,
                () = stop.cancelled() => return None,
            };
            match call().await {
                Err(error) if error.is_outage() => {
                    tracing::warn!(dependency = self.0.dependency, %error, "a call failed; trying again");
                    attempt.failed(error);
                }
                done => {
                    attempt.succeeded();
                    return Some(done);
                }
            }
        }
    }

    /// The dependency failed, in a way that may pass: readiness says so from
    /// here on.
    pub fn trip(&self, reason: impl fmt::Display) {
        let mut state = self.state();
        let now = Instant::now();
        match state.open {
            None => {
                self.0.trips.inc();
                self.0.open.set(1);
                state.backoff = Backoff::new();
                state.open = Some(now + state.backoff.failed());
            }
            // Calls that were under way when the breaker opened say nothing
            // new.
            Some(due) if due > now && !state.probing => {}
            Some(_) => {
                state.open = Some(now + state.backoff.failed());
                state.probing = false;
            }
        }
        drop(state);
        self.0.health.unready(self.0.dependency, reason.to_string());
        self.0.changed.notify_waiters();
    }

    /// The dependency works.
    pub fn close(&self) {
        let mut state = self.state();
        state.probing = false;
        if state.open.take().is_some() {
            self.0.open.set(0);
        }
        drop(state);
        self.0.health.ready(self.0.dependency);
        self.0.changed.notify_waiters();
    }
}

impl Attempt {
    /// It worked.
    pub fn succeeded(self) {
        self.breaker.close();
    }

    /// It failed, in a way that may pass.
    pub fn failed(self, reason: impl fmt::Display) {
        self.breaker.trip(reason);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.breaker.state();
        if self.probe && state.probing {
            // Nothing was found out: the next caller may try at once.
            state.probing = false;
            drop(state);
            self.breaker.0.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn breaker() -> (Breaker, Health, Registry) {
        let (health, registry) = (Health::default(), Registry::default());
        (Breakers::new(&health, &registry).of("store"), health, registry)
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_goes_ahead_and_the_others_wait_for_it() {
        let (breaker, health, registry) = breaker();
        breaker.trip("refused");
        assert_eq!(health.problems()["store"], "refused");
        assert!(registry.encode().expect("encodes").contains("tidemill_breaker_open{dependency=\"store\"} 1"));
        let calls = Arc::new(AtomicU32::new(0));
        let callers: Vec<_> = (0..10)
            .map(|_| {
                let (breaker, calls) = (breaker.clone(), calls.clone());
                tokio::spawn(async move {
                    loop {
                        let attempt = breaker.attempt().await;
                        // The dependency comes back at the fourth call.
                        if calls.fetch_add(1, Ordering::SeqCst) >= 3 {
                            return attempt.succeeded();
                        }
                        attempt.failed("refused");
                    }
                })
            })
            .collect();
        let begin = Instant::now();
        futures::future::join_all(callers).await.into_iter().for_each(|caller| caller.expect("ends"));
        assert_eq!(calls.load(Ordering::SeqCst), 3 + 10);
        assert_eq!(begin.elapsed().as_millis() / 100, 30, "200 + 400 + 800 + 1600 ms");
        assert!(health.is_ready());
        assert!(!breaker.is_open());
    }

    #[derive(Debug, PartialEq, Eq, thiserror::Error)]
    enum Failure {
        #[error("away")]
        Away,
        #[error("refused")]
        Refused,
    }

    impl Outage for Failure {
        fn is_outage(&self) -> bool {
            *self == Self::Away
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_tried_again_for_an_outage_and_not_for_a_refusal() {
        let (breaker, health, _) = breaker();
        let stop = CancellationToken::new();
        assert_eq!(breaker.call(async { Err::<(), _>(Failure::Refused) }).await, Err(Failure::Refused));
        assert!(health.is_ready(), "it answers");
        assert_eq!(breaker.call(async { Err::<(), _>(Failure::Away) }).await, Err(Failure::Away));
        assert_eq!(health.problems()["store"], "away");

        let calls = AtomicU32::new(0);
        let third = || {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            async move { if call < 2 { Err(Failure::Away) } else { Ok(call) } }
        };
        assert_eq!(breaker.call_until_done(&stop, third).await, Some(Ok(2)));
        assert!(health.is_ready());

        stop.cancel();
        assert_eq!(breaker.call_until_done(&stop, async || Ok::<_, Failure>(7)).await, Some(Ok(7)), "it works");
        breaker.trip("away");
        assert_eq!(breaker.call_until_done(&stop, async || Ok::<_, Failure>(7)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_makes_way() {
        let (breaker, ..) = breaker();
        breaker.trip("refused");
        drop(breaker.attempt().await);
        breaker.attempt().await.succeeded();
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_calls_under_way_do_not_lengthen_the_wait() {
        let (breaker, ..) = breaker();
        (0..50).for_each(|_| breaker.trip("refused"));
        let begin = Instant::now();
        drop(breaker.attempt().await);
        assert_eq!(begin.elapsed(), Backoff::FIRST);
    }
}
