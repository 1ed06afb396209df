//! The services' configuration: as it is by default, but for addresses.

use std::{net::SocketAddr, path::Path};

use tidemill::profile::ProfilePart;

use super::{scale::Scale, suite::SuiteFiles};
use crate::{error::Error, service::Service};

/// Messages a minute that alert may post: each alert is looked for.
const MESSAGES_PER_MINUTE: u32 = 100_000;

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

/// What a service's configuration is made of.
pub(super) struct Settings<'a> {
    pub(super) service: Service,
    pub(super) listen: SocketAddr,
    /// With the password.
    pub(super) nats: &'a str,
    /// Without one, each service has a file in `stores`.
    pub(super) postgres: Option<SocketAddr>,
    pub(super) stores: &'a Path,
    /// The folder of the lake's tables.
    pub(super) lake: &'a Path,
    pub(super) files: &'a SuiteFiles,
    pub(super) slack: &'a str,
    pub(super) scale: Scale,
}

impl Settings<'_> {
    /// As TOML.
    pub(super) fn toml(&self) -> String {
        let mut nats = vec![("url", quoted(self.nats))];
        nats.extend(self.scale.partitions.map(|partitions| ("partitions", partitions.to_string())));
        let mut sections = vec![
            section("http", &[("listen", quoted(&self.listen.to_string()))]),
            section("auth", &[("open", true.to_string())]),
            section("nats", &nats),
            section("telemetry", &[("log", quoted("warn")), ("log_format", quoted("json"))]),
        ];
        if self.service.has_store() {
            sections.push(section("store", &[("url", self.database(self.service.name()))]));
        }
        let metrics = section("definitions", &[("metrics", path(&self.files.metrics))]);
        match self.service {
            Service::Ingestion => {
                let mut limits: Vec<_> =
                    self.scale.backlog_bytes.map(|bytes| ("backlog_bytes", bytes.to_string())).into_iter().collect();
                // As the all-in-one has it: without a stream, senders wait for the lake.
                if self.scale.profile.is_some_and(|profile| !profile.has(ProfilePart::Aggregation)) {
                    limits.push(("backlog_of", "[\"enrichment\", \"lake\"]".into()));
                }
                sections.push(section("limits", &limits));
                let schemas: Vec<_> = self.files.schemas.iter().map(|folder| ("folder", path(folder))).collect();
                sections.push(section("schemas", &schemas));
            }
            Service::Enrichment => {
                let files: Vec<String> = self.files.reference.iter().map(|file| path(file)).collect();
                sections.push(section("reference", &[("files", format!("[{}]", files.join(", ")))]));
                let shop: Vec<_> = self.files.shop.iter().map(|file| ("definition", path(file))).collect();
                sections.push(section("shop", &shop));
            }
            Service::Aggregation => {
                sections.push(section("metrics_store", &[("kind", quoted("builtin"))]));
                sections.push(metrics);
            }
            Service::Alert => {
                let limit = MESSAGES_PER_MINUTE.to_string();
                let slack = [("webhook_url", quoted(self.slack)), ("messages_per_minute", limit)];
                sections.push(section("slack", &slack));
                sections.push(section("rules", &[("folder", path(&self.files.rules))]));
                sections.push(metrics);
            }
            Service::Reporting => sections.push(metrics),
            Service::Recommendation => {
                let kept = self.scale.interactions.map(|most| ("interactions_per_partition", most.to_string()));
                sections.push(section("index", kept.as_slice()));
            }
            // Bronze and silver alone, unless gold is asked for: nothing else is to take what is measured.
            Service::Lake => {
                let every = |layer, seconds: u32| section(layer, &[("every_seconds", seconds.to_string())]);
                let gold = self.scale.gold_seconds.unwrap_or(u32::MAX);
                sections.push(section("lake", &[("url", path(self.lake))]));
                sections.extend([every("gold", gold), every("quality", 0), metrics]);
            }
        }
        sections.concat()
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
