//! What `tidemill choose` is told.

use clap::Args;

use crate::choose::{Changes, EventsPerDay, Latency, LookBack, Reaction, Tables};

/// `tidemill choose`
#[derive(Debug, Args)]
#[command(
    after_help = "On a terminal it asks for what is not given. Elsewhere, and with --json, --latency and --team are \
    needed;\nthe rest is as little as there can be. docs/patterns.md has the rules, and what each pattern costs.\n\n\
    Examples:\n  \
    tidemill choose\n  \
    tidemill choose --latency sub-second --team 8\n  \
    tidemill choose --latency seconds --team 5 --history years --changes often --tables yes\n  \
    tidemill choose --latency hours --team 2 --json | jq -r .helm"
)]
pub struct ChooseArguments {
    /// How soon a number is needed
    #[arg(long, value_enum)]
    pub latency: Option<Latency>,
    /// People who look after the suite
    #[arg(long, value_name = "PEOPLE", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub team: Option<u32>,
    /// How far back numbers must be made again after a change [default: week]
    #[arg(long, value_enum)]
    pub history: Option<LookBack>,
    /// How often definitions of numbers change [default: rarely]
    #[arg(long, value_enum)]
    pub changes: Option<Changes>,
    /// Whether anybody asks the events themselves, by SQL or another engine [default: no]
    #[arg(long, value_enum)]
    pub tables: Option<Tables>,
    /// What the suite does by itself [default: no]
    #[arg(long, value_enum)]
    pub act: Option<Reaction>,
    /// Events on a day, as 250000, 250k or 20M [default: 1M]
    #[arg(long, value_name = "NUMBER")]
    pub events: Option<EventsPerDay>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
