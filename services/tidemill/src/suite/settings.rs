//! What the all-in-one writes into each service's configuration. It is the
//! same text that an operator would write, read by the same reader.

use std::{fmt::Write, path::PathBuf};

use tidemill_service::{ServiceConfig, StartError, config};

use super::{folder, options::Options};

/// By what a browser on this machine asks this machine. Under any other name it
/// is a page elsewhere that asks, by DNS rebinding.
pub(super) const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

pub(super) struct Settings<'o> {
    options: &'o Options,
    nats_url: String,
    stores: PathBuf,
}

impl<'o> Settings<'o> {
    pub(super) fn new(options: &'o Options, nats_url: &str) -> Result<Self, StartError> {
        Ok(Self { options, nats_url: nats_url.into(), stores: folder::private(&options.folder, "stores")? })
    }

    pub(super) fn ingestion(&self) -> Result<tidemill_ingestion::Config, StartError> {
        read(self.common(self.port(0)))
    }

    pub(super) fn enrichment(&self) -> Result<tidemill_enrichment::Config, StartError> {
        let mut text = self.with_store("enrichment", self.port(1));
        if let Some(mmdb) = &self.options.geoip {
            text.push_str(&format!("[geo]\nmmdb = {}\n", quoted(&mmdb.display().to_string())));
        }
        if let Some(currency) = self.options.currency {
            text.push_str(&format!("[shop]\ncurrency = \"{currency}\"\n"));
        }
        let given = self.options.reference.iter().cloned();
        let catalogue = self.options.catalogue.as_deref().map(|text| self.write_reference(text)).transpose()?;
        let files: Vec<_> = given.chain(catalogue).map(|file| file.display().to_string()).collect();
        if !files.is_empty() {
            text.push_str(&format!("[reference]\nfiles = {}\n", serde_json::Value::from(files)));
        }
        read(text)
    }

    pub(super) fn aggregation(&self) -> Result<tidemill_aggregation::Config, StartError> {
        let mut text = self.with_store("aggregation", self.port(2));
        let url = self.store_url("metrics");
        text.push_str(&format!("[metrics_store]\nkind = \"builtin\"\nurl = {}\n", quoted(&url)));
        read(text)
    }

    pub(super) fn alert(&self) -> Result<tidemill_alert::Config, StartError> {
        let mut text = self.with_store("alert", self.port(3));
        if let Some(webhook) = &self.options.slack_webhook {
            text.push_str(&format!("[slack]\nwebhook_url = {}\n", quoted(webhook)));
        }
        let dashboard =
            (self.options.reporting_port > 0).then(|| format!("http://127.0.0.1:{}", self.options.reporting_port));
        text.push_str(&links(&[("jaeger", self.options.jaeger.as_deref()), ("dashboard", dashboard.as_deref())]));
        read(text)
    }

    pub(super) fn reporting(&self) -> Result<tidemill_reporting::Config, StartError> {
        let mut text = self.with_store("reporting", self.options.reporting_port);
        let ingestion = (self.options.port > 0).then(|| format!("http://127.0.0.1:{}", self.options.port));
        text.push_str(&links(&[("jaeger", self.options.jaeger.as_deref()), ("ingestion", ingestion.as_deref())]));
        read(text)
    }

    fn write_reference(&self, text: &str) -> Result<PathBuf, StartError> {
        let path = folder::private(&self.options.folder, "reference")?.join("catalogue.yaml");
        std::fs::write(&path, text).map_err(|e| StartError::new(format!("{}: {e}", path.display())))?;
        Ok(path)
    }

    fn port(&self, offset: u16) -> u16 {
        if self.options.port == 0 { 0 } else { self.options.port.saturating_add(offset) }
    }

    fn common(&self, port: u16) -> String {
        let auth = match &self.options.keys {
            Some(folder) => format!("folder = {}", quoted(&folder.display().to_string())),
            // Nobody but this machine reaches the ports.
            None => "open = true".into(),
        };
        format!(
            "[http]\nlisten = \"127.0.0.1:{port}\"\nhosts = {}\n[auth]\n{auth}\n[nats]\nurl = {}\n",
            serde_json::Value::from(LOCAL_HOSTS.as_slice()),
            quoted(&self.nats_url)
        )
    }

    fn with_store(&self, service: &str, port: u16) -> String {
        format!("{}[store]\nurl = {}\n", self.common(port), quoted(&self.store_url(service)))
    }

    fn store_url(&self, name: &str) -> String {
        format!("sqlite://{}/{name}.db", self.stores.display())
    }
}

fn links(links: &[(&str, Option<&str>)]) -> String {
    let mut text = "[links]\n".to_owned();
    for (name, url) in links {
        if let Some(url) = url {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} = {}", quoted(url));
        }
    }
    text
}

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn read<T: ServiceConfig>(text: String) -> Result<T, StartError> {
    config::parse(&text).map_err(StartError::new)
}
