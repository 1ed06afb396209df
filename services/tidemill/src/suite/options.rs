//! How the all-in-one is set up.

use std::path::PathBuf;

use tidemill_domain::Currency;

/// How the all-in-one is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folder for the log and every store.
    pub folder: PathBuf,
    /// Folder with keys; without one everybody may do everything.
    pub keys: Option<PathBuf>,
    /// Port of ingestion; enrichment, aggregation and alert listen on the next
    /// three. 0 takes free ones.
    pub port: u16,
    /// Port of reporting, 0 for a free one.
    pub reporting_port: u16,
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
    /// Address of the Jaeger UI, for links.
    pub jaeger: Option<String>,
}
