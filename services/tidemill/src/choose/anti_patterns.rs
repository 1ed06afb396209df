//! What goes wrong in places like the one that is asked for.

use serde::Serialize;

use super::{
    needs::{Changes, Latency, LookBack, Reaction, SuiteNeeds, Tables},
    rules::{self, A_NIGHT, TWO_PATHS},
};
use crate::profile::{ProfilePart, SuiteProfile};

/// Something that often goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AntiPattern {
    /// Its name, which stays as it is.
    pub name: &'static str,
    /// What is done, and what comes of it.
    pub what: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

/// Where an anti-pattern applies.
type Applies = fn(&SuiteNeeds, SuiteProfile) -> bool;

const ALL: [(Applies, AntiPattern); 11] = [
    (
        |answers, _| !answers.latency.is_live() && answers.act == Reaction::No,
        AntiPattern {
            name: "real-time-that-nobody-watches",
            what: "A stream is run for numbers that are read in the morning: state, leases and live totals for nobody.",
            instead: "Run the layers, and add the stream when somebody waits for a number.",
        },
    ),
    (
        |answers, _| answers.latency == Latency::SubSecond,
        AntiPattern {
            name: "sub-second-for-every-event",
            what: "A median is promised as a maximum: in a burst, or while a replica takes over, it takes seconds.",
            instead: "Promise a quantile, keep twice the capacity that is needed, and alert on freshness.",
        },
    ),
    (
        |answers, pattern| answers.team < TWO_PATHS && matches!(pattern, SuiteProfile::Lambda | SuiteProfile::Full),
        AntiPattern {
            name: "everything-for-a-team-of-two",
            what: "All services run because they can: each is another thing to upgrade, watch and get up for at night.",
            instead: "Switch off what nobody uses (`services.NAME.enabled`), and come back for it: nothing is lost.",
        },
    ),
    (
        |_, pattern| pattern.has(ProfilePart::Aggregation) && pattern.has(ProfilePart::Lake),
        AntiPattern {
            name: "the-same-number-written-twice",
            what: "The stream's metric is written once more for the batch, in another language; the two drift apart.",
            instead: "Define it once in YAML: gold and batch views are made by the stream's own code.",
        },
    ),
    (
        |answers, pattern| {
            matches!(pattern, SuiteProfile::Lambda | SuiteProfile::Full) && answers.history != LookBack::Week
        },
        AntiPattern {
            name: "merging-at-a-time",
            what: "Batch and stream are merged at midnight: what is late is missing on one side, or there twice.",
            instead: "Merge at a position in the log, as reporting does; ask drift, which is 0.",
        },
    ),
    (
        |answers, pattern| answers.history != LookBack::Week && pattern.has(ProfilePart::Aggregation),
        AntiPattern {
            name: "the-log-as-an-archive",
            what: "The log is kept for years, to be replayed: its disk is dear, and a replay of all of it takes days.",
            instead: "Keep a week in the log, and what is older in bronze.",
        },
    ),
    (
        |answers, pattern| pattern == SuiteProfile::Kappa && answers.changes == Changes::Often,
        AntiPattern {
            name: "changing-a-number-in-place",
            what: "A definition is changed, and old and new totals stand in one chart as if they were the same number.",
            instead: "Replay the log into a generation, compare it, and cut over.",
        },
    ),
    (
        |answers, _| answers.changes == Changes::Often && rules::past(answers) > A_NIGHT,
        AntiPattern {
            name: "counting-years-for-a-typo",
            what: "Each change counts the whole past again, so that changes wait for each other.",
            instead: "Collect changes, or make again only the metric and the months that a change is about.",
        },
    ),
    (
        |answers, _| answers.tables == Tables::Yes,
        AntiPattern {
            name: "dashboards-on-bronze",
            what: "Questions go to events as they were sent, with duplicates; each question cleans them its way.",
            instead: "Ask silver for events, and gold for numbers.",
        },
    ),
    (
        |answers, pattern| answers.latency == Latency::Minutes && pattern == SuiteProfile::Medallion,
        AntiPattern {
            name: "a-commit-a-second",
            what: "Layers are made to pretend that they are a stream: thousands of small files, and slower questions.",
            instead: "Leave commits at 10 seconds or more, and take the stream where seconds count.",
        },
    ),
    (
        |answers, _| answers.act != Reaction::No && !answers.latency.is_live(),
        AntiPattern {
            name: "a-stream-for-alerts-alone",
            what: "Everything is live because of one rule that could as well run once an hour.",
            instead: "If nobody acts on it within minutes, ask gold on a schedule (`tidemill sql`) instead.",
        },
    ),
];

/// Those that apply, in a fixed order.
pub(super) fn of(answers: &SuiteNeeds, pattern: SuiteProfile) -> Vec<AntiPattern> {
    ALL.iter().filter(|(applies, _)| applies(answers, pattern)).map(|(_, told)| *told).collect()
}

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(_, told)| told.name)
}
