//! `tidemill bench`

use std::{num::NonZeroU32, path::PathBuf};

use clap::Args;
use tidemill_domain::Timestamp;
use url::Url;

use crate::bench::Shape;

/// `tidemill bench`
#[derive(Debug, Args)]
#[command(
    after_help = "With --rate, each request has a time at which it is to be sent, whatever became of those before \
    it, and every latency is measured from that time: a slow suite hides nothing. Without, requests follow each other \
    as fast as --connections allow, which tells throughput alone.\n\n\
    It ends when the books balance, and compares totals, window by window, with its own. Nothing else may send events \
    of these types for the windows that it takes (--begin), and event times go on from one load to the next: events that are a week \
    older than the newest would be late. The events stay in the suite: take one that is there for it. The last line is \
    one JSON object. The exit code is 0 if the books balance and every total is right, 3 if the books do not balance, \
    and 4 if the suite cannot be reached.\n\n\
    Examples:\n  \
    tidemill bench --events 100000                           a suite of its own, as fast as it takes\n  \
    tidemill bench --ingestion-url http://localhost:7070 --rate 2000 --duration 60\n  \
    tidemill bench --ingestion-url http://localhost:7070 --rate 500 --batch 1 --connections 64 --shape shop\n  \
    tidemill bench --ingestion-url http://localhost:7070 --events 1000000 --per-minute 10000 | tail -1 | jq .visible_ms"
)]
pub struct BenchArguments {
    /// Ingestion of a suite that is running (also --url); without it one is started
    /// for the run
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
    /// Events a second that are to be sent; without it as many as the suite takes
    #[arg(long)]
    pub rate: Option<NonZeroU32>,
    /// Events [default: 100000]
    #[arg(long, conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub events: Option<u64>,
    /// Seconds to send for, instead of a number of events
    #[arg(long, requires = "rate", value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Events in a request
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Requests at once, at most
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub connections: u16,
    /// What kind of events
    #[arg(long, value_enum, default_value = "invoice-lines")]
    pub shape: Shape,
    /// Customers
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub customers: u32,
    /// Products
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub products: u32,
    /// Bytes of a text that nobody reads, in each event
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=60_000), value_name = "BYTES")]
    pub padding: u32,
    /// Seed of the events: the same seed and --begin give the same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Events in a minute of event time [default: as many as --rate sends, or
    /// 60000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub per_minute: Option<u64>,
    /// Event time of the first event, RFC 3339 [default: such that the last
    /// event is not in the future]
    #[arg(long, value_name = "TIME")]
    pub begin: Option<Timestamp>,
    /// With --shape shop: every so many-th event is an order that
    /// fraud_detection alerts of
    #[arg(long, default_value_t = 0, value_name = "EVENTS")]
    pub alert_every: u64,
    /// Metric to compare; one that is split by category needs --catalogue
    /// [default: order_metrics, or daily_country of invoice lines]
    #[arg(long)]
    pub metric: Option<String>,
    /// Write the products and their categories to this file, a reference file
    /// of enrichment, and send nothing
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// Write the events to this file, and send nothing
    #[arg(long, value_name = "FILE", conflicts_with = "catalogue")]
    pub write: Option<PathBuf>,
    /// Seconds without progress after which the books are given up
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
    pub timeout: u64,
}
