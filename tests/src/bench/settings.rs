//! The services' configuration: as it is by default, but for addresses.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tidemill::profile::{ProfilePart, SuiteProfile};

use super::{scale::Scale, suite::SuiteFiles};
use crate::{error::Error, service::Service};

/// Messages a minute that alert may post: each alert is looked for.
const MESSAGES_PER_MINUTE: u32 = 100_000;

/// Days of which the oldest invoice is one.
const CENTURY: u32 = 36_500;

/// The reference job: invoice lines by minute, category and country, with exact
/// sums and distinct customers.
pub(super) const REFERENCE_JOB: &str = "invoice_minutes";
pub(super) const REFERENCE_METRIC: &str = "\
name: invoice_minutes
description: Invoice lines, customers, quantity and net per minute by category and country
types: [invoice.line]
window: {tumbling: 1m}
dimensions:
  category: category
  country: data.country
measures:
  lines: {count: rows}
  customers: {distinct: data.customer_id, within: partition}
  quantity: {sum: data.quantity}
  net: {sum: [data.quantity, data.unit_price], money: currency}
";

/// The other metrics are the built-in ones, without the one that counts invoice
/// lines by day: the job counts each line once.
const OTHERS: [(&str, &str); 6] = [
    ("conversion", include_str!("../../../shared/definitions/metrics/conversion.yaml")),
    ("daily_sales", include_str!("../../../shared/definitions/metrics/daily_sales.yaml")),
    ("order_metrics", include_str!("../../../shared/definitions/metrics/order_metrics.yaml")),
    ("product_views", include_str!("../../../shared/definitions/metrics/product_views.yaml")),
    ("sales_metrics", include_str!("../../../shared/definitions/metrics/sales_metrics.yaml")),
    ("tidemill_check", include_str!("../../../shared/definitions/metrics/tidemill_check.yaml")),
];

/// Invoice lines by day and country, of which there is a published truth.
pub(super) const DAILY_COUNTRY: (&str, &str) =
    ("daily_country", include_str!("../../../shared/definitions/metrics/daily_country.yaml"));

/// Writes the metrics into a folder: the reference job, and the others.
pub(super) fn write_metrics(folder: &Path) -> Result<(), Error> {
    write_metrics_with(folder, (REFERENCE_JOB, REFERENCE_METRIC))
}

/// Writes a metric of invoice lines, and the others.
pub(super) fn write_metrics_with(folder: &Path, of_lines: (&str, &str)) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    for (name, text) in OTHERS.into_iter().chain([of_lines]) {
        let file = folder.join(format!("{name}.yaml"));
        std::fs::write(&file, text).map_err(Error::file(&file))?;
    }
    Ok(())
}

/// What the services' configuration is made of.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// With the password.
    pub(super) nats: String,
    /// Without one, each service has a file in `stores`.
    pub(super) postgres: Option<SocketAddr>,
    pub(super) stores: PathBuf,
    /// The folder of the lake's tables.
    pub(super) lake: PathBuf,
    pub(super) lake_options: LakeOptions,
    pub(super) files: SuiteFiles,
    pub(super) slack: String,
    pub(super) scale: Scale,
}

/// How the lake runs. By default it keeps bronze and silver alone, as it is shipped: nothing else is to take what is
/// measured.
#[derive(Debug, Clone, Default)]
pub(super) struct LakeOptions {
    /// Whether it keeps the tables of the built-in metrics, a second after it has started.
    pub(super) with_gold: bool,
    /// A folder of contracts and a file of rules of quality, in place of those that are shipped.
    pub(super) rules: Option<(PathBuf, PathBuf)>,
}

impl LakeOptions {
    fn sections(&self, metrics: String, scale: Scale) -> Vec<String> {
        let every = |layer, seconds: u32| section(layer, &[("every_seconds", seconds.to_string())]);
        // Where architectures are compared, those that merge have views as often as gold.
        let merges = scale.profile.is_some_and(SuiteProfile::merges);
        let views = scale.gold_seconds.filter(|_| merges).unwrap_or_default();
        let mut batch = vec![("every_seconds", views.to_string())];
        // The invoices are years old, and all of them are in the views.
        batch.extend(merges.then(|| ("days", CENTURY.to_string())));
        let mut sections = vec![every("quality", 0), section("batch", &batch)];
        sections.extend(match self.with_gold {
            true => vec![every("gold", 1)],
            false => vec![every("gold", scale.gold_seconds.unwrap_or(u32::MAX)), metrics],
        });
        if let Some((folder, quality)) = &self.rules {
            sections.push(section("contracts", &[("folder", path(folder)), ("quality", path(quality))]));
        }
        sections
    }
}

impl Settings {
    /// A service's, as TOML.
    pub(super) fn toml(&self, service: Service, listen: SocketAddr) -> String {
        let mut nats = vec![("url", quoted(&self.nats))];
        nats.extend(self.scale.partitions.map(|partitions| ("partitions", partitions.to_string())));
        let mut sections = vec![
            section("http", &[("listen", quoted(&listen.to_string()))]),
            section("auth", &[("open", true.to_string())]),
            section("nats", &nats),
            section("telemetry", &[("log", quoted("warn")), ("log_format", quoted("json"))]),
        ];
        if service.has_store() {
            sections.push(section("store", &[("url", self.database(service.name()))]));
        }
        sections.extend(self.own_sections(service));
        sections.concat()
    }

    fn own_sections(&self, service: Service) -> Vec<String> {
        let metrics = section("definitions", &[("metrics", path(&self.files.metrics))]);
        match service {
            Service::Ingestion => {
                let backlog = self.scale.backlog_bytes.map(|bytes| ("backlog_bytes", bytes.to_string()));
                let mut limits: Vec<_> = backlog.into_iter().collect();
                // As the all-in-one has it: without a stream, senders wait for the lake.
                if self.scale.profile.is_some_and(|profile| !profile.has(ProfilePart::Aggregation)) {
                    limits.push(("backlog_of", "[\"enrichment\", \"lake\"]".into()));
                }
                let schemas: Vec<_> = self.files.schemas.iter().map(|folder| ("folder", path(folder))).collect();
                vec![section("limits", &limits), section("schemas", &schemas)]
            }
            Service::Enrichment => {
                let files: Vec<String> = self.files.reference.iter().map(|file| path(file)).collect();
                let shop: Vec<_> = self.files.shop.iter().map(|file| ("definition", path(file))).collect();
                vec![section("reference", &[("files", format!("[{}]", files.join(", ")))]), section("shop", &shop)]
            }
            Service::Aggregation => vec![section("metrics_store", &[("kind", quoted("builtin"))]), metrics],
            Service::Alert => {
                let limit = MESSAGES_PER_MINUTE.to_string();
                let slack = [("webhook_url", quoted(&self.slack)), ("messages_per_minute", limit)];
                vec![section("slack", &slack), section("rules", &[("folder", path(&self.files.rules))]), metrics]
            }
            Service::Reporting => vec![metrics],
            Service::Recommendation => {
                let kept = self.scale.interactions.map(|most| ("interactions_per_partition", most.to_string()));
                vec![section("index", kept.as_slice())]
            }
            Service::Lake => {
                let of_lake = section("lake", &[("url", path(&self.lake))]);
                [of_lake].into_iter().chain(self.lake_options.sections(metrics, self.scale)).collect()
            }
        }
    }

    fn database(&self, name: &str) -> String {
        match self.postgres {
            Some(server) => quoted(&format!("postgres://tidemill@{server}/{name}")),
            None => quoted(&format!("sqlite://{}", self.stores.join(format!("{name}.db")).display())),
        }
    }
}

fn section(name: &str, values: &[(&str, String)]) -> String {
    let lines: String = values.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("[{name}]\n{lines}")
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
