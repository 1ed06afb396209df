//! `tidemill.toml`: what a shop tells the all-in-one.
//!
//! The doc comments of these types are the comments of the file that
//! `tidemill init` writes, and of docs/reference/tidemill.toml.

mod read;
mod sample;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::Currency;
use tidemill_reporting::Zone;
use tidemill_service::{clients::Network, guard::HostName};

use crate::profile::SuiteProfile;
pub use read::FileError;
pub use sample::sample;

/// The file's name, by which `tidemill up` finds it in the working folder.
pub const NAME: &str = "tidemill.toml";

/// What the file may say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShopFile {
    /// The part of the suite that runs: medallion, medallion-streaming, kappa, lambda or
    /// full, as `tidemill choose` explains them. Without it, every service but the lake.
    #[schemars(example = &"kappa")]
    pub profile: Option<SuiteProfile>,
    /// Folder for the log and every store. Without it, a temporary one that goes
    /// at the end.
    #[schemars(example = &"data")]
    pub data: Option<PathBuf>,
    /// The zone of the shop, by its name in the IANA database, for instance
    /// Europe/Berlin: its days are meant where a question names no zone.
    pub zone: Zone,
    /// The currency in which the shop keeps its books, by its three letters of
    /// ISO 4217: that of amounts whose event names none, and the one that rates lead
    /// to. Totals are kept by currency; where rates are given (see reference), they
    /// are told in this one too. After a change, the rates of the former currency are
    /// not used: give those of the new one. What was converted before stays so.
    pub currency: Currency,
    /// Log filter, for instance info or warn,tidemill_alert=debug.
    pub log: String,
    /// Share of requests that are traced, 0 to 1.
    pub sample_ratio: f64,
    /// Who may ask what. Without keys, whoever reaches the ports of this machine
    /// may do everything. Keys can also be given by the environment variables
    /// TIDEMILL_AUTH__WRITE, TIDEMILL_AUTH__READ and TIDEMILL_AUTH__OPERATE, or
    /// in files that these name with _FILE at their end.
    pub keys: KeysSection,
    /// Where to listen, and who is in front.
    pub http: HttpSection,
    /// What is counted, what is watched, and what the shop calls things. A change
    /// of these files is taken up while the suite runs, or refused as a whole.
    pub definitions: DefinitionsSection,
    /// What is known of products, customers, countries and currencies. A change of these
    /// files is taken up while the suite runs, or refused as a whole.
    pub reference: ReferenceSection,
    /// Where alerts go.
    pub slack: SlackSection,
    /// What single services are told beside all this. A change is taken up at the next
    /// start.
    pub services: ServicesSection,
}

/// Section `keys`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSection {
    /// Folder with the files write, read and operate, as `tidemill keys` explains
    /// them. It is read again when it changes.
    #[schemars(example = &"keys")]
    pub folder: Option<PathBuf>,
}

/// Section `http`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    /// Address to listen on. Any other than this machine's own needs keys.
    pub address: IpAddr,
    /// Port of ingestion (0 takes a free one); those of enrichment, aggregation,
    /// alert and recommendation follow it.
    pub port: u16,
    /// Port of the dashboard and the reporting API.
    pub reporting_port: u16,
    /// Port of the Jaeger UI, which listens on this machine alone.
    pub jaeger_port: u16,
    /// Names, without a port, by which browsers and senders ask for the suite
    /// beside localhost.
    #[schemars(example = ["shop.example"])]
    pub hosts: BTreeSet<HostName>,
    /// Origins whose pages may send events. With none, any may, without
    /// credentials.
    #[schemars(example = ["https://shop.example"])]
    pub origins: BTreeSet<String>,
    /// Proxies in front, each of which appends the address that called it to
    /// X-Forwarded-For.
    pub trusted_proxies: usize,
    /// Networks of these proxies: their addresses each stand for many clients,
    /// and are held to no share of the connections.
    #[schemars(example = ["10.0.0.0/8"])]
    pub proxy_networks: Vec<Network>,
}

/// Section `definitions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DefinitionsSection {
    /// Folder of JSON Schemas of event types, one file TYPE.json each. They come
    /// on top of the built-in ones, and replace those of the same name.
    #[schemars(example = &"definitions/schemas")]
    pub schemas: Option<PathBuf>,
    /// Folder of metric definitions (*.yaml), in place of the built-in ones.
    #[schemars(example = &"definitions/metrics")]
    pub metrics: Option<PathBuf>,
    /// Folder of alert rules (*.yaml, one a file), in place of the built-in ones.
    #[schemars(example = &"definitions/rules")]
    pub rules: Option<PathBuf>,
    /// Which members of an event are its products, its customer, its country and its
    /// currency; by which business keys an order is known that comes again under
    /// another id; and which events place, refund and cancel orders, with their
    /// discounts. In place of the built-in file.
    #[schemars(example = &"definitions/shop.yaml")]
    pub shop: Option<PathBuf>,
    /// What rules over events call amounts and lists, in place of the built-in
    /// file.
    #[schemars(example = &"definitions/amounts.yaml")]
    pub amounts: Option<PathBuf>,
    /// What is never recommended, what is preferred, and what fills an answer up, in
    /// place of the built-in file.
    #[schemars(example = &"definitions/recommendation.yaml")]
    pub recommendation: Option<PathBuf>,
    /// Which events recommendations are learnt from, and by which members, in place of
    /// the built-in file.
    #[schemars(example = &"definitions/learning.yaml")]
    pub learning: Option<PathBuf>,
    /// TOML file with settings of recommendation's index that differ from the defaults, as
    /// `tidemill recommend evaluate --settings` takes it. docs/recommendation.md lists them.
    #[schemars(example = &"definitions/index.toml")]
    pub index: Option<PathBuf>,
}

/// Section `reference`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReferenceSection {
    /// YAML or CSV files with products, customers, countries and rates of
    /// currencies, and folders of such files. A CSV file holds one kind, by the
    /// beginning of its name: products*.csv, customers*.csv, countries*.csv or
    /// rates*.csv. Its first line has `id` and the names of the attributes, such as
    /// category of a product, country of a customer, and rate and valid_from of a
    /// currency. docs/configuration.md shows each.
    #[schemars(example = ["products.csv", "reference"])]
    pub files: Vec<PathBuf>,
    /// YAML file with countries, their names and regions, in place of the
    /// built-in table.
    #[schemars(example = &"countries.yaml")]
    pub countries: Option<PathBuf>,
    /// MMDB file with countries by address. Without one, addresses tell nothing.
    #[schemars(example = &"country.mmdb")]
    pub geoip: Option<PathBuf>,
}

/// Section `slack`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlackSection {
    /// File with the address of the incoming webhook that alerts go to. The
    /// environment variable TIDEMILL_SLACK__WEBHOOK_URL gives the address itself.
    #[schemars(example = &"slack-webhook")]
    pub webhook_file: Option<PathBuf>,
}

/// Section `services`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServicesSection {
    /// TOML file with settings of the lake (docs/reference/lake.settings.md), for
    /// instance contracts.folder, gold.every_seconds or quality.every_seconds, for a
    /// profile that has one. What this file here says is not said again there. Paths in
    /// it are relative to its folder.
    #[schemars(example = &"lake.toml")]
    pub lake: Option<PathBuf>,
    /// The same of reporting (docs/reference/reporting.settings.md), for instance
    /// retention.days.
    #[schemars(example = &"reporting.toml")]
    pub reporting: Option<PathBuf>,
}

impl Default for ShopFile {
    fn default() -> Self {
        Self {
            profile: None,
            data: None,
            zone: Zone::UTC,
            currency: Currency::EUR,
            log: "warn".into(),
            sample_ratio: 0.05,
            keys: KeysSection::default(),
            http: HttpSection::default(),
            definitions: DefinitionsSection::default(),
            reference: ReferenceSection::default(),
            slack: SlackSection::default(),
            services: ServicesSection::default(),
        }
    }
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 7070,
            reporting_port: 7080,
            jaeger_port: 16686,
            hosts: BTreeSet::new(),
            origins: BTreeSet::new(),
            trusted_proxies: 0,
            proxy_networks: Vec::new(),
        }
    }
}

impl ShopFile {
    /// Free ports, a temporary folder, few traces: for a suite that only its
    /// starter uses.
    pub(crate) fn private() -> Self {
        let http = HttpSection { port: 0, reporting_port: 0, jaeger_port: 0, ..HttpSection::default() };
        Self { sample_ratio: 0.01, http, ..Self::default() }
    }

    /// Every file and folder that has to be there, by its setting.
    fn needed(&mut self) -> impl Iterator<Item = (&'static str, &'static str, &mut PathBuf)> {
        let Self { keys, definitions, reference, slack, services, .. } = self;
        let one = [
            ("keys", "folder", &mut keys.folder),
            ("definitions", "schemas", &mut definitions.schemas),
            ("definitions", "metrics", &mut definitions.metrics),
            ("definitions", "rules", &mut definitions.rules),
            ("definitions", "shop", &mut definitions.shop),
            ("definitions", "amounts", &mut definitions.amounts),
            ("definitions", "recommendation", &mut definitions.recommendation),
            ("definitions", "learning", &mut definitions.learning),
            ("definitions", "index", &mut definitions.index),
            ("reference", "countries", &mut reference.countries),
            ("reference", "geoip", &mut reference.geoip),
            ("slack", "webhook_file", &mut slack.webhook_file),
            ("services", "lake", &mut services.lake),
            ("services", "reporting", &mut services.reporting),
        ];
        let one = one.into_iter().filter_map(|(section, key, path)| Some((section, key, path.as_mut()?)));
        one.chain(reference.files.iter_mut().map(|path| ("reference", "files", path)))
    }

    /// Takes paths as relative to `folder`, whichever the working folder is.
    fn relative_to(&mut self, folder: &Path) {
        if let Some(data) = &mut self.data {
            *data = folder.join(&*data);
        }
        self.needed().for_each(|(_, _, path)| *path = folder.join(&*path));
    }
}
