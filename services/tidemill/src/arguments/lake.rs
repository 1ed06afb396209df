//! What `tidemill sql` and `tidemill lake` are told.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tidemill_domain::Timestamp;
use url::Url;

use crate::when::When;

/// Where the lake answers unless told otherwise.
const LAKE: &str = "http://localhost:7075";

/// Which lake.
#[derive(Debug, Args)]
pub struct LakeTarget {
    /// Address of the lake's API (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_LAKE_URL", default_value = LAKE, value_name = "URL")]
    pub lake_url: Url,
    /// Key of the suite that may read, where it needs one
    #[arg(long, alias = "read-key", env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub key: Option<String>,
}

/// `tidemill sql`
#[derive(Debug, Args)]
#[command(after_help = "Tables are named by layer: bronze.events, silver.orders, gold.sales_metrics; one without a \
    layer is of gold.\n`tidemill lake tables` lists them. The lake is only read.\n\nExamples:\n  \
    tidemill sql \"select day, category, revenue from daily_metrics order by revenue desc limit 10\"\n  \
    tidemill sql \"select count(*) from silver.events\" --at 2026-01-31T00:00:00Z\n  \
    tidemill sql \"select * from silver.orders\" -o orders.parquet\n  \
    tidemill sql --format json - <question.sql | jq .rows")]
pub struct SqlArguments {
    /// The question; `-` reads it from standard input
    #[arg(value_name = "SQL")]
    pub question: String,
    /// As of a version of the table (12) or a time (2026-01-31T00:00:00Z)
    #[arg(long, value_name = "VERSION|TIME")]
    pub at: Option<String>,
    /// How the answer is written [default: by the name of the file; else a table on a terminal, and CSV elsewhere]
    #[arg(long, value_enum)]
    pub format: Option<SqlFormat>,
    /// Write the answer into this file
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: LakeTarget,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SqlFormat {
    /// For people
    Table,
    /// One JSON object
    Json,
    /// A JSON object a row
    Ndjson,
    /// With a header
    Csv,
    /// A stream of Arrow IPC
    Arrow,
    /// A Parquet file
    Parquet,
}

/// `tidemill lake`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidemill lake tables\n  \
    tidemill lake quality --fail\n  \
    tidemill lake plan sales_metrics --engine spark\n  \
    tidemill lake rebuild gold --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z")]
pub struct LakeArguments {
    #[command(subcommand)]
    pub(crate) command: LakeCommand,
}

/// What can be asked of the lake.
#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// List the tables, with version and age
    Tables(LakeTables),
    /// Tell how good the tables are, as measured last
    #[command(
        after_help = "Each figure that has a threshold is marked good or BAD. They are measured by the lake, in each \
        interval of `quality.every_seconds`.\n\nExamples:\n  \
        tidemill lake quality\n  \
        tidemill lake quality --table silver.events --json\n  \
        tidemill lake quality --fail  (ends with 1 where a figure is bad, or none was measured)"
    )]
    Quality(LakeQuality),
    /// Print the SQL that computes a metric from silver
    #[command(after_help = "Examples:\n  \
        tidemill lake plan sales_metrics --engine duckdb\n  \
        tidemill lake plan daily_sales --engine spark > daily_sales.sql")]
    Plan(LakePlan),
    /// Judge events of the quarantine again, by the rules that hold now
    #[command(after_help = "Those that pass become rows of silver. Examples:\n  \
        tidemill lake redrive --rule country_known\n  \
        tidemill lake redrive --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z")]
    Redrive(LakeRedrive),
    /// Make a layer anew from the one below, compare, and put it in place
    #[command(after_help = "Silver's order lines and orders are made from its events, and gold from silver, while \
        events go on coming\nin. Old and new rows are compared by folder; where they differ, one version of the table \
        has the new ones,\nand earlier versions can be gone back to. Ctrl-C ends it: tables that are not done stay as \
        they are.\n\nExamples:\n  \
        tidemill lake rebuild gold\n  \
        tidemill lake rebuild silver --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z\n  \
        tidemill lake rebuild gold --from 7d --json | jq .tables")]
    Rebuild(LakeRebuild),
    /// Compute batch views now, and tell reporting
    #[command(
        after_help = "The lake does so by itself, as its settings say (`batch`). Without --whole it computes the days \
        that have new events.\n`tidemill drift` tells whether they are what the stream has counted.\n\nExamples:\n  \
        tidemill lake refresh\n  \
        tidemill lake refresh --whole --json | jq .views"
    )]
    Refresh(LakeRefresh),
}

/// `tidemill lake refresh`
#[derive(Debug, Args)]
pub struct LakeRefresh {
    /// All windows, and not only those of days that have new events
    #[arg(long)]
    pub(crate) whole: bool,
    /// Address of the lake's API (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_LAKE_URL", default_value = LAKE, value_name = "URL")]
    pub(crate) lake_url: Url,
    /// Key of the suite that may operate, where it needs one
    #[arg(long, alias = "operate-key", env = "TIDEMILL_OPERATE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tidemill lake rebuild`
#[derive(Debug, Args)]
pub struct LakeRebuild {
    /// The layer
    #[arg(value_enum)]
    pub(crate) layer: RebuildLayer,
    /// From the month (silver) or day (gold) of this event time on: RFC 3339, or how long ago (7d)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<When>,
    /// Up to this event time; the month or day that it is in is made anew as a whole
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<When>,
    /// Address of the lake's API (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_LAKE_URL", default_value = LAKE, value_name = "URL")]
    pub(crate) lake_url: Url,
    /// Key of the suite that may operate, where it needs one
    #[arg(long, alias = "operate-key", env = "TIDEMILL_OPERATE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A layer that can be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RebuildLayer {
    /// Order lines and orders, from silver's events
    Silver,
    /// Totals, from silver
    Gold,
}

/// `tidemill lake tables`
#[derive(Debug, Args)]
pub struct LakeTables {
    #[command(flatten)]
    pub(crate) target: LakeTarget,
    /// Print JSON, with columns
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tidemill lake redrive`
#[derive(Debug, Args)]
pub struct LakeRedrive {
    /// Those that this rule has held back
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// Taken in at that time or later (2026-01-31T00:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Timestamp>,
    /// Taken in before
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Timestamp>,
    /// Address of the lake's API (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_LAKE_URL", default_value = LAKE, value_name = "URL")]
    pub(crate) lake_url: Url,
    /// Key of the suite that may operate, where it needs one
    #[arg(long, alias = "operate-key", env = "TIDEMILL_OPERATE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

/// `tidemill lake quality`
#[derive(Debug, Args)]
pub struct LakeQuality {
    #[command(flatten)]
    pub(crate) target: LakeTarget,
    /// Of this table alone, for instance silver.events
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// End with 1 where a figure is bad, or none was measured
    #[arg(long)]
    pub(crate) fail: bool,
}

/// `tidemill lake plan`
#[derive(Debug, Args)]
pub struct LakePlan {
    /// The metric
    #[arg(value_name = "METRIC")]
    pub(crate) metric: String,
    /// The engine that it is for
    #[arg(long, value_enum, default_value = "datafusion")]
    pub(crate) engine: PlanEngine,
    #[command(flatten)]
    pub(crate) target: LakeTarget,
}

/// An engine that reads the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanEngine {
    /// Ours
    Datafusion,
    /// DuckDB
    Duckdb,
    /// Spark
    Spark,
}
