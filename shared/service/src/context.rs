//! What a service is handed at its start.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tidemill_bus::{Bus, MEMBER_TTL, Member};
use tidemill_domain::{Backoff, SharedClock, SystemClock};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    Breaker, Health, Registry,
    breaker::Breakers,
    guest::{CurrentRoutes, Guest},
    streams::StreamsKeeper,
};

/// How often an instance says that it is alive, and looks at the state of NATS.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a stopping instance goes on saying that it is alive, while it gives
/// back its share of the work.
const PARTING: Duration = Duration::from_secs(10);

/// A service cannot start: the message is for an operator.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    message: String,
    is_port_taken: bool,
}

impl StartError {
    /// `message` says what is wrong and, where it helps, what to do.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), is_port_taken: false }
    }

    /// `what` cannot listen.
    pub fn listening(what: impl fmt::Display, error: &io::Error) -> Self {
        let is_port_taken = error.kind() == io::ErrorKind::AddrInUse;
        let hint = if is_port_taken { "; another program listens there, perhaps another suite" } else { "" };
        Self { message: format!("{what}: {error}{hint}"), is_port_taken }
    }

    /// Whether another program has the port.
    pub fn is_port_taken(&self) -> bool {
        self.is_port_taken
    }
}

/// A running service.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
}

/// A service on its way up. Its `Handle` says where it listens. The future is
/// in a box, so that a service is compiled in its own crate. Without the box,
/// every program and every test that awaits it would compile it anew.
pub type Starting = Pin<Box<dyn Future<Output = Result<Handle, StartError>>>>;

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
    breakers: Breakers,
    presence: Arc<watch::Sender<Presence>>,
    tasks: TaskTracker,
    failure: Arc<OnceLock<String>>,
    pub(crate) routes: CurrentRoutes,
    pub(crate) guest: Option<Guest>,
}

/// What an instance is to the other replicas of its service.
#[derive(Debug, Clone, Copy, Default)]
struct Presence {
    sharing: Sharing,
    /// Until when the others must believe it alive.
    alive_until: Option<Instant>,
}

/// Whether an instance takes a share of the work that replicas divide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// There is nothing to divide, or it has given everything back.
    #[default]
    No,
    /// It takes its share.
    Yes,
    /// It is giving back what it has.
    Leaving,
}

impl Context {
    /// A context with the machine's clock.
    pub fn new(service: &'static str) -> Self {
        Self::with_clock(service, Arc::new(SystemClock))
    }

    /// A context with a clock of one's own.
    pub fn with_clock(service: &'static str, clock: SharedClock) -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".into());
        let (health, registry) = (Health::default(), Registry::default());
        let context = Self {
            service,
            instance: "".into(),
            clock,
            shutdown: CancellationToken::new(),
            breakers: Breakers::new(&health, &registry),
            health,
            registry,
            presence: Arc::new(watch::Sender::default()),
            tasks: TaskTracker::new(),
            failure: Arc::default(),
            routes: CurrentRoutes::default(),
            guest: None,
        };
        // The random end of the id tells instances on one host apart.
        let id = context.new_id().simple().to_string();
        Self { instance: format!("{host}-{}", &id[24..]).into(), ..context }
    }

    /// The same, in the place of a service that has ended: who answers its routes too,
    /// answers those of the new one.
    #[must_use]
    pub fn in_place_of(self, former: &Self) -> Self {
        Self { routes: former.routes.clone(), guest: former.guest.clone(), ..self }
    }

    /// The same, for a service that answers another one's routes too, those below `path`.
    /// Only services of one process can do that. So a page has one origin.
    #[must_use]
    pub fn with_guest(self, path: &'static str, guest: &Self) -> Self {
        Self { guest: Some(Guest::new(path, guest.routes.clone())), ..self }
    }

    /// A new unique id, ordered by time (UUID version 7).
    pub fn new_id(&self) -> Uuid {
        let millis = u64::try_from(self.clock.now().millis()).unwrap_or_default();
        #[allow(clippy::cast_possible_truncation, reason = "below 10^9")]
        let nanos = (millis % 1000) as u32 * 1_000_000;
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, nanos))
    }

    /// The breaker of a dependency: one for each name.
    pub fn breaker(&self, dependency: &'static str) -> Breaker {
        self.breakers.of(dependency)
    }

    /// Tells the other replicas whether this one takes a share of the work, as
    /// soon as NATS can be reached.
    pub fn set_sharing(&self, sharing: Sharing) {
        self.presence.send_modify(|presence| presence.sharing = sharing);
    }

    /// Whether the other replicas must still believe this one alive. A no may
    /// be wrong, a yes never is: the time counts from before the last word was
    /// sent.
    pub fn is_believed_alive(&self) -> bool {
        self.presence.borrow().alive_until.is_some_and(|until| Instant::now() < until)
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

    /// Connects to NATS, however long that takes, makes the topology, keeps it there and
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
        let streams = StreamsKeeper {
            service: self.service,
            instance: self.instance.clone(),
            bus: bus.clone(),
            health: self.health.clone(),
            shutdown: self.shutdown.clone(),
        };
        self.spawn("streams", streams.run());
        Ok(bus)
    }

    /// Calls `attempt` until it succeeds. Meanwhile readiness gives the reason
    /// under `what`. Shutdown ends it, and so does an error for which
    /// `is_transient` says no. The waits are those of [`Backoff`].
    pub async fn retry<T, E: fmt::Display>(
        &self,
        what: &'static str,
        attempt: impl AsyncFn() -> Result<T, E>,
        is_transient: impl Fn(&E) -> bool,
    ) -> Result<T, StartError> {
        let mut backoff = Backoff::new();
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
                () = sleep(backoff.failed()) => {}
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
        shares: false,
        reason: None,
    };
    let mut sharing = context.presence.subscribe();
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let said = sharing.borrow_and_update().sharing;
        tokio::select! {
            _ = ticks.tick() => {}
            () = async { drop(sharing.wait_for(|now| now.sharing != said).await) } => {}
            () = context.shutdown.cancelled() => break,
        }
        speak(&context, &bus, &mut member).await;
    }
    // Its share is given back first, so that the others find it free.
    let parted = async {
        while sharing.borrow_and_update().sharing != Sharing::No {
            speak(&context, &bus, &mut member).await;
            let over = async { drop(sharing.wait_for(|now| now.sharing == Sharing::No).await) };
            let _ = timeout(HEARTBEAT, over).await;
        }
    };
    if timeout(PARTING, parted).await.is_err() {
        tracing::warn!(service = context.service, "leaving before the share of the work is given back");
    }
    // The bucket forgets it in any case; this only makes it quicker.
    if let Err(error) = bus.withdraw(&member).await {
        tracing::debug!(%error, "the instance could not be withdrawn");
    }
    Ok(())
}

/// Says that the instance is alive, and how it is.
async fn speak(context: &Context, bus: &Bus, member: &mut Member) {
    let problems = context.health.problems();
    member.ready = problems.is_empty();
    member.reason = problems.into_iter().next().map(|(what, reason)| format!("{what}: {reason}"));
    member.shares = context.presence.borrow().sharing == Sharing::Yes;
    let spoken = Instant::now();
    // A server that came back without its disk has no bucket and no streams either. They are
    // made again at once, so that the instance is not taken for dead.
    let announced = match bus.announce(member).await {
        Err(_) => match made_again(bus).await {
            Ok(()) => bus.announce(member).await,
            failed => failed,
        },
        done => done,
    };
    match announced {
        Ok(()) => {
            context.presence.send_modify(|presence| presence.alive_until = Some(spoken + MEMBER_TTL));
            context.breaker("nats").close();
        }
        Err(error) => context.breaker("nats").trip(error),
    }
}

async fn made_again(bus: &Bus) -> Result<(), tidemill_bus::Error> {
    bus.make(&bus.missing().await?).await
}
