//! The suite that is measured: a process for each service, on real servers that
//! sync what they are told to keep.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tidemill_testkit::{FakeSlack, NatsServer};

use super::{
    scale::Scale,
    settings::Settings,
    usage::{Usage, folder_bytes},
};
use crate::{
    error::Error,
    local::{
        ports::Ports,
        postgres::{Postgres, Sync},
        processes::{Launch, Replica},
    },
    service::Service,
};

const READY: Duration = Duration::from_secs(90);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Where services keep what they know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// A SQLite file for each service
    Sqlite,
    /// One PostgreSQL with a database for each service
    Postgres,
}

impl StoreKind {
    /// As it is written in files.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A running suite.
pub(super) struct Suite {
    pub(super) slack: FakeSlack,
    pub(super) ingestion: SocketAddr,
    pub(super) reporting: SocketAddr,
    nats: NatsServer,
    postgres: Option<Postgres>,
    services: Vec<Replica>,
    folder: PathBuf,
    http: reqwest::Client,
}

/// What each part has taken so far.
#[derive(Debug, Clone, Default)]
pub(super) struct PartsUsage {
    /// By part: a service, `nats` or `postgres`.
    pub(super) parts: Vec<(&'static str, Usage)>,
    /// Messages that NATS took in and gave out.
    pub(super) messages: (u64, u64),
    /// Bytes of log and stores on disk.
    pub(super) disk: u64,
}

impl Suite {
    /// Starts it in an empty folder. `programs` has the services' programs, and
    /// `catalogue` the products.
    pub(super) async fn start(
        folder: PathBuf,
        programs: &Path,
        catalogue: &Path,
        store: StoreKind,
        scale: Scale,
        ports: &mut Ports,
    ) -> Result<Self, Error> {
        for name in ["config", "logs", "stores"] {
            std::fs::create_dir_all(folder.join(name)).map_err(Error::file(folder.join(name)))?;
        }
        let nats = NatsServer::start_monitored(&folder.join("nats"), 0).await.map_err(Error::program("nats-server"))?;
        let databases: Vec<&str> =
            Service::ALL.iter().filter(|s| s.has_store()).map(|s| s.name()).chain(["metrics"]).collect();
        let postgres = match store {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => {
                Some(Postgres::start(&folder.join("postgres"), ports.take()?, &databases, Sync::On).await?)
            }
        };
        let slack = FakeSlack::start().await;
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(Error::program("the HTTP client"))?;
        let definitions = folder.join("metrics");
        super::settings::write_metrics(&definitions)?;
        scale.write_metrics(&definitions)?;
        let rules = folder.join("rules");
        scale.write_rules(&rules)?;
        let mut services = Vec::new();
        for service in Service::ALL {
            let listen = SocketAddr::from(([127, 0, 0, 1], ports.take()?));
            let settings = Settings {
                service,
                listen,
                nats: &nats.url(),
                postgres: postgres.as_ref().map(Postgres::address),
                stores: &folder.join("stores"),
                metrics: &definitions,
                rules: &rules,
                catalogue,
                slack: &slack.webhook_url(),
                scale,
            };
            let config = folder.join("config").join(format!("{service}.toml"));
            std::fs::write(&config, settings.toml()).map_err(Error::file(&config))?;
            let launch = Launch {
                program: programs.join(service.binary()),
                config,
                log: folder.join("logs").join(format!("{service}.log")),
                address: listen,
            };
            let replica = Replica::new(service, service.name().into(), launch, http.clone());
            replica.start().await?;
            services.push(replica);
        }
        let address = |of: Service| {
            let found = services.iter().find(|replica| replica.service == of).map(Replica::address);
            found.ok_or_else(|| Error::Refused(format!("{of} was not started")))
        };
        let (ingestion, reporting) = (address(Service::Ingestion)?, address(Service::Reporting)?);
        let suite = Self { slack, ingestion, reporting, nats, postgres, services, folder, http };
        suite.ready().await?;
        Ok(suite)
    }

    async fn ready(&self) -> Result<(), Error> {
        for replica in &self.services {
            replica.ready_within(READY).await.map_err(|last| Error::Deadline {
                what: format!("{} is ready; see {}", replica.name, self.folder.join("logs").display()),
                deadline: READY,
                last,
            })?;
        }
        Ok(())
    }

    /// What each part has taken since it was started.
    pub(super) async fn usage(&self) -> Result<PartsUsage, Error> {
        let mut parts = vec![("nats", Usage::of(self.nats.pid())?)];
        for replica in &self.services {
            parts.push((replica.service.name(), Usage::of(replica.pid().await)?));
        }
        let mut disk = folder_bytes(&self.folder.join("nats")) + folder_bytes(&self.folder.join("stores"));
        if let Some(postgres) = &self.postgres {
            parts.push(("postgres", Usage::of(postgres.pid().await)?));
            disk += folder_bytes(&postgres.data());
        }
        Ok(PartsUsage { parts, messages: self.messages().await?, disk })
    }

    /// Messages that NATS took in and gave out so far.
    async fn messages(&self) -> Result<(u64, u64), Error> {
        let failed = |reason: String| Error::Program { program: "the monitoring of nats-server".into(), reason };
        let address = self.nats.monitoring().ok_or_else(|| failed("it is not there".into()))?;
        let answer = self.http.get(format!("{address}/varz")).send().await.map_err(|e| failed(e.to_string()))?;
        let told: serde_json::Value = answer.json().await.map_err(|e| failed(e.to_string()))?;
        let count = |name: &str| told[name].as_u64().unwrap_or_default();
        Ok((count("in_msgs"), count("out_msgs")))
    }

    /// Ends everything.
    pub(super) async fn stop(self) -> Result<(), Error> {
        for replica in &self.services {
            replica.hold().await.terminate().await?;
        }
        self.nats.stop().await;
        match self.postgres {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        }
    }
}
