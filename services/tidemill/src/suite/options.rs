//! How the all-in-one is set up.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf};

use tidemill_domain::Currency;
use tidemill_reporting::Zone;
use tidemill_service::{clients::Network, guard::HostName};

use super::KeyVariables;
use crate::{
    profile::SuiteProfile,
    shop_file::{DefinitionsSection, ReferenceSection, ServicesSection, ShopFile},
};

/// How the all-in-one is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folder for the log and every store.
    pub folder: PathBuf,
    /// The part of the suite that runs; every service without one. The lake is not started
    /// here.
    pub profile: Option<SuiteProfile>,
    /// Folder with keys; without one, and without `key_variables`, everybody may
    /// do everything.
    pub keys: Option<PathBuf>,
    /// Keys that the environment gives.
    pub key_variables: KeyVariables,
    /// Address to listen on; loopback without one.
    pub address: Option<IpAddr>,
    /// Port of ingestion; enrichment, aggregation, alert and recommendation listen on
    /// the next four. 0 takes free ones.
    pub port: u16,
    /// Port of reporting, 0 for a free one.
    pub reporting_port: u16,
    /// Names by which the services may be asked, beside this machine's own.
    pub hosts: BTreeSet<HostName>,
    /// Origins whose pages may send events; any without one.
    pub origins: BTreeSet<String>,
    /// Proxies in front that append to `X-Forwarded-For`.
    pub trusted_proxies: usize,
    /// Their networks.
    pub proxy_networks: Vec<Network>,
    /// Whose days are meant where a question names no zone.
    pub zone: Zone,
    /// Slack incoming webhook.
    pub slack_webhook: Option<String>,
    /// MMDB file with countries by address.
    pub geoip: Option<PathBuf>,
    /// The base currency; enrichment's default without it. Enrichment alone is
    /// told: the others read it in the data.
    pub currency: Option<Currency>,
    /// Reference file with products and customers.
    pub reference: Option<PathBuf>,
    /// The same as the text of one.
    pub catalogue: Option<String>,
    /// Files that the shop has of its own.
    pub files: DefinitionFiles,
    /// Address of the Jaeger UI, for links.
    pub jaeger: Option<String>,
}

/// What the shop defines itself, and what it knows; the built-in definitions are
/// in place of what is missing.
#[derive(Debug, Clone, Default)]
pub struct DefinitionFiles {
    /// Schemas, metrics, rules, and what the shop calls things.
    pub definitions: DefinitionsSection,
    /// Products, customers, countries.
    pub reference: ReferenceSection,
    /// Files with settings of single services.
    pub services: ServicesSection,
}

impl Options {
    /// As a shop's settings say.
    pub(super) fn of(settings: &ShopFile) -> Self {
        let ShopFile {
            profile,
            data: _,
            zone,
            currency,
            log: _,
            sample_ratio: _,
            keys,
            http,
            definitions,
            reference,
            slack: _,
            services,
        } = settings.clone();
        Self {
            profile,
            keys: keys.folder,
            address: Some(http.address),
            port: http.port,
            reporting_port: http.reporting_port,
            hosts: http.hosts,
            origins: http.origins,
            trusted_proxies: http.trusted_proxies,
            proxy_networks: http.proxy_networks,
            zone,
            currency: Some(currency),
            geoip: reference.geoip.clone(),
            files: DefinitionFiles { definitions, reference, services },
            ..Self::default()
        }
    }
}
