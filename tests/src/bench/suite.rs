//! The suite that is measured: a process for each service, on real servers that
//! sync what they are told to keep.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tidemill_testkit::{FakeSlack, NatsServer};

use super::{
    machine::rounded,
    scale::Scale,
    settings::{LakeOptions, Settings},
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
/// The folder of the lake's tables, in that of the suite.
const LAKE: &str = "lake";

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
    nats: NatsServer,
    postgres: Option<Postgres>,
    services: Vec<Replica>,
    settings: Settings,
    folder: PathBuf,
    http: reqwest::Client,
}

/// What a suite counts, looks for and knows.
#[derive(Debug, Clone)]
pub(super) struct SuiteFiles {
    /// Folder of metrics.
    pub(super) metrics: PathBuf,
    /// Folder of rules.
    pub(super) rules: PathBuf,
    /// Reference data.
    pub(super) reference: Vec<PathBuf>,
    /// Folder of schemas beside the built-in ones.
    pub(super) schemas: Option<PathBuf>,
    /// What its events call things; as built in without it.
    pub(super) shop: Option<PathBuf>,
}

impl SuiteFiles {
    /// Those of the shop: the built-in metrics and rules and more of both, written into
    /// a folder, and a file of products.
    pub(super) fn of_shop(folder: &Path, catalogue: &Path, scale: Scale) -> Result<Self, Error> {
        let (metrics, rules) = (folder.join("metrics"), folder.join("rules"));
        super::settings::write_metrics(&metrics)?;
        scale.write_metrics(&metrics)?;
        scale.write_rules(&rules)?;
        Ok(Self { metrics, rules, reference: vec![catalogue.to_owned()], schemas: None, shop: None })
    }
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

impl PartsUsage {
    /// How many cores each part has taken since then.
    pub(super) fn cores_since(&self, then: &Self, seconds: f64) -> BTreeMap<String, f64> {
        let parts = then.parts.iter().zip(&self.parts);
        parts.map(|((part, then), (_, now))| ((*part).into(), rounded((now.cpu_s - then.cpu_s) / seconds))).collect()
    }
}

impl Suite {
    /// Starts it in a folder. `programs` has the services' programs.
    pub(super) async fn start(
        folder: PathBuf,
        programs: &Path,
        files: &SuiteFiles,
        store: StoreKind,
        scale: Scale,
        ports: &mut Ports,
    ) -> Result<Self, Error> {
        for name in ["config", "logs", "stores"] {
            std::fs::create_dir_all(folder.join(name)).map_err(Error::file(folder.join(name)))?;
        }
        let nats = NatsServer::start_monitored(&folder.join("nats"), 0).await.map_err(Error::program("nats-server"))?;
        let wanted = scale.services();
        let databases: Vec<&str> =
            wanted.iter().filter(|s| s.has_store()).map(|s| s.name()).chain(["metrics"]).collect();
        let postgres = match store {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => {
                Some(Postgres::start(&folder.join("postgres"), ports.take()?, &databases, Sync::On).await?)
            }
        };
        let slack = FakeSlack::start().await;
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(Error::program("the HTTP client"))?;
        let settings = Settings {
            nats: nats.url(),
            postgres: postgres.as_ref().map(Postgres::address),
            stores: folder.join("stores"),
            lake: folder.join(LAKE),
            lake_options: LakeOptions::default(),
            files: files.clone(),
            slack: slack.webhook_url(),
            scale,
        };
        let mut services = Vec::new();
        for service in wanted {
            let listen = SocketAddr::from(([127, 0, 0, 1], ports.take()?));
            let launch = Launch {
                program: programs.join(service.binary()),
                config: configure(&folder, &settings, service, listen)?,
                log: folder.join("logs").join(format!("{service}.log")),
                address: listen,
                nice: scale.nice(service),
            };
            let replica = Replica::new(service, service.name().into(), launch, http.clone());
            replica.start().await?;
            services.push(replica);
        }
        let address = |of: Service| {
            let found = services.iter().find(|replica| replica.service == of).map(Replica::address);
            found.ok_or_else(|| Error::Refused(format!("{of} was not started")))
        };
        let ingestion = address(Service::Ingestion)?;
        let suite = Self { slack, ingestion, nats, postgres, services, settings, folder, http };
        suite.ready().await?;
        Ok(suite)
    }

    async fn ready(&self) -> Result<(), Error> {
        for replica in &self.services {
            is_ready(replica, &self.folder).await?;
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

    /// What a service has taken since it was started last.
    pub(super) async fn usage_of(&self, of: Service) -> Result<Usage, Error> {
        Usage::of(self.replica(of)?.pid().await)
    }

    /// Where reporting listens.
    pub(super) fn reporting(&self) -> Result<SocketAddr, Error> {
        self.address(Service::Reporting)
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The settings of a service.
    pub(super) fn settings_of(&self, of: Service) -> PathBuf {
        self.folder.join("config").join(format!("{of}.toml"))
    }

    /// The folder of the lake's tables.
    pub(super) fn lake(&self) -> PathBuf {
        self.folder.join(LAKE)
    }

    /// Has the lake run like this from its next start on.
    pub(super) fn set_lake(&mut self, options: LakeOptions) -> Result<(), Error> {
        self.settings.lake_options = options;
        configure(&self.folder, &self.settings, Service::Lake, self.address(Service::Lake)?).map(drop)
    }

    /// Answers once a service is ready that was started anew.
    pub(super) async fn ready_again(&self, of: Service) -> Result<(), Error> {
        is_ready(self.replica(of)?, &self.folder).await
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

    fn replica(&self, of: Service) -> Result<&Replica, Error> {
        let found = self.services.iter().find(|replica| replica.service == of);
        found.ok_or_else(|| Error::Refused(format!("{of} was not started")))
    }

    /// Where a service listens.
    pub(super) fn address(&self, of: Service) -> Result<SocketAddr, Error> {
        self.replica(of).map(Replica::address)
    }

    /// The sum of a service's metric over its labels, or the value for labels that are
    /// named.
    pub(super) async fn gauge(&self, of: Service, name: &str) -> Result<f64, Error> {
        let failed = |error: reqwest::Error| Error::Program { program: of.binary(), reason: error.to_string() };
        let url = format!("http://{}/metrics", self.replica(of)?.address());
        let text = self.http.get(url).send().await.map_err(failed)?.text().await.map_err(failed)?;
        Ok(sum_of(&text, name))
    }

    /// Ends a service in order and starts it again; answers when that was.
    pub(super) async fn begin_anew(&self, of: Service) -> Result<Instant, Error> {
        self.end(of).await?;
        let begun = Instant::now();
        self.start_anew(of).await?;
        Ok(begun)
    }

    /// Ends a service in order.
    pub(super) async fn end(&self, of: Service) -> Result<(), Error> {
        self.replica(of)?.hold().await.terminate().await.map(drop)
    }

    /// Starts a service that was ended.
    pub(super) async fn start_anew(&self, of: Service) -> Result<(), Error> {
        self.replica(of)?.start().await
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

/// Writes the configuration of a service; answers where.
fn configure(folder: &Path, settings: &Settings, service: Service, listen: SocketAddr) -> Result<PathBuf, Error> {
    let config = folder.join("config").join(format!("{service}.toml"));
    std::fs::write(&config, settings.toml(service, listen)).map_err(Error::file(&config))?;
    Ok(config)
}

async fn is_ready(replica: &Replica, folder: &Path) -> Result<(), Error> {
    replica.ready_within(READY).await.map_err(|last| Error::Deadline {
        what: format!("{} is ready; see {}", replica.name, folder.join("logs").display()),
        deadline: READY,
        last,
    })
}

/// The sum of a metric's values, of text in the format of Prometheus.
fn sum_of(text: &str, name: &str) -> f64 {
    let of_line = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with(['{', ' ']);
        if is_it { rest.rsplit(' ').next()?.parse::<f64>().ok() } else { None }
    };
    text.lines().filter_map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE a gauge\na{partition=\"0\"} 12\na{partition=\"1\"} 30\na_total 7\nb 5\n";
        assert_eq!((sum_of(text, "a"), sum_of(text, "b"), sum_of(text, "c")), (42.0, 5.0, 0.0));
    }
}
