//! The suite under test: real servers, and every replica as a process of its
//! own behind its own proxies.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tidemill_testkit::FakeSlack;
use tokio::time::sleep;

use super::{
    fault::Dependency,
    influx::Influx,
    nats::Nats,
    proxy::Proxy,
    replicas::Replicas,
    settings::{self, Settings},
};
use crate::{
    error::Error,
    journal::Journal,
    local::{
        binaries::stage_binaries,
        ports::Ports,
        postgres::{Postgres, Sync},
        processes::{Launch, Replica},
    },
    service::Service,
};

/// How long the suite may take to become ready.
const READY: Duration = Duration::from_secs(90);
/// How often processes are looked at.
const WATCH: Duration = Duration::from_millis(200);
/// How long a supervisor waits before it starts what ended by itself.
const RESTART: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Proxies by replica and dependency.
type Links = BTreeMap<(String, Dependency), Arc<Proxy>>;

/// The suite.
pub(super) struct Suite {
    /// What happens is told here.
    pub(super) journal: Journal,
    /// The log.
    pub(super) nats: Nats,
    /// The services' databases.
    pub(super) postgres: Postgres,
    /// Where alerts are posted.
    pub(super) slack: FakeSlack,
    /// Whether dependencies are well.
    pub(super) weather: Weather,
    /// For short questions.
    pub(super) http: reqwest::Client,
    influx: Option<Influx>,
    folder: PathBuf,
    replicas: Mutex<BTreeMap<String, Arc<Replica>>>,
    links: Mutex<Links>,
    ports: Mutex<Ports>,
    ended_by_themselves: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Suite {
    /// Starts everything under `folder`, and waits until it is ready.
    pub(super) async fn start(folder: PathBuf, replicas: Replicas, journal: Journal) -> Result<Self, Error> {
        stage_binaries(&folder.join("bin"), replicas.services())?;
        for name in ["config", "logs"] {
            std::fs::create_dir_all(folder.join(name)).map_err(Error::file(folder.join(name)))?;
        }
        let rules = folder.join("config").join(settings::RULES.0);
        std::fs::write(&rules, settings::RULES.1).map_err(Error::file(&rules))?;
        let mut ports = Ports::new();
        let nats = Nats::start(&folder.join("nats"), ports.take()?).await?;
        let databases: Vec<&str> =
            replicas.services().filter(|s| s.has_store()).map(Service::name).chain(["metrics"]).collect();
        let postgres = Postgres::start(&folder.join("postgres"), ports.take()?, &databases, Sync::Off).await?;
        let influx = Influx::start(&folder.join("influx"), ports.take()?).await?;
        journal.note(format_args!(
            "nats-server and PostgreSQL run; metrics go to {}",
            if influx.is_some() { "InfluxDB" } else { "the built-in store, in PostgreSQL" }
        ));
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(Error::program("the HTTP client"))?;
        let suite = Self {
            journal,
            nats,
            postgres,
            slack: FakeSlack::start().await,
            weather: Weather::default(),
            influx,
            folder,
            replicas: Mutex::default(),
            links: Mutex::default(),
            ports: Mutex::new(ports),
            http,
            ended_by_themselves: AtomicU64::new(0),
        };
        for (service, name) in replicas.names() {
            suite.add(service, &name).await?;
        }
        suite.ready().await?;
        Ok(suite)
    }

    /// A replica, if there is one of the name.
    pub(super) fn replica(&self, name: &str) -> Option<Arc<Replica>> {
        lock(&self.replicas).get(name).cloned()
    }

    /// All replicas.
    pub(super) fn replicas(&self) -> Vec<Arc<Replica>> {
        lock(&self.replicas).values().cloned().collect()
    }

    /// Where a service's replicas listen.
    pub(super) fn addresses(&self, service: Service) -> Vec<SocketAddr> {
        self.replicas().iter().filter(|r| r.service == service).map(|r| r.address()).collect()
    }

    /// The proxies in front of a dependency: a replica's, or all.
    pub(super) fn links(&self, dependency: Dependency, replica: Option<&str>) -> Vec<Arc<Proxy>> {
        let wanted = |(name, of): &(String, Dependency)| *of == dependency && replica.is_none_or(|r| r == name);
        lock(&self.links).iter().filter(|(key, _)| wanted(key)).map(|(_, proxy)| proxy.clone()).collect()
    }

    /// Starts one more replica.
    pub(super) async fn add(&self, service: Service, name: &str) -> Result<Arc<Replica>, Error> {
        let listen = SocketAddr::from(([127, 0, 0, 1], lock(&self.ports).take()?));
        let nats = self.nats.url_at(self.link(name, Dependency::Nats, self.nats.address()).await?);
        let postgres = match service.has_store() {
            true => Some(self.link(name, Dependency::Postgres, self.postgres.address()).await?),
            false => None,
        };
        let influx = match &self.influx {
            Some(server) if service == Service::Aggregation => {
                Some(self.link(name, Dependency::Influx, server.address()).await?)
            }
            _ => None,
        };
        let settings = Settings {
            service,
            listen,
            nats,
            postgres,
            influx,
            slack: &self.slack.webhook_url(),
            folder: &self.folder,
        };
        let config = self.folder.join("config").join(format!("{name}.toml"));
        std::fs::write(&config, settings.toml()).map_err(Error::file(&config))?;
        let launch = Launch {
            program: self.folder.join("bin").join(service.binary()),
            config,
            log: self.folder.join("logs").join(format!("{name}.log")),
            address: listen,
            nice: 0,
        };
        let replica = Arc::new(Replica::new(service, name.into(), launch, self.http.clone()));
        replica.start().await?;
        lock(&self.replicas).insert(name.into(), replica.clone());
        Ok(replica)
    }

    /// The folder of the lake's tables.
    pub(super) fn lake(&self) -> PathBuf {
        self.folder.join(settings::LAKE)
    }

    /// The folder of the run.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Forgets a replica that was ended.
    pub(super) fn remove(&self, name: &str) {
        lock(&self.replicas).remove(name);
        lock(&self.links).retain(|(of, _), _| of != name);
    }

    /// Waits until every replica is ready.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        for replica in self.replicas() {
            replica.ready_within(READY).await.map_err(|last| Error::Deadline {
                what: format!("{} is ready", replica.name),
                deadline: READY,
                last,
            })?;
        }
        Ok(())
    }

    /// Starts again what ended by itself, as a supervisor does, and holds it
    /// against the run: no fault of a dependency may end a service.
    pub(super) async fn supervise(&self) {
        loop {
            for replica in self.replicas() {
                if let Some(status) = replica.ended_by_itself() {
                    self.ended_by_themselves.fetch_add(1, Ordering::Relaxed);
                    self.journal.problem(format_args!("{} ended by itself: {status}", replica.name));
                    sleep(RESTART).await;
                    if let Err(error) = replica.start().await {
                        self.journal.problem(error);
                    }
                }
            }
            sleep(WATCH).await;
        }
    }

    /// How many processes ended that nobody had ended.
    pub(super) fn ended_by_themselves(&self) -> u64 {
        self.ended_by_themselves.load(Ordering::Relaxed)
    }

    /// Ends the servers; the services have ended before.
    pub(super) async fn stop(self) -> Result<(), Error> {
        if let Some(influx) = self.influx {
            influx.stop().await;
        }
        self.nats.stop().await;
        self.postgres.stop().await
    }

    async fn link(&self, name: &str, dependency: Dependency, backend: SocketAddr) -> Result<SocketAddr, Error> {
        let port = lock(&self.ports).take()?;
        let proxy = Arc::new(Proxy::start(port, backend).await.map_err(Error::program("the proxy"))?);
        let address = proxy.address();
        lock(&self.links).insert((name.into(), dependency), proxy);
        Ok(address)
    }
}

/// Whether dependencies are disturbed now, or were since some moment.
#[derive(Debug, Default)]
pub(super) struct Weather {
    storms: AtomicU32,
    begun: AtomicU64,
}

/// A disturbance; it ends when dropped.
pub(super) struct Storm<'a>(&'a Weather);

impl Weather {
    /// A disturbance begins.
    pub(super) fn storm(&self) -> Storm<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.storms.fetch_add(1, Ordering::SeqCst);
        Storm(self)
    }

    /// The number of disturbances so far, if none is under way.
    pub(super) fn calm(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::SeqCst);
        (self.storms.load(Ordering::SeqCst) == 0).then_some(begun)
    }

    /// Whether it was calm then, and all the time since.
    pub(super) fn is_calm_since(&self, then: Option<u64>) -> bool {
        then.is_some() && self.calm() == then
    }
}

impl Drop for Storm<'_> {
    fn drop(&mut self) {
        self.0.storms.fetch_sub(1, Ordering::SeqCst);
    }
}
