//! What a service is handed at its start.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use prometheus_client::{encoding::text, registry};
use tidemill_bus::{Bus, Member};
use tidemill_domain::{SharedClock, SystemClock};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::Health;

/// How often an instance says that it is alive, and NATS's state is looked at.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A service cannot start: the message is for an operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    /// With what is wrong and, where it helps, what to do.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

/// The service's metrics.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<registry::Registry>>);

impl Registry {
    /// Registers metrics.
    pub fn with<T>(&self, register: impl FnOnce(&mut registry::Registry) -> T) -> T {
        register(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All metrics, in the OpenMetrics text format.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(out)
    }
}

/// What a service is handed at its start; clones share it.
#[derive(Clone, Debug)]
pub struct Context {
    /// The service's name.
    pub service: &'static str,
    /// Unique name of this instance.
    pub instance: Arc<str>,
    /// What time it is.
    pub clock: SharedClock,
    /// Cancelled when the service is to stop taking in work and drain.
    pub shutdown: CancellationToken,
    /// Whether it can do its work.
    pub health: Health,
    /// Its metrics.
    pub registry: Registry,
    tasks: TaskTracker,
    failure: Arc<OnceLock<String>>,
}

impl Context {
    /// A context with the machine's clock.
    pub fn new(service: &'static str) -> Self {
        Self::with_clock(service, Arc::new(SystemClock))
    }

    /// A context with a clock of one's own.
    pub fn with_clock(service: &'static str, clock: SharedClock) -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".into());
        let context = Self {
            service,
            instance: "".into(),
            clock,
            shutdown: CancellationToken::new(),
            health: Health::default(),
            registry: Registry::default(),
            tasks: TaskTracker::new(),
            failure: Arc::default(),
        };
        // The random end of the id tells instances on one host apart.
        let id = context.new_id().simple().to_string();
        Self { instance: format!("{host}-{}", &id[24..]).into(), ..context }
    }

    /// A new unique id, ordered by time (UUID version 7).
    pub fn new_id(&self) -> Uuid {
        let millis = u64::try_from(self.clock.now().millis()).unwrap_or_default();
        #[allow(clippy::cast_possible_truncation, reason = "below 10^9")]
        let nanos = (millis % 1000) as u32 * 1_000_000;
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, nanos))
    }

    /// Runs a task for as long as the service lives. Its error, or its panic,
    /// ends the service: half a service helps nobody, and a supervisor starts
    /// it afresh.
    pub fn spawn<E: fmt::Display + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let context = self.clone();
        self.tasks.spawn(async move {
            let failure = match tokio::spawn(task).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(join) => join.to_string(),
            };
            tracing::error!(
                service = context.service,
                task = name,
                error = failure,
                "a task failed; the service stops"
            );
            // A second failure on the way down adds nothing.
            let _ = context.failure.set(format!("{name}: {failure}"));
            context.shutdown.cancel();
        });
    }

    /// Waits for every task to end, at most `deadline`; answers whether all did.
    pub async fn drained(&self, deadline: Duration) -> bool {
        self.tasks.close();
        timeout(deadline, self.tasks.wait()).await.is_ok()
    }

    /// Why the service stopped by itself, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Connects to NATS, however long that takes, makes the topology and
    /// announces this instance from then on. Readiness says what is missing.
    /// Answers an error where waiting cannot help, or on shutdown.
    pub async fn connect_bus(&self, config: &tidemill_bus::Config) -> Result<Bus, StartError> {
        let name = format!("tidemill-{}-{}", self.service, self.instance);
        let connect = async || {
            let bus = Bus::connect(config, &name).await?;
            bus.ensure_topology().await?;
            Ok::<_, tidemill_bus::Error>(bus)
        };
        let bus = self.retry("nats", connect, tidemill_bus::Error::is_transient).await?;
        self.spawn("members", announce(self.clone(), bus.clone()));
        Ok(bus)
    }

    /// Calls `attempt` until it succeeds; meanwhile readiness gives the reason
    /// under `what`. Waits grow from 200 ms to 5 s. An error for which
    /// `is_transient` says no, or shutdown, ends it.
    pub async fn retry<T, E: fmt::Display>(
        &self,
        what: &'static str,
        attempt: impl AsyncFn() -> Result<T, E>,
        is_transient: impl Fn(&E) -> bool,
    ) -> Result<T, StartError> {
        let mut wait = Duration::from_millis(200);
        loop {
            match attempt().await {
                Ok(value) => {
                    self.health.ready(what);
                    return Ok(value);
                }
                Err(error) if is_transient(&error) => {
                    tracing::warn!(service = self.service, what, %error, "not there yet; trying again");
                    self.health.unready(what, error.to_string());
                }
                Err(error) => return Err(StartError::new(format!("{what}: {error}"))),
            }
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(Duration::from_secs(5)),
                () = self.shutdown.cancelled() => return Err(StartError::new("shut down while starting")),
            }
        }
    }
}

async fn announce(context: Context, bus: Bus) -> Result<(), std::convert::Infallible> {
    let mut member = Member {
        service: context.service.into(),
        instance: context.instance.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: context.clock.now(),
        ready: false,
        reason: None,
    };
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => break,
        }
        let problems = context.health.problems();
        member.ready = problems.is_empty();
        member.reason = problems.into_iter().next().map(|(what, reason)| format!("{what}: {reason}"));
        // A server that came back without its disk has no bucket and no
        // streams either: they are made again.
        let announced = match bus.announce(&member).await {
            Err(_) => match bus.ensure_topology().await {
                Ok(()) => bus.announce(&member).await,
                failed => failed,
            },
            done => done,
        };
        match announced {
            Ok(()) => context.health.ready("nats"),
            Err(error) => context.health.unready("nats", error.to_string()),
        }
    }
    // The bucket forgets it in any case; this only makes it quicker.
    if let Err(error) = bus.withdraw(&member).await {
        tracing::debug!(%error, "the instance could not be withdrawn");
    }
    Ok(())
}
