//! What each command is told on the command line.

mod alert;
mod bench;
mod choose;
mod dlq;
mod drift;
mod lake;
mod lineage;
mod nats;
mod recommend;
mod replay;
mod reporting_url;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidemill_domain::Currency;
use url::Url;

use crate::{profile::SuiteProfile, shop_file::ShopFile};
pub use alert::{AlertArguments, AlertCommand, BacktestArguments};
pub use bench::BenchArguments;
pub use choose::ChooseArguments;
use dlq::REPORTING;
pub use dlq::{DlqArguments, DlqAudit, DlqCommand, DlqFilter, DlqList, DlqOrder, DlqRedrive, DlqShow, DlqTarget};
pub use drift::DriftArguments;
pub use lake::{
    LakeArguments, LakeCommand, LakePlan, LakeQuality, LakeRebuild, LakeRedrive, LakeRefresh, LakeTables, LakeTarget,
    PlanEngine, RebuildLayer, SqlArguments, SqlFormat,
};
pub use lineage::LineageArguments;
pub(crate) use lineage::with_dimensions;
pub use nats::NatsArguments;
pub(crate) use recommend::Split;
pub use recommend::{EvaluateArguments, ExperimentArguments, Protocol, RecommendArguments, RecommendCommand};
pub use replay::{
    ReplayArguments, ReplayBackfill, ReplayCommand, ReplayCutover, ReplayDiff, ReplayFrom, ReplayLake, ReplayOrder,
    ReplayPlace, ReplayReference, ReplayResume, ReplayStartArguments, ReplayStatus, ReplaySuite,
};
pub(crate) use reporting_url::{ReportingUrlError, reporting_url};

/// Where the all-in-one keeps its data and listens. What is not given here is as
/// tidemill.toml says, where there is one, or has its default.
#[derive(Debug, Clone, Default, Args)]
pub struct Local {
    /// Folder for the log and every store; a temporary one without it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder with keys (files `write`, `read` and `operate`); without it
    /// whoever reaches the ports of this machine may do everything
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Port of ingestion (0 takes a free one); those of enrichment,
    /// aggregation, alert and recommendation follow it [default: 7070]
    #[arg(long)]
    pub port: Option<u16>,
    /// Port of the dashboard and the reporting API [default: 7080]
    #[arg(long)]
    pub reporting_port: Option<u16>,
    /// Port of the Jaeger UI [default: 16686]
    #[arg(long)]
    pub jaeger_port: Option<u16>,
    /// Slack incoming webhook that alerts go to
    #[arg(long, env = "TIDEMILL_SLACK__WEBHOOK_URL", hide_env_values = true, value_name = "URL")]
    pub slack_webhook: Option<String>,
    /// MMDB file with countries by address
    #[arg(long, env = "TIDEMILL_GEOIP", value_name = "FILE")]
    pub geoip: Option<PathBuf>,
    /// The shop's base currency: that of amounts whose event names none, and
    /// the one that rates lead to [default: EUR]
    #[arg(long, env = "TIDEMILL_CURRENCY", value_name = "CODE")]
    pub currency: Option<Currency>,
    /// Share of requests that are traced, 0 to 1 [default: 0.05]
    #[arg(long)]
    pub sample_ratio: Option<f64>,
    /// Log filter, for instance info or warn,tidemill_alert=debug [default: warn]
    #[arg(long)]
    pub log: Option<String>,
}

impl Local {
    /// The settings, with what is given here in place of what they say.
    pub(crate) fn over(&self, mut settings: ShopFile) -> ShopFile {
        fn set<T: Clone>(given: &Option<T>, setting: &mut T) {
            if let Some(given) = given {
                setting.clone_from(given);
            }
        }
        let ShopFile { data, currency, keys, http, reference, log, sample_ratio, .. } = &mut settings;
        for (given, setting) in
            [(&self.data, data), (&self.keys, &mut keys.folder), (&self.geoip, &mut reference.geoip)]
        {
            if given.is_some() {
                setting.clone_from(given);
            }
        }
        set(&self.currency, currency);
        set(&self.port, &mut http.port);
        set(&self.reporting_port, &mut http.reporting_port);
        set(&self.jaeger_port, &mut http.jaeger_port);
        set(&self.sample_ratio, sample_ratio);
        set(&self.log, log);
        settings
    }
}

/// `tidemill up`
#[derive(Debug, Args)]
#[command(
    after_help = "Options go before tidemill.toml, and that before the defaults; `tidemill init` writes one.\n\n\
    Examples:\n  \
    tidemill up --data /var/lib/tidemill\n  \
    tidemill up --profile medallion --data tables\n  \
    tidemill up --config shop/tidemill.toml"
)]
pub struct UpArguments {
    /// Settings; without it tidemill.toml of the working folder, where there is
    /// one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The part of the suite that runs, as `tidemill choose` explains them [without it:
    /// every service but the lake]
    #[arg(long, value_enum)]
    pub(crate) profile: Option<SuiteProfile>,
    #[command(flatten)]
    pub(crate) local: Local,
}

/// `tidemill init`
#[derive(Debug, Args)]
#[command(after_help = "A file that is there stays as it is, and nothing is written then.\n\nExamples:\n  \
    tidemill init\n  \
    tidemill init shop --definitions")]
pub struct InitArguments {
    /// The folder to write into; made where it is missing
    #[arg(default_value = ".", value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Write copies of the built-in metrics, rules, schemas and shop definitions
    /// too, to be changed
    #[arg(long)]
    pub(crate) definitions: bool,
}

/// `tidemill demo`
#[derive(Debug, Args)]
#[command(
    after_help = "With --exit the last line is one JSON object, and the exit code is 0 if the books balance, 3 if not, \
    and 130 if somebody ended it before:\n  \
    tidemill demo --events 50000 --exit | tail -1"
)]
pub struct DemoArguments {
    /// Events to play, broken ones and repetitions included
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    pub events: u32,
    /// End when the books balance, instead of going on until Ctrl-C
    #[arg(long)]
    pub exit: bool,
    /// Seed of the play: the same one gives the same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// With --keys: the key that the play writes with
    #[arg(long, env = "TIDEMILL_WRITE_KEY", hide_env_values = true)]
    pub write_key: Option<String>,
    /// With --keys: the key that the play reads with
    #[arg(long, env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub read_key: Option<String>,
    #[command(flatten)]
    pub(crate) local: Local,
}

/// `tidemill import`
#[derive(Debug, Args)]
pub struct ImportArguments {
    #[command(subcommand)]
    pub(crate) what: Dataset,
}

/// Data sets that can be imported.
#[derive(Debug, Subcommand)]
pub enum Dataset {
    /// Online Retail (UCI data sets 352 and 502): the invoice lines of a UK shop
    OnlineRetail(OnlineRetailArguments),
}

/// `tidemill import online-retail`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidemill import online-retail online_retail.csv.zst --out results\n  \
    tidemill import online-retail online_retail.csv --out results --ingestion-url http://localhost:7070\n  \
    tidemill import online-retail online_retail.csv --out results --ingestion-url https://events.example.org \\\n    \
    --reporting-url https://shop.example.org")]
pub struct OnlineRetailArguments {
    /// The file: CSV, or CSV compressed with zstd
    pub file: PathBuf,
    /// Folder for daily_country.csv; made where it is missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Ingestion of a suite that is running (also --url); without it one is started
    /// for the import
    #[arg(long, alias = "url", value_name = "URL")]
    pub ingestion_url: Option<Url>,
    /// Reporting of that suite [env: TIDEMILL_URL]; without it port 7080 of the
    /// same host, if that says that it is of the same suite
    #[arg(long, value_name = "URL", requires = "ingestion_url")]
    pub reporting_url: Option<Url>,
    /// Key of that suite that may write
    #[arg(long, env = "TIDEMILL_WRITE_KEY", hide_env_values = true)]
    pub write_key: Option<String>,
    /// Key of that suite that may read
    #[arg(long, env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub read_key: Option<String>,
    /// Events in a request
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Requests at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub senders: u16,
}

/// `tidemill check`
#[derive(Debug, Args)]
#[command(after_help = "The event has the type tidemill.check, which no figure of the shop counts, and the source \
    tidemill-check. The exit code is 0 once the total of tidemill_check has it, and 4 if the suite cannot be reached.\n\nExamples:\n  \
    tidemill check --ingestion-url http://localhost:7070\n  \
    tidemill check --ingestion-url https://events.example.org --reporting-url https://shop.example.org --json\n  \
    helm test tidemill                            does the same in a cluster")]
pub struct CheckArguments {
    /// Ingestion of the suite (also --url) [default: http://localhost:7070]
    #[arg(long, alias = "url", value_name = "URL")]
    pub ingestion_url: Option<Url>,
    /// Reporting of the suite [env: TIDEMILL_URL]; without it port 7080 of the
    /// same host, if that says that it is of the same suite
    #[arg(long, value_name = "URL")]
    pub reporting_url: Option<Url>,
    /// Key of the suite that may write; of several entries the first
    #[arg(long, env = "TIDEMILL_WRITE_KEY", hide_env_values = true)]
    pub write_key: Option<String>,
    /// Key of the suite that may read; of several entries the first
    #[arg(long, env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub read_key: Option<String>,
    /// Seconds until it has failed [default: 120, and 10 if the connection is
    /// refused all along]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `tidemill books`
#[derive(Debug, Args)]
#[command(
    after_help = "The exit code is 0 if the books balance, 3 if they do not, or not yet, and 4 if reporting cannot be reached.\n\nExamples:\n  \
    tidemill books --hours\n  \
    tidemill books --reporting-url https://shop.example.org\n  \
    tidemill books --json | jq .totals"
)]
pub struct BooksArguments {
    /// Reporting of the suite (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_URL", default_value = REPORTING, value_name = "URL")]
    pub reporting_url: Url,
    /// Key of the suite that may read, where it needs one
    #[arg(long, alias = "read-key", env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Tell each source by hour of ingestion too
    #[arg(long)]
    pub hours: bool,
    /// Print JSON, with the hours, instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `tidemill keys`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidemill keys new shop\n  \
    tidemill keys hash anna <key.txt >>/etc/tidemill/keys/operate")]
pub struct KeysArguments {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key, and show it and its entry
    New {
        /// What the key is called in logs and in the audit
        name: String,
    },
    /// Show the entry of a key that is given on standard input
    Hash {
        /// What the key is called in logs and in the audit
        name: String,
    },
}
