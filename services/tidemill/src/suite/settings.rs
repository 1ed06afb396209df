//! What the all-in-one writes into each service's configuration. It is the
//! same text that an operator would write, read by the same reader.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tidemill_aggregation::AggregationService;
use tidemill_alert::AlertService;
use tidemill_enrichment::EnrichmentService;
use tidemill_ingestion::IngestionService;
use tidemill_recommendation::RecommendationService;
use tidemill_recommender::RecommenderSettings;
use tidemill_reporting::ReportingService;
use tidemill_service::{Service, ServiceConfig, StartError, config};

use super::{folder, member::SuiteMember, options::Options, watched::files_of};
use crate::{
    index_file,
    profile::{ProfilePart, SuiteProfile},
    service_file,
    shop_file::DefinitionsSection,
};

/// By what a browser on this machine asks this machine. Under any other name it
/// is a page elsewhere that asks, by DNS rebinding.
pub(super) const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

pub(super) struct Settings {
    options: Options,
    /// Where the services listen, once they do.
    ports: Option<[u16; 6]>,
    nats_url: String,
    stores: PathBuf,
}

impl Settings {
    pub(super) fn new(options: &Options, nats_url: &str) -> Result<Self, StartError> {
        let is_open = options.keys.is_none() && options.key_variables.is_empty();
        if let Some(address) = options.address.filter(|address| is_open && !address.is_loopback()) {
            return Err(StartError::new(format!(
                "http.address: {address} lets other machines in, so keys are needed: name their folder as keys.folder \
                 (--keys); `tidemill keys new` makes some"
            )));
        }
        let stores = folder::private(&options.folder, "stores")?;
        Ok(Self { options: options.clone(), ports: None, nats_url: nats_url.into(), stores })
    }

    pub(super) fn ingestion(&self) -> Result<tidemill_ingestion::Config, StartError> {
        let Options { trusted_proxies, origins, .. } = &self.options;
        let origins = serde_json::Value::from_iter(origins.iter().cloned());
        let mut text = self.common(self.port(SuiteMember::Ingestion));
        text.push_str(&format!("[sender]\ntrusted_proxies = {trusted_proxies}\n[cors]\norigins = {origins}\n"));
        text.push_str(&section("schemas", &[("folder", self.definitions().schemas.as_deref())]));
        text.push_str(&self.backlog_of());
        self.read(text)
    }

    pub(super) fn enrichment(&self) -> Result<tidemill_enrichment::Config, StartError> {
        let mut text = self.with_store("enrichment", self.port(SuiteMember::Enrichment));
        let reference = &self.options.files.reference;
        let geo = [("mmdb", self.options.geoip.as_deref()), ("countries", reference.countries.as_deref())];
        text.push_str(&section("geo", &geo));
        text.push_str(&section("shop", &[("definition", self.definitions().shop.as_deref())]));
        if let Some(currency) = self.options.currency {
            text.push_str(&format!("currency = \"{currency}\"\n"));
        }
        let given = self.options.reference.iter().chain(&reference.files).flat_map(|path| reference_files(path));
        let catalogue = self.options.catalogue.as_deref().map(|text| self.write_reference(text)).transpose()?;
        let files: Vec<_> = given.chain(catalogue).map(|file| file.display().to_string()).collect();
        text.push_str(&format!("[reference]\nfiles = {}\n", serde_json::Value::from(files)));
        self.read(text)
    }

    pub(super) fn aggregation(&self) -> Result<tidemill_aggregation::Config, StartError> {
        let mut text = self.with_store("aggregation", self.port(SuiteMember::Aggregation));
        text.push_str("[metrics_store]\nkind = \"builtin\"\n");
        text.push_str(&self.metrics());
        self.read(text)
    }

    pub(super) fn alert(&self) -> Result<tidemill_alert::Config, StartError> {
        let mut text = self.with_store("alert", self.port(SuiteMember::Alert));
        if let Some(webhook) = &self.options.slack_webhook {
            text.push_str(&format!("[slack]\nwebhook_url = {}\n", quoted(webhook)));
        }
        let dashboard =
            (self.options.reporting_port > 0).then(|| format!("http://127.0.0.1:{}", self.options.reporting_port));
        text.push_str(&links(&[("jaeger", self.options.jaeger.as_deref()), ("dashboard", dashboard.as_deref())]));
        text.push_str(&self.metrics());
        let DefinitionsSection { rules, amounts, .. } = self.definitions();
        text.push_str(&section("rules", &[("folder", rules.as_deref()), ("amounts", amounts.as_deref())]));
        self.read(text)
    }

    pub(super) fn recommendation(&self) -> Result<tidemill_recommendation::Config, StartError> {
        let mut text = self.with_store("recommendation", self.port(SuiteMember::Recommendation));
        let DefinitionsSection { recommendation, learning, index, .. } = self.definitions();
        text.push_str(&section("rules", &[("file", recommendation.as_deref())]));
        text.push_str(&section("learning", &[("definition", learning.as_deref())]));
        if let Some(file) = index {
            let index = index_file::read(file).map_err(StartError::new)?;
            text.push_str(&toml::to_string(&IndexSection { index }).map_err(StartError::new)?);
        }
        self.read(text)
    }

    pub(super) fn reporting(&self) -> Result<tidemill_reporting::Config, StartError> {
        let mut text = self.with_store("reporting", self.port(SuiteMember::Reporting));
        let ingestion = (self.options.port > 0).then(|| format!("http://127.0.0.1:{}", self.options.port));
        text.push_str(&links(&[("jaeger", self.options.jaeger.as_deref()), ("ingestion", ingestion.as_deref())]));
        text.push_str(&self.metrics());
        let Options { zone, trusted_proxies, .. } = &self.options;
        text.push_str(&format!("[calendar]\nzone = \"{zone}\"\n[live]\ntrusted_proxies = {trusted_proxies}\n"));
        self.read(self.with_file(text, ProfilePart::Reporting)?)
    }

    /// For whom senders wait: what a service left unread that does not run holds nobody up.
    fn backlog_of(&self) -> String {
        let runs = |part| self.options.profile.is_none_or(|profile| profile.has(part));
        let of = |part: ProfilePart| Some(part.name()).filter(|_| runs(part));
        let stream = [ProfilePart::Enrichment, ProfilePart::Aggregation, ProfilePart::Reporting];
        let tables = of(ProfilePart::Lake).filter(|_| !runs(ProfilePart::Aggregation));
        let all: Vec<&str> = stream.into_iter().filter_map(of).chain(tables).collect();
        format!("[limits]\nbacklog_of = {}\n", serde_json::Value::from(all))
    }

    /// Keys that the environment gives, for a process of its own.
    pub(super) fn key_variables(&self) -> impl Iterator<Item = (String, String)> {
        self.options.key_variables.iter()
    }

    /// Port of ingestion, as it was asked for.
    pub(super) fn first_port(&self) -> u16 {
        self.options.port
    }

    /// The part of the suite that runs; all but the lake without one.
    pub(super) fn profile(&self) -> Option<SuiteProfile> {
        self.options.profile
    }

    fn definitions(&self) -> &DefinitionsSection {
        &self.options.files.definitions
    }

    /// What a service is told, and what the shop's file of that service says beside it.
    pub(super) fn with_file(&self, text: String, of: ProfilePart) -> Result<String, StartError> {
        let files = &self.options.files.services;
        let file = match of {
            ProfilePart::Lake => files.lake.as_deref(),
            ProfilePart::Reporting => files.reporting.as_deref(),
            ProfilePart::Ingestion
            | ProfilePart::Enrichment
            | ProfilePart::Aggregation
            | ProfilePart::Alert
            | ProfilePart::Recommendation => None,
        };
        match file {
            None => Ok(text),
            Some(file) => service_file::added(&text, file).map_err(StartError::new),
        }
    }

    pub(super) fn metrics(&self) -> String {
        section("definitions", &[("metrics", self.definitions().metrics.as_deref())])
    }

    fn write_reference(&self, text: &str) -> Result<PathBuf, StartError> {
        let path = folder::private(&self.options.folder, "reference")?.join("catalogue.yaml");
        std::fs::write(&path, text).map_err(|e| StartError::new(format!("{}: {e}", path.display())))?;
        Ok(path)
    }

    /// From now on each service starts on the port that it has.
    pub(super) fn keep_ports(&mut self, ports: [u16; 6]) {
        self.ports = Some(ports);
    }

    /// What is wrong with the settings and with the files that they name.
    pub(super) fn check(&self) -> Result<(), StartError> {
        IngestionService::check(&self.ingestion()?)?;
        EnrichmentService::check(&self.enrichment()?)?;
        AggregationService::check(&self.aggregation()?)?;
        AlertService::check(&self.alert()?)?;
        RecommendationService::check(&self.recommendation()?)?;
        ReportingService::check(&self.reporting()?)
    }

    fn port(&self, member: SuiteMember) -> u16 {
        let Options { port, reporting_port, .. } = self.options;
        match (self.ports, member) {
            (Some(ports), _) => ports[member as usize],
            (None, SuiteMember::Reporting) => reporting_port,
            (None, _) if port == 0 => 0,
            (None, _) => port.saturating_add(member as u16),
        }
    }

    pub(super) fn common(&self, port: u16) -> String {
        let Options { keys, key_variables, proxy_networks, .. } = &self.options;
        let auth = match keys {
            Some(folder) => format!("folder = {}", quoted(&folder.display().to_string())),
            None if !key_variables.is_empty() => String::new(),
            // Nobody but this machine reaches the ports.
            None => "open = true".into(),
        };
        format!(
            "[http]\nlisten = \"{}\"\nhosts = {}\nshared_networks = {}\n[auth]\n{auth}\n[nats]\nurl = {}\n",
            SocketAddr::new(self.address(), port),
            serde_json::Value::from(self.hosts()),
            serde_json::Value::from_iter(proxy_networks.iter().map(|network| String::from(*network))),
            quoted(&self.nats_url)
        )
    }

    fn address(&self) -> IpAddr {
        self.options.address.unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// The names by which the services may be asked. Who listens for other
    /// machines and names none may be asked by any.
    fn hosts(&self) -> Vec<String> {
        if self.options.hosts.is_empty() && !self.address().is_loopback() {
            return Vec::new();
        }
        let named = self.options.hosts.iter().cloned().map(String::from);
        LOCAL_HOSTS.map(str::to_owned).into_iter().chain(named).collect()
    }

    fn read<T: ServiceConfig>(&self, text: String) -> Result<T, StartError> {
        config::parse_with(&text, self.options.key_variables.iter()).map_err(StartError::new)
    }

    fn with_store(&self, service: &str, port: u16) -> String {
        format!("{}[store]\nurl = {}\n", self.common(port), quoted(&self.store_url(service)))
    }

    fn store_url(&self, name: &str) -> String {
        format!("sqlite://{}/{name}.db", self.stores.display())
    }
}

/// The section of recommendation's settings.
#[derive(Serialize)]
struct IndexSection {
    index: RecommenderSettings,
}

/// A file of reference data, or those of a folder.
fn reference_files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let is_one = |file: &PathBuf| file.extension().is_some_and(|kind| kind != "json");
    // One that cannot be read is told of by its name.
    files_of(path).map_or_else(|_| vec![path.to_owned()], |files| files.into_iter().filter(is_one).collect())
}

fn links(links: &[(&str, Option<&str>)]) -> String {
    let paths: Vec<_> = links.iter().map(|(name, url)| (*name, url.map(Path::new))).collect();
    section("links", &paths)
}

/// A section with the texts that are there.
fn section(name: &str, texts: &[(&str, Option<&Path>)]) -> String {
    let mut section = format!("[{name}]\n");
    for (key, text) in texts {
        if let Some(text) = text {
            // Writing to a String cannot fail.
            let _ = writeln!(section, "{key} = {}", quoted(&text.display().to_string()));
        }
    }
    section
}

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use tidemill_testkit::tempdir;

    use super::*;
    use crate::shop_file::{ServicesSection, ShopFile};

    #[test]
    fn reporting_and_the_lake_have_what_a_file_of_theirs_says() {
        let folder = tempdir();
        let file = |name: &str| folder.path().join(name);
        let services = ServicesSection { lake: Some(file("lake.toml")), reporting: Some(file("reporting.toml")) };
        let shop = ShopFile { data: Some(file("data")), services, ..ShopFile::default() };
        let options = Options { folder: folder.path().to_owned(), ..Options::of(&shop) };
        let settings = Settings::new(&options, "nats://127.0.0.1:4222").expect("they are right");
        std::fs::write(file("reporting.toml"), "[retention]\ndays = 30\n").expect("writes");
        let config = format!("{:?}", settings.reporting().expect("it is right"));
        assert!(config.contains("days: 30"), "{config}");
        std::fs::write(file("reporting.toml"), "[retention]\ndayz = 30\n").expect("writes");
        assert!(settings.reporting().expect_err("no such setting").to_string().contains("dayz"));
        std::fs::write(file("lake.toml"), "[contracts]\nfolder = \"contracts\"\n[lake]\nretention_hours = 48\n")
            .expect("writes");
        let told = settings.lake(7075, folder.path()).expect("it is right");
        let told: toml::Table = toml::from_str(&told).expect("TOML");
        assert_eq!(told["contracts"]["folder"].as_str(), file("contracts").to_str(), "as the file has it");
        assert_eq!(told["lake"]["retention_hours"].as_integer(), Some(48));
        assert_eq!(told["lake"]["url"].as_str(), file("lake").to_str());
    }

    #[test]
    fn recommendation_has_the_settings_that_were_tried_out() {
        let folder = tempdir();
        let index = folder.path().join("index.toml");
        let definitions = DefinitionsSection { index: Some(index.clone()), ..DefinitionsSection::default() };
        let file = ShopFile { data: Some(folder.path().join("data")), definitions, ..ShopFile::default() };
        let options = Options { folder: folder.path().to_owned(), ..Options::of(&file) };
        let settings = Settings::new(&options, "nats://127.0.0.1:4222").expect("they are right");
        std::fs::write(&index, "neighbours = 77\n[weights]\ncart = 9\n").expect("writes");
        let config = format!("{:?}", settings.recommendation().expect("it is right"));
        assert!(config.contains("neighbours: 77") && config.contains("cart: 9"), "{config}");
        for (wrong, told) in
            [("\nneighbors = 3\n", "index.toml:2: unknown field"), ("neighbours = 0", "neighbours must be")]
        {
            std::fs::write(&index, wrong).expect("writes");
            let error = settings.recommendation().expect_err(wrong).to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
