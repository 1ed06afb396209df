//! What `tidemill lineage` is told.

use std::ffi::OsString;

use clap::{Args, Command};
use url::Url;

use super::lake::LakeTarget;
use crate::when::When;

/// Its name on the command line.
const NAME: &str = "lineage";

/// `tidemill lineage`
#[derive(Debug, Args)]
#[command(after_help = "Every dimension of the metric is an option: --category Books is --dimension category=Books. \
    Without some of\nthem all numbers of the window that have the others are shown. The exit code is 0 if each number \
    is what its\nrows come to, and 3 if one is not, or if the stream has another one though gold has all events of the \
    window.\n\nExamples:\n  \
    tidemill lineage sales_metrics --window 2026-01-31T12:00:00Z --category Books --region Europe\n  \
    tidemill lineage daily_sales --window 1d --limit 100 --json | jq .events\n  \
    tidemill lineage sales_metrics --window 10m --category Books --reporting-url http://localhost:7080")]
pub struct LineageArguments {
    /// The metric
    #[arg(value_name = "METRIC")]
    pub(crate) metric: String,
    /// A time in the window (RFC 3339, or how long ago: 10m, 2h): the last window that starts until then
    #[arg(long, value_name = "TIME")]
    pub(crate) window: When,
    /// A dimension's value
    #[arg(long = "dimension", value_name = "NAME=VALUE", value_parser = dimension)]
    pub(crate) dimensions: Vec<(String, String)>,
    /// How many events are shown, 1 to 500
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) limit: u16,
    /// Show events behind this position, as the last answer names it
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<String>,
    /// Compare with the stream's number, too: address of reporting
    #[arg(long, alias = "reporting", value_name = "URL")]
    pub(crate) reporting_url: Option<Url>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: LakeTarget,
}

fn dimension(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("give NAME=VALUE, as in category=Books")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A command line on which options that the command does not have are dimensions: which
/// there are, the metric says.
pub(crate) fn with_dimensions(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given = given.into_iter();
    let mut line: Vec<OsString> = given.by_ref().take(2).collect();
    if line.get(1).is_none_or(|command| command != NAME) {
        line.extend(given);
        return line;
    }
    let known = LineageArguments::augment_args(Command::new(NAME));
    let is_option = |name: &str| {
        let has = |option: &clap::Arg| {
            option.get_long() == Some(name) || option.get_all_aliases().is_some_and(|all| all.contains(&name))
        };
        name == "help" || known.get_arguments().any(has)
    };
    while let Some(word) = given.next() {
        let text = word.to_str().and_then(|text| text.strip_prefix("--")).filter(|text| !text.is_empty());
        let (name, value) = match text.map(|text| text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)))) {
            Some((name, value)) if !is_option(name) => (name.to_owned(), value.map(OsString::from)),
            _ => {
                line.push(word);
                continue;
            }
        };
        let Some(value) = value.or_else(|| given.next()) else {
            line.push(word);
            continue;
        };
        let mut dimension = OsString::from(format!("--dimension={name}="));
        dimension.push(value);
        line.push(dimension);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(given: &[&str]) -> Vec<String> {
        let line = with_dimensions(given.iter().map(OsString::from));
        line.into_iter().map(|word| word.into_string().expect("UTF-8")).collect()
    }

    #[test]
    fn options_that_are_none_are_dimensions() {
        let given =
            ["tidemill", "lineage", "m", "--window", "1h", "--category", "Toys & Games", "--json", "--a=b", "--url=x"];
        let expected = [
            "tidemill",
            "lineage",
            "m",
            "--window",
            "1h",
            "--dimension=category=Toys & Games",
            "--json",
            "--dimension=a=b",
            "--url=x",
        ];
        assert_eq!(line(&given), expected);
        assert_eq!(line(&["tidemill", "sql", "--a", "b"]), ["tidemill", "sql", "--a", "b"]);
        assert_eq!(line(&["tidemill", "lineage", "--a"]), ["tidemill", "lineage", "--a"]);
    }
}
