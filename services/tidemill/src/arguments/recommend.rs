//! What `tidemill recommend` is told.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use url::Url;

use super::REPORTING;

/// `tidemill recommend`
#[derive(Debug, Args)]
pub struct RecommendArguments {
    #[command(subcommand)]
    pub(crate) command: RecommendCommand,
}

/// What can be done with recommendations.
#[derive(Debug, Subcommand)]
pub enum RecommendCommand {
    /// Measure how good recommendations are on a file of sessions
    #[command(
        override_usage = "tidemill recommend evaluate [OPTIONS] <TRAIN> <--test <FILE>|--split <last-days[=N]>>",
        after_help = "A line of a file is a session, an item and a time, behind a header: SessionId, ItemId, \
        Time, or session_id,\nitem, timestamp and the like. Tabs, commas or semicolons separate. A time is seconds \
        or\nmilliseconds since 1970, RFC 3339, or the like without a zone (UTC): 2010-12-01 08:26:00.\n\
        Files that end in .zst are inflated.\n\nEach event of a test session after its first \
        is predicted from those before it, by the index and by three\nbaselines. docs/recommendation.md explains the \
        figures.\n\nExamples:\n  \
        tidemill recommend evaluate train.txt --test test.txt --protocol session-rec\n  \
        tidemill recommend evaluate train.txt --test test.txt --json | tail -1 | jq '.[\"hr@20\"]'\n  \
        tidemill recommend evaluate clicks.csv --split last-days 7 --plot figures.svg\n  \
        tidemill recommend evaluate retail.csv --session-column InvoiceNo --item-column StockCode \\\n    \
        --time-column InvoiceDate --split last-days=14"
    )]
    Evaluate(EvaluateArguments),
    /// Compare the variants of an experiment by what was shown and clicked
    #[command(after_help = "Click-through of each variant, and how much higher it is than the control's, with the \
        intervals in which these\nlie with 95 % confidence; differences in percentage points. docs/recommendation.md explains \
        experiments.\n\nExamples:\n  \
        tidemill recommend experiment order-of-fallbacks\n  \
        tidemill recommend experiment order-of-fallbacks --control popular-first --from 2026-11-01\n  \
        tidemill recommend experiment order-of-fallbacks --json | jq '.differences[].significant'")]
    Experiment(ExperimentArguments),
}

/// `tidemill recommend experiment`
#[derive(Debug, Args)]
pub struct ExperimentArguments {
    /// Name of the experiment
    pub name: String,
    /// Variant that the others are compared with [without it: control, or the first by name]
    #[arg(long, value_name = "VARIANT")]
    pub control: Option<String>,
    /// What was shown and clicked from then on: a time, or a date of the shop
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// What was shown and clicked before then
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Reporting of the suite (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_URL", default_value = REPORTING, value_name = "URL")]
    pub reporting_url: Url,
    /// Key of the suite that may read, where it needs one
    #[arg(long, alias = "read-key", env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Print the API's answer instead of the tables
    #[arg(long)]
    pub json: bool,
}

/// `tidemill recommend evaluate`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("predicted").args(["test", "split"]).required(true)))]
pub struct EvaluateArguments {
    /// File of the sessions to learn from; may stand behind --split, too
    pub train: Option<PathBuf>,
    /// File of the sessions to predict
    #[arg(long, value_name = "FILE")]
    pub test: Option<PathBuf>,
    /// Predict the sessions of the last days of TRAIN instead, from all before
    /// [without N: 1]
    #[arg(long, value_name = "last-days[=N]", num_args = 1..=2)]
    pub split: Option<Vec<String>>,
    /// What is a case
    #[arg(long, value_enum, default_value_t = Protocol::SessionRec)]
    pub protocol: Protocol,
    /// File with settings other than the defaults (TOML), as docs/recommendation.md lists them
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Column of the session
    #[arg(long, value_name = "NAME")]
    pub session_column: Option<String>,
    /// Column of the item
    #[arg(long, value_name = "NAME")]
    pub item_column: Option<String>,
    /// Column of the time
    #[arg(long, value_name = "NAME")]
    pub time_column: Option<String>,
    /// Draw the figures as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
}

/// How sessions become cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Each event of a session after its first, revealed one by one
    SessionRec,
}

/// Where TRAIN is, and how many of its last days are to be predicted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) train: PathBuf,
    pub(crate) last_days: Option<u32>,
}

impl EvaluateArguments {
    /// Takes `--split last-days N`, `--split last-days=N` and `--split last-days`, also where TRAIN follows.
    pub(crate) fn split(&self) -> Result<Split, String> {
        let wrong = || "--split takes last-days=N with N from 1 to 3650".to_owned();
        let mut train = self.train.clone();
        let mut last_days = None;
        if let Some((how, rest)) = self.split.as_deref().and_then(<[String]>::split_first) {
            let mut days = how.strip_prefix("last-days").ok_or_else(wrong)?.strip_prefix('=');
            if days.is_none() && how != "last-days" {
                return Err(wrong());
            }
            if let Some(next) = rest.first() {
                if days.is_none() && next.parse::<u32>().is_ok() {
                    days = Some(next);
                } else if train.is_none() {
                    train = Some(PathBuf::from(next));
                } else {
                    return Err(wrong());
                }
            }
            let days = days.unwrap_or("1").parse().ok().filter(|days| (1..=3650).contains(days));
            last_days = Some(days.ok_or_else(wrong)?);
        }
        Ok(Split { train: train.ok_or("TRAIN is missing: the file of the sessions to learn from")?, last_days })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        evaluate: EvaluateArguments,
    }

    fn split(arguments: &str) -> Result<Split, String> {
        let words = std::iter::once("evaluate").chain(arguments.split_whitespace());
        Line::try_parse_from(words).map_err(|error| error.to_string())?.evaluate.split()
    }

    #[test]
    fn a_split_is_told_in_several_ways() {
        let expected = |last_days| Ok(Split { train: "a.csv".into(), last_days });
        for (arguments, last_days) in [
            ("a.csv --split last-days=7", Some(7)),
            ("a.csv --split last-days 7", Some(7)),
            ("--split last-days=7 a.csv", Some(7)),
            ("--split last-days 7 a.csv", Some(7)),
            ("--split last-days a.csv", Some(1)),
            ("a.csv --split last-days", Some(1)),
            ("a.csv --test b.csv", None),
        ] {
            assert_eq!(split(arguments), expected(last_days), "{arguments}");
        }
        let told = split("a.csv").expect_err("nothing is to be predicted");
        assert!(told.contains("--test <FILE>|--split <last-days[=N]>"), "{told}");
        for wrong in [
            "",
            "--split last-days=7",
            "a.csv --split last-days=0",
            "a.csv --split last-dayss",
            "a.csv --split first-days=7",
            "a.csv --split last-days x",
            "a.csv --split last-days --test b.csv",
        ] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
